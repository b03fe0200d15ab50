"""Six variants on three kinds of task: each trains, proves itself, and predicts the same after it is loaded again."""

import csv
import json
import shutil

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from clinstack.config import EvaluateOptions, TrainOptions, make_options
from clinstack.data.task import TaskWriter, open_task
from clinstack.errors import BadInput, WrongParents
from clinstack.evaluation.scoring import evaluate
from clinstack.metrics.kinds import KINDS
from clinstack.models.note_classifier import load
from clinstack.models.window import Window
from clinstack.runs.lineage import hash_files
from clinstack.training.classification import train

VARIANTS = {
    "head-only": {"task_adapter": "none"},
    "task": {},
    "clinical-frozen": {"clinical": True, "task_adapter": "none"},
    "clinical-frozen+task": {"clinical": True},
    "clinical-trainable": {"clinical": True, "clinical_mode": "trainable", "task_adapter": "none"},
    "clinical-trainable+task": {"clinical": True, "clinical_mode": "trainable"},
    "full": {"task_adapter": "full"},
    "clinical-frozen+full": {"clinical": True, "task_adapter": "full"},
    "clinical-trainable+full": {"clinical": True, "clinical_mode": "trainable", "task_adapter": "full"},
    "clinical-merged": {"clinical": True, "clinical_mode": "merged", "task_adapter": "none"},
    "clinical-merged+task": {"clinical": True, "clinical_mode": "merged"},
    "clinical-continued": {"clinical": True, "clinical_mode": "continued"},
}


def test_terms_of_a_clinical_adapter_that_were_edited_are_refused(clinical_run, small_base, small_task, tmp_path):
    shutil.copytree(clinical_run, tmp_path / "clinical")
    file = tmp_path / "clinical" / "adapters" / "clinical" / "lineage.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"terms": []}))
    options = {"base": str(small_base), "task": small_task("binary"), "out": tmp_path / "run", "device": "cpu"}
    with pytest.raises(WrongParents) as caught:
        train(TrainOptions(clinical=tmp_path / "clinical", **options))
    assert str(caught.value) == f"{file} has been changed since the run was finished. Restore it, or train again."


READINGS = {
    "tail": {"truncation": "tail"},
    "three chunks": {"chunks": 3, "truncation": "head+tail"},
    "the largest of chunks": {"chunks": 3, "chunk_pooling": "max", "pooling": "mean"},
    "attention over chunks": {"chunks": 3, "chunk_pooling": "attention"},
}


@pytest.mark.parametrize("task_adapter", ["lora", "none"])
@pytest.mark.parametrize("reading", READINGS)
def test_longer_notes_are_read_as_asked_and_predict_the_same_bits_when_loaded(
    reading, task_adapter, small_base, small_task, tmp_path
):
    task, out = small_task("multilabel"), tmp_path / "run"
    options = TrainOptions(
        base=str(small_base),
        task=task,
        out=out,
        task_adapter=task_adapter,
        epochs=2,
        learning_rate=5e-3,
        max_tokens=8,
        class_weights="root",
        device="cpu",
        resamples=100,
        **READINGS[reading],
    )
    result = train(options)
    classifier = load(out)
    assert classifier.window == Window(8, options.truncation, options.chunks)
    assert (result["truncation"], result["chunks"]) == (options.truncation, options.chunks)
    test = open_task(task).read("test")
    encoded = classifier.encode(test.column("text").to_pylist())
    assert max(map(len, encoded)) == options.chunks
    stored = parquet.read_table(out / "predictions.parquet").filter(pc.field("split") == "test")
    np.testing.assert_array_equal(classifier.logits(encoded), np.array(stored.column("logits").to_pylist(), np.float32))
    for row in (0, 5):
        np.testing.assert_allclose(
            classifier.logits(encoded[row : row + 1])[0], classifier.logits(encoded)[row], atol=1e-5
        )


@pytest.mark.parametrize(("task_adapter", "used"), [("lora", "bfloat16"), ("none", "float32")])
def test_a_result_says_in_which_precision_its_model_learned(task_adapter, used, small_base, small_task, tmp_path):
    """A head alone learns in float32 whatever is asked."""
    options = {"base": str(small_base), "task": small_task("binary"), "out": tmp_path / "run", "device": "cpu"}
    quick = {"epochs": 1, "max_tokens": 16, "resamples": 100}
    result = train(TrainOptions(task_adapter=task_adapter, precision="bfloat16", **options, **quick))
    assert result["precision"] == used


