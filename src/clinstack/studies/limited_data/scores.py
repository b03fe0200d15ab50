"""What each run of a limited-data study scored on test: metrics under full names, and macro F1 in every resample of patients.

All arms of a split are drawn on the same notes, and a patient weighs the same in every split, so that differences are paired.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

from clinstack.data.task import open_task
from clinstack.metrics.decisions import Counts, right
from clinstack.metrics.intervals import Draws, bootstrap_draws, shared_weights
from clinstack.metrics.scorecard import decide, statistics
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout
from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.costs import Clock, Cost, cost_of
from clinstack.studies.limited_data.encoding import Encoding, took
from clinstack.studies.limited_data.parts import Part
from clinstack.studies.report.gather import Predictions, Run, read_predictions

HEADLINE = "f1_macro"
"""What arms are compared by."""
_THRESHOLDS = np.linspace(0.01, 0.99, 99)


class OfPart(Protocol):
    """Something that belongs to a part of a task."""

    @property
    def part(self) -> Part:
        """Which."""


Run_co = TypeVar("Run_co", bound=OfPart)


@dataclass(frozen=True)
class Trained:
    """A finished run: an arm on a part. place: where on the curve, 0 for all notes.   rate: its learning rate, if any."""

    arm: Arm
    part: Part
    place: int
    rate: float | None
    run: RunLayout


@dataclass(frozen=True)
class Scored:
    """A run with what it scored. metrics: on test.   draws: of the headline metric.   patients: whose each test note is.

    right: whether all that it decides of each test note is right.
    cost: with its notes' reading by a frozen encoder, though that was done once for all runs.
    """

    trained: Trained
    result: Mapping[str, Any]
    metrics: Mapping[str, float]
    draws: Draws
    patients: Sequence[str]
    cost: Cost
    right: NDArray[np.bool_]

    @property
    def part(self) -> Part:
        """What it was trained on."""
        return self.trained.part

    @property
    def kind(self) -> str:
        """The task's."""
        return str(self.result["kind"])

    @property
    def temperature(self) -> float:
        """What its logits are divided by to calibrate them, fitted on validation."""
        return float(self.result["temperature"])

    @property
    def validation(self) -> tuple[float, float]:
        """What the part's validation notes prefer it by: the value that selected, and what decides between equals."""
        return validation_of(self.result)


def score(
    trained: Sequence[Trained],
    patients: Mapping[str, Mapping[str, str]],
    encoding: Encoding,
    resamples: int,
    clock: Clock,
) -> list[Scored]:
    """Scores every run.

    patients: task -> note id -> whose it is, also where the split was by line.   encoding: see `encode_once`.
    """
    found = []
    for runs in together(trained):
        results = [read_json(one.run.result) for one in runs]
        said = [_predictions(one.run, result, "test") for one, result in zip(runs, results, strict=True)]
        whose = [patients[runs[0].part.task][note] for note in said[0].note_ids]
        decided = [decide(result["kind"], one.logits) for result, one in zip(results, said, strict=True)]

        draws = bootstrap_draws(_headline(said[0].labels, decided), whose, resamples, weights=shared_weights)
        for number, (one, result, predicted) in enumerate(zip(runs, results, said, strict=True)):
            valid = _predictions(one.run, result, "valid")
            threshold = tuned_threshold(result["kind"], valid.labels, valid.logits)
            metrics = named_metrics(result["kind"], predicted.labels, predicted.logits, threshold)
            cost, hits = _cost(one, result, encoding, clock), right(predicted.labels, decided[number])
            found.append(Scored(one, result, metrics, draws[number], whose, cost, hits))
    return found


def _cost(one: Trained, result: Mapping[str, Any], encoding: Encoding, clock: Clock) -> Cost:
    cost = cost_of(result, clock)
    if one.arm.family != "head" or one.arm.backbone not in encoding:
        return cost
    if result["features"] is None:  # nothing was kept, and the run's own cost has all its reading
        return cost
    notes = sum(counts["notes"] for counts in open_task(one.part.folder).counts.values())
    itself = result["features"]["computed"]  # the same of what was not kept
    return cost.with_reading(took(encoding[one.arm.backbone], one.part.task, max(0, notes - itself)), clock)


