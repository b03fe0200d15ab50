"""Calibration against scikit-learn and against tables small enough to work out by hand."""

import numpy as np
import pytest
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


def test_expected_calibration_error_by_hand():
    # Two bins: (0.1, 0.3) with one of two true, |0.2 - 0.5| = 0.3; (0.9) true, |0.9 - 1| = 0.1. (2 * 0.3 + 0.1) / 3.
    error = calibration.expected_calibration_error([0.1, 0.3, 0.9], [False, True, True], bins=2)
    assert error == pytest.approx(0.7 / 3, abs=1e-12)
