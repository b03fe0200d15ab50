"""Labels as files write them -> the classes of a task.

The same class is written 1 in a database, 1.0 by a spreadsheet column with a gap, "1" in CSV and " yes " in a padded
export. This is the one place that says which spellings are one class, in what order the classes stand, and which of
two is the positive. What no rule can know (that X means dead, which codes are one group) a label map says: a file,
because it is kept beside the data, reviewed, and holds two labels as well as two thousand codes.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.data.rows import FORMATS, read_columns, read_rows
from clinstack.errors import BadInput

POSITIVE_SECOND = (("0", "1"), ("no", "yes"), ("false", "true"), ("negative", "positive"))
_NUMBER = re.compile(r"-?\d+(\.0+)?")


def name_of(value: Any) -> str | None:
    """A label or an id as text, the same from every file format: 1, 1.0 and "1" are "1". None if there is none."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        return str(int(value))
    name = str(value).strip()
    return None if name.lower() in ("", "nan", "<na>") else name


def known_class(label: str, classes: Collection[str]) -> str | None:
    """The class, of those given, that a label means, or None: itself, or the whole number written as 1.0."""
    if label in classes:
        return label
    whole = _whole(label) if _NUMBER.fullmatch(label) else label
    return whole if whole in classes else None


def discover_classes(labels: Collection[str], *, listed_labels: bool) -> dict[str, str]:
    """The class of each distinct label, where nobody named the classes.

    listed_labels: whether they come from lists (multilabel). There 250.0 is a code and not a number, and is left alone.
    Raises BadInput for labels that differ only in case, which would be two classes without a word.
    """
    numbers = not listed_labels and all(_NUMBER.fullmatch(label) for label in labels)
    class_of = {label: _whole(label) if numbers else label for label in labels}
    spellings: dict[str, str] = {}
    for name in sorted(set(class_of.values())):
        other = spellings.setdefault(name.casefold(), name)
        if other != name:
            raise BadInput(f"Labels {shown(other)} and {shown(name)} differ only in case. Write them one way.")
    return class_of


def order_classes(names: Collection[str]) -> tuple[str, ...]:
    """Distinct classes in order: whole numbers by value, else by name; of a pair such as no/yes the positive second."""
    lower = {name.lower(): name for name in names}
    for pair in POSITIVE_SECOND:
        if set(lower) == set(pair):
            return tuple(lower[word] for word in pair)
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(set(names), key=lambda name: (int(name), name)))
    return tuple(sorted(set(names)))


def check_classes(kind: str, classes: Sequence[str]) -> None:
    """Raises BadInput unless the class names are distinct and as many as the kind of task needs."""
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if list(classes).count(name) > 1)
        raise BadInput(f"Class {shown(twice)} is named twice. Name each class once.")
    if kind == "binary" and len(classes) != 2:
        raise BadInput(f"A binary task has two classes, not {len(classes)}: {listed(classes)}.")
    if kind == "multiclass" and len(classes) < 2:
        raise BadInput(f"A task of one class a note needs two classes or more, not {len(classes)}: {listed(classes)}.")
    if not classes:
        raise BadInput("A multilabel task needs at least one class.")


@dataclass(frozen=True)
class LabelMap:
    """A label as files write it -> its class. The empty label may have one too. titles: what a class stands for, if told."""

    file: Path
    classes: Mapping[str, str]
    titles: Mapping[str, str]

    def class_of(self, label: str, *, exact: bool) -> str | None:
        """The class of a label, or None. `exact`: 250.0 is a code, and not the 250 that it would be as a number."""
        known = label if exact else known_class(label, self.classes)
        return None if known is None else self.classes.get(known)

    def about(self) -> dict[str, Any]:
        """Its file's name and the labels of each class, for JSON."""
        labels: dict[str, list[str]] = {name: [] for name in order_classes(set(self.classes.values()))}
        for label, name in self.classes.items():
            labels[name].append(label)
        return {"file": self.file.name, "classes": labels}


def read_label_map(file: Path) -> LabelMap:
    """A map from a table with the columns label and class (.csv, .tsv), or an object of names (.json, .toml).

    A table may have a column title: what the class beside it stands for, in words, for people.
    A label whose class is empty is as one that is not there. Labels are compared as they are written, but for white
    space around them.
    Raises BadInput with all mistakes of the file.
    """
    mistakes = Mistakes(file)
    classes: dict[str, str | None] = {}
    titles: dict[str, str] = {}
    for place, label, value, title in _map_entries(file, mistakes):
        if isinstance(value, (list, dict)):
            mistakes.add(f"the class of label {shown(label)} is no name. Write one class beside each label.", place)
            continue
        known = classes.setdefault(label, name_of(value))
        if known != name_of(value):
            mistakes.add(f"label {shown(label)} is given two classes, {shown(known)} and {shown(value)}.", place)
        elif known is not None and title is not None and titles.setdefault(known, title) != title:
            mistakes.add(f"class {shown(known)} is given a second title. Write one, or leave the others empty.", place)
    mistakes.check()
    named = {label: name for label, name in classes.items() if name is not None}
    if not named:
        raise BadInput(f"{file} gives no label a class.")
    return LabelMap(file, named, titles)


def listed(classes: Sequence[str], most: int = 20) -> str:
    """Class names for a message: the first `most`, and how many more there are."""
    names = ", ".join(name if shown(name) == repr(name) else f"a name {shown(name)}" for name in classes[:most])
    return names if len(classes) <= most else f"{names} and {len(classes) - most:,} more"


def _whole(label: str) -> str:
    """The whole number that was written as 1 or 1.0."""
    return label.partition(".")[0]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands, so that a label that occurs twice is seen."""


def _map_entries(file: Path, mistakes: Mistakes) -> Iterator[tuple[str, str, Any, str | None]]:
    """Row, label, class and title of each entry of a label map."""
    if not file.name.lower().endswith((".json", ".toml", *FORMATS)):
        raise BadInput(f"{file}: a label map is a .csv, .tsv, .json or .toml file.")
    if not file.name.lower().endswith((".json", ".toml")):
        columns = read_columns(file)
        missing = [column for column in ("label", "class") if column not in columns]
        if missing:
            raise BadInput(
                f"{file} has no column {' and no column '.join(map(repr, missing))}. A label map has the columns "
                "'label', as it stands in the files, and 'class'."
            )
        for row in read_rows(file, mistakes, [one for one in ("label", "class", "title") if one in columns]):
            given = row.values
            yield row.place, name_of(given.get("label")) or "", given.get("class"), name_of(given.get("title"))
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".toml":
            entries: Any = _Pairs(tomllib.loads(text).items())
        else:
            entries = json.loads(text, object_pairs_hook=_Pairs)
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BadInput(f"{file} is not valid {file.suffix[1:].upper()}: {error}.") from error
    if not isinstance(entries, _Pairs):
        raise BadInput(f'{file} holds no object. Write {{"label": "class", ...}}.')
    for label, name in entries:
        yield "", name_of(label) or "", name, None
