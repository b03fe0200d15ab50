"""Ranking metrics against scikit-learn, which sorts and sums in quite another way."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from clinstack.errors import BadInput
from clinstack.metrics import ranking

TOLERANCE = 1e-12


@st.composite
def one_label(draw):
    """Few distinct scores, so that ties are the rule; down to two notes; at least one of each value."""
    count = draw(st.integers(2, 40))
    scores = draw(st.lists(st.sampled_from([-3.0, -0.5, 0.0, 1e-9, 0.25, 7.0]), min_size=count, max_size=count))
    labels = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    labels[0], labels[-1] = True, False
    order = draw(st.permutations(range(count)))
    return np.array(scores)[order], np.array(labels)[order]


@settings(max_examples=150)
@given(one_label())
def test_one_label_equals_scikit_learn_with_ties(case):
    scores, labels = case
    assert ranking.auroc(scores, labels) == pytest.approx(oracle.roc_auc_score(labels, scores), abs=TOLERANCE)
    assert ranking.auprc(scores, labels) == pytest.approx(oracle.average_precision_score(labels, scores), abs=TOLERANCE)


@settings(max_examples=100)
@given(one_label(), st.integers(0, 2**32 - 1))
def test_weighted_areas_equal_repeated_notes(case, seed):
    scores, labels = case
    weights = np.random.default_rng(seed).integers(0, 4, (5, len(scores))).astype(np.int32)
    areas = ranking.Ranked(scores, labels).areas(weights)
    for row, auroc, auprc in zip(weights, *areas, strict=True):
        repeated = np.repeat(np.arange(len(scores)), row)
        assert auroc == pytest.approx(ranking.auroc(scores[repeated], labels[repeated]), abs=TOLERANCE, nan_ok=True)
        assert auprc == pytest.approx(ranking.auprc(scores[repeated], labels[repeated]), abs=TOLERANCE, nan_ok=True)


def test_blocks_of_resamples_are_put_together_in_order(monkeypatch):
    random = np.random.default_rng(5)
    ranked = ranking.Ranked(random.normal(size=50), random.random(50) < 0.4)
    weights = random.integers(0, 3, (23, 50)).astype(np.int32)
    whole = ranked.areas(weights)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 200)
    in_blocks = ranked.areas(weights)
    assert np.array_equal(whole.auroc, in_blocks.auroc)
    assert np.array_equal(whole.auprc, in_blocks.auprc)


def test_constant_scores_are_worth_nothing():
    labels = np.array([True, False, False, True, False])
    assert ranking.auroc(np.full(5, 0.3), labels) == 0.5
    assert ranking.auprc(np.full(5, 0.3), labels) == pytest.approx(0.4, abs=TOLERANCE)


@pytest.mark.parametrize("value", [True, False])
def test_a_label_without_both_values_has_no_area(value):
    labels = np.full(4, value)
    assert np.isnan(ranking.auroc(np.arange(4), labels))
    assert np.isnan(ranking.auprc(np.arange(4), labels))


def test_no_notes_have_no_area():
    assert np.isnan(ranking.auroc([], []))


def many_labels(notes=80, classes=12):
    random = np.random.default_rng(1)
    labels = random.random((notes, classes)) < 0.2
    scores = np.round(random.normal(size=(notes, classes)) + labels, 1)
    return scores, labels


def test_multilabel_averages_equal_scikit_learn():
    scores, labels = many_labels()
    expected = {
        ranking.auroc_macro: oracle.roc_auc_score(labels, scores, average="macro"),
        ranking.auroc_micro: oracle.roc_auc_score(labels, scores, average="micro"),
        ranking.auprc_macro: oracle.average_precision_score(labels, scores, average="macro"),
        ranking.auprc_micro: oracle.average_precision_score(labels, scores, average="micro"),
    }
    for metric, value in expected.items():
        assert metric(scores, labels) == pytest.approx(value, abs=TOLERANCE), metric.__name__
    assert ranking.auroc_per_class(scores, labels) == pytest.approx(oracle.roc_auc_score(labels, scores, average=None))
    by_class = oracle.average_precision_score(labels, scores, average=None)
    assert ranking.auprc_per_class(scores, labels) == pytest.approx(by_class)


def test_macro_averages_pass_over_labels_that_lack_a_value():
    scores, labels = many_labels()
    labels[:, 3], labels[:, 7] = False, True
    held = [column for column in range(12) if column not in (3, 7)]
    per_class = ranking.auroc_per_class(scores, labels)
    assert np.isnan(per_class[[3, 7]]).all()
    expected = oracle.roc_auc_score(labels[:, held], scores[:, held], average="macro")
    assert ranking.auroc_macro(scores, labels) == pytest.approx(expected, abs=TOLERANCE)
    assert np.isnan(ranking.auroc_macro(scores[:, [3, 7]], labels[:, [3, 7]]))


def three_classes(notes=60):
    random = np.random.default_rng(2)
    classes = random.integers(0, 3, notes)
    probabilities = random.dirichlet([2, 1, 1], notes).round(2)
    probabilities[:, 0] = 1 - probabilities[:, 1:].sum(axis=1)
    return probabilities, classes, np.eye(3, dtype=bool)[classes]


def test_multiclass_averages_equal_scikit_learn():
    probabilities, classes, labels = three_classes()
    for name, metric in {"ovo": ranking.auroc_ovo_macro, "ovr": ranking.auroc_ovr_macro}.items():
        expected = oracle.roc_auc_score(classes, probabilities, multi_class=name, average="macro")
        assert metric(probabilities, labels) == pytest.approx(expected, abs=TOLERANCE)


def test_an_absent_class_leaves_the_pairs_that_exist():
    probabilities, classes, labels = three_classes()
    kept = classes != 2
    first = oracle.roc_auc_score(classes[kept] == 0, probabilities[kept, 0])
    second = oracle.roc_auc_score(classes[kept] == 1, probabilities[kept, 1])
    found = ranking.auroc_ovo_macro(probabilities[kept], labels[kept])
    assert found == pytest.approx((first + second) / 2, abs=TOLERANCE)
    assert np.isnan(ranking.auroc_ovo_macro(probabilities[classes == 0], labels[classes == 0]))


@settings(max_examples=60)
@given(one_label())
def test_the_roc_curve_has_the_area_it_shows(case):
    scores, labels = case
    curve = ranking.roc_curve(scores, labels)
    assert np.trapezoid(curve.true_positive_rate, curve.false_positive_rate) == pytest.approx(
        ranking.auroc(scores, labels), abs=TOLERANCE
    )
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)


def test_scores_that_have_no_order_are_refused():
    message = "Some scores are NaN, so the notes have no order. The training that gave them probably diverged."
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        ranking.auroc([0.1, np.nan], [True, False])


def test_shapes_that_disagree_are_refused():
    message = "The scores have shape (2,) and the labels (3,); they must be the same."
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        ranking.auroc([0.1, 0.2], [True, False, True])


def test_a_roc_curve_of_one_value_is_refused():
    message = "A ROC curve needs notes with the label and notes without it; here all notes are alike."
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        ranking.roc_curve([0.1, 0.2], [True, True])
