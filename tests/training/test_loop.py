"""The loop: accumulation, schedule, early stop, best weights, on a problem small enough to see through."""

import math
import subprocess

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import Parameter

from clinstack.errors import BadInput, CannotWrite
from clinstack.training.contract import Loss, Recipe, Score, Watcher
from clinstack.training.loop import fit
from clinstack.training.schedule import learning_rate_at

DATA = torch.randn(16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = DATA @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


class Rows:
    """Rows of DATA in a fixed order, so that only the batch size differs."""

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def order(self, epoch: int) -> list[list[int]]:
        return [list(range(i, i + self.batch_size)) for i in range(0, 16, self.batch_size)]

    def load(self, rows: list[int]) -> list[int]:
        return list(rows)

    def note_ids(self, rows: list[int]) -> list[str]:
        return [f"note-{row}" for row in rows]


def problem():
    weight = Parameter(torch.zeros(3, dtype=torch.float64))

    def loss(rows: list[int]) -> Loss:
        return Loss((DATA[rows] @ weight - TARGET[rows]).square().sum(), len(rows), len(rows))

    def score() -> Score:
        with torch.no_grad():
            return Score("error", float((DATA @ weight - TARGET).square().mean()), lower_is_better=True)

    return weight, loss, score


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_four_batches_of_two_are_two_of_four_are_one_of_eight(tmp_path, clip_norm):
    ends = []
    for batch_size, accumulation in ((2, 4), (4, 2), (8, 1)):
        weight, loss, score = problem()
        recipe = Recipe(epochs=3, learning_rate=0.1, accumulation=accumulation, clip_norm=clip_norm)
        fit({"w": weight}, Rows(batch_size), loss, score, recipe, tmp_path / str(batch_size))
        ends.append(weight.detach().clone())
    torch.testing.assert_close(ends[0], ends[1], atol=1e-12, rtol=0)
    torch.testing.assert_close(ends[0], ends[2], atol=1e-12, rtol=0)


def test_the_best_weights_are_kept_and_a_worsening_run_stops_early(tmp_path):
    weight, loss, _ = problem()
    values, seen = iter([3.0, 1.0, 2.0, 5.0, 0.1]), []

    def score() -> Score:
        seen.append(weight.detach().clone())
        return Score("made-up", next(values), lower_is_better=True)

    fitted = fit({"w": weight}, Rows(4), loss, score, Recipe(epochs=5, learning_rate=0.1, patience=2), tmp_path)
    assert (fitted.best_epoch, fitted.best_score, fitted.stopped_early) == (2.0, 1.0, True)
    assert torch.equal(weight.detach(), seen[1])


@pytest.mark.parametrize(("what", "poison"), [("loss", math.nan), ("gradient", math.inf)])
def test_a_step_that_would_spoil_the_weights_stops_the_run_and_names_its_notes(tmp_path, what, poison):
    weight, loss, score = problem()
    recipe = Recipe(epochs=1, learning_rate=0.1, checkpoint_seconds=0)

    def spoiled(rows: list[int]) -> Loss:
        part = loss(rows)
        if 8 not in rows:
            return part
        # The square root's slope at zero is infinite: the loss is a number, its gradient is none.
        extra = (weight * 0).sum().sqrt() if what == "gradient" else part.total * poison
        return Loss(part.total + extra, part.weight, part.tokens)

    with pytest.raises(BadInput) as caught:
        fit({"w": weight}, Rows(4), spoiled, score, recipe, tmp_path)
    assert str(caught.value) == (
        f"The {what} became nan at step 3, in notes note-10, note-11, note-8, note-9. "
        f"The last good checkpoint is {tmp_path / 'step-000000002'}. Start again into another --out with a lower "
        "--learning-rate or --precision float32, or look at these notes."
    )
    assert bool(torch.isfinite(weight).all())
    kept = load_file(tmp_path / "step-000000002" / "weights.safetensors")["w"]
    assert torch.equal(kept, weight.detach())


def test_a_tie_decides_between_equal_scores_and_counts_as_better(tmp_path):
    weight, loss, _ = problem()
    ties = iter([-0.9, -0.7, -0.8, -0.7, -0.75])
    fitted = fit(
        {"w": weight},
        Rows(4),
        loss,
        lambda: Score("f1_macro", 0.36, tie=next(ties)),
        Recipe(epochs=5, learning_rate=0.1, patience=3),
        tmp_path,
    )
    assert (fitted.best_epoch, fitted.best_score, fitted.best_tie) == (2.0, 0.36, -0.7)
    assert fitted.stopped_early


def test_where_memory_runs_out_smaller_pieces_give_the_same_steps(tmp_path):
    def trained(most: int, folder: str) -> tuple[torch.Tensor, list, list]:
        weight, loss, score = problem()
        events, said = [], []

        def bounded(rows: list[int]) -> Loss:
            if len(rows) > most:
                (weight.sum() * 1e9).backward()  # what a pass that fails half-way leaves behind
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return loss(rows)

        watcher = Watcher(record=events.append, says=said.append)
        fit({"w": weight}, Rows(8), bounded, score, Recipe(epochs=3, learning_rate=0.1), tmp_path / folder, watcher)
        return weight.detach(), events, said

    whole, without, _ = trained(8, "whole")
    pieces, events, said = trained(3, "pieces")
    torch.testing.assert_close(pieces, whole, atol=1e-12, rtol=0)
    steps = [[e["loss"] for e in some if e["event"] == "step"] for some in (without, events)]
    assert steps[0] == pytest.approx(steps[1])
    assert [(e["step"], e["rows_at_once"]) for e in events if e["event"] == "memory"] == [(0, 4), (0, 2)]
    assert said[0] == "Memory ran out; going on with 4 rows at a time, and as many to a step as before"


def test_where_one_row_is_too_much_the_run_says_so(tmp_path):
    weight, _, score = problem()

    def never(rows: list[int]) -> Loss:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    with pytest.raises(BadInput) as caught:
        fit({"w": weight}, Rows(4), never, score, Recipe(1, 0.1), tmp_path)
    assert str(caught.value) == (
        "Memory ran out at step 1 with one row at a time. Lower --max-tokens, or use --gradient-checkpointing or "
        "--precision bfloat16."
    )


def test_an_error_that_is_not_about_memory_is_not_swallowed(tmp_path):
    weight, _, score = problem()

    def broken(rows: list[int]) -> Loss:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit({"w": weight}, Rows(4), broken, score, Recipe(1, 0.1), tmp_path)


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_leaves_the_one_before(tiny_disk, tmp_path):
    def trained(folder):
        weight = Parameter(torch.zeros(11_000, dtype=torch.float64))  # 88 kB, and 264 kB of checkpoint
        target = torch.linspace(-1, 1, 11_000, dtype=torch.float64)

        def loss(rows):
            return Loss((weight - target).square().sum(), 1, 1)

        def score():
            return Score("made-up", 1.0)

        recipe = Recipe(epochs=2, learning_rate=0.1, checkpoint_seconds=0, validations_per_epoch=1)
        fit({"w": weight}, Rows(4), loss, score, recipe, folder)
        return weight.detach()

    with pytest.raises(CannotWrite) as caught:
        trained(tiny_disk)
    assert "the disk is full" in str(caught.value)
    assert [place.name for place in tiny_disk.glob("step-*")] == ["step-000000001"]
    assert not list(tiny_disk.rglob("*.partial-*"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny_disk)], check=True)
    assert torch.equal(trained(tiny_disk), trained(tmp_path / "uninterrupted"))


