"""A row of a user's file -> a note, and what is wrong with it.

The user says which column holds what. Everything wrong with a row becomes a sentence and nothing is raised, so that a
file's mistakes can be told together. A label or an id is the same text whatever format it comes from (`name_of`).
"""

from dataclasses import dataclass, fields
from pathlib import Path

from clinstack.data.classes import name_of
from clinstack.data.notes import EXTRA_COLUMNS, shown
from clinstack.data.rows import Row, read_columns, stem_of
from clinstack.errors import BadInput, did_you_mean

SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "test": "test",
    "val": "valid",
    "dev": "valid",
    "validation": "valid",
}


@dataclass(frozen=True)
class Columns:
    """Which column of the files holds what: with `label` (a name) or `labels` (a list) a task, without a corpus."""

    text: str
    label: str | None = None
    labels: str | None = None
    patient: str | None = None
    note_id: str | None = None
    split: str | None = None
    time: str | None = None
    category: str | None = None
    site: str | None = None

    def named(self) -> dict[str, str]:
        """What it holds -> column, for those that are given."""
        return {one.name: column for one in fields(self) if (column := getattr(self, one.name)) is not None}

    def extra(self) -> tuple[str, ...]:
        """The optional note columns among them."""
        return tuple(name for name in EXTRA_COLUMNS if getattr(self, name, None) is not None)


@dataclass(frozen=True, slots=True)
class TableNote:
    """A row that has been understood. `split` is None where no column gives it."""

    note_id: str
    patient_id: str
    text: str
    split: str | None
    labels: tuple[str, ...]
    extra: tuple[str | None, ...]


def check_columns(file: Path, columns: Columns) -> None:
    """Raises BadInput, offering the nearest name, if a file lacks a column that is named."""
    existing = read_columns(file)
    for what, column in columns.named().items():
        if column not in existing:
            flag = "id" if what == "note_id" else what
            # Without a header the first row stands here, and a note in it must not be shown.
            names = [name for name in existing if shown(name) == repr(name)]
            raise BadInput(f"{file} has no column {column!r} (--{flag}). {did_you_mean(column, names)}")


def understand(row: Row, file: Path, columns: Columns, separator: str = ";") -> tuple[TableNote, list[str]]:
    """A row of `file` as a note, and what is wrong with it, a sentence each (what is wrong is empty in the note).

    separator: between the labels of a note where they are one text, as in CSV.
    """
    wrong: list[str] = []

    def required(column: str | None, what: str) -> str:
        if column is None:
            return ""
        value = name_of(row.values.get(column))
        if value is None:
            wrong.append(f"the {what} (column {column!r}) is empty.")
        return value or ""

    text = row.values.get(columns.text)
    if not isinstance(text, str) and name_of(text) is not None:
        wrong.append(f"the text (column {columns.text!r}) is no text but a value of type {type(text).__name__}.")
    elif not isinstance(text, str) or not text or text.isspace():
        wrong.append(f"the text (column {columns.text!r}) is empty.")
    note_id = required(columns.note_id, "id") if columns.note_id else f"{stem_of(file)}-{row.number}"
    patient_id = required(columns.patient, "patient") if columns.patient else note_id
    split = required(columns.split, "split")
    if split and split.lower() not in SPLIT_NAMES:
        wrong.append(f"split {shown(split)} is not one of train, valid (or val, dev, validation), test.")
    labels, problem = _labels(row, columns, separator)
    if problem:
        wrong.append(problem)
    extra = tuple(name_of(row.values.get(getattr(columns, name))) for name in columns.extra())
    return TableNote(
        note_id, patient_id, text if isinstance(text, str) else "", SPLIT_NAMES.get(split.lower()), labels, extra
    ), wrong


def _labels(row: Row, columns: Columns, separator: str) -> tuple[tuple[str, ...], str]:
    """A row's labels as written, and what is wrong with them."""
    column = columns.label or columns.labels
    if column is None:
        return (), ""
    value = row.values.get(column)
    if columns.label:
        if isinstance(value, (list, tuple, dict)):
            return (), f"the label (column {column!r}) is a list. Use --labels for several labels a note."
        name = name_of(value)
        return ((name,), "") if name is not None else ((), f"the label (column {column!r}) is empty.")
    if isinstance(value, str):
        return tuple(dict.fromkeys(part.strip() for part in value.split(separator) if part.strip())), ""
    if value is None or isinstance(value, (dict, bool, int, float)):
        return (), f"the labels (column {column!r}) are no list. Write an empty list where there is none."
    names = [name_of(part) for part in value]
    if None in names:
        return (), f"the labels (column {column!r}) hold an empty one."
    return tuple(dict.fromkeys(name for name in names if name is not None)), ""
