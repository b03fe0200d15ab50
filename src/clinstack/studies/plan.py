"""What a command would cost: parameters, memory, tokens, operations, hours and disk; nothing is trained and nothing is written.

The base is built on torch's meta device from its configuration, with its adapters; what a training step keeps for its way back
is counted by running the step there, so it holds for every method and model. Hours come from counted operations and a
machine's rate; `measure` replaces the assumed rate by that of a few real steps on this machine.
"""

import math
import resource
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinstack.config import (
    AdaptOptions,
    Options,
    SearchAdaptOptions,
    SearchTrainOptions,
    Table2Options,
    TrainOptions,
    make_options,
)
from clinstack.data.corpus import open_corpus
from clinstack.data.notes import SPLITS, read_batches
from clinstack.data.task import open_task
from clinstack.errors import BadInput
from clinstack.models.adapter_files import load_adapter
from clinstack.models.backbone import Backbone, load_backbone, shape_of
from clinstack.models.method import gather_method_options, make_method
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.models.tokenizer import BYTES_PER_TOKEN, NoteTokenizer
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout
from clinstack.training.classification import TASK, find_clinical
from clinstack.training.language import CLINICAL
from clinstack.training.machine import choose_autocast, choose_device, reading_flops, training_flops
from clinstack.training.objective import CHUNK_LOGITS

MACHINES = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Peak bfloat16 rates without sparsity, from the makers' data sheets; operations a second."""
SHARE_OF_PEAK = 0.38
"""Of an accelerator's peak that training reaches: what the published run's hours come to on an A100; elsewhere assumed."""
SHARE_OF_PROCESSOR = {"float32": 0.65, "bfloat16": 0.45}
"""Of a processor's matrix rate, as measured in docs/benchmarks.md."""
SCATTERED = {"cpu": 1.6, "cuda": 1.1}
"""What the allocator holds for each byte that is asked for: notes of many lengths leave gaps. Fitted to docs/benchmarks.md."""
AT_WORK = 0.25 * 2**30
"""Bytes of a program at work besides its libraries: threads, readers of files, the tokenizer."""
_SAMPLE_NOTES = 256
_BYTES_OF_A_STEP_LINE = 190


@dataclass(frozen=True)
class Reading:
    """What a run reads: notes and tokens by split, tokens of a note on average, places of a batch, and whether the tokenizer
    that counted them is the base's own.
    """

    notes: dict[str, int]
    tokens: dict[str, float]
    note_tokens: float
    places: int
    known: bool


@dataclass(frozen=True)
class Plan:
    """The cost of one run. Bytes, tokens, floating-point operations."""

    parameters: int
    trainable: int
    trained_tokens: float
    read_tokens: float
    training_flops: float
    reading_flops: float
    memory: dict[str, float]
    disk: float
    precision: str
    tokenizer_known: bool

    @property
    def peak_bytes(self) -> float:
        """Everything that is in memory at once."""
        return sum(self.memory.values())

    def seconds(self, training_rate: float, reading_rate: float) -> float:
        """Wall time at these rates (operations a second)."""
        return self.training_flops / training_rate + self.reading_flops / reading_rate


def plan(options: Options, *, measure: bool = False) -> dict[str, Any]:
    """What a command with these options would cost. Raises BadInput for a command that has no such cost, or bad options.

    measure: time a few real steps on this machine instead of assuming its rate; needs the base's weights.
    """
    kind = type(options)
    if kind in (AdaptOptions, TrainOptions):
        assert isinstance(options, AdaptOptions | TrainOptions)
        return _report([(_plan_run(options), 1)], options, measure, notes=[])
    if isinstance(options, SearchAdaptOptions | SearchTrainOptions):
        once = _plan_run(options)
        only_training = replace(once, reading_flops=0.0, read_tokens=0.0)
        said = [
            "A search is planned as so many trials with the method's own defaults, none of them pruned, and one measured."
        ]
        return _report([(only_training, options.trials - 1), (once, 1)], options, measure, said)
    if isinstance(options, Table2Options):
        return _plan_table2(options, measure)
    raise BadInput("plan knows adapt, train, search adapt, search train and study table2: the others train nothing.")