def test_a_parameters_own_rate_multiplies_the_learning_rate(tmp_path):
    slow, fast = Parameter(torch.zeros(1, dtype=torch.float64)), Parameter(torch.zeros(1, dtype=torch.float64))
    recipe = Recipe(epochs=1, learning_rate=0.01, rates={"head": 10}, warmup_ratio=0, schedule="constant", clip_norm=0)
    fit(
        {"task/a": slow, "head/a": fast},
        Rows(16),
        lambda rows: Loss(slow.sum() + fast.sum(), 1, 1),
        lambda: Score("made-up", 1.0),
        recipe,
        tmp_path,
    )
    assert slow.item() == pytest.approx(-0.01)
    assert fast.item() == pytest.approx(-0.1)


def test_events_tell_every_step_and_validation(tmp_path):
    weight, loss, score = problem()
    events = []
    recipe = Recipe(epochs=2, learning_rate=0.1, validations_per_epoch=2)
    fit({"w": weight}, Rows(4), loss, score, recipe, tmp_path, Watcher(record=events.append))
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, 9))
    assert [e["epoch"] for e in events if e["event"] == "validation"] == [0.5, 1.0, 1.5, 2.0]


def test_warm_up_is_a_ratio_and_the_schedules_end_near_zero():
    rates = [learning_rate_at(step, 100, 1.0, 0.1, "cosine") for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert learning_rate_at(55, 100, 2.0, 0.1, "linear") == pytest.approx(1.0)
    assert {learning_rate_at(step, 100, 1.0, 0.0, "constant") for step in range(100)} == {1.0}


def test_a_steps_gradient_is_the_mean_over_the_tokens_of_all_its_batches(tmp_path):
    weight, tokens = Parameter(torch.zeros(2, dtype=torch.float64)), {0: 1, 4: 5, 8: 2, 12: 0}

    def loss(rows: list[int]) -> Loss:
        return Loss(weight.sum() * (rows[0] + 1), tokens[rows[0]], 1)

    recipe = Recipe(epochs=1, learning_rate=0.1, accumulation=4, clip_norm=0, checkpoint_seconds=0)
    fit({"w": weight}, Rows(4), loss, lambda: Score("made-up", 1.0), recipe, tmp_path)
    [file] = tmp_path.glob("step-*/optimizer.safetensors")
    # After one step AdamW's first moment is a tenth (1 - beta1) of the gradient that it was given.
    assert (load_file(file)["w.exp_avg"] * 10).tolist() == pytest.approx([(1 + 5 + 9 + 13) / (1 + 5 + 2 + 0)] * 2)
