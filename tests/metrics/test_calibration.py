"""Calibration against scikit-learn and against tables small enough to work out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from clinstack.metrics import calibration


def test_brier_scores_equal_scikit_learn():
    random = np.random.default_rng(0)
    probabilities, labels = random.random(50), random.random(50) < 0.4
    expected = oracle.brier_score_loss(labels, probabilities)
    assert calibration.brier_binary(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    classes, spread = random.integers(0, 3, 50), random.dirichlet([1, 1, 1], 50)
    expected = oracle.brier_score_loss(classes, spread, scale_by_half=False)
    assert calibration.brier_multiclass(spread, np.eye(3, dtype=bool)[classes]) == pytest.approx(expected, abs=1e-12)


def test_multilabel_brier_is_the_mean_of_the_labels():
    random = np.random.default_rng(1)
    probabilities, labels = random.random((40, 3)), random.random((40, 3)) < 0.3
    each = [calibration.brier_binary(probabilities[:, label], labels[:, label]) for label in range(3)]
    assert calibration.brier_multilabel(probabilities, labels) == pytest.approx(np.mean(each), abs=1e-12)


def test_the_reliability_table_equals_scikit_learn():
    random = np.random.default_rng(2)
    probabilities = random.random(200)
    labels = random.random(200) < probabilities
    observed, mean = calibration_curve(labels, probabilities, n_bins=10)
    table = calibration.reliability(probabilities, labels, bins=10)
    assert table.observed_fraction == pytest.approx(observed, abs=1e-12)
    assert table.mean_probability == pytest.approx(mean, abs=1e-12)
    assert table.entries.sum() == 200


def test_a_probability_of_one_is_in_the_last_bin():
    table = calibration.reliability([0.0, 0.95, 1.0], [False, True, True])
    assert table.entries.tolist() == [1, 2]
    assert table.observed_fraction.tolist() == [0.0, 1.0]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 6))
def test_the_parts_of_a_brier_score_add_up_to_it_where_each_probability_is_its_bins_mean(entries, bins):
    likely, truths = (np.array(column) for column in zip(*entries, strict=True))
    edges = calibration.equal_mass(likely, bins)
    place = np.searchsorted(edges, likely, side="right")
    means = np.array([likely[place == one].mean() for one in place])
    parts = calibration.brier_parts(likely, truths, edges)
    together = parts.reliability - parts.resolution + parts.uncertainty
    assert together == pytest.approx(calibration.brier_binary(means, truths), abs=1e-9)


def test_bins_of_equal_mass_hold_as_many_entries_each():
    likely = np.random.default_rng(0).beta(1, 20, 1500)
    place = np.searchsorted(calibration.equal_mass(likely, 15), likely, side="right")
    assert np.bincount(place).tolist() == [100] * 15


def test_the_error_in_bins_of_equal_mass_is_the_mean_over_bins():
    chance = np.random.default_rng(1)
    likely = chance.random((300, 1))
    truths = chance.random((300, 1)) < likely**2
    order = np.argsort(likely[:, 0])
    bins = np.array_split(order, 5)
    expected = np.mean([abs(likely[one].mean() - truths[one].mean()) for one in bins])
    once = np.ones((1, 300), dtype=np.int32)
    assert calibration.BinnedNotes(likely, truths, calibration.equal_mass(likely, 5)).error(once)[0] == pytest.approx(
        expected
    )


def test_expected_calibration_error_by_hand():
    # Two bins: (0.1, 0.3) with one of two true, |0.2 - 0.5| = 0.3; (0.9) true, |0.9 - 1| = 0.1. (2 * 0.3 + 0.1) / 3.
    error = calibration.expected_calibration_error([0.1, 0.3, 0.9], [False, True, True], bins=2)
    assert error == pytest.approx(0.7 / 3, abs=1e-12)
