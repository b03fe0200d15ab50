"""Accuracy and F1 of decisions already taken.

Labels and decisions are booleans, (N,) for one label or (N, C) with a column per class. A class that is neither true
nor decided anywhere has F1 = 0 (scikit-learn's `zero_division=0` over all columns). A rare label that is never
decided pulls a macro F1 down, on purpose. One that a resample of patients misses does not: it is taken to have moved as
the others have, as in `ranking.mean_auroc`. Counted as 0 it drew whole intervals down (of 20 classes in 117
notes of MTS-Dialog figures stood at up to four fifths of their intervals). A resample without any note has no F1: NaN.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinstack.metrics.ranking import mean_defined

Floats = NDArray[np.float64]


class Counts:
    """True positives, decided and true per class in each of B resamples; three products of matrices.

    labels, decisions: (N, C) bool. weights: (B, N).
    """

    def __init__(self, labels: ArrayLike, decisions: ArrayLike, weights: NDArray[np.int32]) -> None:
        truths, decided = np.asarray(labels).astype(bool), np.asarray(decisions).astype(bool)
        multiplicity = weights.astype(np.float64)
        both, either = (truths & decided).astype(np.float64), truths.astype(np.float64) + decided
        self._both, self._either = multiplicity @ both, multiplicity @ either
        self._notes = multiplicity.sum(axis=1)
        self._figures = _ratio(2 * both.sum(axis=0), either.sum(axis=0))
        self._exists = truths.any(axis=0)
        self._missed = self._exists & (multiplicity @ truths.astype(np.float64) == 0)

    def f1_per_class(self) -> Floats:
        """(B, C)."""
        return self._drawn(_ratio(2 * self._both, self._either))

    def f1_macro(self) -> Floats:
        """(B,): the mean over all classes; one that a resample misses has moved as the others have on average."""
        each = self.f1_per_class()
        moved = np.where(self._exists & ~self._missed, each - self._figures, np.nan).T
        expected = np.clip(self._figures + mean_defined(list(moved))[:, None], 0.0, 1.0)
        return np.asarray(np.where(self._missed & ~np.isnan(expected), expected, each).mean(axis=1))

    def f1_micro(self) -> Floats:
        """(B,): of all (note, class) entries taken together."""
        return self._drawn(_ratio(2 * self._both.sum(axis=1), self._either.sum(axis=1)))

    def _drawn(self, found: Floats) -> Floats:
        return np.where((self._notes > 0).reshape(-1, *[1] * (found.ndim - 1)), found, np.nan)


def accuracy(labels: ArrayLike, decisions: ArrayLike) -> float:
    """The share of notes whose whole row of decisions is right."""
    return float(right(labels, decisions).mean())


def f1(labels: ArrayLike, decisions: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN) of (N,) decisions; 0 if nothing is true or decided."""
    return float(_once(np.asarray(labels)[:, None], np.asarray(decisions)[:, None]).f1_macro()[0])


def f1_macro(labels: ArrayLike, decisions: ArrayLike) -> float:
    """The mean F1 over all C classes of (N, C) decisions."""
    return float(_once(labels, decisions).f1_macro()[0])


def f1_micro(labels: ArrayLike, decisions: ArrayLike) -> float:
    """The F1 of all (note, class) entries taken together."""
    return float(_once(labels, decisions).f1_micro()[0])


def right(labels: ArrayLike, decisions: ArrayLike) -> NDArray[np.bool_]:
    """(N,): whether each note's whole row of decisions is right."""
    same = np.asarray(labels).astype(bool) == np.asarray(decisions).astype(bool)
    return np.asarray(same if same.ndim == 1 else same.all(axis=1))


def _once(labels: ArrayLike, decisions: ArrayLike) -> Counts:
    return Counts(labels, decisions, np.ones((1, len(np.asarray(labels))), dtype=np.int32))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
