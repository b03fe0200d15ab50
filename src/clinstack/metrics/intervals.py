"""How sure a figure is: the bootstrap over patients, paired differences, and DeLong's formula.

A patient's notes resemble one another, so notes drawn one by one would make every interval too narrow: we draw
*patients*, with replacement, and each brings all their notes. A resample is a row of note weights (how often each
note's patient was drawn), and a statistic maps a block of such rows, (B, N), to B values; nothing is copied or sorted
anew. Intervals are percentiles of the resamples. A resample in which the statistic does not exist (one class only) is
dropped and counted.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinstack.errors import BadInput
from clinstack.metrics.ranking import mean_defined

Floats = NDArray[np.float64]
Weights = NDArray[np.int32]
Statistic = Callable[[Weights], Floats]
Key = TypeVar("Key", bound=Hashable)
Statistics = Callable[[Weights], Mapping[Key, Floats]]

RESAMPLES = 1000
LEVEL = 0.95
BLOCK_CELLS = 8_000_000


@dataclass(frozen=True)
class Interval:
    """A figure and its interval; `low` and `high` are NaN if no resample had a value; `dropped` counts such."""

    value: float
    low: float
    high: float
    dropped: int = 0

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside; False if there is no interval."""
        return bool(self.low > value or self.high < value)

    def negative(self) -> "Interval":
        """That of the difference turned round."""
        return Interval(-self.value, -self.high, -self.low, self.dropped)


@dataclass(frozen=True)
class Spread:
    """The variance that training gives a figure, and how little is known of it: what was estimated, squared, over its degrees
    of freedom.
    """

    variance: float
    doubt: float


@dataclass(frozen=True)
class Draws:
    """A figure, and what it is in each resample (B,), NaN where it does not exist.

    patients: the resamples without the chance of training; the same if None.   training: that chance, in independent parts.
    """

    value: float
    draws: Floats
    patients: Floats | None = None
    training: tuple[Spread, ...] = ()

    @property
    def by_patients(self) -> Floats:
        """The resamples that hold the chance of patients alone."""
        return self.draws if self.patients is None else self.patients

    def interval(self, level: float = LEVEL) -> Interval:
        """Its percentile interval."""
        defined = self.draws[~np.isnan(self.draws)]
        dropped = len(self.draws) - len(defined)
        if not len(defined) or np.isnan(self.value):
            return Interval(self.value, float("nan"), float("nan"), dropped)
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high), dropped)

    def around_itself(self) -> "Draws":
        """With the resamples moved so that their mean is the figure, and none below 0.

        For what noise can only raise, as a calibration error: a resample, in which notes stand twice, has more noise, and all
        of them lie too high by about as much (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 10).
        """
        if np.isnan(self.draws).all():
            return self
        return Draws(self.value, np.maximum(self.draws - np.nanmean(self.draws) + self.value, 0.0))

    def minus(self, other: "Draws") -> "Draws":
        """The difference, resample by resample; of figures whose trainings have nothing to do with one another."""
        return Draws(
            self.value - other.value,
            self.draws - other.draws,
            self.by_patients - other.by_patients,
            (*self.training, *other.training),
        )


def mean_of(figures: Sequence[Draws]) -> Draws:
    """The mean of figures on the same patients, whose trainings have nothing to do with one another."""
    share = len(figures) ** -2
    return Draws(
        float(np.mean([one.value for one in figures])),
        np.mean([one.draws for one in figures], axis=0),
        np.mean([one.by_patients for one in figures], axis=0),
        tuple(Spread(part.variance * share, part.doubt * share**2) for one in figures for part in one.training),
    )


