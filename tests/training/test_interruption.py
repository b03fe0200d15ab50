"""The loop stopped after any of its steps goes on to the same weights, the same score and the same events.

Every step is tried, with checkpoints always, sometimes and never; what a step does after it was recorded (its validation, its
checkpoint) is lost then, as after a power cut. `test_resume` does the same to real processes.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import Parameter, functional

from clinstack.errors import BadInput
from clinstack.runs.folder import open_run, read_events
from clinstack.training.contract import Fitted, Loss, Recipe, Score
from clinstack.training.loop import fit
from clinstack.training.running import Silent, watcher

NOTES = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
LABELS = (NOTES[:, 0] > NOTES[:, 1]).float()
RECIPE = {"epochs": 6, "learning_rate": 0.3, "accumulation": 2, "patience": 2, "validations_per_epoch": 2}


class Batches:
    def order(self, epoch: int) -> list[list[int]]:
        return torch.randperm(24, generator=torch.Generator().manual_seed(epoch)).view(-1, 4).tolist()

    def load(self, rows: list[int]) -> list[int]:
        return rows


class Killed(BaseException):
    """What nothing in the loop can catch."""


class Victim(Silent):
    """Kills the run in a step, once."""

    def __init__(self, step: int | None):
        self.step = step

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        if done == self.step:
            raise Killed


def attempt(folder: Path, witness: Silent, recipe: Recipe) -> tuple[torch.Tensor, Fitted]:
    """A process's whole life: fresh weights by seed, then the loop, whose loss draws random numbers."""
    torch.manual_seed(1)
    weight = Parameter(torch.randn(4, 1))

    def loss(rows: list[int]) -> Loss:
        logits = functional.dropout(NOTES[rows], 0.4) @ weight
        return Loss(
            functional.binary_cross_entropy_with_logits(logits[:, 0], LABELS[rows], reduction="sum"), len(rows), 1
        )

    def score() -> Score:
        with torch.no_grad():
            wrong = ((NOTES @ weight)[:, 0] > 0).float() != LABELS
            return Score("error", float(wrong.float().mean()), lower_is_better=True)

    with open_run(folder, {"learning_rate": recipe.learning_rate}, {}) as run:
        fitted = fit(
            {"head/weight": weight}, Batches(), loss, score, recipe, run.layout.checkpoints, watcher(run, witness)
        )
    return weight.detach().clone(), fitted


def timeless(fitted: Fitted, folder: Path) -> tuple[object, ...]:
    told = ("seconds", "tokens_per_second")
    events = [{k: v for k, v in event.items() if k not in told} for event in read_events(folder / "metrics.jsonl")]
    return dataclasses.replace(fitted, seconds=0), events


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 0.004, 1e9])
def test_stopped_in_any_step_a_run_ends_as_if_it_had_not_been(tmp_path, checkpoint_seconds):
    recipe = Recipe(**RECIPE, checkpoint_seconds=checkpoint_seconds)
    weight, fitted = attempt(tmp_path / "whole", Victim(None), recipe)
    assert fitted.stopped_early
    assert 0 < fitted.best_step < fitted.steps
    for step in range(1, fitted.steps + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            attempt(folder, Victim(step), recipe)
        again, found = attempt(folder, Victim(None), recipe)
        assert torch.equal(again, weight)
        assert timeless(found, folder) == timeless(fitted, tmp_path / "whole")


def test_a_line_cut_by_a_kill_is_written_again_whole(tmp_path):
    recipe = Recipe(**RECIPE, checkpoint_seconds=0)
    whole, _ = attempt(tmp_path / "whole", Victim(None), recipe)
    with pytest.raises(Killed):
        attempt(tmp_path / "cut", Victim(4), recipe)
    file = tmp_path / "cut" / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    weight, fitted = attempt(tmp_path / "cut", Victim(None), recipe)
    assert torch.equal(weight, whole)
    assert [e["step"] for e in read_events(file) if e["event"] == "step"] == list(range(1, fitted.steps + 1))


def test_a_run_that_had_ended_when_it_was_killed_does_not_train_again(tmp_path):
    recipe = Recipe(**RECIPE, checkpoint_seconds=0)
    weight, fitted = attempt(tmp_path / "run", Victim(None), recipe)
    again, found = attempt(tmp_path / "run", Victim(1), recipe)
    assert torch.equal(again, weight)
    assert timeless(found, tmp_path / "run") == timeless(fitted, tmp_path / "run")


def test_a_run_without_one_finite_score_is_refused(tmp_path):
    weight = Parameter(torch.zeros(4, 1))
    with pytest.raises(BadInput) as caught:
        fit(
            {"w": weight},
            Batches(),
            lambda rows: Loss((NOTES[rows] @ weight).sum(), len(rows), 1),
            lambda: Score("error", float("nan")),
            Recipe(1, 0.1),
            tmp_path,
        )
    assert (
        str(caught.value) == "No validation gave a finite score, so no weights can be selected. Lower --learning-rate."
    )


class OneBatch(Batches):
    def order(self, epoch: int) -> list[list[int]]:
        return [[0]]


@pytest.mark.parametrize(("clip_norm", "norm"), [(0.0, 200.0), (1.5, 1.5)])
def test_a_steps_gradient_is_clipped_to_the_norm_asked_for(tmp_path, clip_norm, norm):
    weight = Parameter(torch.zeros(4, 1))
    recipe = Recipe(epochs=1, learning_rate=0.1, clip_norm=clip_norm, checkpoint_seconds=0)
    fit(
        {"w": weight},
        OneBatch(),
        lambda rows: Loss(100 * weight.sum(), 1, 1),
        lambda: Score("made-up", 1.0),
        recipe,
        tmp_path,
    )
    [file] = tmp_path.glob("step-*/optimizer.safetensors")
    # After one step AdamW's first moment is a tenth (1 - beta1) of the gradient that it was given.
    assert float(load_file(file)["w.exp_avg"].norm()) * 10 == pytest.approx(norm, rel=1e-4)
