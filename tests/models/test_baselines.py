"""Baselines: what scikit-learn gives, saved without a pickle and read back to the bit, in the same table as everything else."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from scipy.optimize import minimize
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from clinstack.config import EvaluateOptions, PredictOptions, TrainOptions
from clinstack.errors import BadInput, WrongParents
from clinstack.evaluation.prediction import predict
from clinstack.evaluation.scoring import evaluate
from clinstack.metrics.kinds import KINDS
from clinstack.metrics.scorecard import probabilities, selection_score
from clinstack.models.baseline import LabelledTexts, baselines
from clinstack.models.baselines.tf_idf_svm import fit_curve
from clinstack.models.note_classifier import load
from clinstack.studies.report import write_report
from clinstack.training.classification import train

WORDS = ["patient", "stable", "shock", "pain", "fever", "heart", "lung", "the", "of", "with"]


def texts(count: int, seed: int = 0) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(WORDS, 12)) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", baselines())
def test_a_baseline_is_a_run_like_any_other(name, kind, small_task, tmp_path):
    task = small_task(kind)
    options = TrainOptions(base=name, task=task, out=tmp_path / "runs" / name, resamples=100)
    result = train(options)
    assert (result["variant"], result["base"]["name"], result["stack_proof"]) == ("baseline", name, {})
    assert json.loads((options.out / "result.json").read_text()) == result
    assert train(options) == result  # finished already
    stored = parquet.read_table(options.out / "predictions.parquet").filter(pc.field("split") == "test")
    test = parquet.read_table(task / "test.parquet")
    again = load(options.out)
    expected = np.array(stored.column("logits").to_pylist(), np.float32)
    assert np.array_equal(again.score_texts(test.column("text").to_pylist()), expected)
    scored = evaluate(EvaluateOptions(run=options.out, resamples=100))
    assert scored["metrics"] == result["metrics"]["test"]
    parquet.write_table(test, tmp_path / "notes.parquet")
    predict(PredictOptions(run=options.out, input=tmp_path / "notes.parquet", output=tmp_path / "out.csv"))
    assert len((tmp_path / "out.csv").read_text().splitlines()) == test.num_rows + 1
    write_report(tmp_path / "runs")
    assert name in (tmp_path / "runs" / "report.html").read_text()
    assert not list(options.out.rglob("*.pkl"))


def test_the_majority_gives_every_note_the_training_frequencies():
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    model = baselines()["majority"].fit("multilabel", LabelledTexts(texts(4), labels), LabelledTexts([], labels[:0]), 1)
    logits = model.logits(texts(5, seed=1))
    assert (logits == logits[0]).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[0])), [0.75, 0.25, 0.0], atol=1e-5)
    assert roc_auc_score([0, 1, 0, 1, 1], logits[:, 0]) == 0.5


def test_tf_idf_is_scikit_learns_pipeline_at_the_strength_that_validation_chose():
    train_texts, valid_texts, test_texts = texts(200), texts(80, seed=1), texts(50, seed=2)

    def labels_of(some):
        noise = np.random.default_rng(len(some)).normal(size=len(some))
        return np.eye(2, dtype=bool)[
            [int(t.count("shock") - t.count("stable") + n > 0) for t, n in zip(some, noise, strict=True)]
        ]

    train_part, valid_part = (LabelledTexts(some, labels_of(some)) for some in (train_texts, valid_texts))
    model = baselines()["tf-idf"].fit("binary", train_part, valid_part, 1)
    words = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)),
            ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)),
        ]
    ).fit(train_texts)
    scores = {}
    for strength in (0.1, 1.0, 10.0, 100.0):
        plain = LogisticRegression(C=strength, max_iter=300)
        plain.fit(words.transform(train_texts), train_part.labels[:, 1])
        scores[strength] = roc_auc_score(valid_part.labels[:, 1], plain.decision_function(words.transform(valid_texts)))
    assert model.strength == max(scores, key=scores.get)
    plain = LogisticRegression(C=model.strength, max_iter=300)
    plain.fit(words.transform(train_texts), train_part.labels[:, 1])
    logits = model.logits(test_texts)
    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0], plain.decision_function(words.transform(test_texts)), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_a_machine_is_selected_by_notes_that_its_curve_was_not_fitted_to(kind, monkeypatch):
    """A note's own label moves what is predicted of it, and not what it is judged by."""
    machine = baselines()["tf-idf-svm"]
    monkeypatch.setattr(machine, "strengths", (1.0,))
    chance, notes = np.random.default_rng(3), texts(40, seed=5)
    labels = chance.random((40, 3)) < 0.4 if kind == "multilabel" else np.eye(2, dtype=bool)[chance.integers(0, 2, 40)]
    train_part = LabelledTexts(notes[:24], labels[:24])

    def fitted(valid):
        return machine.fit(kind, train_part, LabelledTexts(notes[24:], valid), 1, "f1-macro")

    valid, moved = labels[24:], []
    before = fitted(valid)
    for row in range(len(valid)):
        other = valid.copy()
        other[row] = ~other[row]
        after = fitted(other)
        assert np.array_equal(after.judged[row], before.judged[row])
        moved.append(not np.allclose(after.logits([notes[24 + row]]), before.logits([notes[24 + row]]), atol=1e-3))
    assert np.mean(moved) > 0.9
    assert machine.fit(kind, train_part, LabelledTexts(notes[24:], valid), 1, "auroc").judged is None


