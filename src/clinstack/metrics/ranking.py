"""AUROC and average precision for one label or a thousand, exact with ties, for all resamples of a bootstrap at once.

Both need nothing but the order of the scores. `Ranked` sorts once and keeps only the places where a group of equal
scores holds a positive; a resample is then one cumulative sum of its note weights, read at those places: some 5 ns per
note and resample, where sorting anew costs about 100 ns.

AUROC is the Mann-Whitney statistic: the share of (positive, negative) pairs in the right order, a tie counting half.
Average precision (AUPRC) is the sum over thresholds of precision times the gain in recall, without interpolation, as in
scikit-learn. A label that lacks positives or negatives has neither (NaN), and macro averages pass over it; in resamples see
`mean_auroc` and `mean_auprc`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinstack.errors import BadInput

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weights = NDArray[np.int32]

BLOCK_CELLS = 4_000_000
"""Resamples are taken in blocks of at most this many cells, 16 MB of weights, whatever the number of notes."""


class Areas(NamedTuple):
    """The two areas of one label in each of B resamples, both (B,), NaN where the label lacks one of its values."""

    auroc: Floats
    auprc: Floats


class Ranked:
    """One label's notes in descending order of score, ready to be weighted.

    scores: (N,) float, higher means more likely positive. Raises BadInput if one is NaN.
    labels: (N,) bool.
    notes:  (N,) int, the column of the weights that counts for each entry; by default entry i is note i. It lets one
            note stand for several entries (micro averages) and a note be left out (pairs of classes).
    """

    def __init__(self, scores: ArrayLike, labels: ArrayLike, notes: NDArray[np.intp] | None = None) -> None:
        values, truths = _checked(scores, labels)
        order = np.argsort(-values)  # equal scores in any order: they count as one group
        group = np.zeros(len(order), dtype=np.intp)
        np.cumsum(np.diff(values[order]) != 0, out=group[1:])
        sorted_labels = truths[order]
        sizes = np.bincount(group)
        ends = np.cumsum(sizes)
        holds_positive = np.unique(group[sorted_labels])
        self._order = order if notes is None else notes[order]
        self._positives = np.flatnonzero(sorted_labels)
        self._first_positive = np.searchsorted(group[self._positives], holds_positive)
        self._ends = ends[holds_positive]
        self._starts = self._ends - sizes[holds_positive]

    def areas(self, weights: Weights) -> Areas:
        """AUROC and AUPRC under each row of note weights, (B, notes) of whole numbers."""
        block = max(1, BLOCK_CELLS // max(1, len(self._order)))
        parts = [self._block(weights[start : start + block]) for start in range(0, len(weights), block)]
        return Areas(np.concatenate([part.auroc for part in parts]), np.concatenate([part.auprc for part in parts]))

    def _block(self, weights: Weights) -> Areas:
        if not len(self._positives):
            nothing = np.full(len(weights), np.nan)
            return Areas(nothing, nothing.copy())
        sorted_weights = np.take(weights, self._order, axis=1)
        positive = np.add.reduceat(sorted_weights[:, self._positives], self._first_positive, axis=1, dtype=np.float64)
        above = np.zeros((len(weights), len(self._order) + 1), dtype=np.int64)
        np.cumsum(sorted_weights, axis=1, out=above[:, 1:])
        through = above[:, self._ends].astype(np.float64)
        tied_negatives = through - above[:, self._starts] - positive
        true_positives = np.cumsum(positive, axis=1)
        positives = true_positives[:, -1]
        negatives = above[:, -1] - positives
        negatives_below = negatives[:, None] - (through - true_positives)
        pairs = positives * negatives
        defined = pairs > 0
        in_order = (positive * (negatives_below + 0.5 * tied_negatives)).sum(axis=1)
        # A group nobody was drawn from adds nothing; its precision is 0 / 0 and must not become NaN.
        precision = np.divide(true_positives, through, out=np.zeros_like(through), where=through > 0)
        gained = (positive * precision).sum(axis=1)
        undefined = np.full(len(weights), np.nan)
        return Areas(
            np.divide(in_order, pairs, out=undefined.copy(), where=defined),
            np.divide(gained, positives, out=undefined, where=defined),
        )

    def once(self) -> Areas:
        """The areas with every note counted once, each of shape (1,)."""
        return self.areas(np.ones((1, int(self._order.max(initial=-1)) + 1), dtype=np.int32))


def rank_classes(scores: ArrayLike, labels: ArrayLike) -> list[Ranked]:
    """One `Ranked` per column of (N, C) scores and labels."""
    values, truths = (np.ascontiguousarray(table.T) for table in _checked(scores, labels))
    return [Ranked(*column) for column in zip(values, truths, strict=True)]


def rank_micro(scores: ArrayLike, labels: ArrayLike) -> Ranked:
    """All N * C entries of (N, C) scores and labels in one order, each weighted as its note is."""
    values, truths = _checked(scores, labels)
    return Ranked(values.ravel(), truths.ravel(), np.repeat(np.arange(values.shape[0]), values.shape[1]))


def rank_pairs(scores: ArrayLike, labels: ArrayLike) -> list[Ranked]:
    """For every ordered pair of classes (a, b), the score of a among the notes of a and of b, a being the positive one.

    scores, labels: (N, C), each row of labels with exactly one true value.
    """
    values, truths = _checked(scores, labels)
    classes = truths.shape[1]
    ranked = []
    for positive in range(classes):
        for other in range(classes):
            notes = np.flatnonzero(truths[:, positive] | truths[:, other])
            if positive != other:
                ranked.append(Ranked(values[notes, positive], truths[notes, positive], notes))
    return ranked


def mean_defined(columns: list[Floats]) -> Floats:
    """The mean over labels in each resample, (B,), passing over labels that are NaN there; NaN if all are."""
    table = np.stack(columns)
    defined = ~np.isnan(table)
    count = defined.sum(axis=0)
    total = np.where(defined, table, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(table.shape[1], np.nan), where=count > 0))


def mean_auroc(ranked: Sequence[Ranked], columns: list[Floats]) -> Floats:
    """The mean AUROC in each resample, (B,): over those that have one among all notes; NaN if none has, or none in a resample.

    ranked: labels, or pairs of classes.   columns: the AUROC of each (B,), from `Ranked.areas`.
    One that a resample lacks is taken to have moved as the others have on average. Passing over it would make most resamples
    means over frequent labels, and where rare ones are told apart less well the interval would lie above the figure.
    """
    figures = np.array([one.once().auroc for one in ranked]).reshape(-1, 1)
    moved = mean_defined([column - figure for column, figure in zip(columns, figures, strict=True)])
    return np.clip(mean_defined(list(figures)) + moved, 0.0, 1.0)


def mean_auprc(columns: list[Floats], labels: Bools, weights: Weights) -> Floats:
    """The mean average precision over labels in each resample, (B,): over those that have one among all notes.

    columns: by label (C of B), from `Ranked.areas(weights)`.   labels: (N, C).   weights: (B, N).
    A label of which a resample drew no positive note counts as 0, and one of which it drew no other note as 1: what its average
    precision tends to as they get fewer. It has not moved as the others have: average precision grows with frequency, and a
    label with one positive note that is drawn at all is drawn 1.58 times on average.
    """
    exists = labels.any(axis=0) & ~labels.all(axis=0)
    if not exists.any():
        return np.full(len(weights), np.nan)
    table = np.stack(columns)[exists]
    positives = (weights.astype(np.float32) @ labels[:, exists].astype(np.float32)).T
    return np.asarray(np.where(np.isnan(table), positives > 0, table).mean(axis=0))


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """The AUROC of (N,) scores for (N,) labels; NaN if one of the two values is missing."""
    return float(Ranked(scores, labels).once().auroc[0])


def auroc_per_class(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """The AUROC of each column of (N, C) scores, (C,), NaN where a class lacks one of its two values."""
    return np.array([ranked.once().auroc[0] for ranked in rank_classes(scores, labels)])


def auroc_macro(scores: ArrayLike, labels: ArrayLike) -> float:
    """The mean of `auroc_per_class` over the classes that have one; NaN if none has."""
    return float(mean_defined(list(auroc_per_class(scores, labels)[:, None]))[0])


def auroc_micro(scores: ArrayLike, labels: ArrayLike) -> float:
    """The AUROC of all (note, class) entries taken together."""
    return float(rank_micro(scores, labels).once().auroc[0])


def auroc_ovr_macro(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Each class against the rest, averaged over the classes that occur. labels: (N, C) with one true value per row."""
    return auroc_macro(probabilities, labels)


