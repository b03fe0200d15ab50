"""Work -> parameters, operations, memory and disk, on torch's meta device.

What a training step keeps for its way back is counted by running the step there, so it holds for every method and model. The
two constants of memory were fitted to measured runs; docs/benchmarks.md shows the errors that remain.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clinstack.models.backbone import Backbone
from clinstack.models.quantized import BYTES_PER_WEIGHT
from clinstack.studies.plan.work import Work
from clinstack.training.machine import precision_name, reading_flops, training_flops
from clinstack.training.objective import CHUNK_LOGITS

SCATTERED = {"cpu": 1.4, "cuda": 1.1}
"""What the allocator holds for each byte that is asked for: notes of many lengths leave gaps. Fitted to docs/benchmarks.md."""
AT_WORK = 0.2 * 2**30
"""Bytes of a program at work besides its libraries: threads, readers of files, the tokenizer. Fitted likewise."""
_BYTES_OF_A_STEP_LINE = 190


@dataclass(frozen=True)
class Cost:
    """The cost of one run. Bytes, tokens, floating-point operations; memory by what holds it, all of it at once."""

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


def cost_of(work: Work) -> Cost:
    """What a run of this work costs."""
    return Cost(
        parameters=work.stack.weights_total,
        trainable=work.stack.weights_trainable,
        trained_tokens=work.trained,
        read_tokens=work.read,
        training_flops=flops_of_training(work, work.trained),
        reading_flops=flops_of_reading(work, work.read),
        memory=_memory(work),
        disk=_disk(work),
        precision=precision_name(work.autocast),
        tokenizer_known=work.reading.known,
    )


def flops_of_training(work: Work, tokens: float) -> float:
    """Operations of learning from so many tokens."""
    attention = _attention_flops(work.stack.backbone, work.reading.note_tokens)
    return training_flops(*work.stack.weights_per_token, int(tokens), True) + 3 * attention * tokens


def flops_of_reading(work: Work, tokens: float) -> float:
    """Operations of reading so many tokens."""
    attention = _attention_flops(work.stack.backbone, work.reading.note_tokens)
    return reading_flops(work.stack.weights_total, int(tokens)) + attention * tokens


def _attention_flops(backbone: Backbone, context: float) -> float:
    """Operations of one token's attention to the notes before it, forward: 2 a product, two products, half of the note."""
    config = backbone.model.config
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or backbone.width // config.num_attention_heads
    )
    return float(4 * config.num_hidden_layers * width * context / 2)


def _memory(work: Work) -> dict[str, float]:
    """Bytes that are held at once, by what holds them."""
    stack, backbone = work.stack, work.stack.backbone
    trainable = stack.weights_trainable if stack.trainable() else 0
    own_trained = sum(p.numel() for p in backbone.own.values() if p.requires_grad)
    base, rounded = backbone.parameters_total, _rounded_weights(backbone)
    kept = _kept_for_the_way_back(work) if trainable else 0.0
    chunk = min(CHUNK_LOGITS, work.places * backbone.vocabulary) * 4.0
    on = "cpu" if work.device == "cpu" else "cuda"
    return {
        "program": _program_bytes() + AT_WORK if on == "cpu" else AT_WORK,
        "base": 4.0 * (base - rounded) + BYTES_PER_WEIGHT * rounded,
        "bfloat16 copy": 2.0 * (base - rounded - own_trained) if work.autocast is not None and trainable else 0.0,
        "adapters": 4.0 * (stack.weights_total - base) + 4.0 * own_trained,
        "gradients and moments": 12.0 * trainable,
        "start of the proof": 4.0 * (stack.weights_total - base + own_trained) if trainable else 0.0,
        "kept for the way back": kept * SCATTERED[on],
        "passing": _passing(work, kept),
        "logits": 3.0 * chunk if work.language else 0.0,
    }