def parts_of(seed: int = 0, count: int = 120) -> list[LabelledTexts]:
    """Three parts of a task with two classes, which words tell apart but for some noise."""
    found = []
    for part in range(3):
        some = texts(count, seed=10 * seed + part)
        noise = np.random.default_rng(part).normal(size=count)
        sick = [t.count("shock") - t.count("stable") + n > 0 for t, n in zip(some, noise, strict=True)]
        found.append(LabelledTexts(some, np.eye(2, dtype=bool)[np.array(sick, int)]))
    return found


def test_the_machine_is_scikit_learns_under_platts_curve():
    train_part, valid_part, test_part = parts_of()
    model = baselines()["tf-idf-svm"].fit("binary", train_part, valid_part, 1)
    plain = LinearSVC(C=model.strength, random_state=1)
    plain.fit(model.features.transform(train_part.texts), train_part.labels[:, 1])
    margins = {
        name: plain.decision_function(model.features.transform(part.texts))
        for name, part in (("valid", valid_part), ("test", test_part))
    }
    sick = valid_part.labels[:, 1]
    target = np.where(sick, (sick.sum() + 1) / (sick.sum() + 2), 1 / ((~sick).sum() + 2))

    def surprise(curve):
        logits = curve[0] * margins["valid"] + curve[1]
        return np.mean(np.logaddexp(0, logits) - target * logits)

    slope, offset = minimize(surprise, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).x
    logits = model.logits(test_part.texts)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], slope * margins["test"] + offset, atol=1e-3)
    scaled = 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0])))
    assert brier_score_loss(test_part.labels[:, 1], scaled) < 0.25


def test_margins_that_separate_all_do_not_become_certain():
    slope, offset = fit_curve(np.array([-1.0, -2.0, 3.0, 2.5]), np.array([False, False, True, True]))
    likely = 1 / (1 + np.exp(-(slope * np.array([-2.0, 3.0]) + offset)))
    assert 0.15 < likely[0] < 0.3
    assert 0.7 < likely[1] < 0.85


