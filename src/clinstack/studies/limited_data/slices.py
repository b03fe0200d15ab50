"""On which notes do the arms fail? Macro F1 on the notes that have something against those that have not.

Only the best arm of each family is asked, by validation, and only of splits where both sides have enough notes. Macro F1 is
over the classes that both sides have.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clinstack.data.near_duplicates import near_duplicates
from clinstack.data.task import open_task
from clinstack.metrics.decisions import Counts
from clinstack.metrics.intervals import Draws, Interval, bootstrap_draws, over_seeds, shared_weights
from clinstack.metrics.scorecard import decide
from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.findings import Point
from clinstack.studies.limited_data.parts import Part
from clinstack.studies.limited_data.scores import Scored, predictions_of, together

LEAST = 10
"""Test notes that a side must have."""
_NUMBER = re.compile(r"\d")
_NEGATION = re.compile(
    r"\b(?:pas|aucune?s?|sans|absence|absente?s?|ni|non|jamais|niée?s?|négati(?:f|ve)s?|exclue?s?"
    r"|no|not|without|denie[sd]|denying|never|neither|nor|none|negative|ruled out)\b",
    re.IGNORECASE,
)
"""Words of French and English clinical notes that negate what stands by them (after Chapman et al. 2001, "NegEx")."""

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """An arm on the test notes that have something, on the others, and the difference; over splits.

    notes: mean number of each.
    """

    what: str
    arm: Arm
    notes: tuple[float, float]
    having: Interval
    others: Interval
    difference: Interval


def _longer(texts: Sequence[str], train: Sequence[str]) -> Marks:
    lengths = np.array([len(text) for text in texts])
    return np.asarray(lengths > np.median(lengths))


def _with_number(texts: Sequence[str], train: Sequence[str]) -> Marks:
    return np.array([_NUMBER.search(text) is not None for text in texts])


def _negated(texts: Sequence[str], train: Sequence[str]) -> Marks:
    return np.array([_NEGATION.search(text) is not None for text in texts])


_NEARLY = "nearly a training note"
MARKS: Mapping[str, Callable[[Sequence[str], Sequence[str]], Marks]] = {
    "longer than the median": _longer,
    "with a number": _with_number,
    "with a negation": _negated,
    _NEARLY: near_duplicates,
}
"""What a note can have, and which of the test texts have it, given them and the training texts."""


def slices(points: Sequence[Point], resamples: int) -> list[Slice]:
    """Every mark of every point, in the order of marks."""
    found: dict[tuple[str, str], list[tuple[tuple[int, int], Draws, Draws]]] = {}
    for runs in together(one for point in points for one in point.runs):
        marks = _marks(runs[0].part)
        labels = predictions_of(runs[0]).labels
        told = {what: mark for what, mark in marks.items() if _comparable(mark, labels)}
        draws = bootstrap_draws(_two_sides(runs, told), runs[0].patients, resamples, weights=shared_weights)
        for (number, what), mark in ((key, told[key[1]]) for key in _keys(runs, told)):
            counts = int(mark.sum()), int((~mark).sum())
            sides = draws[number, what, True], draws[number, what, False]
            found.setdefault((what, runs[number].trained.arm.name), []).append((counts, *sides))
    return [
        _slice(what, point.arm, found[what, point.arm.name])
        for what in MARKS
        for point in points
        if (what, point.arm.name) in found
    ]


def _comparable(mark: Marks, labels: NDArray[np.bool_]) -> bool:
    """Whether both sides have enough notes, and a class in common."""
    return bool(min(mark.sum(), (~mark).sum()) >= LEAST and _on_both_sides(mark, labels).any())


def _on_both_sides(mark: Marks, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which classes (C,) have notes on both sides; one that a side lacks would be 0 there, whatever the arm does."""
    return np.asarray(labels[mark].any(axis=0) & labels[~mark].any(axis=0))


def _slice(what: str, arm: Arm, by_split: Sequence[tuple[tuple[int, int], Draws, Draws]]) -> Slice:
    counts = np.mean([notes for notes, _, _ in by_split], axis=0)
    having = over_seeds([one for _, one, _ in by_split]).interval()
    others = over_seeds([one for _, _, one in by_split]).interval()
    difference = over_seeds([one.minus(other) for _, one, other in by_split], least=-1.0).interval()
    return Slice(what, arm, (float(counts[0]), float(counts[1])), having, others, difference)


def _keys(runs: Sequence[Scored], marks: Mapping[str, Marks]) -> list[tuple[int, str]]:
    return [(number, what) for number in range(len(runs)) for what in marks]


def _two_sides(
    runs: Sequence[Scored], marks: Mapping[str, Marks]
) -> Callable[[NDArray[np.int32]], dict[tuple[int, str, bool], NDArray[np.float64]]]:
    """Macro F1 of several runs on each side of each mark."""
    said = [predictions_of(one) for one in runs]
    decided = [decide(one.kind, found.logits) for one, found in zip(runs, said, strict=True)]
    labels = said[0].labels
    shared = {what: _on_both_sides(mark, labels) for what, mark in marks.items()}

    def sides(weights: NDArray[np.int32]) -> dict[tuple[int, str, bool], NDArray[np.float64]]:
        return {
            (number, what, side): _of_side(marks[what] == side, labels, decided[number], weights, shared[what])
            for number, what in _keys(runs, marks)
            for side in (True, False)
        }

    return sides


def _of_side(
    side: Marks,
    labels: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    weights: NDArray[np.int32],
    classes: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Macro F1 over some classes of a side's notes alone: what the others score says nothing of a class missed here."""
    return Counts(labels[side][:, classes], decided[side][:, classes], weights[:, side]).f1_macro()


@lru_cache(maxsize=256)
def _marks(part: Part) -> dict[str, Marks]:
    """Every mark of a part's test notes, in the order of their ids, as predictions have it."""
    task = open_task(part.folder)
    test = task.read("test").sort_by("note_id").column("text").to_pylist()
    train = task.read("train").column("text").to_pylist()
    return {what: found(test, train) for what, found in MARKS.items()}


def share_nearly_trained(point: Point) -> float:
    """The share of test notes that are nearly a training note, mean over splits."""
    return float(np.mean([_marks(one.part)[_NEARLY].mean() for one in point.runs]))
