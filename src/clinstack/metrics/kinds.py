"""The table of kinds of task: how logits become ranks, probabilities and decisions, and which metrics there are.

Ranking uses logits where it can (binary: their difference; multilabel: each as it is), since a sigmoid rounds confident
notes to equal probabilities and so throws their order away. Multiclass has to rank softmax probabilities across notes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.errors import BadInput, did_you_mean
from clinstack.metrics import calibration, decisions, ranking
from clinstack.metrics.intervals import Statistic, Statistics

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weights = NDArray[np.int32]


Figure = str | tuple[str, int]
"""A metric, or a metric of one class."""


@dataclass(frozen=True)
class Kind:
    """What differs between binary, multiclass and multilabel tasks when they are scored."""

    scores: Callable[[Floats], Floats]
    probabilities: Callable[[Floats], Floats]
    statistics: Callable[[Floats, Floats, Bools], Statistics[Figure]]
    selects_by: str
    selection: Callable[[Floats, Bools], float]
    headline: str
    headline_statistic: Callable[[Floats, Bools], Statistic]
    foretold: Callable[[Floats, Bools], tuple[Floats, Bools]]


def _binary(scores: Floats, values: Floats, truths: Bools) -> Statistics[Figure]:
    positive, label = values[:, 1], truths[:, 1]
    decided = values.argmax(axis=1) == 1
    ranked = ranking.Ranked(scores[:, 1], label)
    right = decisions.right(label, decided).astype(np.float64)
    squared = calibration.squared_error(positive, label)
    binned = calibration.BinnedNotes(*_of_positive(values, truths))

    def compute(weights: Weights) -> dict[Figure, Floats]:
        areas = ranked.areas(weights)
        return {
            "auroc": areas.auroc,
            "auprc": areas.auprc,
            "f1_positive": decisions.Counts(label[:, None], decided[:, None], weights).f1_macro(),
            "accuracy": _weighted_mean(right, weights),
            "brier": _weighted_mean(squared, weights),
            "ece": binned.error(weights),
            ("auroc", 1): areas.auroc,
            ("auprc", 1): areas.auprc,
        }

    return compute


def _multiclass(scores: Floats, values: Floats, truths: Bools) -> Statistics[Figure]:
    decided = np.eye(values.shape[1], dtype=bool)[values.argmax(axis=1)]
    pairs, classes = ranking.rank_pairs(scores, truths), ranking.rank_classes(scores, truths)
    right = decisions.right(truths, decided).astype(np.float64)
    squared = calibration.squared_error(values, truths).sum(axis=1)
    binned = calibration.BinnedNotes(*_of_decided(values, truths))

    def compute(weights: Weights) -> dict[Figure, Floats]:
        areas = [ranked.areas(weights) for ranked in classes]
        return {
            "auroc_ovo_macro": ranking.mean_auroc(pairs, [pair.areas(weights).auroc for pair in pairs]),
            "auroc_ovr_macro": ranking.mean_auroc(classes, [area.auroc for area in areas]),
            "auprc_macro": ranking.mean_auprc([area.auprc for area in areas], truths, weights),
            "f1_macro": decisions.Counts(truths, decided, weights).f1_macro(),
            "accuracy": _weighted_mean(right, weights),
            "brier": _weighted_mean(squared, weights),
            "ece": binned.error(weights),
            **_by_class(areas),
        }

    return compute


def _multilabel(scores: Floats, values: Floats, truths: Bools) -> Statistics[Figure]:
    decided = values >= 0.5
    classes, micro = ranking.rank_classes(scores, truths), ranking.rank_micro(scores, truths)
    squared = calibration.squared_error(values, truths).mean(axis=1)
    binned = calibration.BinnedNotes(*_of_every_label(values, truths))

    def compute(weights: Weights) -> dict[Figure, Floats]:
        areas = [ranked.areas(weights) for ranked in classes]
        together = micro.areas(weights)
        counts = decisions.Counts(truths, decided, weights)
        return {
            "auroc_macro": ranking.mean_auroc(classes, [area.auroc for area in areas]),
            "auroc_micro": together.auroc,
            "auprc_macro": ranking.mean_auprc([area.auprc for area in areas], truths, weights),
            "auprc_micro": together.auprc,
            "f1_macro": counts.f1_macro(),
            "f1_micro": counts.f1_micro(),
            "brier": _weighted_mean(squared, weights),
            "ece": binned.error(weights),
            **_by_class(areas),
        }

    return compute


def _by_class(areas: list[ranking.Areas]) -> dict[Figure, Floats]:
    found: dict[Figure, Floats] = {("auroc", column): area.auroc for column, area in enumerate(areas)}
    return found | {("auprc", column): area.auprc for column, area in enumerate(areas)}


def _of_positive(values: Floats, truths: Bools) -> tuple[Floats, Bools]:
    return values[:, 1:], truths[:, 1:]


def _of_decided(values: Floats, truths: Bools) -> tuple[Floats, Bools]:
    right = values.argmax(axis=1) == truths.argmax(axis=1)
    return values.max(axis=1, keepdims=True), right[:, None]


def _of_every_label(values: Floats, truths: Bools) -> tuple[Floats, Bools]:
    return values, truths


def softmax(logits: Floats) -> Floats:
    """The probabilities (N, C) of finite logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _sigmoid(logits: Floats) -> Floats:
    # exp of a negative number only, so that no logit overflows.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def _log_odds(logits: Floats) -> Floats:
    """(N, 2) from one or two columns: how much each class is ahead of the other."""
    ahead = logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]
    return np.stack([-ahead, ahead], axis=1)


