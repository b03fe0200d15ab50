"""Labels as files write them -> the classes of a task.

The same class is written 1 in a database, 1.0 by a spreadsheet column with a gap, "1" in CSV and " yes " in a padded
export. This is the one place that says which spellings are one class, in what order the classes stand, and which of
two is the positive.
"""

import re
from collections.abc import Collection, Sequence
from math import isfinite, isnan
from typing import Any

from clinstack.data.notes import shown
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


def listed(classes: Sequence[str], most: int = 20) -> str:
    """Class names for a message: the first `most`, and how many more there are."""
    names = ", ".join(name if shown(name) == repr(name) else f"a name {shown(name)}" for name in classes[:most])
    return names if len(classes) <= most else f"{names} and {len(classes) - most:,} more"


def _whole(label: str) -> str:
    """The whole number that was written as 1 or 1.0."""
    return label.partition(".")[0]