def test_a_curve_never_turns_a_ranking_round():
    assert fit_curve(np.array([1.0, -1.0, 2.0]), np.array([False, True, False]))[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_scikit_learns(kind):
    train_part, valid_part, test_part = parts_of()
    if kind == "multiclass":
        train_part, valid_part, test_part = (
            LabelledTexts(part.texts, np.eye(3, dtype=bool)[[t.count("shock") % 3 for t in part.texts]])
            for part in (train_part, valid_part, test_part)
        )
    model = baselines()["tf-idf-mlp"].fit(kind, train_part, valid_part, 1)
    seen = model.features.transform(train_part.texts)
    plain = MLPClassifier(hidden_layer_sizes=(64,), batch_size=32, random_state=np.random.RandomState(1))
    target = train_part.labels.astype(int) if kind == "multilabel" else train_part.labels.argmax(axis=1)
    known = np.arange(train_part.labels.shape[1])
    best = (-1.0, None)
    for _ in range(30):
        plain.partial_fit(seen, target, classes=known)
        likely = plain.predict_proba(model.features.transform(valid_part.texts))
        score = selection_score(kind, np.log(likely + 1e-12), valid_part.labels)[1]
        best = max(
            best, (score, plain.predict_proba(model.features.transform(test_part.texts))), key=lambda one: one[0]
        )
    found = probabilities(kind, model.logits(test_part.texts))
    assert selection_score(kind, model.logits(valid_part.texts), valid_part.labels)[1] == pytest.approx(
        best[0], abs=1e-6
    )
    np.testing.assert_allclose(found, best[1], atol=1e-4)


def test_groups_of_letters_are_read_of_short_notes_alone():
    part = LabelledTexts(texts(40), np.eye(2, dtype=bool)[[0, 1] * 20])
    long = LabelledTexts([one * 40 for one in part.texts], part.labels)
    kinds = [list(baselines()["tf-idf"].fit("binary", one, one, 1).features.vectorizers) for one in (part, long)]
    assert kinds == [["words", "letters"], ["words"]]


@pytest.mark.parametrize("name", ["tf-idf", "tf-idf-svm"])
def test_labels_that_no_note_or_every_note_has_are_answered_so(name):
    labels = np.array([[i % 2 == 0, False, True] for i in range(40)])
    part = LabelledTexts(texts(40), labels)
    logits = baselines()[name].fit("multilabel", part, part, 1).logits(texts(3, seed=1))
    assert (logits[:, 1] == -20).all()
    assert (logits[:, 2] == 20).all()


@pytest.mark.parametrize("name", baselines())
def test_a_class_that_training_lacks_is_thought_unlikely(name):
    labels = np.eye(3, dtype=bool)[[i % 2 for i in range(40)]]
    part = LabelledTexts(texts(40), labels)
    likely = probabilities("multiclass", baselines()[name].fit("multiclass", part, part, 1).logits(texts(3, seed=1)))
    assert (likely[:, 2] < 1e-3).all()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"clinical": Path("clinical"), "method_options": {"rank": 8}}, "--clinical, options of methods"),
        ({"head_adapter": "grn", "pooling": "mean"}, "--pooling, --head-adapter"),
        ({"max_tokens": 128, "epochs": 3}, "--epochs, --max-tokens"),
    ],
)
def test_options_of_layers_are_refused_instead_of_passed_over(given, named, small_task, tmp_path):
    with pytest.raises(BadInput) as caught:
        train(TrainOptions(base="tf-idf", task=small_task("binary"), out=tmp_path / "run", **given))
    said = "Baseline tf-idf has no layers to adapt and reads whole notes. Leave out"
    assert sorted(str(caught.value).removeprefix(said).strip(" .").split(", ")) == sorted(named.split(", "))
    assert not (tmp_path / "run").exists()


def test_a_profile_is_no_option_of_layers(small_task, tmp_path):
    options = {"task": small_task("binary"), "profile": "as-described", "seed": 3, "select_by": "f1-macro"}
    assert train(TrainOptions(base="majority", out=tmp_path / "run", resamples=100, **options))["variant"] == "baseline"


def test_a_changed_file_is_noticed(small_task, tmp_path):
    task = small_task("binary")
    train(TrainOptions(base="majority", task=task, out=tmp_path / "run", resamples=100))
    about = json.loads((tmp_path / "run" / "baseline.json").read_text())
    (tmp_path / "run" / "baseline.json").write_text(json.dumps({**about, "kind": "multilabel"}))
    with pytest.raises(WrongParents):
        load(tmp_path / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_that_scikit_learn_fits_and_no_counts_of_words(kind):
    classes = 2 if kind == "binary" else 3
    part = LabelledTexts(texts(60), np.eye(classes, dtype=bool)[[i % classes for i in range(60)]])
    found = {name: one.fit(kind, part, part, 1) for name, one in baselines().items()}
    words = found["tf-idf"].features.transform(part.texts).shape[1]
    outputs = 1 if kind == "binary" else classes
    assert {name: one.fitted_weights for name, one in found.items()} == {
        "majority": classes,
        "tf-idf": outputs * (words + 1),
        "tf-idf-svm": outputs * (words + 1),
        "tf-idf-mlp": 64 * words + 64 + outputs * 65,
    }


def test_margins_that_rank_the_wrong_way_round_foretell_what_is_frequent():
    random = np.random.default_rng(0)
    label = np.arange(20) % 4 == 0
    margins = random.normal(size=20) - label
    slope, offset = fit_curve(margins, label)
    assert slope == 1e-3
    likely = 1 / (1 + np.exp(-(slope * margins + offset)))
    assert likely.mean() == pytest.approx((5 * 6 / 7 + 15 / 17) / 20, abs=1e-3)
