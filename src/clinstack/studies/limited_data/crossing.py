"""With how many training notes one curve lies above another, and how sure that is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.intervals import Draws, Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """With how many training notes frozen encoders are ahead of models from nothing; intervals of 95 %.

    since: from how many on, and with all more: 0 if with any, infinite if not with all notes.
    until: up to how many, and with all fewer: infinite if with any, 0 if not with the fewest.
    nowhere: share of the resamples in which they are ahead with no size.
    """

    since: Interval
    until: Interval
    nowhere: float


def crossing_of(sizes: Sequence[float], differences: Sequence[Draws]) -> Crossing:
    """Where differences, one for each size, are above 0. sizes: training notes, rising."""
    notes = np.asarray(sizes, dtype=np.float64)
    value = np.array([one.value for one in differences])
    drawn = np.stack([one.draws for one in differences])
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    since, until = (_meeting(notes, value, drawn, where) for where in (ahead_since, ahead_until))
    nowhere = float((drawn <= 0).all(axis=0).mean()) if drawn.size else math.nan
    return Crossing(since, until, nowhere)


def ahead_since(notes: Floats, ahead: Floats) -> float:
    """From how many notes on a difference is above 0 and stays so, along the logarithm of the notes.

    notes: (K,), rising.   ahead: (K,).   0 if it is above everywhere, infinity if it is not at the last.
    """
    if not ahead[-1] > 0:
        return math.inf
    below = np.flatnonzero(~(ahead > 0))
    return _zero(notes, ahead, int(below[-1])) if len(below) else 0.0


def ahead_until(notes: Floats, ahead: Floats) -> float:
    """Up to how many notes a difference is above 0; arguments as in `ahead_since`.

    Infinity if it is above everywhere, 0 if it is not at the first.
    """
    if not ahead[0] > 0:
        return 0.0
    below = np.flatnonzero(~(ahead > 0))
    return _zero(notes, ahead, int(below[0]) - 1) if len(below) else math.inf


def _zero(notes: Floats, ahead: Floats, left: int) -> float:
    """Where a difference is 0 between a place and the next."""
    share = -ahead[left] / (ahead[left + 1] - ahead[left])
    return float(np.exp(np.log(notes[left]) + share * (np.log(notes[left + 1]) - np.log(notes[left]))))


def _meeting(notes: Floats, value: Floats, drawn: Floats, where: Callable[[Floats, Floats], float]) -> Interval:
    """value: (K,).   drawn: (K, B)."""
    if not drawn.shape[1]:
        return Interval(where(notes, value), math.nan, math.nan)
    low, high = np.quantile([where(notes, column) for column in drawn.T], [0.025, 0.975], method="nearest")
    return Interval(where(notes, value), float(low), float(high))