def check(runs: list[Path]) -> dict[str, Any]:
    """Plans finished runs with rates measured now, and sets the plan beside what they took.

    Returns rows with planned and taken seconds and bytes, and the error of each (planned over taken, minus one).
    Raises BadInput if a folder holds no finished run.
    """
    rows = []
    for run in runs:
        options, result = _options_of(run)
        planned = plan(options, measure=True)
        cost = result["cost"]
        seconds = cost["train"]["seconds"] + cost["evaluate"]["seconds"]
        peak = max(one["peak_bytes"] for one in cost.values())
        hours = planned["hours"]["this machine"]
        rows.append(
            {
                "run": str(run),
                "seconds_planned": hours * 3600,
                "seconds_taken": seconds,
                "seconds_error": hours * 3600 / seconds - 1,
                "peak_bytes_planned": planned["peak_bytes"],
                "peak_bytes_taken": peak,
                "peak_bytes_error": planned["peak_bytes"] / peak - 1,
                "parameters_agree": planned["parameters"] == result["parameters"]["total"]
                or planned["trainable"] == result["parameters"]["trainable"],
            }
        )
    return {"runs": rows}


def _options_of(run: Path) -> tuple[AdaptOptions | TrainOptions, dict[str, Any]]:
    """The options and the result of a finished run."""
    layout = RunLayout(run)
    if not layout.result.is_file():
        raise BadInput(f"{run} holds no finished run: {layout.result.name} is missing.")
    result = read_json(layout.result)
    given = tomllib.loads(layout.config.read_text(encoding="utf-8"))
    kind: type[AdaptOptions] | type[TrainOptions] = AdaptOptions if result["step"] == 1 else TrainOptions
    return make_options(kind, gather_method_options({**given, "out": run, "device": "cpu"})), result


def _plan_table2(options: Table2Options, measure: bool) -> dict[str, Any]:
    parts: list[tuple[Plan, int]] = []
    first: AdaptOptions | None = None
    for base in options.bases:
        for method in (name.strip() for name in options.methods.split(",")):
            shared = {key: getattr(options, key) for key in AdaptOptions.model_fields if hasattr(options, key)}
            run = AdaptOptions(**{**shared, "base": base, "method": method})
            first = first or run
            trial = _plan_run(run.model_copy(update={"train_tokens": options.search_tokens}))
            parts += [(replace(trial, reading_flops=0.0, read_tokens=0.0), options.trials), (_plan_run(run), 1)]
    assert first is not None
    return _report(parts, first, measure, ["Every method is planned with its own defaults and no trial pruned."])


def _plan_run(options: AdaptOptions | TrainOptions) -> Plan:
    backbone = shape_of(options.base)
    reading = _read_corpus(options, backbone) if isinstance(options, AdaptOptions) else _read_task(options, backbone)
    with torch.device("meta"):
        stack = Stack(backbone, _slots(options))
    autocast = choose_autocast(options.precision, choose_device(options.device))
    frozen, trained = stack.weights_per_token
    trained_tokens = options.epochs * reading.tokens["train"]
    read = _evaluation_tokens(options, reading)
    attention = _attention_flops(backbone, reading.note_tokens)
    inside_trains = bool(stack.trainable())
    training = training_flops(frozen, trained, int(trained_tokens), True) + 3 * attention * trained_tokens
    if not inside_trains:
        training, trained_tokens = (
            reading_flops(stack.weights_total, int(reading.tokens["train"])),
            reading.tokens["train"],
        )
    return Plan(
        parameters=stack.weights_total,
        trainable=stack.weights_trainable,
        trained_tokens=trained_tokens,
        read_tokens=read,
        training_flops=training,
        reading_flops=reading_flops(stack.weights_total, int(read)) + attention * read,
        memory=_memory(options, stack, reading, autocast),
        disk=_disk(options, stack, reading),
        precision="float32" if autocast is None else "bfloat16",
        tokenizer_known=reading.known,
    )


