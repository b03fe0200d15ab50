"""A saved run: it predicts from exactly the pieces it was made of, or says which piece is not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from clinstack.config import TrainOptions
from clinstack.errors import BadInput, WrongParents
from clinstack.models.adapter_files import load_adapter
from clinstack.models.base_loading import load_backbone
from clinstack.models.note_classifier import load
from clinstack.models.stack import Slot, Stack
from clinstack.runs.atomic import read_json
from clinstack.training.classification import train


@pytest.fixture(scope="module")
def stacked_run(tmp_path_factory, small_base: Path, small_task, clinical_run: Path) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "stacked", small_base, small_task("binary"), clinical=clinical_run)


def trained(out: Path, base: Path, task: Path, **changes) -> Path:
    options = {"epochs": 1, "max_tokens": 48, "learning_rate": 5e-3, "resamples": 100, "device": "cpu"}
    train(TrainOptions(base=str(base), task=task, out=out, **(options | {"method_options": {"rank": 2}} | changes)))
    return out


@pytest.fixture
def run(stacked_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoiled."""
    return Path(shutil.copytree(stacked_run, tmp_path / "run"))


def refusal(kind: type[Exception], run: Path, base: Path | None = None) -> str:
    with pytest.raises(kind) as caught:
        load(run, None if base is None else str(base))
    return str(caught.value)


def adapter_hash(folder: Path) -> str:
    return read_json(folder / "lineage.json")["hash"]


def test_a_run_predicts_the_same_bits_wherever_it_lies(stacked_run, run):
    texts = ["stable and clear", "intubated, lactate rising", "the"]
    assert np.array_equal(load(stacked_run).predict_proba(texts), load(run).predict_proba(texts))


def test_a_missing_parent_is_refused_with_its_hash(run):
    lost = adapter_hash(run / "adapters" / "clinical")
    shutil.rmtree(run / "adapters" / "clinical")
    assert refusal(WrongParents, run) == (
        f"{run} needs adapter 'clinical' ({lost}), and {run / 'adapters' / 'clinical'} is missing. "
        "Restore it; without it every logit would be shifted."
    )


def test_a_parent_left_out_of_a_lineage_that_is_not_sealed_is_refused_with_both_hashes(run):
    (run / "manifest.json").unlink()
    lineage = read_json(run / "lineage.json")
    lost = lineage["adapters"].pop(0)["hash"]
    (run / "lineage.json").write_text(json.dumps(lineage))
    assert refusal(WrongParents, run) == (
        f"Adapter 'task' was trained on top of adapter {lost}, and the stack below it holds no adapter. "
        "Put its parent below it; without it every logit would be shifted."
    )


def test_a_task_adapter_on_top_of_another_adapter_is_refused_with_both_hashes(
    stacked_run, tmp_path, small_base, small_task
):
    other = trained(tmp_path / "other", small_base, small_task("binary"))
    task, stranger = (load_adapter(run / "adapters" / "task") for run in (stacked_run, other))
    with pytest.raises(WrongParents) as caught:
        Stack(load_backbone(str(small_base)), (Slot(load_adapter(other / "adapters" / "task", "clinical")), Slot(task)))
    assert str(caught.value) == (
        f"Adapter 'task' was trained on top of adapter {task.parents[0]}, and the stack below it holds {stranger.hash}. "
        "Put its parent below it; without it every logit would be shifted."
    )


def test_another_adapter_in_the_parents_place_is_refused_with_both_hashes(run, tmp_path, small_base, small_task):
    other = trained(tmp_path / "other", small_base, small_task("binary"))
    place = run / "adapters" / "clinical"
    mine, theirs = adapter_hash(place), adapter_hash(other / "adapters" / "task")
    shutil.rmtree(place)
    shutil.copytree(other / "adapters" / "task", place)
    assert (
        refusal(WrongParents, run)
        == f"{place} holds adapter {theirs}, and the run was made with {mine}. Restore that one."
    )


def test_another_base_is_refused_with_both_hashes(run, small_base, other_base):
    made_on, given = load_backbone(str(small_base)).hash, load_backbone(str(other_base)).hash
    assert refusal(WrongParents, run, other_base) == (
        f"{run} was made on the base {made_on} and is given {given} (other). Give the base it was made on with --base."
    )


def test_the_head_of_another_stack_is_refused_with_both_hashes(run, tmp_path, small_base, small_task):
    other = trained(tmp_path / "other", small_base, small_task("binary"))
    shutil.copy(other / "head.safetensors", run / "head.safetensors")
    mine, theirs = (read_json(one / "lineage.json")["stack"] for one in (run, other))
    assert refusal(WrongParents, run) == (
        f"{run / 'head.safetensors'} belongs to the stack {theirs}, and the run holds {mine}."
    )


def test_the_head_of_another_seed_is_refused_with_both_hashes(run, tmp_path, small_base, small_task, clinical_run):
    # Both heads stand on the very same stack, base and frozen clinical adapter, so only their own content tells them apart.
    task, options = small_task("binary"), {"clinical": clinical_run, "task_adapter": "none", "method_options": {}}
    first, second = (trained(tmp_path / f"{n}", small_base, task, seed=n, **options) for n in (1, 2))
    mine, theirs = (read_json(one / "lineage.json")["head"] for one in (first, second))
    assert read_json(first / "lineage.json")["stack"] == read_json(second / "lineage.json")["stack"]
    shutil.copy(second / "head.safetensors", first / "head.safetensors")
    assert refusal(WrongParents, first) == (
        f"{first / 'head.safetensors'} has been changed: its content is {theirs}, and the run's lineage says {mine}. "
        "Restore it, or train again."
    )


def test_a_missing_head_is_refused(run):
    (run / "head.safetensors").unlink()
    assert refusal(BadInput, run) == (
        f"{run / 'head.safetensors'} is missing, so the run cannot predict. Restore it, or train again."
    )


@pytest.mark.parametrize("piece", ["adapters/clinical/adapter_model.safetensors", "head.safetensors"])
def test_a_truncated_file_of_weights_is_refused(run, piece):
    (run / piece).write_bytes((run / piece).read_bytes()[:-10])
    assert refusal(BadInput, run) == f"{run / piece} is not a whole safetensors file. Restore it, or train again."


def test_what_is_no_finished_step_2_run_is_refused(run, clinical_run, tmp_path):
    assert refusal(BadInput, tmp_path) == f"{tmp_path} is not a run folder."
    assert refusal(BadInput, clinical_run) == (
        f"{clinical_run} is a step-1 run, which has no head. Give it to `clinstack train --clinical`."
    )
    (run / "result.json").unlink()
    assert refusal(WrongParents, run) == f"{run / 'result.json'} is missing. Restore it, or train again."
    (run / "manifest.json").unlink()
    assert refusal(BadInput, run) == f"{run} is not finished: run its command again."


def test_classes_in_another_order_are_refused(run):
    result = read_json(run / "result.json")
    (run / "result.json").write_text(json.dumps(result | {"classes": result["classes"][::-1]}))
    assert refusal(WrongParents, run) == (
        f"{run / 'result.json'} has been changed since the run was finished. Restore it, or train again."
    )


def test_a_frozen_parent_is_the_same_adapter_in_the_run_of_its_child(stacked_run, clinical_run):
    mine, theirs = (folder / "adapters" / "clinical" for folder in (stacked_run, clinical_run))
    assert adapter_hash(mine) == adapter_hash(theirs) == read_json(stacked_run / "lineage.json")["clinical"]
    assert (mine / "adapter_model.safetensors").read_bytes() == (theirs / "adapter_model.safetensors").read_bytes()
