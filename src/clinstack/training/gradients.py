"""Sums the gradients of one optimizer step over its micro-batches, in smaller pieces where memory runs out."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clinstack.training.contract import Batch, Batches, Loss, OutOfMemory


class Summed(NamedTuple):
    """Of one step: the summed loss, the weight that it sums over, the tokens read, and into how many pieces it was cut."""

    total: float
    weight: float
    tokens: int
    pieces: int


def sum_gradients(
    micro_batches: Sequence[Sequence[int]],
    batches: Batches[Batch],
    loss: Callable[[Batch], Loss],
    optimizer: torch.optim.Optimizer,
    *,
    autocast: torch.dtype | None,
    pieces: int,
    step: int,
    smaller: Callable[[int], None],
) -> Summed:
    """Leaves the sum over the micro-batches in the optimizer's parameters.

    Where memory runs out the step begins again with micro-batches cut into twice as many pieces: sums do not change.
    pieces:  into how many each is cut to begin with.
    step:    which step this is, for a message.
    smaller: is told how many rows are read at once, each time that memory ran out.
    Raises OutOfMemory if a single row is too much.
    """
    while True:
        cut = [piece for rows in micro_batches for piece in _cut(rows, pieces)]
        try:
            total = weight = 0.0
            tokens = 0
            for rows in cut:
                with torch.autocast(device_of(optimizer), autocast, enabled=autocast is not None):
                    part = loss(batches.load(rows))
                part.total.backward()  # type: ignore[no-untyped-call]
                total += float(part.total.detach())
                weight += part.weight
                tokens += part.tokens
            return Summed(total, weight, tokens, pieces)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            largest = max(map(len, cut))
        # Outside of the handler, where the failed pass is no longer held by the exception.
        optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if largest == 1:
            raise OutOfMemory(
                f"Memory ran out at step {step} with one row at a time. Lower --max-tokens, or use "
                "--gradient-checkpointing or --precision bfloat16."
            )
        pieces *= 2
        smaller(math.ceil(largest / 2))


def device_of(optimizer: torch.optim.Optimizer) -> str:
    """The kind of device that the optimizer's parameters are on."""
    parameter: Tensor = optimizer.param_groups[0]["params"][0]
    return parameter.device.type


def _cut(rows: Sequence[int], pieces: int) -> list[Sequence[int]]:
    size = math.ceil(len(rows) / pieces)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def out_of_memory(error: BaseException) -> bool:
    """Whether torch (or Python) had no memory left. On a CPU torch says so in the text alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
