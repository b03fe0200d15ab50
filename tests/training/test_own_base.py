"""Runs that make their own base, from nothing or by SetFit: trained, loaded, kept in a library, a base for others, refused."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from model_families import make_family
from pyarrow import parquet
from safetensors.torch import load_file
from saved_runs import saved_logits
from stopping import StopsAfter

from clinstack.config import AdaptOptions, TrainOptions, make_options
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput, Interrupted, WrongParents
from clinstack.models.export import export_run
from clinstack.models.note_classifier import load
from clinstack.runs.layout import RunLayout
from clinstack.serving.library import Library
from clinstack.training.classification import train
from clinstack.training.language import adapt


@pytest.fixture
def options(small_task, tmp_path):
    def make(name: str, kind: str = "multiclass", **changed) -> TrainOptions:
        given = {
            "base": "transformer",
            "task": small_task(kind),
            "out": tmp_path / name,
            "epochs": 3,
            "learning_rate": 3e-3,
            "max_tokens": 48,
            "batch_size": 8,
            "resamples": 100,
            "device": "cpu",
            "precision": "float32",
        }
        return make_options(TrainOptions, {**given, **changed})

    return make


def texts_of(task) -> list[str]:
    return parquet.read_table(task / "test.parquet").column("text").to_pylist()


@pytest.mark.parametrize("base", ["transformer", "moe-transformer", "transformer:keras", "transformer:mean"])
def test_it_learns_and_predicts_the_same_when_loaded(base, options, small_task, tmp_path):
    result = train(options("run", base=base, epochs=6))
    assert result["metrics"]["test"]["auroc_ovr_macro"]["value"] > 0.7
    assert result["base"]["name"] == base
    loaded = load(tmp_path / "run")
    assert np.array_equal(loaded.score_texts(texts_of(small_task("multiclass"))), saved_logits(tmp_path / "run"))
    assert train(options("run", base=base, epochs=6)) == result


def test_the_tokenizer_has_seen_the_training_part_alone(options, small_task, tmp_path):
    train(options("run"))
    task = tmp_path / "task"
    shutil.copytree(small_task("multiclass"), task)
    table = parquet.read_table(task / "test.parquet")
    strange = ["xylophone xylophone"] * table.num_rows
    parquet.write_table(
        table.set_column(table.schema.get_field_index("text"), "text", [strange]), task / "test.parquet"
    )
    train(options("strange", task=task))
    tokenizers = [RunLayout(tmp_path / name).base / "tokenizer.json" for name in ("run", "strange")]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()


def test_one_that_is_killed_between_its_base_and_its_result_goes_on(options, tmp_path):
    whole = train(options("whole"))
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for file in (RunLayout(tmp_path / "killed").result, RunLayout(tmp_path / "killed").manifest):
        file.unlink()
    assert train(options("killed"))["metrics"] == whole["metrics"]
    assert load(tmp_path / "killed")


@pytest.mark.parametrize("base", ["transformer", "moe-transformer"])
def test_an_interrupted_one_goes_on_bit_for_bit(base, options, tmp_path):
    train(options("whole", base=base))
    with pytest.raises(Interrupted):
        train(options("stopped", base=base), StopsAfter(11))
    train(options("stopped", base=base))
    for file in ("base/model.safetensors", "head.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()


def test_experts_are_told_of_after_every_epoch(options, tmp_path):
    train(options("run", base="moe-transformer"))
    events = [json.loads(line) for line in RunLayout(tmp_path / "run").events.read_text().splitlines()]
    told = [event for event in events if event["event"] == "validation"]
    assert [event["epoch"] for event in told] == [1.0, 2.0, 3.0]
    for event in told:
        assert sum(event["expert_load"]) == pytest.approx(1, abs=1e-3)
        assert 0 <= event["dropped_share"] < 1
        assert 0 < event["router_entropy"] <= np.log(4) + 1e-6


def test_any_head_stands_on_it(options, tmp_path):
    train(options("run", head_adapter="tiny-attention", kind="multilabel"))
    assert load(tmp_path / "run").score_texts(["edema", ""]).shape == (2, 4)


def test_what_was_trained_is_a_base_for_others(options, tmp_path):
    train(options("first"))
    base = str(RunLayout(tmp_path / "first").base)
    lora = train(options("second", base=base, task_adapter="lora", kind="binary", method_options={"rank": 2}))
    assert lora["stack_proof"]["task"]["logit_change"] > 0
    assert lora["parameters"]["trainable"] < lora["parameters"]["total"] / 2
    loaded = load(tmp_path / "second")
    assert loaded.score_texts(["lactate"]).shape == (1, 2)


def test_a_library_holds_it_whole(options, tmp_path):
    train(options("run"))
    library = Library(tmp_path / "library")
    entry = library.add(tmp_path / "run", "outcome")
    before = load(tmp_path / "run").score_texts(["lactate arrest"])
    shutil.rmtree(tmp_path / "run")
    library.promote(entry)
    kept = library.run(entry)
    assert np.array_equal(load(kept).score_texts(["lactate arrest"]), before)
    weights = RunLayout(kept).base / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WrongParents):
        library.verify(entry)
    with pytest.raises(WrongParents, match="Give the base it was made on"):
        load(kept)


def refused(call) -> str:
    with pytest.raises(BadInput) as error:
        call()
    return str(error.value)


def test_what_it_cannot_have_is_refused(options, clinical_run, small_corpus, tmp_path):
    nothing = (
        "transformer is trained from nothing, every weight of it: leave out --clinical, --task-adapter, options of methods and "
        "--quantize."
    )
    assert refused(lambda: train(options("a", clinical=clinical_run))) == nothing
    assert refused(lambda: train(options("a", task_adapter="lora"))) == nothing
    assert refused(lambda: train(options("a", method_options={"top_layers": 1}))) == nothing
    assert refused(lambda: train(options("a", base="transformer:swin"))) == (
        "transformer has no preset 'swin'. Known: keras, mean."
    )
    assert refused(lambda: adapt(AdaptOptions(base="transformer", corpus=small_corpus, out=tmp_path / "a"))) == (
        "transformer is trained from nothing by `clinstack train`, so there is no base of that name to adapt."
    )
    assert not (tmp_path / "a").exists()
    train(options("run"))
    assert refused(lambda: load(tmp_path / "run", base="tiny-base")) == (
        f"{tmp_path / 'run'} was trained from nothing and holds its own base. Leave out --base."
    )
    assert refused(lambda: export_run(tmp_path / "run", tmp_path / "b", "merged")) == (
        f"{tmp_path / 'run'} has more than a linear layer in its head, which an export cannot say. Serve it with clinstack."
    )
    own = str(RunLayout(tmp_path / "run").base)
    assert refused(lambda: adapt(AdaptOptions(base=own, corpus=small_corpus, out=tmp_path / "c", max_tokens=32))) == (
        f"Base {own} was trained for a task from nothing and cannot foretell or restore words."
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_family(tmp_path_factory.mktemp("encoders") / "petit", "camembert")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_setfit_tunes_the_whole_encoder_and_a_head_learns_on_it(kind, encoder, options, small_task, tmp_path):
    pytest.importorskip("setfit")
    asked = options("run", kind, base=f"setfit:{encoder}", learning_rate=1e-2, precision="auto")
    result = train(asked)
    before, after = (load_file(folder / "model.safetensors") for folder in (encoder, RunLayout(tmp_path / "run").base))
    body = {name for name in before if ".encoder.layer." in name}
    assert body
    assert all(not torch.equal(before[name], after[name]) for name in body if before[name].ndim > 1)
    assert result["variant"] == "head-only"
    assert result["cost"]["make"]["seconds"] > 0
    loaded = load(tmp_path / "run")
    assert np.array_equal(loaded.score_texts(texts_of(small_task(kind))), saved_logits(tmp_path / "run"))
    again = train(asked.model_copy(update={"out": tmp_path / "again"}))
    assert again["metrics"] == result["metrics"]


def test_setfit_brings_notes_of_a_class_together_and_is_silent(encoder, options, small_task, tmp_path, capfd):
    pytest.importorskip("setfit")
    train(options("run", base=f"setfit:{encoder}"))
    assert capfd.readouterr() == ("", "")
    train(options("plain", base=str(encoder), task_adapter="none", pooling="mean"))

    def apart(folder) -> float:
        """How much more alike two training notes of one class are than two of different classes."""
        model, table = load(folder), parquet.read_table(small_task("multiclass") / "train.parquet")
        states = model.pooled(model.encode(table.column("text").to_pylist())).chunks.detach()
        alike = torch.nn.functional.cosine_similarity(states[:, None], states[None], dim=-1).numpy()
        labels = np.array([one[0] for one in table.column("labels").to_pylist()])
        same = labels[:, None] == labels[None]
        return float(alike[same].mean() - alike[~same].mean())

    assert apart(tmp_path / "run") > 1.5 * apart(tmp_path / "plain")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"task_adapter": "lora"}, "is tuned as a whole, and a head is trained on it: leave out --clinical"),
        ({"base": "setfit:nowhere/at/all"}, "nowhere/at/all"),
        ({"base": "setfit:transformer"}, "transformer is trained from nothing by `clinstack train`"),
    ],
)
def test_setfit_is_refused(changed, sentence, encoder, options, tmp_path):
    with pytest.raises(BadInput) as refused:
        train(options("run", **{"base": f"setfit:{encoder}", **changed}))
    assert sentence in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_setfit_is_refused_where_all_notes_share_a_label(encoder, options, tmp_path):
    labels = {"train": [["a"], ["a", "b"]] * 4, "valid": [["a"], ["b"]], "test": [["a"], ["b"]]}
    with TaskWriter(tmp_path / "task", name="several", kind="multilabel", classes=["a", "b"], source="tests") as out:
        for split, said in labels.items():
            ids = [f"{split}-{number}" for number in range(len(said))]
            out.write(split, ids, ids, [f"a note {one}" for one in ids], said)
    with pytest.raises(BadInput) as caught:
        train(options("run", base=f"setfit:{encoder}", task=tmp_path / "task"))
    assert str(caught.value) == (
        "Every two training notes share a label, so SetFit has no pair to tell apart. Leave out the labels that nearly all notes "
        "have, or take the encoder without setfit:."
    )


def test_setfit_that_is_not_installed_is_named(encoder, options, monkeypatch):
    monkeypatch.setitem(sys.modules, "setfit", None)
    with pytest.raises(BadInput) as refused:
        train(options("run", base=f"setfit:{encoder}"))
    assert str(refused.value) == (
        "A base setfit:ENCODER needs SetFit, which is not installed. Install clinstack[setfit]."
    )


def test_what_setfit_makes_is_no_base_to_adapt(encoder, small_corpus, tmp_path):
    with pytest.raises(BadInput, match=f"is what `clinstack train` makes of {encoder}. Give {encoder} itself"):
        adapt(
            make_options(AdaptOptions, {"base": f"setfit:{encoder}", "corpus": small_corpus, "out": tmp_path / "run"})
        )
