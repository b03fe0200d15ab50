"""What machines do a second: accelerators by their data sheets, this machine by a matrix product or by a few real steps."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.studies.plan.cost import Cost, flops_of_reading, flops_of_training
from clinstack.studies.plan.work import Planned, Work, work_of
from clinstack.training.machine import choose_device

MACHINES = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Peak bfloat16 rates without sparsity, from the makers' data sheets; operations a second."""
SHARE_OF_PEAK = 0.38
"""Of an accelerator's peak that training reaches: what the published run's hours come to on an A100; elsewhere assumed."""
SHARE_OF_PROCESSOR = {"float32": 0.65, "bfloat16": 0.45}
"""Of a processor's matrix rate, as measured in docs/benchmarks.md."""
_MEASURED_SECONDS = 2.0
Rates = tuple[float, float]
"""Operations a second of training and of reading."""


def rates_of(cost: Cost, options: Planned, measure: bool) -> tuple[dict[str, Rates], list[str]]:
    """Rates by machine, and what was assumed. measure: time a few real steps here; needs the base's weights."""
    said = [f"A100, H100 and H200: {SHARE_OF_PEAK:.0%} of the peak bfloat16 rate in training and in reading."]
    rates: dict[str, Rates] = {name: (SHARE_OF_PEAK * peak, SHARE_OF_PEAK * peak) for name, peak in MACHINES.items()}
    if measure:
        rates["this machine"] = measured_rates(options)
        said.append("This machine: measured over a few steps.")
    elif choose_device(options.device) == "cpu":
        train, read = (SHARE_OF_PROCESSOR[name] * matrix_rate(name) for name in (cost.precision, "float32"))
        rates["this machine"] = (train, read)
        said.append(
            f"This machine: {SHARE_OF_PROCESSOR[cost.precision]:.0%} of its {cost.precision} matrix rate, timed just now; "
            "--measure times real steps instead."
        )
    return rates, said


def matrix_rate(precision: str) -> float:
    """Operations a second of a product of two square matrices on this processor, the best of five: of 2048 rows, or of fewer
    where that would take more than a second, as bfloat16 does on a processor that only imitates it.
    """
    for size in (256, 512, 1024, 2048):
        first, second = (torch.randn(size, size).to(getattr(torch, precision)) for _ in range(2))
        torch.mm(first, second)
        took = min(_timed(partial(torch.mm, first, second)) for _ in range(5))
        if 2**3 * took > 1.0:
            break
    return float(2 * size**3 / took)


def measured_rates(options: Planned) -> Rates:
    """Operations a second of real training steps and of real reading, counted as the plan counts them."""
    work = work_of(options, lambda base, quantize: load_backbone(base, choose_device(options.device), quantize))
    backbone = work.stack.backbone
    batch, positions = _batch(work)

    def step() -> None:
        with torch.autocast(backbone.device.type, work.autocast, enabled=work.autocast is not None):
            hidden = backbone.encode_packed(batch, positions)
            total = backbone.unembed(hidden).float().logsumexp(-1).sum() if work.language else hidden.float().sum()
        total.backward()  # type: ignore[no-untyped-call]
        _settle(backbone)

    def read() -> None:
        with torch.inference_mode():
            hidden = backbone.encode_packed(batch, positions)
            if work.language:
                backbone.unembed(hidden).float().logsumexp(-1)
        _settle(backbone)

    reading_rate = flops_of_reading(work, batch.numel()) / _typical(read)
    if not work.stack.trainable():
        return reading_rate, reading_rate
    if work.autocast is not None:
        backbone.keep_half_copies()
    work.stack.train(True)
    return flops_of_training(work, batch.numel()) / _typical(step), reading_rate


def _batch(work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of the sample's notes and their positions (B, T), as a batch of the work has them."""
    backbone, length = work.stack.backbone, max(2, work.length)
    tokens = [token for note in backbone.tokenizer.encode(work.reading.sample, length) for token in note]
    while len(tokens) < work.rows * length:
        tokens += tokens
    batch = torch.tensor(tokens[: work.rows * length], device=backbone.device).view(work.rows, length)
    positions = torch.arange(length, device=backbone.device) % max(2, round(work.reading.note_tokens))
    return batch, positions.expand_as(batch)


def _settle(backbone: Backbone) -> None:
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()


def _typical(work: Callable[[], object]) -> float:
    """Median seconds of a piece of work that was done before, over at least three times and two seconds."""
    work()
    took: list[float] = []
    while len(took) < 3 or sum(took) < _MEASURED_SECONDS:
        took.append(_timed(work))
    return float(np.median(took))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