def _slots(options: AdaptOptions | TrainOptions) -> tuple[Slot, ...]:
    if isinstance(options, AdaptOptions):
        return (Slot(Adapter(CLINICAL, make_method(options.method, options.method_options))),)
    slots = []
    if options.clinical:
        method = load_adapter(find_clinical(options.clinical), CLINICAL).method
        slots.append(Slot(Adapter(CLINICAL, method), frozen=options.clinical_mode == "frozen"))
    if options.task_adapter != "none":
        slots.append(Slot(Adapter(TASK, make_method(options.task_adapter, options.method_options))))
    return tuple(slots)


def _read_corpus(options: AdaptOptions, backbone: Backbone) -> Reading:
    """Tokens from the corpus's bytes and the bytes a token has in a sample of its notes."""
    corpus = open_corpus(options.corpus)
    texts = _sample(corpus.path("train"))
    lengths = [len(one) for one in backbone.tokenizer.encode(texts)]
    per_byte = sum(lengths) / sum(len(text.encode()) for text in texts)
    tokens = {split: corpus.counts[split]["bytes"] * per_byte for split in SPLITS}
    if options.train_tokens is not None:
        tokens["train"] = min(tokens["train"], options.train_tokens)
    notes = {split: corpus.counts[split]["notes"] for split in SPLITS}
    places = options.batch_size * options.max_tokens
    known = isinstance(backbone.tokenizer, NoteTokenizer)
    return Reading(notes, tokens, float(np.mean(np.minimum(lengths, options.max_tokens))), places, known)


def _read_task(options: TrainOptions, backbone: Backbone) -> Reading:
    task = open_task(options.task)
    lengths = [len(one) for one in backbone.tokenizer.encode(_sample(task.path("train")), options.max_tokens)]
    notes = {split: task.counts[split]["notes"] for split in SPLITS}
    tokens = {split: count * float(np.mean(lengths)) for split, count in notes.items()}
    known = isinstance(backbone.tokenizer, NoteTokenizer)
    return Reading(notes, tokens, float(np.mean(lengths)), options.batch_size * max(lengths), known)


def _sample(file: Path) -> list[str]:
    """A few hundred texts from the beginning of a file."""
    texts: list[str] = []
    for batch in read_batches(file, ["text"], rows=_SAMPLE_NOTES):
        texts += batch.column("text").to_pylist()
        if len(texts) >= _SAMPLE_NOTES:
            break
    return texts[:_SAMPLE_NOTES]


def _evaluation_tokens(options: AdaptOptions | TrainOptions, reading: Reading) -> float:
    """Tokens read without learning: by validations, and before and after training."""
    tokens, notes = reading.tokens, reading.notes
    if isinstance(options, TrainOptions):
        return options.epochs * tokens["valid"] + tokens["valid"] + tokens["test"]
    sampled = min(options.validation_tokens, tokens["valid"])
    checks = options.epochs * options.validations_per_epoch * sampled
    released = sum(notes[split] for split in ("valid", "test")) * min(128, reading.note_tokens)
    once = tokens["valid"] + tokens["test"] + min(options.validation_tokens, tokens["train"]) + released
    return checks + 2 * once


def _attention_flops(backbone: Backbone, context: float) -> float:
    """Operations of one token's attention to the notes before it, forward: 2 a product, two products, half of the note."""
    config = backbone.model.config
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or backbone.width // config.num_attention_heads
    )
    return float(4 * config.num_hidden_layers * width * context / 2)


def _memory(
    options: AdaptOptions | TrainOptions, stack: Stack, reading: Reading, autocast: torch.dtype | None
) -> dict[str, float]:
    """Bytes that are held at once, by what holds them."""
    trainable = stack.weights_trainable
    own_trained = sum(p.numel() for p in stack.backbone.own.values() if p.requires_grad)
    base = stack.backbone.parameters_total
    kept = _kept_for_the_way_back(options, stack, reading, autocast) if trainable else 0.0
    wide = 4.0 if autocast is None else 2.0
    chunk = min(CHUNK_LOGITS, reading.places * stack.backbone.vocabulary) * 4.0
    on = "cpu" if choose_device(options.device) == "cpu" else "cuda"
    return {
        "program": _program_bytes() + AT_WORK if on == "cpu" else AT_WORK,
        "base": 4.0 * base,
        "bfloat16 copy": 2.0 * (base - own_trained) if autocast is not None and trainable else 0.0,
        "adapters": 4.0 * (stack.weights_total - base) + 4.0 * own_trained,
        "gradients and moments": 12.0 * trainable,
        "start of the proof": 4.0 * (stack.weights_total - base + own_trained),
        "kept for the way back": kept * SCATTERED[on],
        "passing": kept / max(1, stack.backbone.model.config.num_hidden_layers)
        + wide * 2 * reading.places * stack.backbone.width,
        "logits": 3.0 * chunk if isinstance(options, AdaptOptions) else 0.0,
    }