def over_seeds(runs: Sequence[Draws], seed: int = 0, *, least: float = 0.0) -> Draws:
    """The mean of runs that differ in their seed, or in the split that it draws; its resamples hold the chance of either.

    seed:  of what is drawn here. Means whose runs pair seed by seed have the same.
    least: lowest possible figure; the highest is 1. Of differences -1.
    Figures that do not exist are passed over; of one run the resamples are its own.

    In each resample the mean moves with the patients, and besides by a mean of as many deviations of runs, drawn with
    replacement and brought to the variance that training may have (as Carpenter, Goldstein and Rasbash 2003 resample random
    effects). That is what runs vary by, over a chi-square by its degrees of freedom, since few runs hardly tell it, without
    what patients explain: all of it where every run has its own test notes. Where they explain nothing this is Student's
    interval, where they explain all it is nearly the patients' alone. Runs drawn as they are gave intervals up to 1.6 times as
    wide as needed where patients decide, and held the truth 88 times of 100 where training does.
    """
    defined = [one for one in runs if not np.isnan(one.value)]
    if not defined:
        return Draws(float("nan"), np.full_like(runs[0].draws, np.nan))
    values = np.array([one.value for one in defined])
    by_patients = np.stack([one.draws - one.value for one in defined])
    moved = values.mean() + mean_defined(list(by_patients))
    if len(values) < 2 or not values.var():
        return Draws(float(values.mean()), np.clip(moved, least, 1.0))
    count, resamples = by_patients.shape
    freedom, apart, explained = count - 1, float(values.var(ddof=1)), _explained(by_patients)
    random = np.random.default_rng([seed, count])
    drawn = (values - values.mean())[random.integers(0, count, (resamples, count))].mean(axis=1) / values.std()
    possible = np.maximum(apart * freedom / random.chisquare(freedom, resamples) - explained, 0.0)
    known = Spread(max(apart - explained, 0.0) / count, (apart / count) ** 2 / freedom)
    return Draws(float(values.mean()), np.clip(moved + drawn * np.sqrt(possible), least, 1.0), moved, (known,))


def _explained(by_patients: Floats) -> float:
    """The variance between runs that patients make. by_patients: (S, B), how far each run moves with them."""
    whole = by_patients[:, ~np.isnan(by_patients).any(axis=0)]
    return float(whole.var(axis=0, ddof=1).mean()) if whole.size else 0.0


def patient_weights(patient_ids: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Weights]:
    """How often each note counts in each resample of patients: blocks of (B, N), `resamples` rows in all.

    The draws depend on the seed, on the number of patients and on the order of their ids, never on the size of a block.
    """
    patients, patient_of_note = np.unique(np.asarray(patient_ids, dtype=np.str_), return_inverse=True)
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK_CELLS // max(1, len(patient_of_note)))
    for start in range(0, resamples, rows):
        drawn = np.empty((min(rows, resamples - start), len(patients)), dtype=np.int32)
        for row in drawn:
            row[:] = np.bincount(random.integers(0, len(patients), len(patients)), minlength=len(patients))
        yield drawn[:, patient_of_note]


