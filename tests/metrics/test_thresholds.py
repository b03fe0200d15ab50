"""Thresholds and shares, against brute force and statsmodels' formula as scikit-learn and scipy have them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from clinstack.metrics.thresholds import Neighbours, best_f1_band, best_f1_threshold, wilson

SCORED = st.lists(st.tuples(st.integers(0, 12).map(lambda one: one / 12), st.booleans()), min_size=1, max_size=40)


@given(SCORED)
def test_no_threshold_has_a_higher_f1(notes):
    values, truths = np.array([one[0] for one in notes]), np.array([one[1] for one in notes])
    found = best_f1_threshold(values, truths)
    if not truths.any():
        assert found is None
        return
    best = max(f1_score(truths, values >= cut, zero_division=0) for cut in [0.0, *values])
    assert f1_score(truths, values >= found) == pytest.approx(best)
    assert not (values == found).any() or found == 0


@given(SCORED)
def test_the_band_holds_the_threshold(notes):
    values, truths = np.array([one[0] for one in notes]), np.array([one[1] for one in notes])
    found, threshold = best_f1_band(values, truths, resamples=20), best_f1_threshold(values, truths)
    assert (found is None) == (threshold is None)
    if found is not None:
        assert 0 <= found.low <= found.value == threshold <= found.high <= 1


def test_the_band_is_where_resampled_notes_put_the_threshold():
    chance = np.random.default_rng(5)
    values = chance.beta(1, 4, 600)
    truths = chance.random(600) < values
    drawn = [chance.integers(0, 600, 600) for _ in range(500)]
    low, high = np.quantile([best_f1_threshold(values[one], truths[one]) for one in drawn], [0.025, 0.975])
    found = best_f1_band(values, truths, resamples=500)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.low < found.value < found.high


def test_the_band_of_a_label_that_is_plainly_apart_is_nothing():
    found = best_f1_band([0.1] * 50 + [0.9] * 50, [False] * 50 + [True] * 50)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (10, 10), (3, 17), (120, 200), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(hits, of):
    wanted = binomtest(hits, of).proportion_ci(method="wilson")
    found = wilson(hits, of)
    assert found.value == hits / of
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@given(SCORED, st.floats(0, 1), st.integers(1, 50))
def test_neighbours_are_the_nearest_and_all_their_equals(notes, probability, near):
    values, truths = np.array([one[0] for one in notes]), np.array([one[1] for one in notes])
    share, count = Neighbours(values, truths, near).share(probability)
    wanted = min(near, len(values))
    farthest = np.sort(np.abs(values - probability))[wanted - 1]
    assert wanted <= count <= (np.abs(values - probability) <= farthest + 1e-12).sum()
    assert share.low <= share.value <= share.high
    inside = [
        (values >= low) & (values <= high)
        for low in values
        for high in values
        if ((values >= low) & (values <= high)).sum() == count
    ]
    assert any(truths[one].mean() == share.value for one in inside)