@cache
def _program_bytes() -> float:
    """What this process takes now, which has loaded the libraries of a run and no weights."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * resource.getpagesize())


def _kept_for_the_way_back(
    options: AdaptOptions | TrainOptions, stack: Stack, reading: Reading, autocast: torch.dtype | None
) -> float:
    """Bytes that a training step keeps of its way forward, counted on the meta device."""
    backbone = stack.backbone
    rows, length = max(1, options.batch_size), max(2, reading.places // max(1, options.batch_size))
    held: dict[int, int] = {}
    weights = {id(p) for p in backbone.model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in weights and not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            held[storage._cdata] = storage.nbytes()
            alive.append(tensor)  # while it lives no other storage takes its place
        return tensor

    alive: list[Tensor] = []
    per_row = max(1, round(length / max(1.0, reading.note_tokens)))
    lengths = [length // per_row] * (per_row - 1) + [length - (per_row - 1) * (length // per_row)]
    if autocast is not None:
        for name, weight in backbone.own.items():
            if not weight.requires_grad:
                backbone.own[name].data = weight.data.to(autocast)
    with torch.device("meta"):
        tokens = torch.zeros(rows, length, dtype=torch.int64)
        positions = torch.arange(length).expand(rows, length)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None),
        ):
            backbone.encode_packed(tokens, positions, lengths * rows)
    if options.gradient_checkpointing:
        layers = backbone.model.config.num_hidden_layers
        width = 4 if autocast is None else 2
        return float(sum(held.values()) / layers + layers * rows * length * backbone.width * width)
    return float(sum(held.values()))


def _disk(options: AdaptOptions | TrainOptions, stack: Stack, reading: Reading) -> float:
    """Bytes of the run folder at its fullest, and of the tokens kept beside a corpus."""
    trainable = stack.weights_trainable
    steps = options.epochs * math.ceil(reading.tokens["train"] / (reading.places * options.accumulation))
    checkpoints = 2 * 12.0 * trainable + 4.0 * trainable  # two while one replaces the other, and the best weights
    adapters = 4.0 * (stack.weights_total - stack.backbone.parameters_total) or 4.0 * trainable
    tokens = sum(reading.tokens.values()) * (2 if stack.backbone.tokenizer.size <= 2**16 else 4)
    return (
        checkpoints + adapters + steps * _BYTES_OF_A_STEP_LINE + (tokens if isinstance(options, AdaptOptions) else 0.0)
    )


def _report(
    parts: list[tuple[Plan, int]], options: AdaptOptions | TrainOptions, measure: bool, notes: list[str]
) -> dict[str, Any]:
    largest = max((one for one, _ in parts), key=lambda one: one.peak_bytes)
    total = {
        key: sum(getattr(one, key) * times for one, times in parts)
        for key in ("trained_tokens", "read_tokens", "training_flops", "reading_flops", "disk")
    }
    whole = replace(largest, **total)
    rates, said = _rates(whole, options, measure)
    return {
        "runs": sum(times for _, times in parts),
        "parameters": whole.parameters,
        "trainable": whole.trainable,
        "trainable_share": whole.trainable / whole.parameters,
        "precision": whole.precision,
        "tokens": {"trained": round(whole.trained_tokens), "read": round(whole.read_tokens)},
        "flops": {"training": whole.training_flops, "reading": whole.reading_flops},
        "memory_bytes": {key: round(value) for key, value in whole.memory.items()},
        "peak_bytes": round(whole.peak_bytes),
        "disk_bytes": round(whole.disk),
        "hours": {name: whole.seconds(*rate) / 3600 for name, rate in rates.items()},
        "assumptions": [*notes, *said],
    }


def _rates(
    whole: Plan, options: AdaptOptions | TrainOptions, measure: bool
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Operations a second of training and of reading, by machine, and what was assumed."""
    said = [
        f"A100, H100 and H200: {SHARE_OF_PEAK:.0%} of the peak bfloat16 rate in training and in reading.",
        "Tokens are estimated from the bytes of the notes and a sample of them."
        if whole.tokenizer_known
        else f"Tokens are bytes of the notes over {BYTES_PER_TOKEN:g}: the base's tokenizer is not here.",
    ]
    rates = {name: (SHARE_OF_PEAK * peak, SHARE_OF_PEAK * peak) for name, peak in MACHINES.items()}
    device = choose_device(options.device)
    if measure:
        rates["this machine"] = measured_rates(options)
        said.append("This machine: measured over a few steps.")
    elif device == "cpu":
        rate = {name: matrix_rate(name) for name in {whole.precision, "float32"}}
        share = SHARE_OF_PROCESSOR
        rates["this machine"] = (share[whole.precision] * rate[whole.precision], share["float32"] * rate["float32"])
        said.append(
            f"This machine: {share[whole.precision]:.0%} of its {whole.precision} matrix rate, timed just now; --measure times "
            "real steps instead."
        )
    return rates, said


