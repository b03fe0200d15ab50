"""A row of a user's file -> a note, and what is wrong with it.

The user says which column holds what. Everything wrong with a row becomes a sentence and nothing is raised, so that a
file's mistakes can be told together. A label or an id is the same text whatever format it comes from (`name_of`). A
time is read only where the splits go by it: the year first, whatever separates it, or a format that the user gives,
never a guess whether 02/03 is in February.
"""

import re
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path

from clinstack.data.classes import LabelMap, name_of
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
# The clock is spelled out, because without it seconds since 1970 would pass: 1231121500 as 15 December 1231, 00 h.
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<between>[-/.]?)(?P<month>\d\d)(?P=between)(?P<day>\d\d)"
    r"(?:[T ]*(?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?|\d{4}(?:\d\d(?:[.,]\d+)?)?)"
    r" *(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)


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


@dataclass(frozen=True)
class Reading:
    """How the values in the columns are read.

    separator:     between the labels of a note where they are one text, as in CSV.
    label_map:     which class a label means; without it a label is its class. `drop_unmapped`: one that means none is
        no mistake.
    needs_time, needs_site: whether every note must have one. `time_format`: how times are written, as for `strptime`.
    """

    separator: str = ";"
    label_map: LabelMap | None = None
    drop_unmapped: bool = False
    needs_time: bool = False
    time_format: str | None = None
    needs_site: bool = False


@dataclass(frozen=True, slots=True)
class TableNote:
    """A row that has been understood. `split` is None where no column gives it, `when` where no time is needed.

    unmapped: its labels that mean no class.
    """

    note_id: str
    patient_id: str
    text: str
    split: str | None
    labels: tuple[str, ...]
    extra: tuple[str | None, ...]
    unmapped: tuple[str, ...] = ()
    when: datetime | None = None
    site: str | None = None


_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What spreadsheets put between columns where the comma is for decimals, and others for other reasons."""


def check_columns(file: Path, columns: Columns) -> None:
    """Raises BadInput, offering the nearest name, if a file lacks a column that is named."""
    existing = read_columns(file)
    for what, column in columns.named().items():
        if column not in existing:
            flag = "id" if what == "note_id" else what
            if len(existing) == 1 and (apart := _apart_by(existing[0])):
                raise BadInput(
                    f"{file} has one column only: what stands in its first row is set apart by {apart}. Save it again with "
                    "commas, in UTF-8."
                )
            # Without a header the first row stands here, and a note in it must not be shown.
            names = [name for name in existing if shown(name) == repr(name)]
            raise BadInput(f"{file} has no column {column!r} (--{flag}). {did_you_mean(column, names)}")


def _apart_by(header: str) -> str | None:
    """What sets the columns apart in a first row that has no comma, in words."""
    return next((name for mark, name in _MARKS.items() if mark in header), None)


def understand(row: Row, file: Path, columns: Columns, reading: Reading = Reading()) -> tuple[TableNote, list[str]]:
    """A row of `file` as a note, and what is wrong with it, a sentence each (what is wrong is empty in the note)."""
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
    labels, unmapped, problem = _labels(row, columns, reading)
    if problem:
        wrong.append(problem)
    if reading.label_map and not reading.drop_unmapped:
        where = reading.label_map.file
        wrong += [f"label {shown(one)} has no class in {where}. Add it, or give --drop-unmapped." for one in unmapped]
    time = required(columns.time, "time") if reading.needs_time else ""
    # A real timestamp, as Parquet has them, needs no format.
    time_format = None if columns.time and isinstance(row.values.get(columns.time), date) else reading.time_format
    when = read_time(time, time_format) if time else None
    if time and when is None:
        wrong.append(_time_sentence(time, time_format))
    return TableNote(
        note_id,
        patient_id,
        text if isinstance(text, str) else "",
        SPLIT_NAMES.get(split.lower()),
        labels,
        tuple(name_of(row.values.get(getattr(columns, name))) for name in columns.extra()),
        unmapped,
        when,
        required(columns.site, "site") if reading.needs_site else None,
    ), wrong


def read_time(text: str, time_format: str | None = None) -> datetime | None:
    """A time as `time_format` says, or without it a date with the year first and, if any, a clock; None if it is none.

    2020-01-31, 2020/01/31 10:15, 20200131T101500Z, 2020-01-31 10:15:00.25 UTC and 20200131101500+0100 are all read.
    """
    try:
        if time_format is not None:
            return datetime.strptime(text, time_format)
        if not (found := _YEAR_FIRST.fullmatch(text)):
            return None
        zone = "+00:00" if found["zone"] in ("UTC", "GMT") else found["zone"] or ""
        clock = f"T{found['clock']}{zone}" if found["clock"] else ""
        return datetime.fromisoformat(f"{found['year']}-{found['month']}-{found['day']}{clock}")
    except ValueError:
        return None


def check_time_format(time_format: str) -> None:
    """Raises BadInput unless times written in the format can be read again, and tell the day."""
    example = datetime(2020, 1, 31, 22, 15)
    try:
        again = datetime.strptime(example.strftime(time_format), time_format)
    except ValueError:
        again = None
    if again is None or again.date() != example.date():
        raise BadInput(
            f"--time-format {time_format!r} does not tell the day. Write it with %Y, %m and %d, as '%d/%m/%Y %H:%M'."
        )


def _time_sentence(text: str, time_format: str | None) -> str:
    if time_format is not None:
        return f"the time {shown(text)} is not written as --time-format {time_format!r} says."
    return f"the time {shown(text)} is not written as 2020-01-31 10:15. Write it so, or give --time-format."


def _labels(row: Row, columns: Columns, reading: Reading) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """A row's labels, those of them that mean no class, and what is wrong with them."""
    written, problem = _written_labels(row, columns, reading)
    if reading.label_map is None or problem:
        return written, (), problem
    classes = {label: reading.label_map.class_of(label, exact=columns.labels is not None) for label in written}
    known = tuple(dict.fromkeys(name for name in classes.values() if name is not None))
    return known, tuple(label for label, name in classes.items() if name is None), ""


def _written_labels(row: Row, columns: Columns, reading: Reading) -> tuple[tuple[str, ...], str]:
    """A row's labels as written, and what is wrong with them. An empty one is a label if there is a map to read it."""
    column = columns.label or columns.labels
    if column is None:
        return (), ""
    value = row.values.get(column)
    if columns.label:
        if isinstance(value, (list, tuple, dict)):
            return (), f"the label (column {column!r}) is a list. Use --labels for several labels a note."
        name = name_of(value)
        if name is None and reading.label_map is None:
            return (), f"the label (column {column!r}) is empty."
        return (name or "",), ""
    if isinstance(value, str):
        return tuple(dict.fromkeys(part.strip() for part in value.split(reading.separator) if part.strip())), ""
    if value is None or isinstance(value, (dict, bool, int, float)):
        return (), f"the labels (column {column!r}) are no list. Write an empty list where there is none."
    names = [name_of(part) for part in value]
    if None in names:
        return (), f"the labels (column {column!r}) hold an empty one."
    return tuple(dict.fromkeys(name for name in names if name is not None)), ""
