"""Heads that begin scaled by the training notes, or fitted to them: sooner there, and the same kind of model."""

import numpy as np
import pytest
import torch
from pyarrow import parquet
from saved_runs import saved_logits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from stopping import StopsAfter

from clinstack.config import TrainOptions
from clinstack.errors import Interrupted
from clinstack.metrics.scorecard import probabilities
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.note_classifier import load
from clinstack.training.classification import train
from clinstack.training.head_start import fit_last_layer
from clinstack.training.label_loss import label_loss

TEXTS = ["intubated on pressors , lactate rising", "pleasant , ambulating", "edema"]


@pytest.fixture
def run(small_base, small_task, tmp_path):
    def run(name: str, witness=None, **changed):
        given = {
            "base": str(small_base),
            "task": small_task("multiclass"),
            "out": tmp_path / name,
            "task_adapter": "none",
            "pooling": "mean",
            "head_start": "fitted",
            "epochs": 2,
            "learning_rate": 1e-2,
            "head_rate": 1.0,
            "max_tokens": 48,
            "resamples": 100,
            "device": "cpu",
            "precision": "float32",
        }
        return train(TrainOptions(**{**given, **changed}), witness)

    return run


@pytest.mark.parametrize("hidden", [None, 5])
def test_folded_weights_give_the_same_logits(hidden):
    torch.manual_seed(0)
    head = Classifier(HeadForm("mean", hidden=hidden), 8, 3)
    vectors = torch.randn(40, 8) * torch.logspace(-3, 3, 8) + 100 * torch.randn(8)
    vectors[:, 0] = 7.0  # one that tells nothing apart
    whose = torch.arange(40)
    head.scale(vectors)
    before = head(vectors, whose, 40)
    assert torch.isfinite(before).all()
    head.fold()
    after = head(vectors, whose, 40)
    assert torch.allclose(before, after, atol=1e-3)
    head.fold()
    assert torch.equal(head(vectors, whose, 40), after)


SETUPS = [
    {},
    {"head_hidden": 6},
    {"head_adapter": "grn:small"},
    {"head_adapter": "adapter", "head_place": "pooled"},
    {"task_adapter": "lora"},
]


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_a_saved_run_says_what_it_said(setup, run, small_task, tmp_path):
    run("run", **setup)
    saved = load(tmp_path / "run")
    table = parquet.read_table(small_task("multiclass") / "test.parquet")
    assert np.array_equal(saved.score_texts(table.column("text").to_pylist()), saved_logits(tmp_path / "run"))


@pytest.mark.parametrize("setup", SETUPS[2:], ids=str)
def test_an_interrupted_one_goes_on_bit_for_bit(setup, run, tmp_path):
    run("whole", **setup)
    with pytest.raises(Interrupted):
        run("cut", StopsAfter(3), **setup)
    run("cut", **setup)
    assert np.array_equal(saved_logits(tmp_path / "whole"), saved_logits(tmp_path / "cut"))


def test_what_all_notes_share_no_longer_hides_what_tells_them_apart():
    """Fifty steps of gradient descent on vectors far from 0 whose telling direction is small."""
    chance = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (400,), generator=chance)
    vectors = torch.randn(400, 16, generator=chance) + 30
    vectors[:, 3] = 30 + 0.05 * (truth + 0.3 * torch.randn(400, generator=chance))
    right = {}
    for scaled in (False, True):
        torch.manual_seed(1)
        head = Classifier(HeadForm("mean"), 16, 2)
        if scaled:
            head.scale(vectors)
        steps = torch.optim.AdamW(head.parameters(), lr=1e-2)
        for _ in range(50):
            loss = torch.nn.functional.cross_entropy(head(vectors, torch.arange(400), 400), truth)
            steps.zero_grad()
            loss.backward()
            steps.step()
        head.fold()
        right[scaled] = float((head(vectors, torch.arange(400), 400).argmax(dim=1) == truth).float().mean())
    assert right[True] > 0.9
    assert right[False] < 0.7


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_fitted_last_layer_is_scikit_learns(kind):
    chance = np.random.default_rng(0)
    vectors, classes = chance.normal(3, 2, (300, 6)), {"binary": 2, "multiclass": 4, "multilabel": 3}[kind]
    scores = (vectors - 3) @ chance.normal(size=(6, classes)) + chance.normal(size=(300, classes))
    labels = scores > 1 if kind == "multilabel" else np.eye(classes, dtype=bool)[scores.argmax(axis=1)]
    head = Classifier(HeadForm("mean"), 6, classes, independent=kind == "multilabel")
    seen = torch.from_numpy(vectors).float()
    head.scale(seen)
    loss = label_loss(kind, "plain", torch.ones(classes))
    fit_last_layer(head, seen, torch.from_numpy(labels).float(), loss)
    whose = torch.arange(300)
    found = probabilities(kind, head(seen, whose, 300).detach().numpy())
    scaled = StandardScaler().fit_transform(vectors)
    if kind == "multilabel":
        expected = np.stack(
            [
                LogisticRegression(tol=1e-8, max_iter=1000).fit(scaled, label).predict_proba(scaled)[:, 1]
                for label in labels.T
            ],
            axis=1,
        )
    else:  # of two classes scikit-learn penalises one vector, the difference of ours
        strength = 2.0 if kind == "binary" else 1.0
        expected = (
            LogisticRegression(C=strength, tol=1e-8, max_iter=1000)
            .fit(scaled, labels.argmax(axis=1))
            .predict_proba(scaled)
        )
    assert np.abs(found - expected).max() < 1e-3
    head.fold()
    assert np.abs(probabilities(kind, head(seen, whose, 300).detach().numpy()) - expected).max() < 1e-3


@pytest.mark.parametrize(
    "setup", [{"head_adapter": "adapter"}, {"head_adapter": "tiny-attention"}, {"task_adapter": "lora"}], ids=str
)
def test_what_begins_as_nothing_begins_as_its_probe(setup, run, tmp_path):
    still = {"epochs": 1, "learning_rate": 1e-9}
    run("probe", **still)
    run("block", **still, **setup)
    probe = saved_logits(tmp_path / "probe")
    assert np.abs(saved_logits(tmp_path / "block") - probe).max() < 1e-3 * np.abs(probe).max()
