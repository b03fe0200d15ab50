"""The one table of which metrics belong to which kind of task, with intervals; and the one score training selects by.

A `Kind` says how logits become probabilities and decisions, which statistics are computed and which of them selects. Everything
else (training, evaluation, studies) asks here, so that a figure named `auroc_macro` is the same figure everywhere.
Training, evaluation and report share it; 1,000 resamples of 2,000 notes with 100 labels take some seconds on one core.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinstack.errors import BadInput, did_you_mean
from clinstack.metrics import calibration, decisions, ranking
from clinstack.metrics.intervals import RESAMPLES, Interval, Statistics, bootstrap_all

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weights = NDArray[np.int32]


class Scorecard(NamedTuple):
    """Every metric of a task with its interval, and the number of classes that hold both values (the ones macro averages see).

    metrics: {name: {"value", "low", "high"}}, None where a figure does not exist, so that it can be written as JSON.
    """

    metrics: dict[str, dict[str, float | None]]
    labels_scored: int


@dataclass(frozen=True)
class Kind:
    """What differs between binary, multiclass and multilabel tasks when they are scored."""

    probabilities: Callable[[Floats], Floats]
    statistics: Callable[[Floats, Bools], Statistics]
    selects_by: str
    selection: Callable[[Floats, Bools], float]


def probabilities(kind: str, logits: ArrayLike) -> Floats:
    """(N, C) in float64 from (N, C) logits: softmax over classes for binary and multiclass, sigmoid for each label of multilabel.

    A binary task may give one column, the logit of its positive class; the result has both classes. Stable for any logit.
    """
    return _kind(kind).probabilities(_finite(logits))


def scorecard(
    kind: str,
    logits: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scorecard:
    """All metrics of the kind with 95 % intervals from a bootstrap over patients.

    logits: (N, C), or (N, 1) for binary.   labels: (N, C) bool, exactly one true per row unless multilabel.
    Raises BadInput if there are no notes, a logit is not finite, or shapes disagree.
    """
    truths = np.asarray(labels).astype(bool)
    found = bootstrap_all(statistics(kind, logits, truths), patient_ids, resamples, seed)
    both_values = truths.any(axis=0) & ~truths.all(axis=0)
    return Scorecard({name: _as_json(interval) for name, interval in found.items()}, int(both_values.sum()))


def statistics(kind: str, logits: ArrayLike, labels: ArrayLike) -> Statistics:
    """The metrics of the kind as one function of note weights (B, N), for `bootstrap_all` and paired differences."""
    chosen = _kind(kind)
    values, truths = chosen.probabilities(_finite(logits)), np.asarray(labels).astype(bool)
    if values.shape != truths.shape:
        raise BadInput(f"The logits give {values.shape} (notes, classes) and the labels {truths.shape}.")
    if kind != "multilabel" and not (truths.sum(axis=1) == 1).all():
        raise BadInput(f"A {kind} task needs exactly one label per note.")
    return chosen.statistics(values, truths)


def selection_score(kind: str, logits: ArrayLike, labels: ArrayLike) -> tuple[str, float]:
    """The name and value of the metric that training selects by: the AUROC of the kind.

    Raises BadInput if it does not exist because no class is both present and absent: then nothing could be selected.
    """
    chosen = _kind(kind)
    value = chosen.selection(chosen.probabilities(_finite(logits)), np.asarray(labels).astype(bool))
    if np.isnan(value):
        raise BadInput(
            f"{chosen.selects_by} cannot be computed: no class has both notes with it and notes without it. "
            "The validation split needs more notes or more patients."
        )
    return chosen.selects_by, value


def _binary(values: Floats, truths: Bools) -> Statistics:
    positive, label = values[:, 1], truths[:, 1]
    decided = values.argmax(axis=1) == 1
    ranked = ranking.Ranked(positive, label)
    right = decisions.right(label, decided).astype(np.float64)
    squared = calibration.squared_error(positive, label)

    def compute(weights: Weights) -> dict[str, Floats]:
        areas = ranked.areas(weights)
        return {
            "auroc": areas.auroc,
            "auprc": areas.auprc,
            "f1": decisions.Counts(label[:, None], decided[:, None], weights).f1_macro(),
            "accuracy": _weighted_mean(right, weights),
            "brier": _weighted_mean(squared, weights),
        }

    return compute


def _multiclass(values: Floats, truths: Bools) -> Statistics:
    decided = np.eye(values.shape[1], dtype=bool)[values.argmax(axis=1)]
    pairs, classes = ranking.rank_pairs(values, truths), ranking.rank_classes(values, truths)
    right = decisions.right(truths, decided).astype(np.float64)
    squared = calibration.squared_error(values, truths).sum(axis=1)

    def compute(weights: Weights) -> dict[str, Floats]:
        areas = [ranked.areas(weights) for ranked in classes]
        return {
            "auroc_ovo_macro": ranking.mean_defined([pair.areas(weights).auroc for pair in pairs]),
            "auroc_ovr_macro": ranking.mean_defined([area.auroc for area in areas]),
            "auprc_macro": ranking.mean_defined([area.auprc for area in areas]),
            "f1_macro": decisions.Counts(truths, decided, weights).f1_macro(),
            "accuracy": _weighted_mean(right, weights),
            "brier": _weighted_mean(squared, weights),
        }

    return compute


def _multilabel(values: Floats, truths: Bools) -> Statistics:
    decided = values >= 0.5
    classes, micro = ranking.rank_classes(values, truths), ranking.rank_micro(values, truths)
    squared = calibration.squared_error(values, truths).mean(axis=1)

    def compute(weights: Weights) -> dict[str, Floats]:
        areas = [ranked.areas(weights) for ranked in classes]
        together = micro.areas(weights)
        counts = decisions.Counts(truths, decided, weights)
        return {
            "auroc_macro": ranking.mean_defined([area.auroc for area in areas]),
            "auroc_micro": together.auroc,
            "auprc_macro": ranking.mean_defined([area.auprc for area in areas]),
            "auprc_micro": together.auprc,
            "f1_macro": counts.f1_macro(),
            "f1_micro": counts.f1_micro(),
            "brier": _weighted_mean(squared, weights),
        }

    return compute


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _sigmoid(logits: Floats) -> Floats:
    # exp of a negative number only, so that no logit overflows.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def _two_classes(logits: Floats) -> Floats:
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return _softmax(logits)


KINDS = {
    "binary": Kind(_two_classes, _binary, "auroc", lambda values, truths: ranking.auroc(values[:, 1], truths[:, 1])),
    "multiclass": Kind(_softmax, _multiclass, "auroc_ovr_macro", ranking.auroc_ovr_macro),
    "multilabel": Kind(_sigmoid, _multilabel, "auroc_macro", ranking.auroc_macro),
}


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise BadInput(f"Unknown kind of task {kind!r}. {did_you_mean(kind, KINDS)}")
    return KINDS[kind]


def _finite(logits: ArrayLike) -> Floats:
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise BadInput(f"Logits must be a table (notes, classes), not of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise BadInput("Some logits are not finite: the training diverged. Lower the learning rate and start again.")
    return values


def _weighted_mean(values: Floats, weights: Weights) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _as_json(interval: Interval) -> dict[str, float | None]:
    figures = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(figure) else figure for name, figure in figures.items()}
