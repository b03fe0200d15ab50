"""A base in four bits: what is computed is the rounded matrices, its adapters are its own, and figures are float32."""

import json

import pytest
import torch

from clinstack.config import AdaptOptions, EvaluateOptions, TrainOptions
from clinstack.errors import BadInput, WrongParents
from clinstack.evaluation.scoring import evaluate
from clinstack.models.base_files import TINY_BASE
from clinstack.models.base_loading import load_backbone, shape_of
from clinstack.models.export import export_run
from clinstack.serving.library import Library
from clinstack.studies.plan import plan
from clinstack.training.classification import train
from clinstack.training.language import adapt

QUICK = {"epochs": 1, "max_tokens": 48, "device": "cpu", "learning_rate": 5e-3, "base": TINY_BASE, "quantize": "4bit"}


@pytest.fixture(scope="module")
def rounded_clinical(small_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("rounded") / "clinical"
    adapt(AdaptOptions(**QUICK, corpus=small_corpus, out=out, precision="float32"))
    return out


def test_what_is_computed_with_is_the_rounded_matrix():
    import bitsandbytes as bnb

    rounded, whole = load_backbone(TINY_BASE, quantize="4bit"), load_backbone(TINY_BASE)
    assert rounded.hash != whole.hash
    assert rounded.parameters_total == whole.parameters_total
    with torch.no_grad():
        for name, weight in rounded.own.items():
            if hasattr(weight, "quant_state"):
                exact = bnb.functional.dequantize_4bit(weight.data, weight.quant_state)
                assert 0.01 < float((exact - whole.own[name]).norm() / whole.own[name].norm()) < 0.15
                whole.own[name].copy_(exact)
        tokens = torch.randint(5, 4000, (3, 40), generator=torch.Generator().manual_seed(0))
        same = [one.encode(tokens, torch.ones_like(tokens)) for one in (rounded, whole)]
    torch.testing.assert_close(*same, rtol=0, atol=1e-5)


def test_gradients_through_rounded_matrices_are_those_of_the_matrices():
    layer = load_backbone(TINY_BASE, quantize="4bit").model.model.layers[0].mlp.down_proj
    states = torch.randn(3, 7, layer.in_features, requires_grad=True)
    layer(states).square().sum().backward()
    matrix = layer(torch.eye(layer.in_features)).detach().T
    torch.testing.assert_close(states.grad, 2 * (states.detach() @ matrix.T) @ matrix)
    assert layer.weight.grad is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stack_on_a_rounded_base_trains_and_reloads_to_the_bit(precision, rounded_clinical, small_task, tmp_path):
    out = tmp_path / "run"
    given = {"task": small_task("binary"), "clinical": rounded_clinical, "resamples": 100, "precision": precision}
    result = train(TrainOptions(**QUICK, **given, out=out))
    assert all(proof["logit_change"] > 0 for proof in result["stack_proof"].values())
    assert evaluate(EvaluateOptions(run=out, resamples=100))["metrics"] == result["metrics"]["test"]
    assert json.loads((out / "lineage.json").read_text())["base"]["quantize"] == "4bit"


@pytest.mark.parametrize("method", ["dora", "ia3", "adaption-prompt", "prefix"])
def test_other_methods_train_on_a_rounded_base(method, small_corpus, tmp_path):
    options = AdaptOptions(**QUICK, corpus=small_corpus, out=tmp_path / "run", method=method)
    (proof,) = adapt(options)["stack_proof"].values()
    assert proof["logit_change"] > 0
    assert proof["weight_change"] > 0


def test_adapters_of_a_rounded_base_are_refused_on_the_whole_one(rounded_clinical, small_task, tmp_path):
    whole = {key: value for key, value in QUICK.items() if key != "quantize"}
    with pytest.raises(WrongParents, match="was made for the base"):
        train(TrainOptions(**whole, task=small_task("binary"), clinical=rounded_clinical, out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"task_adapter": "full"}, "is to train the weights of base tiny-base, which are rounded to four bits"),
        ({"clinical_mode": "merged"}, "is to be merged into the weights of base tiny-base, which are rounded"),
    ],
)
def test_what_changes_the_base_s_own_weights_is_refused(rounded_clinical, small_task, changed, expected, tmp_path):
    given = {"task": small_task("binary"), "clinical": rounded_clinical, "out": tmp_path / "run"}
    with pytest.raises(BadInput, match=expected):
        train(TrainOptions(**QUICK, **given, **changed))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_library_keeps_a_rounded_run_and_no_export_is_made_of_it(small_task, tmp_path):
    train(TrainOptions(**QUICK, task=small_task("binary"), out=tmp_path / "run", resamples=100))
    library = Library(tmp_path / "library")
    library.verify(library.add(tmp_path / "run", "mortality", None), None)
    with pytest.raises(BadInput, match="rounded to four bits, which an export cannot say"):
        export_run(tmp_path / "run", tmp_path / "out", "fused")


def test_a_plan_knows_what_a_rounded_base_takes(small_corpus, tmp_path):
    options = AdaptOptions(**QUICK, corpus=small_corpus, out=tmp_path / "run", precision="float32")
    rounded = plan(options)["memory_bytes"]["base"]
    held = sum(weight.nbytes for weight in load_backbone(TINY_BASE, quantize="4bit").own.values())
    assert rounded == pytest.approx(held, rel=0.02)
    whole = plan(options.model_copy(update={"quantize": None}))["memory_bytes"]["base"]
    assert whole == 4 * shape_of(TINY_BASE).parameters_total
