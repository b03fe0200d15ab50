"""Many comparisons: Holm against its definition, and the chance of a false alarm counted."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from clinstack.metrics.intervals import Draws, over_seeds
from clinstack.metrics.many import holm, mcnemar, p_of_draws, p_of_splits

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(p_values)
def test_holm_is_the_closed_test_of_bonferroni(values):
    # A hypothesis is rejected if every set that holds it is, by Bonferroni within the set.
    adjusted = holm(dict(enumerate(values)))
    for one in range(len(values)):
        others = [other for other in range(len(values)) if other != one]
        sets = [{one, *more} for size in range(len(values)) for more in combinations(others, size)]
        expected = max(min(1.0, len(group) * min(values[i] for i in group)) for group in sets)
        assert adjusted[one] == pytest.approx(expected)


def test_what_has_no_p_value_does_not_count():
    adjusted = holm({"a": 0.02, "b": math.nan, "c": 0.03})
    assert (adjusted["a"], adjusted["c"]) == (0.04, 0.04)
    assert math.isnan(adjusted["b"])


def test_a_family_of_nothing_raises_a_false_alarm_in_one_of_twenty():
    random = np.random.default_rng(0)
    alarms = [min(holm(dict(enumerate(random.random(10)))).values()) < 0.05 for _ in range(4000)]
    assert 0.035 < np.mean(alarms) < 0.06


def p_of(draws) -> float:
    return p_of_draws(Draws(float(draws.mean()), draws))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_few_trainings_never_give_a_small_p_value_where_there_is_no_difference(seeds):
    """Holm's correction asks at such thresholds: with two seeds a normal tail was below 0.0005 in 3 of 100 such comparisons."""
    random = np.random.default_rng(4)
    found = []
    for trial in range(500):
        patients, steady = random.normal(0, 0.01, 1000), random.normal(0, 0.01)
        runs = []
        for _ in range(seeds):
            value = 0.5 + steady + random.normal(0, 0.01)
            runs.append(Draws(value, value + patients + random.normal(0, 0.005, 1000)))
        fixed = Draws(0.5 + steady, 0.5 + steady + patients)
        found.append(p_of_draws(over_seeds(runs, trial).minus(fixed)))
    assert np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(np.array(found) < 0.001) < 0.005


def test_the_p_value_of_draws_is_small_where_they_lie_on_one_side_and_one_where_they_straddle():
    assert p_of(np.full(999, 0.5)) == p_of(np.full(999, -0.5)) == 2 / 1000
    assert p_of(np.array([-1.0, 1.0])) == 1.0
    assert p_of(np.zeros(100)) == 1.0
    assert math.isnan(p_of(np.array([math.nan])))


def test_where_all_draws_lie_on_one_side_their_distance_from_0_says_how_sure_it_is():
    draws = np.random.default_rng(2).normal(size=999)
    near, far = (p_of((draws - draws.mean()) / draws.std() + distance) for distance in (4, 6))
    assert near == pytest.approx(2 * norm.sf(4))
    assert far == pytest.approx(2 * norm.sf(6))


def test_p_values_of_a_bootstrapped_mean_are_uniform_where_there_is_no_difference():
    random = np.random.default_rng(1)
    found = []
    for _ in range(400):
        sample = random.normal(size=60)
        draws = sample[random.integers(0, 60, (500, 60))].mean(axis=1)
        found.append(p_of(draws))
    assert 0.03 < np.mean(np.array(found) < 0.05) < 0.09
    assert 0.42 < np.mean(np.array(found) < 0.5) < 0.58


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_a_test_of_coins(notes):
    first, second = (np.array(column) for column in zip(*notes, strict=True))
    alone = int((first & ~second).sum()), int((second & ~first).sum())
    expected = binomtest(alone[0], sum(alone)).pvalue if sum(alone) else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_one_p_value_of_several_splits_raises_no_more_false_alarms_whatever_their_dependence():
    random = np.random.default_rng(0)
    for shared in (0.0, 0.7, 1.0):
        common, own = random.normal(size=(4000, 1)), random.normal(size=(4000, 5))
        p_values = 2 * norm.cdf(-np.abs(np.sqrt(shared) * common + np.sqrt(1 - shared) * own))
        assert np.mean([p_of_splits(row) < 0.05 for row in p_values]) < 0.055
    assert p_of_splits([0.03]) == 0.03
    assert math.isnan(p_of_splits([]))