def matrix_rate(precision: str, size: int = 2048) -> float:
    """Operations a second of a product of two square matrices on this processor, the best of five."""
    first, second = (torch.randn(size, size).to(getattr(torch, precision)) for _ in range(2))
    torch.mm(first, second)
    took = min(_timed(lambda: torch.mm(first, second)) for _ in range(5))
    return float(2 * size**3 / took)


def measured_rates(options: AdaptOptions | TrainOptions, steps: int = 3) -> tuple[float, float]:
    """Operations a second of real training steps and of real reading, counted as the plan counts them."""
    device = choose_device(options.device)
    backbone = load_backbone(options.base, device)
    reading = _read_corpus(options, backbone) if isinstance(options, AdaptOptions) else _read_task(options, backbone)
    source = (
        open_corpus(options.corpus).path("train")
        if isinstance(options, AdaptOptions)
        else open_task(options.task).path("train")
    )
    stack = Stack(backbone, _slots(options))
    autocast = choose_autocast(options.precision, device)
    length = max(2, reading.places // options.batch_size)
    tokens = [token for note in backbone.tokenizer.encode(_sample(source), length) for token in note]
    while len(tokens) < reading.places:
        tokens += tokens
    batch = torch.tensor(tokens[: reading.places], device=backbone.device).view(options.batch_size, length)
    positions = torch.arange(length, device=backbone.device) % max(2, round(reading.note_tokens))
    positions = positions.expand_as(batch)
    attention = _attention_flops(backbone, reading.note_tokens)
    per_step = training_flops(*stack.weights_per_token, batch.numel(), True) + 3 * attention * batch.numel()
    per_read = reading_flops(stack.weights_total, batch.numel()) + attention * batch.numel()

    def step() -> None:
        with torch.autocast(backbone.device.type, autocast, enabled=autocast is not None):
            hidden = backbone.encode_packed(batch, positions)
            total = backbone.unembed(hidden).float().logsumexp(-1).sum()
        total.backward()  # type: ignore[no-untyped-call]
        _settle(backbone)

    def read() -> None:
        with torch.inference_mode():
            hidden = backbone.encode_packed(batch, positions)
            backbone.unembed(hidden).float().logsumexp(-1)
        _settle(backbone)

    reading_rate = per_read / min(_timed(read) for _ in range(steps))
    if not stack.trainable():
        return reading_rate, reading_rate
    if autocast is not None:
        backbone.keep_half_copies()
    stack.train(True)
    step()
    return per_step / float(np.median([_timed(step) for _ in range(steps)])), reading_rate


def _settle(backbone: Backbone) -> None:
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
