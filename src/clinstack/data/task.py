"""A task: labelled notes with a kind, named classes and splits by patient, as a folder.

`TaskWriter` streams notes into the folder's three parquet files and is the last to check them, whatever source they
come from: labels are class names, as many as the kind allows. Class names and not numbers lie on the disk, so that a
reordered class list cannot shift the labels' meaning; `label_matrix` turns them into columns. The folder appears
whole or not at all.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clinstack.data.classes import check_classes, listed
from clinstack.data.notes import SPLITS, SplitFiles, read_split, shown
from clinstack.errors import BadInput, did_you_mean
from clinstack.runs.atomic import atomic_folder, read_json, write_json
from clinstack.runs.layout import CorpusLayout, TaskLayout
from clinstack.runs.lineage import hash_arrays, hash_files

KINDS = ("binary", "multiclass", "multilabel")


@dataclass(frozen=True)
class Task:
    """A task folder that has been opened.

    classes: class names in the order of logits and of `label_matrix`'s columns; of a binary task the second is the
        positive.
    titles:  class -> what it stands for, in words, for people; of those classes whose source said so.
    counts:  split -> {"notes", "patients", "classes": {class: notes}}.
    build:   how it was made: inputs, switches, what was dropped; empty if the source did not say.
    """

    folder: Path
    name: str
    kind: str
    classes: tuple[str, ...]
    titles: Mapping[str, str]
    source: str
    mode: str
    terms: tuple[str, ...]
    seed: int | None
    counts: Mapping[str, Mapping[str, Any]]
    build: Mapping[str, Any]

    def path(self, split: str) -> Path:
        """The parquet file of a split, for `notes.read_batches`."""
        return TaskLayout(self.folder).split(split)

    def content_hash(self) -> str:
        """What the notes and labels of all splits are, wherever they lie, and which logit is whose; all of them are read."""
        notes = hash_files(self.path(split) for split in SPLITS)
        return hash_arrays({}, {"notes": notes, "kind": self.kind, "classes": list(self.classes)})

    def read(self, split: str) -> pa.Table:
        """A split's notes: note_id, patient_id, text, labels (lists of class names) and the optional columns."""
        return read_split(self.path(split))

    def read_all(self) -> pa.Table:
        """The notes of all splits, in their order: note_id, patient_id, text, labels."""
        columns = ["note_id", "patient_id", "text", "labels"]
        return pa.concat_tables([self.read(split).select(columns) for split in SPLITS if self.counts[split]["notes"]])

    def label_matrix(self, table: pa.Table) -> NDArray[np.bool_]:
        """(N, C) True where a note has a class, columns in the order of `classes`."""
        labels = table.column("labels").combine_chunks()
        counts = pc.list_value_length(labels).to_numpy(zero_copy_only=False)
        columns = pc.index_in(labels.flatten(), pa.array(self.classes)).to_numpy(zero_copy_only=False)
        if np.isnan(columns.astype(float)).any():
            raise BadInput(f"{self.folder}: labels that are not among the task's classes. Make the folder again.")
        matrix = np.zeros((table.num_rows, len(self.classes)), bool)
        matrix[np.repeat(np.arange(table.num_rows), counts), columns.astype(int)] = True
        return matrix


def open_task(folder: Path) -> Task:
    """The task in a folder. Raises BadInput, saying what the folder is instead, if it holds none."""
    layout = TaskLayout(folder)
    if not layout.task.is_file():
        if CorpusLayout(folder).corpus.is_file():
            raise BadInput(f"{folder} is a corpus (notes without labels), and a task is needed here.")
        raise BadInput(
            f"{folder} is not a task folder: {layout.task.name} is missing. `clinstack data` makes task folders."
        )
    about = read_json(layout.task)
    try:
        return Task(
            folder=folder,
            name=about["name"],
            kind=about["kind"],
            classes=tuple(about["classes"]),
            titles=about.get("titles", {}),
            source=about["source"],
            mode=about["mode"],
            terms=tuple(about["terms"]),
            seed=about["seed"],
            counts=about["counts"],
            build=about.get("build", {}),
        )
    except (KeyError, TypeError) as error:
        raise BadInput(f"{layout.task} lacks {error}. It may have been edited; make the folder again.") from error


