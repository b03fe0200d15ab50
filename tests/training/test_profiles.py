"""The profiles: what is described, and what the released code does, each fault of it at work and told."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from pyarrow import parquet
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from clinstack.config import TrainOptions
from clinstack.errors import ProofFailed
from clinstack.models.adapter_files import load_adapter
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method
from clinstack.models.note_classifier import load
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.training.classification import train
from clinstack.training.contract import Loss
from clinstack.training.proof import prove


@pytest.fixture
def options(small_base, small_task, clinical_run, tmp_path):
    def make(kind: str = "binary", **changed) -> TrainOptions:
        given = {
            "base": str(small_base),
            "task": small_task(kind),
            "out": tmp_path / "run",
            "clinical": clinical_run,
            "epochs": 3,
            "resamples": 100,
            "device": "cpu",
            "precision": "float32",
        }
        return TrainOptions(**{**given, **changed})

    return make


def test_a_profile_changes_defaults_and_what_is_given_beats_it(options):
    described, released = options(profile="as-described"), options(profile="as-released", learning_rate=1e-3)
    for chosen in (described, released):
        assert (chosen.max_tokens, chosen.batch_size, chosen.accumulation, chosen.epochs) == (128, 10, 10, 3)
        assert (chosen.class_weights, chosen.head_rate, chosen.schedule) == ("balanced", 1.0, "linear")
    assert (described.learning_rate, described.warmup_ratio, described.select) == (5e-5, 0.06, "best")
    assert (released.learning_rate, released.warmup_ratio, released.select) == (1e-3, 0.0, "last")
    assert (described.inert_task_adapter, released.inert_task_adapter) == (False, True)
    assert options().max_tokens == 512


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
def test_as_released_the_second_adapter_is_there_and_does_nothing(mode, options, tmp_path):
    released = train(options(profile="as-released", clinical_mode=mode, learning_rate=5e-3, accumulation=1))
    proof = released["stack_proof"]["task"]
    assert (proof["logit_change"], proof["gradient_norm"], proof["weight_change"]) == (0, 0, 0)
    assert released["variant"] == f"clinical-{mode}+task"
    test = parquet.read_table(tmp_path / "run" / "predictions.parquet").filter(pc.field("split") == "test")
    texts = parquet.read_table(options().task / "test.parquet").column("text").to_pylist()
    assert np.array_equal(
        load(tmp_path / "run").score_texts(texts), np.array(test.column("logits").to_pylist(), np.float32)
    )


def test_an_adapter_that_does_nothing_changes_no_bit_of_what_is_trained(options, tmp_path):
    for adapter in ("lora", "none"):
        train(options(profile="as-released", task_adapter=adapter, out=tmp_path / adapter, learning_rate=5e-3))
    both = [parquet.read_table(tmp_path / adapter / "predictions.parquet") for adapter in ("lora", "none")]
    assert both[0].column("logits").to_pylist() == both[1].column("logits").to_pylist()


def test_a_single_task_adapter_works_in_the_released_code_too(options):
    result = train(options(profile="as-released", clinical=None, learning_rate=5e-3, accumulation=1))
    assert result["stack_proof"]["task"]["logit_change"] > 0


def test_the_last_epoch_is_kept_where_that_is_asked_for(options, tmp_path):
    def epochs(select: str) -> tuple[float, list[float]]:
        out = tmp_path / select
        # Steps this large spoil what was learned, so the best epoch is not the last.
        result = train(
            options(out=out, select=select, learning_rate=0.3, clinical=None, schedule="constant", max_tokens=64)
        )
        events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return result["best_epoch"], [event["score"] for event in events if event["event"] == "validation"]

    (best, scores), (last, same) = epochs("best"), epochs("last")
    assert scores == same
    assert best == 1.0 + int(np.argmax(scores))
    assert last == 3.0


def test_the_published_auroc_of_several_labels_stands_beside_ours(options, tmp_path):
    result = train(options("multilabel", profile="as-released", accumulation=1))
    test = parquet.read_table(tmp_path / "run" / "predictions.parquet").filter(pc.field("split") == "test")
    logits = np.array(test.column("logits").to_pylist())
    labels = np.array([[name in row for name in result["classes"]] for row in test.column("labels").to_pylist()])
    for name, scores in (("auroc_macro", logits), ("auroc_macro_as_released", softmax(logits, axis=1))):
        expected = np.mean([roc_auc_score(labels[:, c], scores[:, c]) for c in range(labels.shape[1])])
        assert result["metrics"]["test"][name]["value"] == pytest.approx(expected, abs=1e-7)


def test_an_adapter_that_is_declared_inert_and_works_fails_the_proof(small_base, clinical_run):
    backbone = load_backbone(str(small_base))
    clinical = load_adapter(clinical_run / "adapters" / "clinical")
    stack = Stack(backbone, (Slot(clinical, frozen=True), Slot(Adapter("task", make_method("lora", {})), inert=True)))
    start = stack.snapshot()
    next(iter(stack.parameters("task").values())).data += 1

    def no_loss() -> Loss:
        raise AssertionError("nothing trains")

    with pytest.raises(ProofFailed) as caught:
        prove(stack, lambda: torch.zeros(1), no_loss, start)
    assert "Adapter 'task' is to be inert and is at work." in str(caught.value)
