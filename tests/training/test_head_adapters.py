"""Runs whose head has a head adapter: trained on kept states, saved, loaded, gone on with, refused."""

import json

import numpy as np
import pytest
from pyarrow import parquet
from saved_runs import saved_logits
from stopping import StopsAfter

from clinstack.config import TrainOptions, make_options
from clinstack.errors import BadInput, Interrupted, WrongParents
from clinstack.models.export import export_run
from clinstack.models.head_adapter import head_adapters
from clinstack.models.note_classifier import load
from clinstack.runs.layout import RunLayout
from clinstack.training.classification import train

TEXTS = ["intubated on pressors , lactate rising", "pleasant , ambulating", "edema"]


@pytest.fixture
def run(small_base, small_task, tmp_path):
    def run(name: str, kind: str = "multiclass", witness=None, **changed):
        given = {
            "base": str(small_base),
            "task": small_task(kind),
            "out": tmp_path / name,
            "task_adapter": "none",
            "pooling": "mean",
            "epochs": 2,
            "learning_rate": 2e-3,
            "head_rate": 1.0,
            "head_dropout": 0.1,
            "max_tokens": 48,
            "resamples": 100,
            "device": "cpu",
            "precision": "float32",
        }
        return train(TrainOptions(**{**given, **changed}), witness)

    return run


@pytest.mark.parametrize("place", ["tokens", "pooled"])
@pytest.mark.parametrize("name", head_adapters())
def test_it_learns_and_predicts_the_same_when_loaded(name, place, run, small_task, tmp_path):
    if place == "pooled" and head_adapters()[name].reads_sequence:
        with pytest.raises(BadInput) as refused:
            run("run", head_adapter=name, head_place=place)
        assert str(refused.value) == (
            "Head adapter tiny-attention compares a note's tokens, and after pooling there is one vector only, so it would be "
            "a plain linear layer. Use --head-place tokens, or one of adapter, grn, lightweight."
        )
        assert not (tmp_path / "run").exists()
        return
    result = run("run", head_adapter=name, head_place=place, head_size=6)
    weights = head_adapters()[name].weights(32, 6) + 32 * 3 + 3
    assert result["parameters"]["trainable"] == weights
    loaded = load(tmp_path / "run")
    texts = parquet.read_table(small_task("multiclass") / "test.parquet").column("text").to_pylist()
    assert np.array_equal(loaded.score_texts(texts), saved_logits(tmp_path / "run"))
    # A head in training mode would drop something else each time.
    assert np.array_equal(loaded.score_texts(texts), loaded.score_texts(texts))
    assert not RunLayout(tmp_path / "run").features.exists()


def test_a_preset_is_kept_with_the_head(run, tmp_path):
    run("run", head_adapter="adapter:adaptformer", head_hidden=5)
    head = load(tmp_path / "run").head
    assert head.form.adapter == "adapter:adaptformer"
    assert type(head.adapter.norm).__name__ == "LayerNorm"
    assert head.hidden.out_features == 5


@pytest.mark.parametrize(("name", "chunks"), [("tiny-attention", 1), ("grn", 3)])
def test_kept_states_give_what_computed_ones_do(name, chunks, run, tmp_path):
    chosen = {"head_adapter": name, "max_tokens": 48 // chunks, "chunks": chunks, "head_dropout": 0.0}
    # Nothing fits the smaller store, so every epoch reads the base again.
    anew = run("anew", feature_store=tmp_path / "small", feature_gigabytes=1e-5, **chosen)
    own = run("own", **chosen)
    shared = run("shared", feature_store=tmp_path / "store", **chosen)
    again = run("again", feature_store=tmp_path / "store", **chosen, seed=2)
    assert anew["features"] is None
    assert own["features"] == shared["features"]
    assert shared["features"]["computed"] > 50
    assert again["features"] == {"found": shared["features"]["computed"], "computed": 0}
    assert np.array_equal(saved_logits(tmp_path / "own"), saved_logits(tmp_path / "shared"))
    np.testing.assert_allclose(saved_logits(tmp_path / "own"), saved_logits(tmp_path / "anew"), atol=1e-5)


def test_states_of_tokens_are_not_taken_for_pooled_ones(run, tmp_path):
    run("pooled", feature_store=tmp_path / "store")
    assert run("tokens", feature_store=tmp_path / "store", head_adapter="adapter")["features"]["found"] == 0


def test_pooled_states_follow_from_those_of_tokens(run, tmp_path):
    plain = run("plain")
    first = run("first", feature_store=tmp_path / "store", head_adapter="adapter")
    probe = run("probe", feature_store=tmp_path / "store")
    assert probe["features"] == {"found": first["features"]["computed"], "computed": 0}
    assert plain["metrics"] == probe["metrics"]
    assert np.array_equal(saved_logits(tmp_path / "plain"), saved_logits(tmp_path / "probe"))


@pytest.mark.parametrize("place", ["tokens", "pooled"])
def test_an_interrupted_one_goes_on_bit_for_bit(place, run, tmp_path):
    chosen = {"head_adapter": "adapter", "head_place": place, "head_dropout": 0.3}
    run("whole", **chosen)
    with pytest.raises(Interrupted):
        run("stopped", witness=StopsAfter(5), **chosen)
    run("stopped", **chosen)
    files = [RunLayout(tmp_path / name).head.read_bytes() for name in ("whole", "stopped")]
    assert files[0] == files[1]


def test_a_head_adapter_stands_on_a_stack_that_trains(run, clinical_run, tmp_path):
    result = run(
        "run",
        clinical=clinical_run,
        task_adapter="lora",
        method_options={"rank": 2},
        head_adapter="lightweight",
        kind="multilabel",
    )
    assert set(result["stack_proof"]) == {"clinical", "task"}
    assert load(tmp_path / "run").score_texts(TEXTS).shape == (3, 4)


def test_a_changed_head_adapter_is_noticed(run, tmp_path):
    from safetensors.numpy import load_file, save_file

    run("run", head_adapter="adapter")
    file = RunLayout(tmp_path / "run").head
    from safetensors import safe_open

    with safe_open(file, "np") as content:
        about = content.metadata()
    weights = load_file(file)
    weights["adapter.up.weight"][0, 0] += 1e-3
    save_file(weights, file, about)
    with pytest.raises(WrongParents, match="has been changed"):
        load(tmp_path / "run")


def test_plain_peft_cannot_have_it(run, tmp_path):
    run("run", head_adapter="adapter")
    with pytest.raises(BadInput) as refused:
        export_run(tmp_path / "run", tmp_path / "export", "merged")
    assert str(refused.value) == (
        f"{tmp_path / 'run'} has more than a linear layer in its head, which an export cannot say. Serve it with clinstack."
    )


def test_a_size_without_its_head_adapter_is_refused(tmp_path):
    with pytest.raises(BadInput, match="--head-size is of a head adapter"):
        make_options(TrainOptions, {"base": "tiny-base", "task": "t", "out": tmp_path, "head_size": 4})


def test_the_configuration_says_what_the_head_was(run, tmp_path):
    run("run", head_adapter="grn:small")
    assert 'head_adapter = "grn:small"' in RunLayout(tmp_path / "run").config.read_text()
    assert json.loads(RunLayout(tmp_path / "run").result.read_text())["parameters"]["trainable"] > 0
