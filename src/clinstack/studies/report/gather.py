"""Reads every run below a folder: results, settings, lineage, events and predictions; nothing is computed here.

The walk is bounded (six folders deep, 20,000 folders, no links) and enters neither runs nor what a study keeps beside its own,
so that a whole disk given by mistake costs a moment. A run that cannot be read does not spoil the report; it is listed with
the reason.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from clinstack.errors import BadInput
from clinstack.metrics.kinds import KINDS
from clinstack.runs.atomic import read_json
from clinstack.runs.folder import read_events
from clinstack.runs.layout import RunLayout, StudyLayout

DEEPEST = 6
MOST_FOLDERS = 20_000

_REQUIRED: Mapping[int, tuple[str, ...]] = {
    1: ("method", "base", "perplexity", "bits_per_byte"),
    2: ("task", "kind", "classes", "variant", "base", "metrics"),
}

_TYPES: Mapping[str, type] = {"base": dict, "metrics": dict, "classes": list, "cost": dict, "stack_proof": dict}


@dataclass(frozen=True)
class Run:
    """A finished run. `name` is its folder, seen from the report's; `settings` its config, flat."""

    name: str
    layout: RunLayout
    result: Mapping[str, Any]
    settings: Mapping[str, Any]
    lineage: Mapping[str, Any]

    @property
    def step(self) -> int:
        """1 adapted a clinical adapter, 2 trained a task."""
        return int(self.result["step"])

    @property
    def seed(self) -> int | None:
        """The seed, if the run says it."""
        seed = self.result.get("seed", self.lineage.get("seed"))
        return None if seed is None else int(seed)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, `step` or `validation`, in order."""
        return [event for event in read_events(self.layout.events) if event.get("event") == kind]


@dataclass(frozen=True)
class FailedCell:
    """Which cell of a study a failed run is; a cell of step 1 has no task."""

    variant: str
    base: str
    task: str | None
    seed: int


@dataclass(frozen=True)
class Unfinished:
    """A run without a readable result, and what is known about it. cell: which one it is, if a study says that it failed."""

    name: str
    reason: str
    cell: FailedCell | None = None


@dataclass(frozen=True)
class Predictions:
    """What a run said about one split, by note id in rising order. labels: (N, C) bool. logits: (N, C)."""

    note_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: NDArray[np.bool_]
    logits: NDArray[np.float64]


@dataclass(frozen=True)
class Gathered:
    """All that lies below the folder, each part in the order of names."""

    classification: tuple[Run, ...]
    language: tuple[Run, ...]
    unfinished: tuple[Unfinished, ...]

    @property
    def finished(self) -> tuple[Run, ...]:
        """Step 1 first, then step 2."""
        return self.language + self.classification


def gather(folder: Path) -> Gathered:
    """All runs below `folder`, or the run that `folder` is. Raises BadInput if it is not a folder."""
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is not a folder. Give the folder in which `adapt`, `train` or `study` wrote its runs."
        )
    runs: list[Run] = []
    unfinished: list[Unfinished] = []
    for root in _run_folders(folder):
        name = folder.resolve().name if root == folder else root.relative_to(folder).as_posix()
        try:
            found = _read(name, RunLayout(root))
        except BadInput as error:
            unfinished.append(Unfinished(name, str(error).replace(f"{root}{os.sep}", "")))
            continue
        if isinstance(found, Run):
            runs.append(found)
        else:
            unfinished.append(found)
    return Gathered(
        classification=tuple(run for run in runs if run.step == 2),
        language=tuple(run for run in runs if run.step == 1),
        unfinished=tuple(unfinished),
    )


def read_predictions(run: Run, split: str = "test") -> Predictions | None:
    """The run's predictions of a split, or None if it kept none or an unreadable file."""
    if not run.layout.predictions.is_file():
        return None
    columns = ["note_id", "patient_id", "labels", "logits"]
    try:
        table = parquet.read_table(run.layout.predictions, columns=columns, filters=[("split", "==", split)])
    except (OSError, ValueError, KeyError):
        return None
    if not table.num_rows:
        return None
    table = table.sort_by("note_id").combine_chunks()
    classes, said = pa.array(list(run.result["classes"]), pa.string()), table.column("labels").combine_chunks()
    columns = pc.index_in(said.flatten(), classes)
    if columns.null_count:
        return None
    labels = np.zeros((table.num_rows, len(classes)), dtype=bool)
    rows = np.repeat(np.arange(table.num_rows), pc.list_value_length(said).to_numpy(zero_copy_only=False))
    labels[rows, columns.to_numpy(zero_copy_only=False)] = True
    flat = table.column("logits").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    logits = flat.astype(np.float64).reshape(table.num_rows, -1)
    return Predictions(
        tuple(table.column("note_id").to_pylist()), tuple(table.column("patient_id").to_pylist()), labels, logits
    )


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders that hold a result or were begun, nearest and first by name first."""
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < MOST_FOLDERS:
        here, depth = waiting.pop(0)
        seen += 1
        layout = RunLayout(here)
        begun = layout.config.is_file() and layout.events.is_file()
        if layout.result.is_file() or layout.failure.is_file() or begun:
            yield here
            continue
        if StudyLayout(here).cells.is_file():
            waiting.append((StudyLayout(here).runs, depth + 1))
        elif depth < DEEPEST:
            try:
                below = sorted(entry.name for entry in os.scandir(here) if entry.is_dir(follow_symlinks=False))
            except OSError:
                continue
            waiting += [(here / name, depth + 1) for name in below if not name.startswith(".")]


def _read(name: str, layout: RunLayout) -> Run | Unfinished:
    if not layout.result.is_file() and layout.failure.is_file():
        failure = read_json(layout.failure)
        cell = FailedCell(**failure["cell"]) if "cell" in failure else None
        return Unfinished(name, f"failed: {failure.get('reason')}", cell)
    if not layout.result.is_file():
        events = read_events(layout.events)
        reached = f"reached step {events[-1].get('step', 0)}" if events else "wrote no event"
        return Unfinished(name, f"no result.json: it failed, was interrupted or is still running; it {reached}")
    result = read_json(layout.result)
    step = result.get("step", 0) if isinstance(result, dict) else 0
    if step not in _REQUIRED:
        raise BadInput("result.json does not say that it is of step 1 or of step 2")
    if missing := [key for key in _REQUIRED[step] if key not in result]:
        raise BadInput(f"result.json lacks {', '.join(missing)}")
    if wrong := [key for key, kind in _TYPES.items() if not isinstance(result.get(key, kind()), kind)]:
        raise BadInput(f"result.json has a {wrong[0]} of the wrong type")
    if step == 2 and result["kind"] not in KINDS:
        raise BadInput(f"result.json has a kind of task that is not known; known: {', '.join(KINDS)}")
    lineage = read_json(layout.lineage) if layout.lineage.is_file() else {}
    return Run(name, layout, result, _settings(layout.config), lineage if isinstance(lineage, dict) else {})


def _settings(config: Path) -> dict[str, Any]:
    try:
        return flatten(tomllib.loads(config.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise BadInput("config.toml is not valid TOML") from None


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by underscores."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}_") if isinstance(value, Mapping) else {name: value}
    return flat
