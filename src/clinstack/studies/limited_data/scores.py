"""What each run of a limited-data study scored on test: metrics under full names, and macro F1 in every resample of patients.

All arms of a split are drawn on the same notes, and a patient weighs the same in every split, so that differences are paired.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

from clinstack.metrics.decisions import Counts
from clinstack.metrics.intervals import Draws, bootstrap_draws, shared_weights
from clinstack.metrics.scorecard import probabilities, statistics
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout
from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.parts import Part
from clinstack.studies.report.gather import Predictions, Run, read_predictions

HEADLINE = "f1_macro"
"""What arms are compared by."""


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
    """A run with what it scored. metrics: on test.   validation: the score that selected.   draws: of the headline metric."""

    trained: Trained
    result: Mapping[str, Any]
    metrics: Mapping[str, float]
    draws: Draws

    @property
    def validation(self) -> float:
        """The AUROC on the part's validation notes."""
        return float(self.result["validation"]["value"])


def score(trained: Sequence[Trained], patients: Mapping[str, Mapping[str, str]], resamples: int) -> list[Scored]:
    """Scores every run. patients: task -> note id -> whose it is, also where the split was by line."""
    found = []
    for runs in _together(trained):
        results = [read_json(one.run.result) for one in runs]
        said = [_predictions(one.run, result) for one, result in zip(runs, results, strict=True)]
        whose = [patients[runs[0].part.task][note] for note in said[0].note_ids]
        decided = [_decided(result["kind"], one.logits) for result, one in zip(results, said, strict=True)]

        draws = bootstrap_draws(_headline(said[0].labels, decided), whose, resamples, weights=shared_weights)
        for number, (one, result, predicted) in enumerate(zip(runs, results, said, strict=True)):
            metrics = named_metrics(result["kind"], predicted.labels, predicted.logits)
            found.append(Scored(one, result, metrics, draws[number]))
    return found


def named_metrics(kind: str, labels: NDArray[np.bool_], logits: NDArray[np.float64]) -> dict[str, float]:
    """Metrics of test notes; each name says what is averaged. labels: (N, C).   logits: (N, C).

    Precision and recall of what is never decided (or never true) are 0, as in scikit-learn's `zero_division=0`.
    """
    decided, once = _decided(kind, logits), np.ones((1, len(labels)), dtype=np.int32)
    found = {
        name: float(value[0]) for name, value in statistics(kind, logits, labels)(once).items() if isinstance(name, str)
    }
    precision, recall, f1, _ = precision_recall_fscore_support(labels, decided, average="macro", zero_division=0)
    found |= {"precision_macro": float(precision), "recall_macro": float(recall), HEADLINE: float(f1)}
    if kind == "binary":
        positive = precision_recall_fscore_support(labels[:, 1], decided[:, 1], average="binary", zero_division=0)
        found |= dict(
            zip(("precision_positive", "recall_positive", "f1_positive"), map(float, positive[:3]), strict=True)
        )
        found.pop("f1")
        truths, answers = labels[:, 1], decided[:, 1]
        found |= {
            "true_positives": float((truths & answers).sum()),
            "false_positives": float((~truths & answers).sum()),
            "false_negatives": float((truths & ~answers).sum()),
            "true_negatives": float((~truths & ~answers).sum()),
        }
    if kind != "multilabel":
        found["mcc"] = float(matthews_corrcoef(labels.argmax(axis=1), decided.argmax(axis=1)))
    return found


def _headline(
    labels: NDArray[np.bool_], decided: Sequence[NDArray[np.bool_]]
) -> Callable[[NDArray[np.int32]], dict[int, NDArray[np.float64]]]:
    """Macro F1 of several runs on the same notes, by their number."""
    return lambda weights: {number: Counts(labels, chosen, weights).f1_macro() for number, chosen in enumerate(decided)}


def _decided(kind: str, logits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The class or labels that each note is given (N, C): the most likely one, or all from one half on."""
    likely = probabilities(kind, logits)
    if kind == "multilabel":
        return np.asarray(likely >= 0.5)
    return np.asarray(np.eye(likely.shape[1], dtype=bool)[likely.argmax(axis=1)])


def _predictions(layout: RunLayout, result: Mapping[str, Any]) -> Predictions:
    found = read_predictions(Run(layout.root.name, layout, result, {}, {}))
    assert found is not None, "a finished run has its predictions"
    return found


def _together(trained: Iterable[Trained]) -> list[list[Trained]]:
    """Runs with the same test notes."""
    groups: dict[tuple[str, str, int], list[Trained]] = {}
    for one in trained:
        groups.setdefault((one.part.task, one.part.by, one.part.seed), []).append(one)
    return list(groups.values())
