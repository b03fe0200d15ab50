"""Errors among the surest notes, against counting them out one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinstack.metrics.abstention import Answered, risk_curve
from clinstack.metrics.scorecard import surety

notes = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30)


@given(notes=notes, coverage=st.floats(0.01, 1))
def test_the_risk_is_that_of_the_surest_notes_drawn_one_by_one(notes, coverage):
    """Notes of which a model is as sure are answered in every order: the mean over these is what each brings its share of."""
    sure, wrong, weights = (np.array(column) for column in zip(*notes, strict=True))
    found = Answered(sure, wrong).risks([coverage], weights[None, :])[0, 0]
    left = coverage * weights.sum()
    if not left:
        assert np.isnan(found)
        return
    answered, errors = left, 0.0
    for value in sorted(set(sure), reverse=True):
        mine = sure == value
        held = weights[mine].sum()
        taken = min(left, held)
        if held:
            errors += taken * (weights[mine] * wrong[mine]).sum() / held
        left -= taken
    assert found == pytest.approx(errors / answered, abs=1e-9)


def test_all_answered_is_the_error_of_all_and_the_surest_alone_may_be_right():
    sure, wrong = [5.0, 4.0, 3.0, 2.0], [False, False, True, True]
    assert risk_curve(sure, wrong, [0.25, 0.5, 0.75, 1.0]) == pytest.approx([0, 0, 1 / 3, 0.5])


def test_a_model_that_is_as_sure_of_everything_gains_nothing_by_leaving_notes_out():
    assert risk_curve([1.0] * 4, [True, False, False, False], [0.1, 0.5, 1.0]) == pytest.approx([0.25] * 3)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_model_is_sure_of_a_note_as_its_least_sure_decision_is(kind):
    logits = np.random.default_rng(0).normal(scale=2, size=(50, 2 if kind == "binary" else 4))
    found = surety(kind, logits)
    if kind == "multilabel":
        likely = 1 / (1 + np.exp(-np.abs(logits)))
        wanted = likely.min(axis=1)
    else:
        likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        wanted = likely.max(axis=1)
    assert 1 / (1 + np.exp(-found)) == pytest.approx(wanted)


def test_confident_notes_keep_their_order():
    """A softmax would round both to 1."""
    assert np.diff(surety("multiclass", np.array([[90.0, 0, 0], [80.0, 0, 0]])))[0] == pytest.approx(-10)
    assert np.diff(surety("binary", np.array([[0.0, 90.0], [80.0, 0.0]])))[0] == pytest.approx(-10)
