"""What the training loop is given (batches, loss, score, recipe, watcher), what it answers, and how it may end without."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from clinstack.errors import BadInput
from clinstack.training.schedule import Schedule

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)


class Batches(Protocol[Batch_co]):
    """The training data: an order per epoch, and a batch for each entry of it."""

    def order(self, epoch: int) -> Sequence[Sequence[int]]:
        """The row numbers of each micro-batch of an epoch; a function of seed and epoch alone."""

    def load(self, rows: Sequence[int]) -> Batch_co:
        """The micro-batch of these rows."""

    def note_ids(self, rows: Sequence[int]) -> list[str]:
        """Whose notes these rows hold, for a message."""


@dataclass(frozen=True)
class Loss:
    """A micro-batch's loss: `total` is a sum (scalar tensor), `weight` what it sums over, `tokens` what was read."""

    total: Tensor
    weight: float
    tokens: int


@dataclass(frozen=True)
class Score:
    """What a validation measured. `value` is compared; higher is better unless `lower_is_better`. told: what else to note.

    tie: decides between equal values; higher is better.
    """

    name: str
    value: float
    lower_is_better: bool = False
    told: Mapping[str, Any] = field(default_factory=dict)
    tie: float = 0.0

    def beats(self, other: float | None, tie: float) -> bool:
        """Whether this is strictly better than an earlier value and its tie."""
        if other is None:
            return math.isfinite(self.value)
        if self.value == other:
            return self.tie > tie
        return self.value < other if self.lower_is_better else self.value > other


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training; none of them knows what is trained.

    rates:  name's first part -> factor on the learning rate of parameters so named; 1 where it is not given.
    select: which validation's weights are kept; the last one's only to compare with work that does so.
    """

    epochs: int
    learning_rate: float
    rates: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule = "cosine"
    warmup_ratio: float = 0.06
    weight_decay: float = 0.01
    accumulation: int = 1
    clip_norm: float = 1.0
    patience: int = 0
    validations_per_epoch: int = 1
    select: Literal["best", "last"] = "best"
    checkpoint_seconds: float = 60.0
    autocast: torch.dtype | None = None
    seed: int = 0


@dataclass
class Fitted:
    """What a training did. The parameters hold the weights of the selected validation when `fit` returns."""

    best_step: int = 0
    best_epoch: float = 0.0
    best_score: float | None = None
    best_tie: float = 0.0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = field(default=0.0, compare=False)
    peak_bytes: int = field(default=0, compare=False)
    stopped_early: bool = False


@dataclass(frozen=True)
class Watcher:
    """Whom the loop tells: `begins` after which step it goes on (0 at the very start, also if a run was killed before its
    first checkpoint), `record` each event, `advance` each finished step (steps done, all steps, tokens/s, loss), `says` what a
    person should know, `validated` each score with the tokens read so far, and answers whether to go on.
    """

    record: Callable[[dict[str, Any]], None] = field(default=lambda event: None)
    begins: Callable[[int], None] = field(default=lambda step: None)
    advance: Callable[[int, int, float, float], None] = field(default=lambda step, steps, speed, loss: None)
    says: Callable[[str], None] = field(default=lambda sentence: None)
    validated: Callable[[float, int], bool] = field(default=lambda score, tokens: True)


class Diverged(BadInput):
    """A training that cannot go on with these options; others may."""


class OutOfMemory(Diverged):
    """Not even one row fits into memory."""

    of_one_process = True


class Halted(Exception):
    """The watcher wants no more of a training for now; called again, it goes on from there."""
