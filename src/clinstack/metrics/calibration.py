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
    """One row per bin of equal width that holds an entry, in rising order of probability; all (bins,)."""

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


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> Reliability:
    """Mean probability against observed fraction in bins of equal width; empty bins are left out.

    probabilities, labels: the same shape; (N, C) counts every (note, class) entry.
    """
    values = np.asarray(probabilities, dtype=np.float64).ravel()
    truths = np.asarray(labels).astype(bool).ravel()
    # A probability of exactly 1 belongs to the last bin and not to one of its own.
    place = np.minimum((values * bins).astype(np.intp), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    mean_probability = np.bincount(place, weights=values, minlength=bins)[held] / count[held]
    observed_fraction = np.bincount(place, weights=truths, minlength=bins)[held] / count[held]
    return Reliability(mean_probability, observed_fraction, count[held].astype(np.int64))


class BinnedNotes:
    """The expected calibration error of notes whose weights change, as in a bootstrap.

    probabilities, labels: (N, K) entries of each note; equal to `expected_calibration_error` where every note counts once.
    """

    def __init__(self, probabilities: ArrayLike, labels: ArrayLike, bins: int = 10):
        values = np.asarray(probabilities, dtype=np.float64)
        truths = np.asarray(labels).astype(bool)
        place = np.minimum((values * bins).astype(np.intp), bins - 1)
        cell = np.arange(len(values))[:, None] * bins + place
        shape = (len(values), bins)
        self._entries = np.bincount(cell.ravel(), minlength=len(values) * bins).reshape(shape).astype(np.float64)
        excess = (values - truths).ravel()
        self._excess = np.bincount(cell.ravel(), weights=excess, minlength=len(values) * bins).reshape(shape)

    def error(self, weights: NDArray[np.int32]) -> Floats:
        """(B,) under each row of note weights (B, N)."""
        multiplicity = weights.astype(np.float64)
        return np.asarray(np.abs(multiplicity @ self._excess).sum(axis=1) / (multiplicity @ self._entries).sum(axis=1))


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> float:
    """Naeini et al. 2015: the count-weighted mean distance of mean probability and observed fraction over the bins."""
    table = reliability(probabilities, labels, bins)
    distance = np.abs(table.mean_probability - table.observed_fraction)
    return float((distance * table.entries).sum() / table.entries.sum())
