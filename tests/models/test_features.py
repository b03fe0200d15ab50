"""Kept states are those the model gives, for every run that may share them and for no other."""

import json
import threading
import time
import zlib

import lmdb
import numpy as np
import pytest
import torch
from pyarrow import parquet
from saved_runs import saved_logits

from clinstack.config import TrainOptions
from clinstack.errors import BadInput
from clinstack.models import features
from clinstack.models.features import Features
from clinstack.models.note_classifier import load
from clinstack.runs.array_store import ArrayStore
from clinstack.training.classification import train


@pytest.fixture
def run(small_base, small_task, tmp_path):
    """name, options -> the result of a step-2 run, with the shared store unless it says otherwise."""

    def run(name: str, kind: str = "multiclass", **changed):
        given = {
            "base": str(small_base),
            "task": small_task(kind),
            "out": tmp_path / name,
            "epochs": 2,
            "learning_rate": 5e-3,
            "max_tokens": 48,
            "resamples": 100,
            "device": "cpu",
            "precision": "float32",
            "feature_store": tmp_path / "store",
        }
        return train(TrainOptions(**{**given, **changed}))

    return run


VARIANTS = {
    "head-only": {"task_adapter": "none"},
    "clinical-frozen": {"task_adapter": "none", "clinical": True},
    "clinical-merged": {"task_adapter": "none", "clinical": True, "clinical_mode": "merged"},
    "late branch": {"clinical": True, "method_options": {"top_layers": 1}},
    "upper layers in full": {"task_adapter": "full", "method_options": {"top_layers": 1}},
    "late branch, chunks": {"method_options": {"top_layers": 1}, "max_tokens": 8, "chunks": 3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_is_the_same_with_an_empty_store_a_full_one_and_none(variant, run, clinical_run, small_task, tmp_path):
    chosen = dict(VARIANTS[variant])
    if chosen.get("clinical"):
        chosen["clinical"] = clinical_run
    none, empty, full = run("none", feature_store=None, **chosen), run("empty", **chosen), run("full", **chosen)
    assert none["features"] is None
    assert empty["features"]["found"] == 0
    assert empty["features"]["computed"] > 50
    assert full["features"] == {"found": empty["features"]["computed"], "computed": 0}
    assert np.array_equal(saved_logits(tmp_path / "empty"), saved_logits(tmp_path / "full"))
    np.testing.assert_allclose(saved_logits(tmp_path / "empty"), saved_logits(tmp_path / "none"), atol=2e-5)
    assert empty["stack_proof"] == full["stack_proof"]
    classifier = load(tmp_path / "full")
    texts = parquet.read_table(small_task("multiclass") / "test.parquet").column("text").to_pylist()
    assert np.array_equal(classifier.logits(classifier.encode(texts)), saved_logits(tmp_path / "full"))


def test_tasks_seeds_and_widths_of_a_task_adapter_share_what_is_below_them(run):
    first = run("first", method_options={"top_layers": 1})
    for name, changed in {
        "seed": {"seed": 2, "method_options": {"top_layers": 1}},
        "rank": {"method_options": {"top_layers": 1, "rank": 2}},
    }.items():
        assert run(name, **changed)["features"] == {"found": first["features"]["computed"], "computed": 0}
    head = run("head", task_adapter="none")
    assert head["features"]["found"] == 0
    assert run("seed of the head", task_adapter="none", seed=2)["features"]["computed"] == 0
    shorter = run("shorter", task_adapter="none", max_tokens=16)
    assert shorter["features"]["computed"] > 0
    assert run("other pooling", task_adapter="none", pooling="mean")["features"]["found"] == 0


def test_a_stack_that_trains_from_its_lowest_layer_keeps_nothing(run, clinical_run, tmp_path):
    assert run("all layers")["features"] is None
    assert run("trainable", clinical=clinical_run, clinical_mode="trainable", task_adapter="none")["features"] is None
    assert not (tmp_path / "store").exists()


def test_another_frozen_adapter_or_base_finds_nothing_of_this_one(run, clinical_run, other_base):
    run("without", task_adapter="none")
    assert run("with", task_adapter="none", clinical=clinical_run)["features"]["found"] == 0
    merged = run("merged", task_adapter="none", clinical=clinical_run, clinical_mode="merged")
    assert merged["features"]["found"] == 0
    assert run("other base", task_adapter="none", base=str(other_base))["features"]["found"] == 0


def test_who_comes_while_another_computes_waits_and_computes_nothing(tmp_path, monkeypatch):
    """Also where some is kept already: what is computed is put away bit by bit."""
    monkeypatch.setattr(features, "_PUT_BYTES", 1)
    chunks, half = [[number] for number in range(8)], threading.Event()

    def compute(some):
        if len(some) == 1 and some[0] == [4]:
            half.set()
            time.sleep(0.5)
        return [torch.full((1, 4), float(chunk[0])) for chunk in some]

    def one_by_one(some):
        return ([row] for row in range(len(some)))

    with ArrayStore(tmp_path, 2**26).shelf({}) as shelf:
        first, second = (Features(shelf, 4, compute, one_by_one) for _ in range(2))
        other = threading.Thread(target=first.prepare, args=(chunks,))
        other.start()
        assert half.wait(30)
        second.prepare(chunks)
        other.join()
        assert (first.computed, first.found, second.computed, second.found) == (8, 0, 0, 8)


def test_kept_states_that_the_model_does_not_give_are_refused_and_leave_no_result(run, tmp_path):
    run("first", task_adapter="none")
    (shelf,) = [one for one in (tmp_path / "store").iterdir() if one.is_dir()]
    with lmdb.open(str(shelf / "arrays"), map_size=2**30) as environment, environment.begin(write=True) as write:
        for key, value in list(write.cursor()):  # what a faulty program would keep: whole, and wrong
            wrong = (np.frombuffer(value[4:], np.float32) + 0.01).tobytes()
            write.put(key, zlib.crc32(wrong, zlib.crc32(key)).to_bytes(4, "little") + wrong)
    with pytest.raises(BadInput) as caught:
        run("second", task_adapter="none")
    assert str(caught.value) == (
        f"The features kept in {shelf} are not what the model gives for the same notes. Remove that folder; it is made again "
        "when it is needed."
    )
    assert not (tmp_path / "second" / "result.json").exists()


@pytest.mark.parametrize("chosen", [{"task_adapter": "none"}, {"method_options": {"top_layers": 1}}])
def test_a_store_that_is_too_small_changes_nothing_but_the_time(chosen, run, tmp_path):
    whole = run("whole", feature_store=None, **chosen)
    small = run("small", feature_gigabytes=1e-4, **chosen)
    np.testing.assert_allclose(saved_logits(tmp_path / "small"), saved_logits(tmp_path / "whole"), atol=2e-5)
    assert json.dumps(small["variant"]) == json.dumps(whole["variant"])