class TaskWriter:
    """Writes a task folder; a context manager. On an error inside the block nothing is left.

    folder:  must not exist, or be empty.
    classes: two for binary (the second is the positive), two or more for multiclass, one or more for multilabel.
    titles:  class -> what it stands for; others than the classes' are left out.
    source:  where the notes are from; `mode` is how they were read; `terms` are the data-use terms they bring.
    seed:    of the split by patient, or None where the splits were given.
    extra:   those of notes.EXTRA_COLUMNS that every `write` brings.
    build:   how the source was read, kept under "build": inputs, switches, what was dropped.
    After a clean exit `about` holds what task.json holds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        kind: str,
        classes: Sequence[str],
        source: str,
        titles: Mapping[str, str] | None = None,
        mode: str = "table",
        terms: Sequence[str] = (),
        seed: int | None = None,
        extra: Sequence[str] = (),
        build: Mapping[str, Any] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise BadInput(f"Unknown kind of task {kind!r}. {did_you_mean(kind, KINDS)}")
        check_classes(kind, classes)
        self.about: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "classes": list(classes),
            "titles": {name: title for name in classes if (title := (titles or {}).get(name))},
            "source": source,
            "mode": mode,
            "terms": list(terms),
            "seed": seed,
            "build": dict(build or {}),
        }
        self._folder = folder
        self._extra = tuple(extra)
        self._known = frozenset(classes)
        self.seen: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}

    def __enter__(self) -> Self:
        with ExitStack() as place:
            self._layout = TaskLayout(place.enter_context(atomic_folder(self._folder)))
            paths = {split: self._layout.split(split) for split in SPLITS}
            self._files = SplitFiles(paths, self._extra, labelled=True)
            self._place = place.pop_all()
        return self

    def write(
        self,
        split: str,
        note_ids: Sequence[str],
        patient_ids: Sequence[str],
        texts: Sequence[str],
        labels: Sequence[Sequence[str]],
        extra: Mapping[str, Sequence[str | None]] | None = None,
    ) -> None:
        """Appends notes to a split; all arguments are of one length.

        labels: for each note its class names: one for binary and multiclass, any number for multilabel.
        extra:  optional column -> values, for the columns named when the writer was made.
        Raises BadInput, naming the note, for a label that is no class, a wrong number of labels, a blank text, an id
        seen before or a patient seen in another split.
        """
        columns = {"note_id": note_ids, "patient_id": patient_ids, "text": texts, "labels": labels, **(extra or {})}
        for note, names in zip(note_ids, labels, strict=False):
            self._check_labels(note, names)
        self._files.write(split, columns)
        self.seen[split].update(name for names in labels for name in names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._place:
            if error is not None:
                self._files.abandon()
                raise error
            counts = self._files.close()
            if not counts["train"]["notes"]:
                raise BadInput(f"Task {self.about['name']!r}: the train split is empty.")
            self.about["counts"] = {
                split: {
                    "notes": counts[split]["notes"],
                    "patients": counts[split]["patients"],
                    "classes": {name: self.seen[split][name] for name in self.about["classes"]},
                }
                for split in SPLITS
            }
            self._write_classes()
            write_json(self._layout.task, self.about)

    def _write_classes(self) -> None:
        """The class index as a table, for people and spreadsheets: column of logits, class, title, notes by split."""
        with self._layout.classes.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("index", "class", "title", *SPLITS))
            for index, name in enumerate(self.about["classes"]):
                title = self.about["titles"].get(name, "")
                rows.writerow((index, name, title, *(self.seen[split][name] for split in SPLITS)))

    def _check_labels(self, note: str, names: Sequence[str]) -> None:
        kind = self.about["kind"]
        if kind != "multilabel" and len(names) != 1:
            raise BadInput(f"Note {shown(note)} has {len(names)} labels. A note of a {kind} task has exactly one.")
        if len(set(names)) != len(names):
            raise BadInput(f"Note {shown(note)} has a label twice. Name each once.")
        for name in names:
            if name not in self._known:
                raise BadInput(
                    f"Note {shown(note)}: label {shown(name)} is not one of {listed(self.about['classes'])}."
                )
