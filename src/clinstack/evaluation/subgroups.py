"""How a run does on each group of patients, and how far from the others: by sex, by age band, by any column.

A group's figure and its gap to everyone else come from one bootstrap over patients, so the gap's interval is that of a
difference. Small groups have wide intervals, and a group without one of the two answers has none: neither is hidden.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from clinstack.data.classes import name_of
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.data.rows import read_columns, read_rows
from clinstack.errors import BadInput, did_you_mean
from clinstack.metrics.intervals import Draws, bootstrap_draws
from clinstack.metrics.scorecard import headline, headline_statistic

UNKNOWN = "unknown"
MOST_GROUPS = 30


@dataclass(frozen=True)
class Split:
    """A column to group by. bounds: of bands of numbers, rising; () for values as they are."""

    column: str
    bounds: tuple[float, ...] = ()

    def group(self, value: Any) -> str:
        """The group of a value. Raises ValueError if a number is needed and it is none."""
        known = name_of(value)
        if known is None:
            return UNKNOWN
        if not self.bounds:
            return known
        number = float(known)
        if not isfinite(number):
            raise ValueError
        place = bisect_right(self.bounds, number)
        low = f"{self.bounds[place - 1]:g}" if place else None
        high = f"{self.bounds[place]:g}" if place < len(self.bounds) else None
        return f"below {high}" if low is None else f"{low} and above" if high is None else f"{low} to below {high}"


def parse_split(word: str) -> Split:
    """COLUMN, or COLUMN:40,65,80 for bands. Raises BadInput for anything else."""
    column, colon, bounds = word.partition(":")
    try:
        numbers = tuple(float(one) for one in bounds.split(",")) if colon else ()
    except ValueError:
        numbers = (nan,)
    if not column or not all(map(isfinite, numbers)) or list(numbers) != sorted(set(numbers)):
        raise BadInput(f"--by {word}: give a column, or a column and rising bounds of bands, such as age:40,65,80.")
    return Split(column, numbers)


def read_attributes(notes: pa.Table, columns: Sequence[str], file: Path | None) -> dict[str, list[Any]]:
    """The values of columns for each note (N,): from the task's own notes, or from a table of notes or patients.

    file: a table with a column note_id or patient_id beside those asked for; a note or patient that it lacks has None.
    Raises BadInput naming the column that there is not, or the id that is there twice with different values.
    """
    if file is None:
        there = [name for name in notes.column_names if name not in ("text", "labels")]
        for column in columns:
            if column not in there:
                raise BadInput(
                    f"The task's notes have no column {column!r}. {did_you_mean(column, there)} Others come with "
                    "--attributes, a table with note_id or patient_id."
                )
        return {column: notes.column(column).to_pylist() for column in columns}
    there = read_columns(file)
    key = next((name for name in ("note_id", "patient_id") if name in there), None)
    if key is None:
        raise BadInput(f"{file} has neither a column note_id nor patient_id to find its rows by.")
    for column in columns:
        if column not in there:
            raise BadInput(f"{file} has no column {column!r}. {did_you_mean(column, there)}")
    mistakes = Mistakes(file)
    found: dict[str, tuple[Any, ...]] = {}
    for row in read_rows(file, mistakes, [key, *columns]):
        name, values = str(name_of(row.values[key])), tuple(_or_none(row.values[column]) for column in columns)
        if found.setdefault(name, values) != values:
            mistakes.add(f"{key} {shown(name)} has other values in an earlier row.", row.place)
    mistakes.check()
    names = notes.column(key).to_pylist()
    if not found.keys() & set(names):
        raise BadInput(
            f"No row of {file} belongs to a note that is scored: its {key} are other ones, or written in another way."
        )
    rows = [found.get(name, (None,) * len(columns)) for name in names]
    return {column: [row[place] for row in rows] for place, column in enumerate(columns)}


def _or_none(value: Any) -> Any:
    """A number that is none (NaN, which differs from itself) is not known."""
    return None if isinstance(value, float) and isnan(value) else value


def subgroups(
    kind: str,
    logits: ArrayLike,
    labels: NDArray[np.bool_],
    patient_ids: Sequence[str],
    attributes: dict[str, list[Any]],
    splits: Sequence[Split],
    resamples: int,
) -> list[dict[str, Any]]:
    """A row per group of every split: notes, patients, the kind's headline metric, and its gap to all other notes.

    {"column", "group", "notes", "patients", "metric", "value", "low", "high", "gap", "gap_low", "gap_high"}, None where a
    figure does not exist. Raises BadInput if a column has too many values to be groups, or no numbers for its bands.
    """
    rows = []
    for split in splits:
        groups = _groups(split, attributes[split.column])
        for name in sorted(set(groups), key=partial(_order, split)):
            inside = np.array([group == name for group in groups])
            rows.append(
                {"column": split.column, "group": name, **_row(kind, logits, labels, patient_ids, inside, resamples)}
            )
    return rows


def _groups(split: Split, values: list[Any]) -> list[str]:
    groups = []
    for value in values:
        try:
            groups.append(split.group(value))
        except ValueError:
            raise BadInput(
                f"--by {split.column}: {shown(str(value))} is no number, so it has no band. Leave it empty where it is not "
                "known, or leave out the bounds."
            ) from None
    if len(set(groups)) > MOST_GROUPS:
        raise BadInput(
            f"--by {split.column} has {len(set(groups))} values, too many to be groups. Give bounds of bands, such as "
            f"{split.column}:40,65,80, or another column."
        )
    return groups


def _order(split: Split, group: str) -> tuple[bool, int, str]:
    """Bands rise, values stand by name, and what is not known comes last."""
    bands = [split.group(split.bounds[0] - 1), *map(split.group, split.bounds)] if split.bounds else []
    return group == UNKNOWN, bands.index(group) if group in bands else 0, group


def _row(
    kind: str,
    logits: ArrayLike,
    labels: NDArray[np.bool_],
    patient_ids: Sequence[str],
    inside: NDArray[np.bool_],
    resamples: int,
) -> dict[str, Any]:
    table = np.asarray(logits)
    parts = {"inside": np.flatnonzero(inside), "outside": np.flatnonzero(~inside)}
    statistics = {
        part: (rows, headline_statistic(kind, table[rows], labels[rows])) for part, rows in parts.items() if len(rows)
    }
    found = bootstrap_draws(
        lambda weights: {part: statistic(weights[:, rows]) for part, (rows, statistic) in statistics.items()},
        patient_ids,
        resamples,
    )
    patients = {patient for patient, one in zip(patient_ids, inside, strict=True) if one}
    gap = _limits(found["inside"].minus(found["outside"])) if "outside" in found else dict.fromkeys(_KEYS)
    return {
        "notes": int(inside.sum()),
        "patients": len(patients),
        "metric": headline(kind),
        **_limits(found["inside"]),
        "gap": gap["value"],
        "gap_low": gap["low"],
        "gap_high": gap["high"],
    }


_KEYS = ("value", "low", "high")


def _limits(draws: Draws) -> dict[str, float | None]:
    interval = draws.interval()
    figures = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {key: None if np.isnan(figure) else figure for key, figure in figures.items()}
