"""Decisions against scikit-learn, with its `zero_division=0`."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from clinstack.metrics import decisions


@pytest.fixture(params=range(5))
def table(request):
    random = np.random.default_rng(request.param)
    labels, decided = random.random((2, 30, 6)) < 0.25
    labels[:, 0], decided[:, 0] = False, False
    decided[:, 1] = False
    return labels, decided


def test_f1_averages_equal_scikit_learn(table):
    labels, decided = table
    for average, metric in {"macro": decisions.f1_macro, "micro": decisions.f1_micro}.items():
        expected = oracle.f1_score(labels, decided, average=average, zero_division=0)
        assert metric(labels, decided) == pytest.approx(expected, abs=1e-12)


def test_binary_f1_and_accuracy_equal_scikit_learn(table):
    labels, decided = (part[:, 2] for part in table)
    assert decisions.f1(labels, decided) == pytest.approx(oracle.f1_score(labels, decided), abs=1e-12)
    assert decisions.accuracy(labels, decided) == pytest.approx(oracle.accuracy_score(labels, decided), abs=1e-12)


def test_accuracy_of_rows_asks_for_the_whole_row(table):
    assert decisions.accuracy(*table) == pytest.approx(oracle.accuracy_score(*table), abs=1e-12)


def test_nothing_true_and_nothing_decided_is_zero():
    assert decisions.f1([False, False], [False, False]) == 0.0


def test_weighted_counts_equal_repeated_notes(table):
    labels, decided = table
    weights = np.random.default_rng(9).integers(0, 3, (4, 30)).astype(np.int32)
    counts = decisions.Counts(labels, decided, weights)
    for row, macro, micro in zip(weights, counts.f1_macro(), counts.f1_micro(), strict=True):
        repeated = np.repeat(np.arange(30), row)
        assert macro == pytest.approx(decisions.f1_macro(labels[repeated], decided[repeated]), abs=1e-12)
        assert micro == pytest.approx(decisions.f1_micro(labels[repeated], decided[repeated]), abs=1e-12)


def test_the_interval_of_a_macro_f1_holds_its_figure_where_classes_are_rare():
    """Twelve classes of one note each beside a frequent one: a resample lacks a third of them."""
    label = np.repeat(np.arange(13), [1] * 12 + [48])
    decided = np.where(np.arange(60) % 5 == 0, 12, label)
    labels, chosen = np.eye(13, dtype=bool)[label], np.eye(13, dtype=bool)[decided]
    figure = decisions.f1_macro(labels, chosen)
    weights = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 2000).astype(np.int32)
    draws = decisions.Counts(labels, chosen, weights).f1_macro()
    assert 0.25 < np.mean(draws < figure) < 0.75
    as_nothing = decisions.Counts(labels, chosen, weights).f1_per_class().mean(axis=1)
    assert np.mean(as_nothing < figure) > 0.95


def test_a_label_alone_that_a_resample_misses_has_no_f1_to_speak_of():
    truth = np.array([[True], [False]])
    assert decisions.Counts(truth, truth, np.array([[1, 1], [0, 2]], dtype=np.int32)).f1_macro().tolist() == [1.0, 0.0]
