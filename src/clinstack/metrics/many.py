"""Many comparisons at once: how sure a difference is when it is one of a table's, or was tested on several splits.

Among twenty comparisons of equals one is "significant" at 5 % by chance. Holm's procedure keeps the chance of any false one in
the whole family at the level, whatever the dependence between them.
"""

from collections.abc import Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr

from clinstack.metrics.intervals import LEVEL, Draws, Interval

Key = TypeVar("Key", bound=Hashable)


def p_of_draws(difference: Draws) -> float:
    """The two-sided p-value that a difference is 0, from its resamples; NaN if none is defined.

    Twice the smaller share of resamples on either side of 0, one added to each (as Davison and Hinkley 1997), so that it is
    never 0. Where all lie on one side, the count says no more than that it is below 2 / (B + 1), too little to be adjusted for
    many comparisons. How far below, Student's tail says that has the variance of patients and of trainings, with the degrees of
    freedom of Welch and Satterthwaite: where few trainings decide, it is a heavy one.
    """
    defined = difference.draws[~np.isnan(difference.draws)]
    if not len(defined):
        return float("nan")
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    counted = min(1.0, 2 * (smaller + 1) / (len(defined) + 1))
    patients = difference.by_patients[~np.isnan(difference.by_patients)]
    variance = float(patients.var()) + sum(part.variance for part in difference.training)
    if smaller or not variance:
        return counted
    doubt = sum(part.doubt for part in difference.training)
    reach = abs(float(patients.mean())) / variance**0.5
    tail = float(stdtr(variance**2 / doubt, -reach)) if doubt else NormalDist().cdf(-reach)
    return min(counted, 2 * tail)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """McNemar's test that two models are as often right on the same notes (N,), two-sided and exact: whichever alone is right
    on a note is a coin's toss. It takes notes to be independent, and asks about accuracy.
    """
    alone, other = int((first_right & ~second_right).sum()), int((~first_right & second_right).sum())
    return min(1.0, 2 * float(bdtr(min(alone, other), alone + other, 0.5)))


def p_of_splits(p_values: Sequence[float]) -> float:
    """One p-value from those of several splits of the same notes: twice their median (Rueger 1978).

    It holds however the splits depend on each other, and so is cautious. NaN of none; of one, that one.
    """
    if len(p_values) < 2:
        return float(p_values[0]) if p_values else float("nan")
    return min(1.0, 2 * float(np.median(p_values)))


def told_apart(difference: Interval | None, p_value: float) -> bool:
    """Whether two may be called different: the interval excludes 0, and the p-value lies below the level. None: unknown.

    p_value: adjusted for all that is asked (`holm`, `of_highest`).
    """
    return difference is not None and difference.excludes(0) and p_value < 1 - LEVEL


def of_highest(p_value: float, others: int) -> float:
    """The p-value of the difference between the highest of several and one of the `others`, adjusted for their number.

    As if one had been chosen beforehand, although the figures chose it: whatever is then said holds if it holds of the one that
    is truly best (Hsu 1984, "Constrained simultaneous confidence intervals for multiple comparisons with the best"). NaN stays.
    """
    return float(np.minimum(1.0, p_value * others))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Adjusted p-values (Holm 1979): each is compared with the level as if it stood alone. NaN stays and does not count."""
    ordered = sorted((p, str(key), key) for key, p in p_values.items() if not np.isnan(p))
    adjusted: dict[Key, float] = {key: p for key, p in p_values.items() if np.isnan(p)}
    largest = 0.0
    for rank, (p, _, key) in enumerate(ordered):
        largest = max(largest, min(1.0, p * (len(ordered) - rank)))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}