def _as_they_are(logits: Floats) -> Floats:
    return logits


def _positive_auroc(scores: Floats, truths: Bools) -> float:
    return ranking.auroc(scores[:, 1], truths[:, 1])


def _positive(scores: Floats, truths: Bools) -> Statistic:
    ranked = ranking.Ranked(scores[:, 1], truths[:, 1])
    return lambda weights: ranked.areas(weights).auroc


def _mean_of_pairs(scores: Floats, truths: Bools) -> Statistic:
    pairs = ranking.rank_pairs(scores, truths)
    return lambda weights: ranking.mean_auroc(pairs, [pair.areas(weights).auroc for pair in pairs])


def mean_of_classes(scores: Floats, truths: Bools) -> Statistic:
    """The macro AUROC of classes against the rest, as a function of note weights."""
    classes = ranking.rank_classes(scores, truths)
    return lambda weights: ranking.mean_auroc(classes, [ranked.areas(weights).auroc for ranked in classes])


KINDS = {
    "binary": Kind(
        scores=_log_odds,
        probabilities=lambda logits: _sigmoid(_log_odds(logits)),
        statistics=_binary,
        selects_by="auroc",
        selection=_positive_auroc,
        headline="auroc",
        headline_statistic=_positive,
        foretold=_of_positive,
    ),
    "multiclass": Kind(
        scores=softmax,
        probabilities=softmax,
        statistics=_multiclass,
        selects_by="auroc_ovr_macro",
        selection=ranking.auroc_ovr_macro,
        headline="auroc_ovo_macro",
        headline_statistic=_mean_of_pairs,
        foretold=_of_decided,
    ),
    "multilabel": Kind(
        scores=_as_they_are,
        probabilities=_sigmoid,
        statistics=_multilabel,
        selects_by="auroc_macro",
        selection=ranking.auroc_macro,
        headline="auroc_macro",
        headline_statistic=mean_of_classes,
        foretold=_of_every_label,
    ),
}


def kind_of(kind: str) -> Kind:
    """The kind of that name. Raises BadInput with the nearest name if there is none."""
    if kind not in KINDS:
        raise BadInput(f"Unknown kind of task {kind!r}. {did_you_mean(kind, KINDS)}")
    return KINDS[kind]


def _weighted_mean(values: Floats, weights: Weights) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1))