def test_every_label_has_a_line_with_its_notes_and_figures_also_one_that_no_note_has(small_base, tmp_path):
    classes = ["alive", "dead", "never"]
    with TaskWriter(tmp_path / "task", name="three", kind="multilabel", classes=classes, source="tests") as writer:
        for split, count in {"train": 12, "valid": 8, "test": 8}.items():
            ids = [f"{split}-{i}" for i in range(count)]
            labels = [[classes[i % 2]] if i % 4 else classes[:2] for i in range(count)]
            writer.write(split, ids, ids, [f"the patient is {' '.join(one)}" for one in labels], labels)
    options = TrainOptions(
        base=str(small_base),
        task=tmp_path / "task",
        out=tmp_path / "run",
        task_adapter="none",
        max_tokens=32,
        epochs=1,
        resamples=100,
    )
    result = train(options)
    rows = list(csv.DictReader((tmp_path / "run" / "labels.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == classes
    assert [(row["notes_train"], row["notes_test"]) for row in rows] == [("6", "4"), ("9", "6"), ("0", "0")]
    assert rows[2]["auroc"] == rows[2]["auprc_low"] == ""
    figures = [float(row["auroc"]) for row in rows[:2]]
    assert np.mean(figures) == pytest.approx(result["metrics"]["test"]["auroc_macro"]["value"])
    assert all(float(row["auroc_low"]) <= float(row["auroc"]) <= float(row["auroc_high"]) for row in rows[:2])
    assert result["labels_absent"] == {"train": 1, "valid": 1, "test": 1}
    assert result["labels_scored"]["test"] == 2


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains_proves_itself_and_predicts_the_same_bits_when_loaded(
    variant, kind, small_base, small_task, clinical_run, tmp_path
):
    chosen = dict(VARIANTS[variant])
    if chosen.pop("clinical", False):
        chosen["clinical"] = clinical_run
    task, out = small_task(kind), tmp_path / "run"
    result = train(
        TrainOptions(
            base=str(small_base),
            task=task,
            out=out,
            epochs=1,
            learning_rate=5e-3,
            max_tokens=64,
            device="cpu",
            resamples=100,
            **chosen,
        )
    )

    assert json.loads((out / "result.json").read_text()) == result
    assert result.keys() >= {
        "task",
        "kind",
        "variant",
        "profile",
        "seed",
        "metrics",
        "labels_scored",
        "stack_proof",
        "parameters",
        "cost",
    }
    assert (result["variant"], result["kind"], result["profile"]) == (variant, kind, "correct")
    parts = ["task"] if variant == "clinical-continued" else variant.split("+")
    names = {"head-only": [], "task": ["task"], "full": ["task"]}
    assert list(result["stack_proof"]) == [name for part in parts for name in names.get(part, ["clinical"])]
    for name, proof in result["stack_proof"].items():
        frozen = name == "clinical" and "trainable" not in variant
        assert proof["frozen"] is frozen
        assert proof["logit_change"] > 0
        assert (proof["gradient_norm"] > 0, proof["weight_change"] > 0) == (not frozen, not frozen)
    for cost in (result["cost"]["train"], result["cost"]["evaluate"]):
        assert cost.keys() - {"processes"} == {"seconds", "cpu_seconds", "peak_bytes", "tokens", "flops"}
        assert min(cost.values()) > 0
    if "clinical-frozen" in variant or "clinical-merged" in variant:
        weights = [run / "adapters" / "clinical" / "adapter_model.safetensors" for run in (clinical_run, out)]
        assert weights[0].read_bytes() == weights[1].read_bytes()

    stored = parquet.read_table(out / "predictions.parquet").filter(pc.field("split") == "test")
    texts = open_task(task).read("test").column("text").to_pylist()
    again = load(out).predict_proba(texts).astype(np.float32)
    assert np.array_equal(np.array(stored.column("probabilities").to_pylist(), dtype=np.float32), again)
    assert evaluate(EvaluateOptions(run=out, device="cpu", resamples=100))["metrics"] == result["metrics"]["test"]


def test_where_nothing_inside_trains_the_notes_are_read_once_for_all_epochs(small_base, small_task, tmp_path):
    options = {
        "base": str(small_base),
        "task": small_task("binary"),
        "max_tokens": 64,
        "device": "cpu",
        "resamples": 100,
    }
    kept, learned = (
        train(TrainOptions(out=tmp_path / name, epochs=3, task_adapter=name, **options))["cost"]["train"]
        for name in ("none", "lora")
    )
    assert learned["tokens"] == 3 * kept["tokens"]
    assert learned["flops"] > 5 * kept["flops"]


def test_the_same_seed_gives_the_same_files_and_another_seed_others(small_base, small_task, tmp_path):
    def hashes(name: str, seed: int) -> str:
        train(
            TrainOptions(
                base=str(small_base),
                task=small_task("binary"),
                out=tmp_path / name,
                epochs=1,
                seed=seed,
                max_tokens=64,
                device="cpu",
                resamples=100,
                method_options={"dropout": 0.1},
            )
        )
        return hash_files(
            [tmp_path / name / "adapters" / "task" / "adapter_model.safetensors", tmp_path / name / "head.safetensors"]
        )

    first, second, third = hashes("a", 1), hashes("b", 1), hashes("c", 2)
    assert first == second
    assert first != third


def test_rows_predict_alike_in_any_company(small_base, small_task, clinical_run, tmp_path):
    out = tmp_path / "run"
    train(
        TrainOptions(
            base=str(small_base),
            task=small_task("multiclass"),
            out=out,
            clinical=clinical_run,
            epochs=1,
            max_tokens=64,
            device="cpu",
            resamples=100,
        )
    )
    classifier = load(out)
    texts = ["short", "a much longer note about shock and edema " * 5, "stable", "wheeze on day two"]
    together = classifier.logits(classifier.encode(texts))
    for row, text in enumerate(texts):
        np.testing.assert_allclose(classifier.logits(classifier.encode([text]))[0], together[row], atol=1e-5)


@pytest.mark.parametrize("base", ["tiny-base", "transformer", "majority"])
def test_a_training_part_of_one_class_is_refused(base, tmp_path):
    with TaskWriter(tmp_path / "task", name="outcome", kind="binary", classes=["alive", "dead"], source="tests") as out:
        for split, labels in {"train": ["alive"] * 6, "valid": ["alive", "dead"], "test": ["dead"]}.items():
            ids = [f"{split}-{number}" for number in range(len(labels))]
            out.write(split, ids, ids, [f"note {one}" for one in ids], [[one] for one in labels])
    with pytest.raises(BadInput) as refused:
        train(make_options(TrainOptions, {"base": base, "task": tmp_path / "task", "out": tmp_path / "run"}))
    assert str(refused.value) == (
        f"{tmp_path / 'task'}: all training notes of task outcome are alive, so there is nothing to tell apart. Split it otherwise, "
        "or label more notes."
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        ([], "task outcome has no note in its valid part, by which the best epoch is selected. Split it otherwise."),
        (
            ["dead"] * 3,
            "in the valid part of task outcome no class has both notes with it and notes without it, so AUROC",
        ),
    ],
)
@pytest.mark.parametrize("base", ["tiny-base", "transformer"])
def test_a_validation_part_that_cannot_select_is_refused(base, valid, said, tmp_path):
    with TaskWriter(tmp_path / "task", name="outcome", kind="binary", classes=["alive", "dead"], source="tests") as out:
        for split, labels in {"train": ["alive", "dead"] * 3, "valid": valid, "test": ["dead"]}.items():
            ids = [f"{split}-{number}" for number in range(len(labels))]
            out.write(split, ids, ids, [f"note {one}" for one in ids], [[one] for one in labels])
    with pytest.raises(BadInput) as refused:
        train(make_options(TrainOptions, {"base": base, "task": tmp_path / "task", "out": tmp_path / "run"}))
    assert said in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_step_2_run_is_no_clinical_adapter(clinical_run, small_base, small_task, tmp_path):
    """It has learned from labels, and would be shown as an adapter that has not."""
    shared = {"base": str(small_base), "task": small_task("binary"), "resamples": 100, "epochs": 1, "max_tokens": 48}
    train(TrainOptions(out=tmp_path / "first", clinical=clinical_run, clinical_mode="trainable", **shared))
    with pytest.raises(BadInput) as caught:
        train(TrainOptions(out=tmp_path / "second", clinical=tmp_path / "first", **shared))
    assert str(caught.value) == (
        f"--clinical {tmp_path / 'first'} is a step-2 run: it has learned from the labels of made-up-binary. Give the step-1 "
        "run that it lies on."
    )
    assert not (tmp_path / "second").exists()


def test_a_mode_of_the_clinical_adapter_needs_one(small_base, small_task, tmp_path):
    given = {"base": str(small_base), "task": small_task("binary"), "out": tmp_path / "run", "device": "cpu"}
    with pytest.raises(BadInput) as caught:
        train(TrainOptions(clinical_mode="merged", **given))
    assert str(caught.value) == (
        "--clinical-mode merged says what becomes of a clinical adapter, and there is none. Give --clinical RUN, or leave it out."
    )
    assert not (tmp_path / "run").exists()
