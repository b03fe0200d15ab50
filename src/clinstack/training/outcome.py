"""What every run of step 2 ends with, whatever was trained: metrics with intervals, a line per label, the predictions.

The test part is read once, at the end; figures come from the predictions that are written, never from another pass.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from clinstack.config import TrainOptions
from clinstack.data.task import Task
from clinstack.data.text_profile import text_profile
from clinstack.metrics.scorecard import Scorecard, auroc_as_released, calibration_error, probabilities, scorecard
from clinstack.metrics.temperature import fit_temperature
from clinstack.runs.atomic import atomic_file, write_json, write_text
from clinstack.runs.card import write_card
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import versions
from clinstack.runs.seal import finish_folder
from clinstack.training.machine import choose_device, device_name

Logits = Mapping[str, NDArray[np.float32]]


class SplitNotes:
    """One split of a task: ids, whose they are, labels (N, C) and texts."""

    def __init__(self, task: Task, split: str):
        table = task.read(split)
        self.note_ids: list[str] = table.column("note_id").to_pylist()
        self.patient_ids: list[str] = table.column("patient_id").to_pylist()
        self.labels: NDArray[np.bool_] = task.label_matrix(table)
        self.texts: list[str] = table.column("text").to_pylist()


def write_outcome(
    layout: RunLayout,
    task: Task,
    options: TrainOptions,
    notes: Mapping[str, SplitNotes],
    logits: Logits,
    about: dict[str, Any],
    lineage: dict[str, Any],
) -> dict[str, Any]:
    """Scores the splits that were predicted and writes all files of a finished run, `result.json` last; returns its content.

    notes: all splits that were read.   logits: of those that were predicted, valid among them.
    about, lineage: what else is to be said.
    """
    scored = {split: notes[split] for split in logits}
    cards = {
        split: scorecard(task.kind, logits[split], one.labels, one.patient_ids, options.resamples)
        for split, one in scored.items()
    }
    if options.profile == "as-released" and task.kind == "multilabel":
        for split, one in scored.items():
            found = auroc_as_released(logits[split], one.labels, one.patient_ids, options.resamples)
            cards[split].metrics["auroc_macro_as_released"] = found
    temperature = fit_temperature(task.kind, logits["valid"], notes["valid"].labels)
    for split, one in scored.items():
        scaled = logits[split] / temperature
        found = calibration_error(task.kind, scaled, one.labels, one.patient_ids, options.resamples)
        cards[split].metrics["ece_scaled"] = found
    result = {
        "step": 2,
        "task": task.name,
        "kind": task.kind,
        "classes": list(task.classes),
        "titles": dict(task.titles),
        "profile": options.profile,
        "seed": options.seed,
        "metrics": {split: card.metrics for split, card in cards.items()},
        "temperature": temperature,
        "inputs": text_profile(notes["valid"].texts).as_json(),
        "labels_scored": {split: card.labels_scored for split, card in cards.items()},
        "labels_absent": {split: int((~one.labels.any(axis=0)).sum()) for split, one in notes.items()},
        **about,
    }
    device = device_name(choose_device(options.device))
    lineage = {**lineage, "versions": versions(), "device": device, "seed": options.seed}
    _write_predictions(layout, task, scored, logits)
    write_json(layout.lineage, lineage)
    write_text(layout.labels, _label_table(task, notes, cards.get("test")))
    write_card(layout.card, result, lineage)
    finish_folder(layout, result)
    return result


def _write_predictions(layout: RunLayout, task: Task, scored: Mapping[str, SplitNotes], logits: Logits) -> None:
    """The scored notes with their logits and probabilities, classes in the task's order."""
    names = np.array(task.classes, dtype=object)
    tables = [
        pa.table(
            {
                "note_id": notes.note_ids,
                "patient_id": notes.patient_ids,
                "split": [split] * len(notes.note_ids),
                "labels": pa.array([names[row].tolist() for row in notes.labels], pa.list_(pa.string())),
                "probabilities": _lists(probabilities(task.kind, logits[split])),
                "logits": _lists(logits[split]),
            }
        )
        for split, notes in scored.items()
    ]
    with atomic_file(layout.predictions) as partial:
        parquet.write_table(pa.concat_tables(tables), partial, compression="zstd")


def _lists(rows: NDArray[Any]) -> Any:
    """(N, C) as a column of N lists of C."""
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(rows, np.float32).ravel()))


def _label_table(task: Task, notes: Mapping[str, SplitNotes], test: Scorecard | None) -> str:
    """CSV: every class, how many notes of each split have it, and its figures on test; empty where one does not exist."""
    figures = ("auroc", "auprc")
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    names = [f"{figure}{limit}" for figure in figures for limit in ("", "_low", "_high")]
    lines.writerow(["class", "title", *(f"notes_{split}" for split in notes), *names])
    counts = [one.labels.sum(axis=0) for one in notes.values()]
    for column, name in enumerate(task.classes):
        found = test.by_class.get(column, {}) if test else {}
        limits = [found.get(figure, {}).get(key) for figure in figures for key in ("value", "low", "high")]
        lines.writerow([name, task.titles.get(name, ""), *(int(count[column]) for count in counts), *limits])
    return out.getvalue()