@cache
def _program_bytes() -> float:
    """What this process takes now, which has loaded the libraries of a run and no weights."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * resource.getpagesize())


def _rounded_weights(backbone: Backbone) -> int:
    """How many weights lie in four bits: those of the layers' matrices, if any."""
    if not backbone.quantize:
        return 0
    apart = {id(weight) for weight in backbone.output.parameters()}
    matrices = [layer.weight for layer in backbone.model.modules() if isinstance(layer, torch.nn.Linear)]
    own = {id(weight) for weight in backbone.own.values()}
    return sum(weight.numel() for weight in matrices if id(weight) in own - apart)


def _passing(work: Work, kept: float) -> float:
    """Bytes of what one layer makes and lets go again."""
    config, width = work.stack.backbone.model.config, work.stack.backbone.width
    if not kept:  # reading alone, in float32: the states beside queries, keys and values, or beside the wide middle
        inner = int(getattr(config, "intermediate_size", None) or 4 * width)
        return 4.0 * work.places * (2 * width + max(4 * width, 3 * inner))
    wide = 4.0 if work.autocast is None else 2.0
    return kept / max(1, int(config.num_hidden_layers)) + wide * 2 * work.places * width


def _kept_for_the_way_back(work: Work) -> float:
    """Bytes that a training step keeps of its way forward, counted on the meta device."""
    backbone, rows, length, autocast = work.stack.backbone, work.rows, max(2, work.length), work.autocast
    held: dict[int, int] = {}
    weights = {id(p) for p in backbone.model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in weights and not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            held[storage._cdata] = storage.nbytes()
            alive.append(tensor)  # while it lives no other storage takes its place
        return tensor

    alive: list[Tensor] = []
    per_row = max(1, round(length / max(1.0, work.reading.note_tokens)))
    lengths = [length // per_row] * (per_row - 1) + [length - (per_row - 1) * (length // per_row)]
    if autocast is not None:
        for name, weight in backbone.own.items():
            if not weight.requires_grad:
                backbone.own[name].data = weight.data.to(autocast)
    with torch.device("meta"):
        tokens = torch.zeros(rows, length, dtype=torch.int64)
        positions = torch.arange(length).expand(rows, length)
        with (
            _attention_as_kernels_keep_it(),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None),
        ):
            if backbone.made_here:  # knows no packed rows
                backbone.encode(tokens, torch.ones_like(tokens))
            else:
                backbone.encode_packed(tokens, positions, lengths * rows)
    if work.checkpointed:
        layers = backbone.model.config.num_hidden_layers
        width = 4 if autocast is None else 2
        return float(sum(held.values()) / layers + layers * rows * length * backbone.width * width)
    return float(sum(held.values()))


class _Attention(torch.autograd.Function):
    """Attention's shapes, keeping for the way back what torch's kernels keep."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        result = torch.empty_like(query)
        masks = () if mask is None else (mask.to(query.dtype),)
        ctx.save_for_backward(query, key, value, result, query.new_empty(query.shape[:-1], dtype=torch.float32), *masks)
        return result


@contextmanager
def _attention_as_kernels_keep_it() -> Iterator[None]:
    """On the meta device torch (2.13) takes attention apart, and keeps every pair of tokens, which no real device does."""
    torch_functional: Any = functional
    own = torch_functional.scaled_dot_product_attention

    def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
        return _Attention.apply(query, key, value, attn_mask)  # type: ignore[no-any-return, no-untyped-call]

    torch_functional.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        torch_functional.scaled_dot_product_attention = own


def _disk(work: Work) -> float:
    """Bytes of the run folder at its fullest, and of the tokens kept beside a corpus."""
    if not work.steps:
        return 0.0
    stack = work.stack
    trainable = stack.weights_trainable
    checkpoints = 2 * 12.0 * trainable + 4.0 * trainable  # two while one replaces the other, and the best weights
    adapters = 4.0 * (stack.weights_total - stack.backbone.parameters_total) or 4.0 * trainable
    return checkpoints + adapters + work.steps * _BYTES_OF_A_STEP_LINE + work.kept
