"""The only training loop. It knows batches, a loss, a schedule and a score to select by; it knows nothing of clinics.

Gradients of a step are sums over its micro-batches divided by the summed weight (tokens, or notes), so accumulation does not
change the mathematics: 4 x 2 equals 8 x 1. The order of batches is a function of seed and epoch, the learning rate a function
of the step, and checkpoints hold weights, moments and random states: a run killed at any moment and started again ends with
the same weights, bit for bit, as one that was left alone (on the same machine with the same number of threads).
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from safetensors.torch import load_file
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
from clinstack.training.contract import Batch, Batches, Diverged, Fitted, Halted, Loss, Recipe, Score, Watcher
from clinstack.training.gradients import device_of, sum_gradients
from clinstack.training.machine import peak_of
from clinstack.training.processes import Processes, launched
from clinstack.training.schedule import learning_rate_at


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
            summed = sum_gradients(
                own,
                batches,
                loss,
                optimizer,
                autocast=recipe.autocast,
                pieces=position.pieces,
                step=position.step + 1,
                smaller=lambda rows: _tell_smaller(rows, position, watcher),
            )
            position.pieces = summed.pieces
            total, weight, read, asked = processes.summed(summed.total, summed.weight, summed.tokens, stop())
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
                position.peak_bytes = max(position.peak_bytes, peak_of(device_of(optimizer)))
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


def _tell_smaller(rows: int, position: _Position, watcher: Watcher) -> None:
    watcher.record({"event": "memory", "step": position.step, "rows_at_once": rows})
    watcher.says(f"Memory ran out; going on with {rows} rows at a time, and as many to a step as before")


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
