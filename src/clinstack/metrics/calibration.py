"""Do the probabilities mean what they say? Brier score, expected calibration error, the table of a reliability curve.

Brier 1950 sums the squared differences over the classes of a note, so a two-class score lies in 0-2 by his own count.
Here a binary task is scored on its positive class alone (0-1, what scikit-learn calls the Brier loss), a multiclass
task by the sum over classes (0-2), and a multilabel task by the mean over labels (0-1).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Reliability(NamedTuple):
    """One row per bin that holds an entry, in rising order of probability; all (bins,)."""

    mean_probability: Floats
    observed_fraction: Floats
    entries: NDArray[np.int64]


def brier_binary(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean squared difference of (N,) probabilities of the positive class and (N,) labels; 0 is best, 1 worst."""
    return float(squared_error(np.asarray(probabilities), np.asarray(labels)).mean())


def brier_multiclass(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean over notes of the squared differences summed over classes; (N, C) each; 0 is best, 2 worst."""
    return float(squared_error(np.asarray(probabilities), np.asarray(labels)).sum(axis=1).mean())


def brier_multilabel(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean squared difference over all notes and labels; (N, C) each; 0 is best, 1 worst."""
    return float(squared_error(np.asarray(probabilities), np.asarray(labels)).mean())


def squared_error(probabilities: ArrayLike, labels: ArrayLike) -> Floats:
    """Entry by entry, in the shape of its arguments."""
    return np.asarray((np.asarray(probabilities, dtype=np.float64) - np.asarray(labels).astype(bool)) ** 2)


BINS = 10
"""Of equal width, where nothing else is asked for."""


def equal_width(bins: int) -> Floats:
    """The edges between so many bins of one width."""
    return np.arange(1, bins) / bins


def equal_mass(probabilities: ArrayLike, bins: int) -> Floats:
    """The edges between bins that hold as many entries each: of so many bins, or fewer where probabilities are equal."""
    return np.unique(np.quantile(np.asarray(probabilities, dtype=np.float64), np.arange(1, bins) / bins))


class BrierParts(NamedTuple):
    """The Brier score of binned entries as Murphy 1973 takes it apart: reliability - resolution + uncertainty.

    reliability: how far what is said lies from what is seen, 0 best.   resolution: how far the bins lie apart, high is good.
    uncertainty: of the outcomes themselves.
    """

    reliability: float
    resolution: float
    uncertainty: float


def brier_parts(probabilities: ArrayLike, labels: ArrayLike, edges: Floats) -> BrierParts:
    """Murphy's parts. probabilities, labels: of one shape; every probability counts as its bin's mean. edges: between bins."""
    values = np.asarray(probabilities, dtype=np.float64).ravel()
    truths = np.asarray(labels).astype(np.float64).ravel()
    place = _bin(values, edges)
    count = np.bincount(place, minlength=len(edges) + 1)
    held = count > 0
    said, seen = (np.bincount(place, each, minlength=len(edges) + 1)[held] / count[held] for each in (values, truths))
    share, base = count[held] / len(values), truths.mean()
    return BrierParts(float(share @ (said - seen) ** 2), float(share @ (seen - base) ** 2), float(base * (1 - base)))


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int | Floats = BINS) -> Reliability:
    """Mean probability against observed fraction by bin; empty bins are left out.

    probabilities, labels: the same shape; (N, C) counts every (note, class) entry.
    bins: how many of equal width, or the edges between them.
    """
    values = np.asarray(probabilities, dtype=np.float64).ravel()
    truths = np.asarray(labels).astype(bool).ravel()
    place = _bin(values, equal_width(bins) if isinstance(bins, int) else bins)
    count = np.bincount(place)
    held = count > 0
    mean_probability = np.bincount(place, weights=values)[held] / count[held]
    observed_fraction = np.bincount(place, weights=truths)[held] / count[held]
    return Reliability(mean_probability, observed_fraction, count[held].astype(np.int64))


class BinnedNotes:
    """The expected calibration error of notes whose weights change, as in a bootstrap.

    probabilities, labels: (N, K) entries of each note; equal to `expected_calibration_error` where every note counts once.
    edges: between bins (`equal_mass`), instead of ten of equal width.
    """

    def __init__(self, probabilities: ArrayLike, labels: ArrayLike, edges: Floats | None = None):
        values = np.asarray(probabilities, dtype=np.float64)
        truths = np.asarray(labels).astype(bool)
        edges = equal_width(BINS) if edges is None else edges
        place, bins = _bin(values, edges), len(edges) + 1
        cell = np.arange(len(values))[:, None] * bins + place
        shape = (len(values), bins)
        self._entries = np.bincount(cell.ravel(), minlength=len(values) * bins).reshape(shape).astype(np.float64)
        excess = (values - truths).ravel()
        self._excess = np.bincount(cell.ravel(), weights=excess, minlength=len(values) * bins).reshape(shape)

    def error(self, weights: NDArray[np.int32]) -> Floats:
        """(B,) under each row of note weights (B, N); NaN where no note counts."""
        multiplicity = weights.astype(np.float64)
        distance, entries = np.abs(multiplicity @ self._excess).sum(axis=1), (multiplicity @ self._entries).sum(axis=1)
        return np.asarray(np.divide(distance, entries, out=np.full(len(entries), np.nan), where=entries > 0))


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int | Floats = BINS) -> float:
    """Naeini et al. 2015: the count-weighted mean distance of mean probability and observed fraction over the bins.

    Arguments as of `reliability`.
    """
    table = reliability(probabilities, labels, bins)
    distance = np.abs(table.mean_probability - table.observed_fraction)
    return float((distance * table.entries).sum() / table.entries.sum())


def _bin(values: Floats, edges: Floats) -> NDArray[np.intp]:
    """The bin of each value; one that lies on an edge belongs to the bin above."""
    return np.searchsorted(edges, values, side="right")