def shared_weights(patient_ids: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Weights]:
    """As `patient_weights`, where a patient's weights depend on its id alone, so that they are the same in every task.

    How often a patient is drawn is Poisson with mean 1 (Hanley and MacGibbon 2006, "Creating non-parametric bootstrap samples
    using Poisson frequencies"), which is what drawing as many patients as there are comes to when they are many.
    """
    patients, patient_of_note = np.unique(np.asarray(patient_ids, dtype=np.str_), return_inverse=True)
    drawn = np.empty((resamples, len(patients)), dtype=np.int32)
    for column, patient in enumerate(patients):
        key = int.from_bytes(hashlib.sha256(f"{seed}\0{patient}".encode()).digest()[:8], "big")
        drawn[:, column] = np.random.default_rng(key).poisson(1.0, resamples)
    rows = max(1, BLOCK_CELLS // max(1, len(patient_of_note)))
    for start in range(0, resamples, rows):
        yield drawn[start : start + rows, patient_of_note]


def bootstrap_draws(
    statistics: Statistics[Key],
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
    weights: Callable[[Sequence[str], int, int], Iterator[Weights]] = patient_weights,
) -> dict[Key, Draws]:
    """Several statistics of the same notes in the same resamples.

    statistics:  maps note weights (B, N) to (B,) values by name; NaN where a statistic does not exist.
    patient_ids: (N,) whose each note is.
    weights:     how patients are drawn; `shared_weights` for figures of several tasks.
    Raises BadInput if there are no notes.
    """
    if not len(patient_ids):
        raise BadInput("There are no notes to score.")
    values = statistics(np.ones((1, len(patient_ids)), dtype=np.int32))
    blocks = [statistics(drawn) for drawn in weights(patient_ids, resamples, seed)]
    return {
        name: Draws(float(value[0]), np.concatenate([block[name] for block in blocks]))
        for name, value in values.items()
    }


def bootstrap(
    statistic: Statistic,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The percentile interval of one statistic; see `bootstrap_draws`."""
    return bootstrap_draws(lambda weights: {"it": statistic(weights)}, patient_ids, resamples, seed)["it"].interval(
        level
    )


def paired_difference(
    first: Statistic,
    second: Statistic,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of `first` minus `second` for two runs on the same notes in the same order.

    Both are computed on each resample, so what makes a resample hard for both cancels. If the interval excludes 0,
    the two are distinguishable.
    """
    return bootstrap(lambda weights: first(weights) - second(weights), patient_ids, resamples, seed, level)


def delong(scores: ArrayLike, labels: ArrayLike, level: float = LEVEL) -> Interval:
    """The AUROC of (N,) scores and the normal interval of DeLong, DeLong and Clarke-Pearson 1988, cut to 0-1.

    For notes of different patients only; with several notes of one patient use the bootstrap. NaN if one of the two
    values of the label is missing. Midranks as in Sun and Xu 2014: N log N instead of one comparison per pair.
    """
    value, variance = delong_variance(scores, labels)
    reach = NormalDist().inv_cdf(0.5 + level / 2) * variance**0.5
    # np.clip and not min and max: those answer 0 and 1 where the variance is NaN.
    low, high = np.clip([value - reach, value + reach], 0.0, 1.0)
    return Interval(value, float(low), float(high))


def delong_difference(
    first: ArrayLike, second: ArrayLike, labels: ArrayLike, level: float = LEVEL
) -> tuple[Interval, float]:
    """The difference of two AUROCs on the same notes (N,), first minus second, and the p-value that there is none.

    For notes of different patients only. The covariance of the two is DeLong, DeLong and Clarke-Pearson 1988's; the
    interval and the two-sided p-value are normal. NaN where `delong_variance` is, p = 1 where the two rank alike.
    """
    truths = np.asarray(labels).astype(bool)
    parts = [_placements(np.asarray(scores, dtype=np.float64), truths) for scores in (first, second)]
    if parts[0] is None or parts[1] is None:
        return Interval(float("nan"), float("nan"), float("nan")), float("nan")
    above, below = (parts[0][side] - parts[1][side] for side in (0, 1))
    value = float(above.mean())
    if len(above) < 2 or len(below) < 2:
        return Interval(value, float("nan"), float("nan")), float("nan")
    deviation = float(np.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)))
    reach = NormalDist().inv_cdf(0.5 + level / 2) * deviation
    p_value = 1.0 if deviation == 0 else 2 * NormalDist().cdf(-abs(value) / deviation)
    return Interval(value, value - reach, value + reach), p_value


def delong_variance(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """The AUROC and the variance of its estimate.

    The AUROC is NaN without one note of each value, the variance without two of each.
    """
    values = np.asarray(scores, dtype=np.float64)
    truths = np.asarray(labels).astype(bool)
    placed = _placements(values, truths)
    if placed is None:
        return float("nan"), float("nan")
    above_negatives, below_positives = placed
    value = float(above_negatives.mean())
    if len(above_negatives) < 2 or len(below_positives) < 2:
        return value, float("nan")
    variance = above_negatives.var(ddof=1) / len(above_negatives) + below_positives.var(ddof=1) / len(below_positives)
    return value, float(variance)


def _placements(values: Floats, truths: NDArray[np.bool_]) -> tuple[Floats, Floats] | None:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties count half."""
    positive, negative = values[truths], values[~truths]
    if not len(positive) or not len(negative):
        return None
    ranks = _midranks(values)
    above_negatives = (ranks[truths] - _midranks(positive)) / len(negative)
    below_positives = 1 - (ranks[~truths] - _midranks(negative)) / len(positive)
    return np.asarray(above_negatives), np.asarray(below_positives)


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, tied values sharing their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[group])
