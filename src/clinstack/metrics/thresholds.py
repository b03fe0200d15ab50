"""From which probability on a label is decided, and how often what scored alike came true: both read off validation notes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from clinstack.metrics.intervals import LEVEL, Draws, Interval

RESAMPLES = 200
"""For a threshold's interval: its ends are the fifth from outside; more of them cost time for every label."""


def best_f1_threshold(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """The threshold of the highest F1 of decisions `probability >= threshold`; None if no label is positive.

    probabilities: (N,) in 0-1.   labels: (N,) bool.
    It lies halfway between two probabilities, so that one that differs in its last digit is decided alike; of equal F1 it is
    the highest. Where everything is to be decided, 0.
    """
    if not np.any(labels):
        return None
    cuts = _cuts_of(probabilities, labels)
    return float(cuts.at[_best(cuts.hits, cuts.wrong)])


def best_f1_band(probabilities: ArrayLike, labels: ArrayLike, resamples: int = RESAMPLES) -> Interval | None:
    """Where the threshold of the highest F1 may lie: it, and the 95 % interval of those that resampled notes choose.

    The threshold itself always lies within; a resample without a positive label is dropped. Arguments as above.
    How often a note is drawn is Poisson with mean 1 (Hanley and MacGibbon 2006, "Creating non-parametric bootstrap samples
    using Poisson frequencies"), so the notes between two positive ones are drawn at once and a rare label costs little. The
    interval does not reach beyond the positive notes that there are: with few of them it is too narrow, as every bootstrap is.
    """
    if not np.any(labels):
        return None
    cuts, chance = _cuts_of(probabilities, labels), np.random.default_rng(0)
    hits = chance.poisson(cuts.hits, (resamples, len(cuts.at)))
    best = _best(hits, chance.poisson(cuts.wrong, hits.shape))
    drawn = np.where(hits.any(axis=1), cuts.at[best], np.nan)
    value = float(cuts.at[_best(cuts.hits, cuts.wrong)])
    found = Draws(value, np.append(drawn, value)).interval()
    return Interval(value, min(value, found.low), max(value, found.high), found.dropped)


@dataclass(frozen=True)
class _Cuts:
    """Thresholds (K,), the highest first, and how many positive notes, and how many others, each adds to the one before.

    Only those just below a positive note: below another one a cut adds a wrong decision and nothing else.
    """

    at: NDArray[np.float64]
    hits: NDArray[np.int64]
    wrong: NDArray[np.int64]


def _cuts_of(probabilities: ArrayLike, labels: ArrayLike) -> _Cuts:
    values, truths = np.asarray(probabilities, dtype=np.float64), np.asarray(labels).astype(bool)
    cuts, hits = np.unique(values[truths], return_counts=True)
    others, distinct = np.sort(values[~truths]), np.unique(values)
    above = len(others) - np.searchsorted(others, cuts)
    below = np.searchsorted(distinct, cuts)
    at = np.where(below > 0, (cuts + distinct[below - 1]) / 2, 0.0)
    return _Cuts(at[::-1], hits[::-1], -np.diff(np.append(above, 0))[::-1])


def _best(hits: NDArray[np.int64], wrong: NDArray[np.int64]) -> NDArray[np.intp]:
    """Which of cuts (..., K) has the highest F1; of equals the first."""
    found = hits.cumsum(axis=-1)
    f1 = 2 * found / np.maximum(1, found + wrong.cumsum(axis=-1) + found[..., -1:])
    return np.asarray(f1.argmax(axis=-1))


def wilson(hits: int, of: int, level: float = LEVEL) -> Interval:
    """A share and its interval by Wilson's score method (1927), which stays within 0-1 and holds for shares of 0 and 1."""
    z = float(ndtri((1 + level) / 2))
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
