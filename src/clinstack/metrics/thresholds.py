"""From which probability on a label is decided, and how often what scored alike came true: both read off validation notes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from clinstack.metrics.intervals import LEVEL, Interval


def best_f1_threshold(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """The threshold of the highest F1 of decisions `probability >= threshold`; None if no label is positive.

    probabilities: (N,) in 0-1.   labels: (N,) bool.
    It lies halfway between two probabilities, so that one that differs in its last digit is decided alike; of equal F1 it is
    the highest. Where everything is to be decided, 0.
    """
    values, truths = np.asarray(probabilities, dtype=np.float64), np.asarray(labels).astype(bool)
    if not truths.any():
        return None
    order = np.argsort(-values, kind="stable")
    ordered, hits = values[order], np.cumsum(truths[order])
    f1 = 2 * hits / (np.arange(1, len(values) + 1) + truths.sum())
    last_of_equals = np.append(ordered[1:] < ordered[:-1], True)
    best = int(np.flatnonzero(last_of_equals)[f1[last_of_equals].argmax()])
    return float((ordered[best] + ordered[best + 1]) / 2) if best + 1 < len(values) else 0.0


def wilson(hits: int, of: int, level: float = LEVEL) -> Interval:
    """A share and its interval by Wilson's score method (1927), which stays within 0-1 and holds for shares of 0 and 1."""
    z = float(norm.ppf((1 + level) / 2))
    share = hits / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return Interval(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


class Neighbours:
    """How often a label was true among the notes whose probabilities lie nearest to one.

    probabilities, labels: (N,) of validation notes.   near: how many of them are looked at; all if there are fewer.
    """

    def __init__(self, probabilities: ArrayLike, labels: ArrayLike, near: int):
        order = np.argsort(np.asarray(probabilities), kind="stable")
        self._sorted: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)[order]
        self._hits = np.concatenate([[0], np.cumsum(np.asarray(labels).astype(bool)[order])])
        self.near = min(near, len(self._sorted))

    def share(self, probability: float) -> tuple[Interval, int]:
        """The share of the nearest notes that had the label, with its interval, and how many had it."""
        place = int(np.searchsorted(self._sorted, probability))
        first, last = place, place
        while last - first < self.near:  # one by one to the nearer side
            below = probability - self._sorted[first - 1] if first else np.inf
            above = self._sorted[last] - probability if last < len(self._sorted) else np.inf
            first, last = (first - 1, last) if below <= above else (first, last + 1)
        # Notes of equal probability cannot be told apart, so all of them count.
        first = int(np.searchsorted(self._sorted, self._sorted[first], side="left"))
        last = int(np.searchsorted(self._sorted, self._sorted[last - 1], side="right"))
        hits = int(self._hits[last] - self._hits[first])
        return wilson(hits, last - first), last - first
