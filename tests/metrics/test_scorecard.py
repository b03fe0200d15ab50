"""The scorecard: a conformance matrix over the kinds, against plain functions and a bootstrap that copies notes."""

import json
import re

import numpy as np
import pytest
from sklearn import metrics as oracle

from clinstack.errors import BadInput
from clinstack.metrics import calibration, decisions, ranking
from clinstack.metrics.kinds import KINDS
from clinstack.metrics.scorecard import (
    calibration_error,
    headline,
    headline_statistic,
    probabilities,
    scorecard,
    selection_score,
    statistics,
)

CLASSES = {"binary": 2, "multiclass": 4, "multilabel": 6}


def notes_of(kind, count=90):
    """Logits a little better than chance and rounded so that some tie, labels, and patients of one to several notes."""
    random = np.random.default_rng(11)
    classes = CLASSES[kind]
    if kind == "multilabel":
        labels = random.random((count, classes)) < 0.3
    else:
        labels = np.eye(classes, dtype=bool)[random.integers(0, classes, count)]
    logits = (random.normal(size=labels.shape) + labels).round(1)
    return logits, labels, [f"patient-{number}" for number in random.integers(0, count // 2, count)]


def plainly(kind, logits, labels):
    """Every metric by the functions for one set of notes, without weights."""
    values = probabilities(kind, logits)
    if kind == "binary":
        ahead, label, decided = logits[:, 1] - logits[:, 0], labels[:, 1], logits[:, 1] > logits[:, 0]
        return {
            "auroc": ranking.auroc(ahead, label),
            "auprc": ranking.auprc(ahead, label),
            "f1_positive": decisions.f1(label, decided),
            "accuracy": decisions.accuracy(label, decided),
            "brier": calibration.brier_binary(values[:, 1], label),
            "ece": calibration.expected_calibration_error(values[:, 1], label),
        }
    if kind == "multiclass":
        decided = np.eye(values.shape[1], dtype=bool)[values.argmax(axis=1)]
        return {
            "auroc_ovo_macro": ranking.auroc_ovo_macro(values, labels),
            "auroc_ovr_macro": ranking.auroc_ovr_macro(values, labels),
            "auprc_macro": ranking.auprc_macro(values, labels),
            "f1_macro": decisions.f1_macro(labels, decided),
            "accuracy": decisions.accuracy(labels, decided),
            "brier": calibration.brier_multiclass(values, labels),
            "ece": calibration.expected_calibration_error(values.max(axis=1), decisions.right(labels, decided)),
        }
    decided = values >= 0.5
    return {
        "auroc_macro": ranking.auroc_macro(logits, labels),
        "auroc_micro": ranking.auroc_micro(logits, labels),
        "auprc_macro": ranking.auprc_macro(logits, labels),
        "auprc_micro": ranking.auprc_micro(logits, labels),
        "f1_macro": decisions.f1_macro(labels, decided),
        "f1_micro": decisions.f1_micro(labels, decided),
        "brier": calibration.brier_multilabel(values, labels),
        "ece": calibration.expected_calibration_error(values, labels),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_and_interval_equals_the_slow_bootstrap(kind, slow_resamples):
    logits, labels, ids = notes_of(kind)
    card = scorecard(kind, logits, labels, ids, resamples=60, seed=5)
    values = plainly(kind, logits, labels)
    drawn = [plainly(kind, logits[notes], labels[notes]) for notes in slow_resamples(ids, 60, 5)]
    assert list(card.metrics) == list(values)
    for name, value in values.items():
        figures = np.array([each[name] for each in drawn])
        if name == "ece":  # noise raises it, and a resample has more
            figures = np.maximum(figures - figures.mean() + value, 0)
        low, high = np.nanquantile(figures, [0.025, 0.975])
        found = card.metrics[name]
        assert (found["value"], found["low"], found["high"]) == pytest.approx((value, low, high), abs=1e-12), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_of_a_calibration_error_holds_it(kind):
    """Of probabilities that hold, the error is what few notes leave of chance, and every resample has more of that."""
    chance = np.random.default_rng(1)
    for _ in range(5):
        logits = chance.normal(size=(200, 2 if kind == "binary" else 3))
        likely = probabilities(kind, logits)
        if kind == "multilabel":
            labels = chance.random(likely.shape) < likely
        else:
            labels = np.eye(likely.shape[1], dtype=bool)[[chance.choice(len(row), p=row) for row in likely]]
        found = calibration_error(kind, logits, labels, [str(note) for note in range(200)], resamples=300)
        assert 0 <= found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_calibration_error_alone_is_the_scorecards(kind):
    logits, labels, ids = notes_of(kind)
    alone = calibration_error(kind, logits, labels, ids, resamples=50, seed=2)
    assert alone == scorecard(kind, logits, labels, ids, resamples=50, seed=2).metrics["ece"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_figures_of_each_class_and_their_intervals_equal_the_slow_bootstrap(kind, slow_resamples):
    logits, labels, ids = notes_of(kind)
    card = scorecard(kind, logits, labels, ids, resamples=40, seed=5)
    scores = {"binary": logits - logits[:, ::-1], "multilabel": logits}.get(kind, probabilities(kind, logits))
    assert list(card.by_class) == ([1] if kind == "binary" else list(range(labels.shape[1])))
    for column, figures in card.by_class.items():
        for name, one in (("auroc", ranking.auroc), ("auprc", ranking.auprc)):
            drawn = [one(scores[notes, column], labels[notes, column]) for notes in slow_resamples(ids, 40, 5)]
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            expected = (one(scores[:, column], labels[:, column]), low, high)
            assert tuple(figures[name].values()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_selection_score_is_a_figure_of_the_scorecard(kind):
    logits, labels, ids = notes_of(kind)
    name, value, _ = selection_score(kind, logits, labels)
    assert scorecard(kind, logits, labels, ids, resamples=2).metrics[name]["value"] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_selection_by_macro_f1_is_scikit_learns_and_log_loss_decides_between_equals(kind):
    logits, labels, _ = notes_of(kind)
    found = selection_score(kind, logits, labels, "f1-macro")
    likely = probabilities(kind, logits)
    decided = likely >= 0.5 if kind == "multilabel" else np.eye(labels.shape[1], dtype=bool)[likely.argmax(axis=1)]
    assert found.name == "f1_macro"
    assert found.value == pytest.approx(oracle.f1_score(labels, decided, average="macro", zero_division=0))
    if kind == "multilabel":
        loss = np.mean(
            [oracle.log_loss(label, said, labels=[0, 1]) for label, said in zip(labels.T, likely.T, strict=True)]
        )
    else:
        loss = oracle.log_loss(labels.argmax(axis=1), likely, labels=range(labels.shape[1]))
    assert found.tie == pytest.approx(-loss)


@pytest.mark.parametrize("kind", KINDS)
def test_the_headline_is_the_figure_of_the_scorecard_in_every_resample(kind):
    logits, labels, _ = notes_of(kind)
    weights = np.random.default_rng(0).integers(0, 3, (8, len(labels))).astype(np.int32)
    of_card = statistics(kind, logits, labels)(weights)[headline(kind)]
    assert np.array_equal(headline_statistic(kind, logits, labels)(weights), of_card)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_stable_and_between_zero_and_one(kind):
    logits = np.array([[1e4, -1e4], [0.0, 0.0], [-1e4, 1e4]])
    values = probabilities(kind, logits)
    assert values[1].tolist() == [0.5, 0.5]
    assert ((values >= 0) & (values <= 1)).all()
    if kind != "multilabel":
        assert values.sum(axis=1).tolist() == [1.0, 1.0, 1.0]


def test_one_column_of_a_binary_task_is_the_positive_logit():
    logits, labels, ids = notes_of("binary")
    ahead = (logits[:, 1] - logits[:, 0])[:, None]
    assert np.allclose(probabilities("binary", ahead), probabilities("binary", logits), atol=1e-15)
    assert scorecard("binary", ahead, labels, ids, resamples=5) == scorecard("binary", logits, labels, ids, resamples=5)


def test_confident_logits_keep_their_order_where_probabilities_round_to_one():
    labels = np.array([[True], [False]]) & np.array([[True, True]])
    logits = np.array([[60.0, 61.0], [50.0, 50.0]])
    assert (probabilities("multilabel", logits) == 1).all()
    assert selection_score("multilabel", logits, labels) == ("auroc_macro", 1.0, 0.0)


def test_figures_that_do_not_exist_are_null_in_json():
    logits, labels, ids = notes_of("multilabel")
    card = scorecard("multilabel", logits[:, :1], np.zeros_like(labels[:, :1]), ids, resamples=5)
    assert card.metrics["auroc_macro"] == {"value": None, "low": None, "high": None}
    assert card.labels_scored == 0
    assert json.loads(json.dumps(card.metrics, allow_nan=False)) == card.metrics


def test_labels_scored_counts_classes_that_are_present_and_absent():
    logits, labels, ids = notes_of("multilabel")
    labels[:, 0], labels[:, 4] = True, False
    assert scorecard("multilabel", logits, labels, ids, resamples=2).labels_scored == 4


def test_a_selection_that_is_undefined_is_refused():
    message = (
        "auroc cannot be computed: no class has both notes with it and notes without it. "
        "The validation split needs more notes or more patients."
    )
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        selection_score("binary", np.zeros((2, 2)), np.array([[True, False], [True, False]]))


def test_bad_input_is_told_apart():
    labels = np.array([[True, False], [False, True]])
    with pytest.raises(BadInput, match=r"^Unknown kind of task 'binery'\. Did you mean 'binary'\? Known: binary, "):
        probabilities("binery", np.zeros((2, 2)))
    with pytest.raises(BadInput, match=r"^Some logits are not finite: the training diverged\."):
        scorecard("binary", np.array([[0.0, np.nan], [0.0, 1.0]]), labels, ["a", "b"])
    with pytest.raises(BadInput, match=r"^The logits give \(3, 2\) \(notes, classes\) and the labels \(2, 2\)\.$"):
        scorecard("binary", np.zeros((3, 2)), labels, ["a", "b", "c"])
    with pytest.raises(BadInput, match=r"^A multiclass task needs exactly one label per note\.$"):
        scorecard("multiclass", np.zeros((2, 2)), np.ones((2, 2), dtype=bool), ["a", "b"])


def test_rare_labels_do_not_lift_the_interval_of_the_macro_average_precision():
    """Half the labels have one or two positive notes, so many a resample has none of theirs."""
    chance = np.random.default_rng(0)
    truths = chance.random((400, 80)) < 0.006
    logits = chance.normal(size=truths.shape) + 1.5 * truths
    found = scorecard("multilabel", logits, truths, [str(n) for n in range(400)], resamples=400).metrics["auprc_macro"]
    assert found["value"] == pytest.approx(
        np.mean([oracle.average_precision_score(t, s) for t, s in zip(truths.T, logits.T, strict=True) if t.any()])
    )
    assert (found["low"] + found["high"]) / 2 == pytest.approx(found["value"], rel=0.1)
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_rare_labels_do_not_lift_the_interval_of_a_macro_auroc(kind, slow_resamples):
    """What is frequent is told apart well, what is rare by chance; and a resample seldom has all that is rare."""
    chance = np.random.default_rng(3)
    labels = np.eye(8, dtype=bool)[np.repeat(np.arange(8), [60, 60, 60, 2, 2, 2, 2, 2])]
    logits = chance.normal(size=labels.shape) + 3 * (labels & (np.arange(8) < 3))
    ids = [str(note) for note in range(len(labels))]
    name = headline(kind)
    found = scorecard(kind, logits, labels, ids, resamples=300, seed=5).metrics[name]
    assert found["value"] == pytest.approx(plainly(kind, logits, labels)[name], abs=1e-12)
    assert (found["low"] + found["high"]) / 2 == pytest.approx(found["value"], abs=0.02)

    def areas(notes):
        truths, scores = labels[notes], probabilities(kind, logits)[notes]
        if kind == "multilabel":
            return [area(truths[:, one], logits[notes, one]) for one in range(8)]
        pairs = [(a, b) for a in range(8) for b in range(8) if a != b]
        return [area(truths[own, a], scores[own, a]) for a, b in pairs for own in [truths[:, a] | truths[:, b]]]

    def area(truths, scores):
        return oracle.roc_auc_score(truths, scores) if truths.any() and not truths.all() else np.nan

    whole = np.array(areas(np.arange(len(labels))))
    drawn = [whole.mean() + np.nanmean(areas(notes) - whole) for notes in slow_resamples(ids, 300, 5)]
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-9)
