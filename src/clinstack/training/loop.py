"""The only training loop. It knows batches, a loss, a schedule and a score to select by; it knows nothing of clinics.

Gradients of a step are sums over its micro-batches divided by the summed weight (tokens, or notes), so accumulation does not
change the mathematics: 4 x 2 equals 8 x 1. The order of batches is a function of seed and epoch, the learning rate a function
of the step, and checkpoints hold weights, moments and random states: a run killed at any moment and started again ends with
the same weights, bit for bit, as one that was left alone (on the same machine with the same number of threads).
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, get_total_norm

from clinstack.errors import BadInput, Interrupted
from clinstack.training.checkpoint import (
    latest_checkpoint,
    latest_checkpoint_folder,
    restore,
    save_checkpoint,
    save_tensors,
)
from clinstack.training.machine import peak_of
from clinstack.training.processes import Processes, launched
from clinstack.training.schedule import Schedule, learning_rate_at

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


@dataclass
class _Position:
    """Where the loop stands; all of it goes into a checkpoint."""

    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    best_tie: float = 0.0
    checks_without_gain: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    stopped_early: bool = False
    pieces: int = 1
    """Into how many pieces micro-batches are cut because memory ran out."""


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


class _Run(Generic[Batch]):
    """The plan of steps: which micro-batches each optimizer step reads, and after which steps the score is taken."""

    def __init__(self, batches: Batches[Batch], recipe: Recipe):
        self.batches, self.recipe = batches, recipe
        first = batches.order(0)
        if not first:
            raise BadInput("The training part is empty, so there is nothing to learn from.")
        self.per_epoch = math.ceil(len(first) / recipe.accumulation)
        self.steps = self.per_epoch * recipe.epochs
        checks = min(recipe.validations_per_epoch, self.per_epoch)
        self._check_after = {math.ceil((k + 1) * self.per_epoch / checks) for k in range(checks)}

    def from_step(self, step: int) -> Iterator[list[Sequence[int]]]:
        """The micro-batches of every optimizer step from `step` on."""
        for epoch in range(step // self.per_epoch, self.recipe.epochs):
            order = self.batches.order(epoch)
            for start in range(step % self.per_epoch if epoch == step // self.per_epoch else 0, self.per_epoch):
                first = start * self.recipe.accumulation
                yield list(order[first : first + self.recipe.accumulation])

    def validates_after(self, step: int) -> bool:
        """Whether the score is taken when `step` steps are done."""
        return ((step - 1) % self.per_epoch) + 1 in self._check_after


def fit(
    parameters: dict[str, Parameter],
    batches: Batches[Batch],
    loss: Callable[[Batch], Loss],
    score: Callable[[], Score],
    recipe: Recipe,
    checkpoints: Path,
    watcher: Watcher | None = None,
    processes: Processes | None = None,
) -> Fitted:
    """Trains `parameters` in place and leaves them at the weights of the best validation.

    parameters:  name -> trainable parameter; exactly these are changed.
    loss:        micro-batch -> summed loss with its weight.
    score:       the validation score with the weights as they are; must leave no trace in the random state. Of several
                 processes the first one's counts.
    checkpoints: folder of checkpoints; one found there is gone on from.
    processes:   who trains in step; all of the launch without it.
    Raises, after a checkpoint, Interrupted on SIGINT or SIGTERM and Halted when the watcher wants no more; Diverged when the
    loss is no longer a finite number.
    """
    watcher = watcher or Watcher()
    processes = processes or launched()
    plan = _Run(batches, recipe)
    optimizer = _adamw(parameters, recipe)
    position = _Position()
    if found := latest_checkpoint(checkpoints):
        restore(found, parameters, optimizer)
        position = _Position(**found.state)
    processes.begin_alike(parameters)
    watcher.begins(position.step)
    best = checkpoints / "best.safetensors"
    last_saved = time.monotonic()

    with _stop_requests() as stop:
        steps = plan.from_step(position.step) if not position.stopped_early else iter(())
        for micro_batches in steps:
            began, busy = time.perf_counter(), time.process_time()
            rate = learning_rate_at(
                position.step, plan.steps, recipe.learning_rate, recipe.warmup_ratio, recipe.schedule
            )
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            processes.draw_apart(recipe.seed, position.step)
            own = [share for rows in micro_batches if (share := processes.share(rows))]
            found_here = _gradients(own, batches, loss, optimizer, recipe, position, watcher)
            total, weight, read, asked = processes.summed(*found_here, stop())
            tokens = int(read)
            _require_finite(total, "loss", micro_batches, batches, position, checkpoints)
            if weight > 0:
                processes.sum_gradients(parameters)
                for parameter in parameters.values():
                    if parameter.grad is not None:
                        parameter.grad.div_(weight)
                norm = float(clip_grad_norm_(parameters.values(), recipe.clip_norm or math.inf))
                _require_finite(norm, "gradient", micro_batches, batches, position, checkpoints)
                optimizer.step()
                size = float(get_total_norm(parameters.values()))
                _require_finite(size, "weights' norm", micro_batches, batches, position, checkpoints)
            optimizer.zero_grad(set_to_none=True)
            took = time.perf_counter() - began
            position.step += 1
            position.tokens += tokens
            position.seconds += took
            position.cpu_seconds += time.process_time() - busy
            mean = total / weight if weight else 0.0
            epoch = position.step / plan.per_epoch
            watcher.record(
                {
                    "event": "step",
                    "step": position.step,
                    "epoch": round(epoch, 4),
                    "loss": mean,
                    "learning_rate": rate,
                    "tokens_per_second": round(tokens / took, 1),
                    "seconds": round(position.seconds, 3),
                }
            )
            watcher.advance(position.step, plan.steps, tokens / took, mean)
            go_on = True
            if plan.validates_after(position.step):
                found_score = processes.told(score)
                _validate(position, found_score, epoch, parameters, best, recipe, watcher, processes)
                go_on = watcher.validated(found_score.value, position.tokens)
            last = position.step == plan.steps or position.stopped_early
            asked = asked or (processes.count == 1 and stop())
            stopping = asked or last or not go_on
            if processes.first and (stopping or time.monotonic() - last_saved >= recipe.checkpoint_seconds):
                position.peak_bytes = max(position.peak_bytes, peak_of(_device_of(optimizer)))
                save_checkpoint(checkpoints, dict(vars(position)), parameters, optimizer)
                last_saved = time.monotonic()
            if asked:
                raise Interrupted("Interrupted; the same command goes on from here.")
            if not go_on and not last:
                raise Halted
            if position.stopped_early:
                break

    if position.best_score is None:
        raise Diverged("No validation gave a finite score, so no weights can be selected. Lower --learning-rate.")
    processes.meet()
    _load(parameters, best)
    return Fitted(
        best_step=position.best_step,
        best_epoch=round(position.best_step / plan.per_epoch, 4),
        best_score=position.best_score,
        best_tie=position.best_tie,
        steps=position.step,
        tokens=position.tokens,
        seconds=position.seconds,
        cpu_seconds=position.cpu_seconds,
        peak_bytes=position.peak_bytes,
        stopped_early=position.stopped_early,
    )


def _validate(
    position: _Position,
    score: Score,
    epoch: float,
    parameters: dict[str, Parameter],
    best: Path,
    recipe: Recipe,
    watcher: Watcher,
    processes: Processes,
) -> None:
    """Notes a score, keeps the weights if it is the best so far, and decides whether to stop early."""
    last = recipe.select == "last"
    improved = math.isfinite(score.value) if last else score.beats(position.best_score, position.best_tie)
    if improved:
        if processes.first:
            save_tensors(dict(parameters), best)
        position.best_score, position.best_tie = score.value, score.tie
        position.best_step, position.checks_without_gain = position.step, 0
    else:
        position.checks_without_gain += 1
    watcher.record(
        {
            "event": "validation",
            "step": position.step,
            "epoch": round(epoch, 4),
            "name": score.name,
            "score": score.value,
            "best": improved,
            "seconds": round(position.seconds, 3),
            **score.told,
        }
    )
    if recipe.patience and position.checks_without_gain >= recipe.patience:
        position.stopped_early = True


def _adamw(parameters: dict[str, Parameter], recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); vectors (biases, norms) are not decayed. Keeps the order of `parameters`."""
    groups = [
        {
            "params": [parameter],
            "weight_decay": recipe.weight_decay if parameter.ndim > 1 else 0.0,
            "factor": recipe.rates.get(name.partition("/")[0], 1.0),
        }
        for name, parameter in parameters.items()
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _gradients(
    micro_batches: Sequence[Sequence[int]],
    batches: Batches[Batch],
    loss: Callable[[Batch], Loss],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    position: _Position,
    watcher: Watcher,
) -> tuple[float, float, int]:
    """Sums the gradients of a step's micro-batches; returns summed loss, weight and tokens read.

    Where memory runs out the step begins again with micro-batches of half the size, and stays there: sums do not change.
    Raises BadInput if a single row is too much.
    """
    while True:
        pieces = [piece for rows in micro_batches for piece in _cut(rows, position.pieces)]
        try:
            total = weight = 0.0
            tokens = 0
            for rows in pieces:
                with torch.autocast(_device_of(optimizer), recipe.autocast, enabled=recipe.autocast is not None):
                    part = loss(batches.load(rows))
                part.total.backward()  # type: ignore[no-untyped-call]
                total += float(part.total.detach())
                weight += part.weight
                tokens += part.tokens
            return total, weight, tokens
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            largest = max(map(len, pieces))
        # Outside of the handler, where the failed pass is no longer held by the exception.
        optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if largest == 1:
            raise OutOfMemory(
                f"Memory ran out at step {position.step + 1} with one row at a time. Lower --max-tokens, or use "
                "--gradient-checkpointing or --precision bfloat16."
            )
        position.pieces *= 2
        smaller = math.ceil(largest / 2)
        watcher.record({"event": "memory", "step": position.step, "rows_at_once": smaller})
        watcher.says(f"Memory ran out; going on with {smaller} rows at a time, and as many to a step as before")


def _cut(rows: Sequence[int], pieces: int) -> list[Sequence[int]]:
    size = math.ceil(len(rows) / pieces)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _device_of(optimizer: torch.optim.Optimizer) -> str:
    parameter: Tensor = optimizer.param_groups[0]["params"][0]
    return parameter.device.type


def _out_of_memory(error: BaseException) -> bool:
    """Whether torch (or Python) had no memory left. On a CPU torch says so in the text alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _require_finite(
    value: float,
    what: str,
    micro_batches: Sequence[Sequence[int]],
    batches: Batches[Batch],
    position: _Position,
    checkpoints: Path,
) -> None:
    """Raises BadInput naming step, notes and the last good checkpoint if a step would spoil the weights."""
    if math.isfinite(value):
        return
    ids = sorted({name for rows in micro_batches for name in batches.note_ids(rows)})
    listed = ", ".join(ids[:_NAMED_NOTES]) + (f" and {len(ids) - _NAMED_NOTES} more" if len(ids) > _NAMED_NOTES else "")
    good = latest_checkpoint_folder(checkpoints)
    raise Diverged(
        f"The {what} became {value} at step {position.step + 1}, in notes {listed}. "
        + (f"The last good checkpoint is {good}. " if good else "No checkpoint was written yet. ")
        + "Start again into another --out with a lower --learning-rate or --precision float32, or look at these notes."
    )


_NAMED_NOTES = 20


def _load(parameters: dict[str, Parameter], path: Path) -> None:
    weights = load_file(path)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT and SIGTERM into a question the loop asks between steps; a second one ends at once.

    One that is ignored stays ignored: in a worker, or in a job begun in the background.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {
            number: signal.signal(number, ask)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) is not signal.SIG_IGN
        }
    except ValueError:  # signals belong to the main thread; elsewhere the caller stops us
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
