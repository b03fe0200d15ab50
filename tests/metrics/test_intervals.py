"""Intervals: the fast bootstrap against a slow one, and the promise of an interval, that it covers the truth.

The true AUROC of two normals d standard deviations apart is Phi(d / sqrt(2)), so coverage can be counted.
"""

import re
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from clinstack.errors import BadInput
from clinstack.metrics import intervals, ranking


def clustered_notes(random, patients=60, notes_each=3, distance=1.2, shared=0.8):
    """Scores of notes that share their patient's label and part (`shared`) of their noise."""
    labels = np.repeat(random.random(patients) < 0.4, notes_each)
    own = random.normal(size=patients * notes_each)
    common = np.repeat(random.normal(size=patients), notes_each)
    scores = distance * labels + shared**0.5 * common + (1 - shared) ** 0.5 * own
    ids = [f"patient-{number}" for number in np.repeat(np.arange(patients), notes_each)]
    return scores, labels, ids


def auroc_of(scores, labels):
    ranked = ranking.Ranked(scores, labels)
    return lambda weights: ranked.areas(weights).auroc


def test_weights_say_how_often_a_patient_was_drawn(slow_resamples):
    ids = ["b", "a", "b", "c", "b"]
    weights = np.concatenate(list(intervals.patient_weights(ids, resamples=20, seed=3)))
    for row, notes in zip(weights, slow_resamples(ids, 20, 3), strict=True):
        assert row.tolist() == np.bincount(notes, minlength=5).tolist()
    assert (weights[:, 0] == weights[:, 2]).all()


def test_draws_do_not_depend_on_the_size_of_a_block(monkeypatch):
    ids = [str(number) for number in range(30)]
    whole = np.concatenate(list(intervals.patient_weights(ids, resamples=50, seed=1)))
    monkeypatch.setattr(intervals, "BLOCK_CELLS", 100)
    assert np.array_equal(whole, np.concatenate(list(intervals.patient_weights(ids, resamples=50, seed=1))))


def test_the_fast_bootstrap_equals_the_slow_one(slow_resamples):
    scores, labels, ids = clustered_notes(np.random.default_rng(0), patients=25)
    scores = scores.round(1)
    found = intervals.bootstrap(auroc_of(scores, labels), ids, resamples=200, seed=7)
    slow = [ranking.auroc(scores[notes], labels[notes]) for notes in slow_resamples(ids, 200, 7)]
    low, high = np.nanquantile(slow, [0.025, 0.975])
    assert (found.value, found.low, found.high) == pytest.approx((ranking.auroc(scores, labels), low, high), abs=1e-12)


def test_resamples_without_both_values_are_dropped_and_counted(slow_resamples):
    scores, labels, ids = [0.1, 0.9, 0.4], [False, True, False], ["a", "b", "c"]
    found = intervals.bootstrap(auroc_of(scores, labels), ids, resamples=300, seed=0)
    without = sum(len({labels[note] for note in notes}) == 1 for notes in slow_resamples(ids, 300, 0))
    assert found.dropped == without > 0
    assert found == intervals.Interval(1.0, 1.0, 1.0, without)


def test_a_figure_that_never_exists_has_no_interval():
    found = intervals.bootstrap(auroc_of([0.1, 0.2], [True, True]), ["a", "b"], resamples=10)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.dropped == 10
    assert not found.excludes(0.5)


def test_no_notes_are_refused():
    with pytest.raises(BadInput, match=re.escape("There are no notes to score.")):
        intervals.bootstrap(auroc_of([], []), [])


def coverage(interval_of, simulations, **clusters):
    """The share of simulated studies whose interval holds the true AUROC."""
    truth = NormalDist().cdf(1.2 / 2**0.5)
    held = 0
    for simulation in range(simulations):
        found = interval_of(*clustered_notes(np.random.default_rng(simulation), **clusters))
        held += found.low <= truth <= found.high
    return held / simulations


def test_the_patient_bootstrap_covers_clustered_notes():
    held = coverage(
        lambda scores, labels, ids: intervals.bootstrap(auroc_of(scores, labels), ids, resamples=300),
        simulations=400,
        patients=80,
    )
    assert 0.91 <= held <= 0.98


def test_drawing_notes_instead_of_patients_would_cover_too_little():
    held = coverage(
        lambda scores, labels, ids: intervals.bootstrap(
            auroc_of(scores, labels), [str(note) for note in range(len(ids))], resamples=300
        ),
        simulations=200,
        patients=80,
    )
    assert held < 0.85


