"""Are today's numbers distributed as those of before? The population stability index, and what chance alone makes of it.

Of each number the notes of before are cut into ten bins of equal mass; PSI sums (now - before) ln(now / before) over the shares
of the bins. It has no unit; by custom below 0.1 is called stable and above 0.25 shifted, whatever the number of notes. Under no
shift PSI is about (1/n + 1/m) times a chi-squared variable of B - 1 degrees of freedom (Yurdakul 2018, "Statistical properties
of population stability index"), so with few notes it is large by chance: `chance` says how large.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

BINS = 10
_EMPTY = 0.5
"""Notes added to every bin, so that an empty one has no infinite weight."""


@dataclass(frozen=True)
class Profile:
    """How K numbers were distributed.

    edges: (K, BINS - 1) between bins, rising, infinite where there are fewer bins.   notes: (K, BINS) in each bin.
    """

    edges: NDArray[np.float64]
    notes: NDArray[np.int64]

    def place(self, values: ArrayLike) -> NDArray[np.int64]:
        """The bins (K,) of one note's numbers (K,)."""
        return np.asarray((np.asarray(values)[:, None] >= self.edges).sum(axis=1))

    def as_json(self) -> dict[str, Any]:
        """As JSON has it: an infinite edge is null."""
        edges = [[None if np.isinf(one) else one for one in row] for row in self.edges.tolist()]
        return {"edges": edges, "notes": self.notes.tolist()}

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> Self:
        """The profile that `as_json` wrote."""
        edges = [[np.inf if one is None else one for one in row] for row in told["edges"]]
        return cls(np.array(edges, dtype=np.float64), np.array(told["notes"], dtype=np.int64))


def profile(values: ArrayLike) -> Profile:
    """The profile of numbers (N, K). A number that is mostly one value gets fewer bins."""
    numbers = np.asarray(values, dtype=np.float64)
    edges = np.full((numbers.shape[1], BINS - 1), np.inf)
    notes = np.zeros((numbers.shape[1], BINS), dtype=np.int64)
    for row, column in enumerate(numbers.T):
        cuts = np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
        if len(cuts) < BINS - 1:  # what lies above everything seen has a bin of its own
            cuts = np.append(cuts, np.nextafter(column.max(), np.inf))
        edges[row, : len(cuts)] = cuts
        notes[row] = np.bincount((column[:, None] >= edges[row]).sum(axis=1), minlength=BINS)
    return Profile(edges, notes)


def psi(before: ArrayLike, now: ArrayLike) -> float:
    """The index of two counts of notes by bin (B,); NaN if either has no note. Bins that both lack count for nothing."""
    first, second = np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64)
    if not first.sum() or not second.sum():
        return float("nan")
    used = (first + second) > 0
    shares = [(one[used] + _EMPTY) / (one[used] + _EMPTY).sum() for one in (first, second)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def chance(before: ArrayLike, now: ArrayLike, level: float = 0.95) -> float:
    """Below which the index lies with this chance if nothing has shifted; NaN if it does not exist."""
    first, second = np.asarray(before), np.asarray(now)
    used = int(((first + second) > 0).sum())
    if not first.sum() or not second.sum() or used < 2:
        return float("nan")
    # The quantile of chi-squared with used - 1 degrees of freedom; scipy.stats, which names it, loads for a second.
    chi_squared = 2 * gammaincinv((used - 1) / 2, level)
    return float((1 / first.sum() + 1 / second.sum()) * chi_squared)
