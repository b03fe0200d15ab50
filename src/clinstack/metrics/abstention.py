"""What is wrong among the surest answers: of a model that may leave the other notes to a person.

El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification": the error among what is answered (risk)
against the share of notes that are answered (coverage), the surest first.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Answered:
    """The errors of notes in the order in which a model is sure of them.

    sure: (N,), higher is surer; notes of which it is as sure count in the share that is answered of them, so that their
        order decides nothing.   wrong: (N,) bool.
    """

    def __init__(self, sure: ArrayLike, wrong: ArrayLike) -> None:
        values = np.asarray(sure, dtype=np.float64)
        self._order = np.argsort(-values, kind="stable")
        ordered = values[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._wrong = np.asarray(wrong).astype(bool)[self._order]

    def risks(self, coverages: ArrayLike, weights: NDArray[np.int32]) -> Floats:
        """(K, B): the share that is wrong of the surest notes, under each row of note weights (B, N); NaN where none counts.

        coverages: (K,) shares of notes that are answered, above 0 and up to 1.
        """
        counts = weights[:, self._order].astype(np.float64)
        start = np.zeros((len(counts), 1))
        notes, wrong = (
            np.hstack([start, np.cumsum(each, axis=1)[:, self._ends]]) for each in (counts, counts * self._wrong)
        )
        return np.array([_share_wrong(float(one) * notes[:, -1], notes, wrong) for one in np.asarray(coverages)])


def risk_curve(sure: ArrayLike, wrong: ArrayLike, coverages: ArrayLike) -> Floats:
    """The risk (K,) at each of the coverages (K,); see `Answered`."""
    once = np.ones((1, len(np.asarray(sure))), dtype=np.int32)
    return np.asarray(Answered(sure, wrong).risks(coverages, once)[:, 0])


def _share_wrong(answered: Floats, notes: Floats, wrong: Floats) -> Floats:
    """(B,). answered: (B,) notes.   notes, wrong: (B, 1 + blocks), sums up to the end of each block of equal surety."""
    row, last = np.arange(len(notes)), np.clip((notes < answered[:, None]).sum(axis=1), 1, None)
    before, block = notes[row, last - 1], notes[row, last] - notes[row, last - 1]
    share = np.divide(answered - before, block, out=np.zeros(len(notes)), where=block > 0)
    found = wrong[row, last - 1] + share * (wrong[row, last] - wrong[row, last - 1])
    return np.asarray(np.divide(found, answered, out=np.full(len(notes), np.nan), where=answered > 0))