def auroc_ovo_macro(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Hand and Till 2001: each class against each other one, both ways, averaged over the pairs that both occur.

    probabilities, labels: (N, C), one true value per row of labels. NaN if fewer than two classes occur.
    """
    areas = [np.full(1, np.nan)]
    areas += [pair.once().auroc for pair in rank_pairs(probabilities, labels)]
    return float(mean_defined(areas)[0])


def auprc(scores: ArrayLike, labels: ArrayLike) -> float:
    """The average precision of (N,) scores for (N,) labels; NaN if one of the two values is missing."""
    return float(Ranked(scores, labels).once().auprc[0])


def auprc_per_class(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """The average precision of each column of (N, C) scores, (C,), NaN where a class lacks one of its two values."""
    return np.array([ranked.once().auprc[0] for ranked in rank_classes(scores, labels)])


def auprc_macro(scores: ArrayLike, labels: ArrayLike) -> float:
    """The mean of `auprc_per_class` over the classes that have one; NaN if none has."""
    return float(mean_defined(list(auprc_per_class(scores, labels)[:, None]))[0])


def auprc_micro(scores: ArrayLike, labels: ArrayLike) -> float:
    """The average precision of all (note, class) entries taken together."""
    return float(rank_micro(scores, labels).once().auprc[0])


class Curve(NamedTuple):
    """The corners of a ROC curve, from (0, 0) to (1, 1), both (P,) and never falling."""

    false_positive_rate: Floats
    true_positive_rate: Floats


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """One point per distinct score, without those inside a straight run.

    Raises BadInput if one of the two values is missing.
    """
    values, truths = _checked(scores, labels)
    positives = int(truths.sum())
    if positives in (0, len(truths)):
        raise BadInput("A ROC curve needs notes with the label and notes without it; here all notes are alike.")
    order = np.argsort(-values, kind="stable")
    last_of_group = np.append(np.diff(values[order]) != 0, True)
    true = np.cumsum(truths[order])[last_of_group]
    false = np.cumsum(~truths[order])[last_of_group]
    true, false = np.append(0, true), np.append(0, false)
    bends = np.diff(true)[1:] * np.diff(false)[:-1] != np.diff(true)[:-1] * np.diff(false)[1:]
    keep = np.concatenate([[True], bends, [True]])
    return Curve(false[keep] / (len(truths) - positives), true[keep] / positives)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Bools]:
    values = np.asarray(scores, dtype=np.float64)
    truths = np.asarray(labels).astype(bool)
    if values.shape != truths.shape:
        raise BadInput(f"The scores have shape {values.shape} and the labels {truths.shape}; they must be the same.")
    if np.isnan(values).any():
        raise BadInput(
            "Some scores are NaN, so the notes have no order. The training that gave them probably diverged."
        )
    return values, truths
