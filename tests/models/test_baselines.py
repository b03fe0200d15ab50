"""Baselines: what scikit-learn gives, saved without a pickle and read back to the bit, in the same table as everything else."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from clinstack.config import EvaluateOptions, PredictOptions, TrainOptions
from clinstack.errors import BadInput, WrongParents
from clinstack.evaluation.prediction import predict
from clinstack.evaluation.scoring import evaluate
from clinstack.metrics.scorecard import KINDS
from clinstack.models.baseline import LabelledTexts, baselines
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
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(train_texts)
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


def test_labels_that_no_note_or_every_note_has_are_answered_so():
    labels = np.array([[i % 2 == 0, False, True] for i in range(40)])
    part = LabelledTexts(texts(40), labels)
    logits = baselines()["tf-idf"].fit("multilabel", part, part, 1).logits(texts(3, seed=1))
    assert (logits[:, 1] == -20).all()
    assert (logits[:, 2] == 20).all()


def test_options_of_adapters_are_refused_and_a_changed_file_is_noticed(small_task, clinical_run, tmp_path):
    task = small_task("binary")
    with pytest.raises(BadInput) as caught:
        train(TrainOptions(base="tf-idf", task=task, out=tmp_path / "run", clinical=clinical_run))
    assert str(caught.value) == "Baseline tf-idf has no layers to adapt. Leave out --clinical and options of methods."
    assert not (tmp_path / "run").exists()
    train(TrainOptions(base="majority", task=task, out=tmp_path / "run", resamples=100))
    about = json.loads((tmp_path / "run" / "baseline.json").read_text())
    (tmp_path / "run" / "baseline.json").write_text(json.dumps({**about, "kind": "multilabel"}))
    with pytest.raises(WrongParents):
        load(tmp_path / "run")
