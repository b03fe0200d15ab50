"""A saved run on a split of a task: predicted again from the files, and scored with intervals.

Nothing is copied from the run's result: what this prints is what the saved files do now.
"""

import tomllib
from pathlib import Path
from typing import Any

from clinstack.config import EvaluateOptions
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput
from clinstack.evaluation.subgroups import parse_split, read_attributes, subgroups
from clinstack.metrics.scorecard import calibration_error, scorecard
from clinstack.models.note_classifier import load
from clinstack.models.text_classifier import TextClassifier
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout
from clinstack.training.machine import choose_device


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Metrics with 95 % patient-bootstrap intervals of a run on one split.

    Returns {"run", "task", "split", "notes", "patients", "metrics": {name: {value, low, high}}, "labels_scored", "classes",
    "subgroups": see `subgroups`}.
    Raises BadInput if the task is missing, changed or has other classes; WrongParents as `load`.
    """
    classifier = load(options.run, options.base, choose_device(options.device))
    task = _own_task(options.run) if options.task is None else open_task(options.task)
    _require_same_classes(task, classifier)
    table = task.read(options.split)
    splits = [parse_split(word) for word in options.by]
    attributes = read_attributes(table, [split.column for split in splits], options.attributes) if splits else {}
    patients: list[str] = table.column("patient_id").to_pylist()
    logits = classifier.score_texts(table.column("text").to_pylist(), options.batch_size)
    labels = task.label_matrix(table)
    card = scorecard(task.kind, logits, labels, patients, options.resamples)
    scaled = logits / read_json(RunLayout(options.run).result)["temperature"]
    card.metrics["ece_scaled"] = calibration_error(task.kind, scaled, labels, patients, options.resamples)
    return {
        "run": str(options.run),
        "task": task.name,
        "kind": task.kind,
        "split": options.split,
        "notes": len(patients),
        "patients": len(set(patients)),
        "metrics": card.metrics,
        "labels_scored": card.labels_scored,
        "classes": len(task.classes),
        "subgroups": subgroups(task.kind, logits, labels, patients, attributes, splits, options.resamples),
    }


def _own_task(run: Path) -> Task:
    """The task a run was trained on, where it was then and unchanged."""
    layout = RunLayout(run)
    folder = Path(tomllib.loads(layout.config.read_text(encoding="utf-8"))["task"])
    if not folder.is_dir():
        raise BadInput(f"The task folder of {run}, {folder}, is no longer there. Say where it is with --task.")
    task = open_task(folder)
    recorded, found = read_json(layout.lineage)["data"]["hash"], task.content_hash()
    if recorded != found:
        raise BadInput(
            f"{folder} has changed since {run} was trained on it ({recorded}, now {found}). "
            "Restore it, or pass --task to score the run on another table."
        )
    return task


def _require_same_classes(task: Task, classifier: TextClassifier) -> None:
    if task.kind != classifier.kind or task.classes != classifier.classes:
        raise BadInput(
            f"{task.folder} is a {task.kind} task of {len(task.classes)} classes, and the run answers a {classifier.kind} "
            f"task of {len(classifier.classes)}; kind, names and order of the classes must be the same."
        )
