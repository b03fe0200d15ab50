"""`evaluate`: what the saved files do now, on the run's own patients or on another hospital's."""

import json
import random
import shutil
from pathlib import Path

import pytest

from clinstack.config import EvaluateOptions, TrainOptions
from clinstack.data.task import TaskWriter, open_task
from clinstack.errors import BadInput
from clinstack.evaluation.scoring import evaluate
from clinstack.runs.atomic import read_json
from clinstack.training.classification import train

WORDS = {"alive": "stable clear regular", "dead": "shock pressors mottled"}


def write_task(folder: Path, kind: str = "binary", classes: tuple[str, ...] = ("alive", "dead"), seed: int = 0) -> Path:
    """Notes that name their class; one per patient."""
    chance = random.Random(seed)
    with TaskWriter(folder, name=folder.name, kind=kind, classes=classes, source="tests") as out:
        for split, count in {"train": 24, "valid": 16, "test": 20}.items():
            labels = [classes[i % len(classes)] for i in range(count)]
            texts = [f"seen on day {chance.randint(1, 9)}, {WORDS.get(label, label)}" for label in labels]
            ids = [f"{split}-{i}" for i in range(count)]
            out.write(split, ids, ids, texts, [[label] for label in labels])
    return folder


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "own")


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_base: Path, task: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(
        TrainOptions(
            base=str(small_base),
            task=task,
            out=out,
            epochs=2,
            max_tokens=48,
            resamples=200,
            device="cpu",
            learning_rate=5e-3,
        )
    )
    return out


def score(run: Path, **changes) -> dict:
    return evaluate(EvaluateOptions(run=run, device="cpu", **({"resamples": 200} | changes)))


def refusal(run: Path, **changes) -> str:
    with pytest.raises(BadInput) as caught:
        score(run, **changes)
    return str(caught.value)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_recorded_metrics_are_reproduced(run, split):
    found = score(run, split=split)
    assert found["metrics"] == read_json(run / "result.json")["metrics"][split]
    assert found["labels_scored"] == read_json(run / "result.json")["labels_scored"][split]


def test_it_says_of_whom_it_speaks(run, task):
    found = score(run, split="train")
    assert {
        key: found[key] for key in ("run", "task", "kind", "split", "notes", "patients", "labels_scored", "classes")
    } == {
        "run": str(run),
        "task": "own",
        "kind": "binary",
        "split": "train",
        "notes": 24,
        "patients": 24,
        "labels_scored": 2,
        "classes": 2,
    }


def test_another_hospitals_table_of_the_same_classes_is_scored(run, tmp_path):
    found = score(run, task=write_task(tmp_path / "elsewhere", seed=1))
    assert found["task"] == "elsewhere"
    assert found["metrics"].keys() == read_json(run / "result.json")["metrics"]["test"].keys()


@pytest.mark.parametrize(
    ("kind", "classes"),
    [("binary", ("dead", "alive")), ("multiclass", ("alive", "dead", "heart")), ("multilabel", ("alive", "dead"))],
)
def test_other_classes_another_order_or_another_kind_are_refused(run, tmp_path, kind, classes):
    other = write_task(tmp_path / "other", kind, classes)
    assert refusal(run, task=other) == (
        f"{other} is a {kind} task of {len(classes)} classes, and the run answers a binary task of 2; "
        "kind, names and order of the classes must be the same."
    )


def test_a_task_that_moved_or_changed_is_refused_until_it_is_named(run, task, tmp_path):
    moved = Path(shutil.move(task, tmp_path / "moved"))
    try:
        assert refusal(run) == f"The task folder of {run}, {task}, is no longer there. Say where it is with --task."
        assert score(run, task=moved)["metrics"] == read_json(run / "result.json")["metrics"]["test"]
        write_task(task, seed=5)
        recorded = read_json(run / "lineage.json")["data"]["hash"]
        message = refusal(run)
        assert message.startswith(f"{task} has changed since {run} was trained on it ({recorded}, now sha256:")
        assert message.endswith("). Restore it, or pass --task to score the run on another table.")
    finally:
        shutil.rmtree(task, ignore_errors=True)
        shutil.move(moved, task)


def test_what_was_predicted_lies_beside_the_result_by_note_and_patient(run, task):
    from pyarrow import parquet

    stored = parquet.read_table(run / "predictions.parquet").to_pylist()
    expected = [
        {**row, "split": split} for split in ("valid", "test") for row in open_task(task).read(split).to_pylist()
    ]
    keys = ("note_id", "patient_id", "split", "labels")
    assert [{key: row[key] for key in keys} for row in stored] == [{key: row[key] for key in keys} for row in expected]
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-6 for row in stored)


def test_everything_found_is_json(run):
    json.dumps(score(run), allow_nan=False)