def validation_of(result: Mapping[str, Any]) -> tuple[float, float]:
    """Value and tie of a run's validation."""
    found = result["validation"]
    return float(found["value"]), float(found["tie"])


def predictions_of(one: Scored) -> Predictions:
    """What a run said of its test notes."""
    return _predictions(one.trained.run, one.result, "test")


def tuned_threshold(kind: str, labels: NDArray[np.bool_], logits: NDArray[np.float64]) -> float | None:
    """The probability from which on a label is decided, that gives the highest macro F1; of equals the nearest to one half.

    labels, logits: (N, C) of the validation part.   None where the most likely of several classes is decided.
    """
    if kind == "multiclass":
        return None
    once = np.ones((1, len(labels)), dtype=np.int32)
    scores = [float(Counts(labels, decide(kind, logits, one), once).f1_macro()[0]) for one in _THRESHOLDS]
    return float(max(zip(scores, -np.abs(_THRESHOLDS - 0.5), _THRESHOLDS, strict=True))[2])


def named_metrics(
    kind: str, labels: NDArray[np.bool_], logits: NDArray[np.float64], threshold: float | None = None
) -> dict[str, float]:
    """Metrics of test notes; each name says what is averaged. labels: (N, C).   logits: (N, C).

    threshold: a tuned one, which macro F1 is given with besides.
    Precision and recall of what is never decided (or never true) are 0, as in scikit-learn's `zero_division=0`.
    """
    decided, once = decide(kind, logits), np.ones((1, len(labels)), dtype=np.int32)
    found = {
        name: float(value[0]) for name, value in statistics(kind, logits, labels)(once).items() if isinstance(name, str)
    }
    # Of one label alone scikit-learn would make two classes.
    both, average = ((labels, decided), "macro") if labels.shape[1] > 1 else ((labels[:, 0], decided[:, 0]), "binary")
    precision, recall, f1, _ = precision_recall_fscore_support(*both, average=average, zero_division=0)
    found |= {"precision_macro": float(precision), "recall_macro": float(recall), HEADLINE: float(f1)}
    if threshold is not None:
        tuned = Counts(labels, decide(kind, logits, threshold), once)
        found |= {f"{HEADLINE}_tuned": float(tuned.f1_macro()[0]), "threshold_tuned": threshold}
    if kind == "binary":
        positive = precision_recall_fscore_support(labels[:, 1], decided[:, 1], average="binary", zero_division=0)
        found |= dict(zip(("precision_positive", "recall_positive"), map(float, positive[:2]), strict=True))
        truths, answers = labels[:, 1], decided[:, 1]
        found |= {
            "true_positives": float((truths & answers).sum()),
            "false_positives": float((~truths & answers).sum()),
            "false_negatives": float((truths & ~answers).sum()),
            "true_negatives": float((~truths & ~answers).sum()),
        }
    if kind != "multilabel":
        truths, answers = labels.argmax(axis=1), decided.argmax(axis=1)
        several = len(np.unique(np.concatenate([truths, answers]))) > 1
        found["mcc"] = float(matthews_corrcoef(truths, answers)) if several else math.nan
    return found


def _headline(
    labels: NDArray[np.bool_], decided: Sequence[NDArray[np.bool_]]
) -> Callable[[NDArray[np.int32]], dict[int, NDArray[np.float64]]]:
    """Macro F1 of several runs on the same notes, by their number."""
    return lambda weights: {number: Counts(labels, chosen, weights).f1_macro() for number, chosen in enumerate(decided)}


def _predictions(layout: RunLayout, result: Mapping[str, Any], split: str) -> Predictions:
    found = read_predictions(Run(layout.root.name, layout, result, {}, {}), split)
    assert found is not None, "a finished run has its predictions"
    return found


def together(runs: Iterable[Run_co]) -> list[list[Run_co]]:
    """Runs with the same test notes."""
    groups: dict[tuple[str, str, int], list[Run_co]] = {}
    for one in runs:
        groups.setdefault((one.part.task, one.part.by, one.part.seed), []).append(one)
    return list(groups.values())