def test_delong_covers_notes_of_different_patients():
    held = coverage(
        lambda scores, labels, _: intervals.delong(scores, labels), simulations=500, patients=150, notes_each=1
    )
    assert 0.91 <= held <= 0.98


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_delong_equals_its_definition_by_pairs(decimals):
    scores, labels, _ = clustered_notes(np.random.default_rng(decimals))
    scores = scores.round(decimals)
    difference = scores[labels][:, None] - scores[~labels][None, :]
    kernel = (difference > 0) + 0.5 * (difference == 0)
    variance = kernel.mean(axis=1).var(ddof=1) / labels.sum() + kernel.mean(axis=0).var(ddof=1) / (~labels).sum()
    assert intervals.delong_variance(scores, labels) == pytest.approx((kernel.mean(), variance), abs=1e-12)


def test_delong_without_enough_notes_has_no_interval():
    assert np.isnan(intervals.delong([0.1, 0.2], [True, True]).value)
    single = intervals.delong([0.9, 0.2, 0.3], [True, False, False])
    assert single.value == 1.0
    assert np.isnan(single.low)


def test_a_paired_difference_is_narrower_than_two_separate_intervals():
    random = np.random.default_rng(4)
    scores, labels, ids = clustered_notes(random)
    better = scores + 0.6 * labels
    first, second = auroc_of(better, labels), auroc_of(scores, labels)
    paired = intervals.paired_difference(first, second, ids, seed=2)
    apart = [intervals.bootstrap(statistic, ids, seed=2) for statistic in (first, second)]
    assert paired.excludes(0)
    assert paired.low > 0
    assert paired.high - paired.low < sum((one.high - one.low) ** 2 for one in apart) ** 0.5
    assert paired.value == apart[0].value - apart[1].value


def test_a_run_is_not_distinguishable_from_itself():
    scores, labels, ids = clustered_notes(np.random.default_rng(6))
    same = intervals.paired_difference(auroc_of(scores, labels), auroc_of(scores, labels), ids, resamples=50)
    assert same == intervals.Interval(0.0, 0.0, 0.0)
    assert not same.excludes(0)


def test_the_difference_of_two_aurocs_has_the_variance_of_its_definition_by_pairs():
    random = np.random.default_rng(3)
    labels = random.random(60) < 0.4
    first = (labels + random.normal(size=60)).round(1)
    second = (0.5 * labels + random.normal(size=60)).round(1)

    def structural(scores):
        pairs = np.sign(scores[labels][:, None] - scores[~labels][None, :]) / 2 + 0.5
        return pairs.mean(axis=1), pairs.mean(axis=0)

    (above_1, below_1), (above_2, below_2) = structural(first), structural(second)
    covariance = np.cov(above_1, above_2) / labels.sum() + np.cov(below_1, below_2) / (~labels).sum()
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found, p_value = intervals.delong_difference(first, second, labels)
    value = ranking.auroc(first, labels) - ranking.auroc(second, labels)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx(
        (value - 1.959964 * deviation, value + 1.959964 * deviation), abs=1e-6
    )
    assert p_value == pytest.approx(2 * NormalDist().cdf(-abs(value) / deviation))


def test_no_difference_is_called_one_in_twenty_times():
    random = np.random.default_rng(4)
    called = []
    for _ in range(800):
        labels = random.random(100) < 0.4
        shared = labels + random.normal(size=100)
        first, second = (shared + random.normal(size=100) for _ in range(2))
        called.append(intervals.delong_difference(first, second, labels)[1] < 0.05)
    assert 0.03 < np.mean(called) < 0.075


def test_a_run_differs_from_itself_by_nothing():
    labels = np.array([True, False, True, False])
    assert intervals.delong_difference([3, 1, 2, 2], [30, 10, 20, 20], labels) == (
        intervals.Interval(0.0, 0.0, 0.0),
        1.0,
    )
    found, p_value = intervals.delong_difference([3, 1], [1, 2], [True, True])
    assert np.isnan([found.value, p_value]).all()


def test_one_run_over_its_seeds_is_the_run():
    random = np.random.default_rng(0)
    run = intervals.Draws(0.7, random.normal(0.7, 0.05, 500))
    again = intervals.over_seeds([run])
    assert again.value == run.value
    assert np.array_equal(again.draws, run.draws)


def test_where_patients_decide_nothing_the_interval_over_seeds_is_students():
    values = np.array([0.66, 0.69, 0.70, 0.72, 0.73])
    found = intervals.over_seeds([intervals.Draws(value, np.full(20_000, value)) for value in values], seed=3)
    assert found.value == pytest.approx(0.7)
    reach = stats.t.ppf(0.975, 4) * stats.sem(values)
    assert [found.interval().low, found.interval().high] == pytest.approx([0.7 - reach, 0.7 + reach], abs=0.12 * reach)


def test_figures_of_seeds_that_do_not_exist_are_passed_over_and_none_leaves_its_range():
    absent = intervals.Draws(float("nan"), np.full(400, np.nan))
    one = intervals.Draws(0.6, np.full(400, 0.6))
    assert intervals.over_seeds([one, absent]).interval() == intervals.Interval(0.6, 0.6, 0.6)
    assert np.isnan(intervals.over_seeds([absent, absent]).value)
    assert intervals.over_seeds([absent, absent]).interval().dropped == 400
    partly = intervals.Draws(0.8, np.where(np.arange(400) < 200, 0.8, np.nan))
    assert not np.isnan(intervals.over_seeds([one, partly]).draws).any()
    high = [intervals.Draws(value, np.full(4000, value)) for value in (0.9, 0.95, 0.99)]
    assert intervals.over_seeds(high).draws.max() == 1.0
    low = [intervals.Draws(-value, np.full(4000, -value)) for value in (0.01, 0.1)]
    assert intervals.over_seeds(low, least=-1.0).draws.min() < -0.1


@pytest.mark.parametrize("training", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("splits", ["own test part", "one test part"])
def test_an_interval_over_five_runs_covers_whatever_decides_and_is_no_wider_than_that(splits, training):
    """Patients' chance of a run has deviation 0.02, that of training `training` times as much."""
    random = np.random.default_rng(11)
    covered, widths = 0, []
    for trial in range(400):
        shared = random.normal(0, 0.02), random.normal(0, 0.02, 400)
        runs = []
        for _ in range(5):
            own = random.normal(0, 0.02), random.normal(0, 0.02, 400)
            off, draws = own if splits == "own test part" else shared
            value = 0.5 + off + random.normal(0, 0.02 * training)
            runs.append(intervals.Draws(value, value + draws))
        found = intervals.over_seeds(runs, trial).interval()
        covered += found.low <= 0.5 <= found.high
        widths.append(found.high - found.low)
    assert covered / 400 > 0.92
    patients = 0.02**2 / 5 if splits == "own test part" else 0.02**2
    right = 2 * 1.96 * np.sqrt(patients + (0.02 * training) ** 2 / 5)
    # Not to know how much training varies costs up to 1.42 times, Student's quantile over the normal one.
    assert np.mean(widths) / right < 1.45


def test_an_interval_over_seeds_and_patients_covers_where_one_over_patients_alone_does_not():
    random = np.random.default_rng(5)
    covered = {"both": 0, "patients": 0}
    for trial in range(300):
        patients = random.normal(0, 1, 80)
        runs = []
        for _ in range(8):
            of_seed = random.normal(0, 0.2)
            resampled = patients[np.random.default_rng(trial).integers(0, 80, (300, 80))].mean(axis=1)
            runs.append(intervals.Draws(patients.mean() + of_seed, resampled + of_seed))
        both = intervals.over_seeds(runs, trial).interval()
        covered["both"] += both.low <= 0 <= both.high
        one = runs[0].interval()
        covered["patients"] += one.low <= 0 <= one.high
    assert covered["both"] / 300 > 0.9
    assert covered["patients"] / 300 < 0.88


def test_a_difference_of_draws_is_taken_resample_by_resample():
    first, second = intervals.Draws(0.8, np.array([0.7, 0.9])), intervals.Draws(0.5, np.array([0.6, 0.4]))
    found = first.minus(second)
    assert found.value == pytest.approx(0.3)
    assert found.draws == pytest.approx([0.1, 0.5])


def test_the_mean_of_figures_and_their_difference_hold_the_chance_of_all_trainings():
    random = np.random.default_rng(2)
    runs = [intervals.Draws(value, value + random.normal(0, 0.01, 500)) for value in (0.5, 0.6, 0.7)]
    one, other = intervals.over_seeds(runs, 1), intervals.over_seeds(runs[:2], 2)
    apart = one.minus(other)
    assert apart.by_patients == pytest.approx(one.by_patients - other.by_patients)
    assert apart.training == (*one.training, *other.training)
    both = intervals.mean_of([one, other])
    assert both.value == pytest.approx((0.6 + 0.55) / 2)
    assert sum(part.variance for part in both.training) == pytest.approx(
        sum(part.variance for part in apart.training) / 4
    )
