"""The first reading of a user's table: every mistake, the classes, and what the rule of the splits needs to know."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinstack.data.classes import discover_classes, known_class, listed, order_classes
from clinstack.data.columns import Columns, Reading, TableNote, understand
from clinstack.data.identifiers import Guard
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.data.rows import read_rows
from clinstack.data.split_rules import SplitRule
from clinstack.errors import BadInput

MOST_CLASSES = 10_000


@dataclass
class Survey:
    """What the first reading found: rows, notes among them, labels, and those that the label map has no class for."""

    labels: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    notes: int = 0


def survey_files(
    files: Sequence[Path],
    columns: Columns,
    reading: Reading,
    classes: Sequence[str] | None,
    rule: SplitRule,
    guard: Guard | None,
) -> Survey:
    """Reads all files once and finds every mistake. Raises BadInput with those of the first file that has any."""
    survey = Survey()
    earlier = _EarlierRows(files, columns)
    known = frozenset(classes or ())
    for index, file in enumerate(files):
        mistakes = Mistakes(file)
        rows_before = survey.rows
        for row in read_rows(file, mistakes, list(columns.named().values())):
            survey.rows += 1
            note, wrong = understand(row, file, columns, reading)
            if reading.drop_unmapped:
                # As messages show them: a column of notes, named by mistake, must not be held.
                survey.unmapped.update(map(shown, note.unmapped))
            if is_dropped(note, columns, reading):
                continue
            wrong += earlier.contradicted_by(note, (index, row.number))
            if classes is not None:
                unknown = [label for label in note.labels if known_class(label, known) is None]
                wrong += [f"label {shown(label)} is not one of {listed(classes)}." for label in unknown]
            for sentence in wrong:
                mistakes.add(sentence, row.place)
            survey.labels.update(note.labels)
            if len(survey.labels) > MOST_CLASSES:
                raise BadInput(
                    f"{file}: column {columns.label or columns.labels!r} has more than {MOST_CLASSES:,} different "
                    "labels. It is probably not the column of labels."
                )
            if not mistakes.count:
                survey.notes += 1
                rule.see(note)
                if guard is not None:
                    guard.read([note.text])
        if survey.rows == rows_before and not mistakes.count:
            mistakes.add("the file has columns but no rows.")
        mistakes.check()
    if not survey.notes:
        raise BadInput(f"No row is left: none of the {survey.rows:,} labels has a class in the label map.")
    return survey


def is_dropped(note: TableNote, columns: Columns, reading: Reading) -> bool:
    """Whether a note has no class and is left out for it. Its other mistakes do not matter then."""
    return bool(reading.drop_unmapped and columns.label and note.unmapped)


class _EarlierRows:
    """Where each id and each patient stood first, so that both rows can be named when two clash.

    Only the first reading needs it; it is let go before anything is written.
    """

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        self._files, self._columns = files, columns
        self._notes: dict[str, tuple[int, int]] = {}
        self._patients: dict[str, tuple[str, tuple[int, int]]] = {}
        self._zone: tuple[bool, tuple[int, int]] | None = None

    def contradicted_by(self, note: TableNote, at: tuple[int, int]) -> list[str]:
        """What in a note clashes with earlier ones; `at` is its file's index and its row."""
        wrong = []
        if self._columns.note_id and note.note_id:
            first = self._notes.setdefault(note.note_id, at)
            if first != at:
                wrong.append(f"the id {shown(note.note_id)} is that of {self._place(first, at)} too.")
        if note.patient_id and note.split:
            split, first = self._patients.setdefault(note.patient_id, (note.split, at))
            if split != note.split:
                wrong.append(
                    f"patient {shown(note.patient_id)} is in {note.split} here and in {split} in "
                    f"{self._place(first, at)}. A patient belongs to one split."
                )
        if note.when:
            zoned = note.when.tzinfo is not None
            self._zone = self._zone or (zoned, at)
            if zoned != self._zone[0]:
                here, there = ("a", "none") if zoned else ("no", "one")
                wrong.append(
                    f"the time has {here} time zone, and that of {self._place(self._zone[1], at)} has {there}. "
                    "Write all times one way."
                )
        return wrong

    def _place(self, first: tuple[int, int], at: tuple[int, int]) -> str:
        return f"row {first[1]}" if first[0] == at[0] else f"row {first[1]} of {self._files[first[0]]}"


def classes_of(survey: Survey, columns: Columns, given: Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes in order, given or found, and the class of each label. Raises BadInput if they make no task."""
    if given is not None:
        return tuple(given), {label: str(known_class(label, given)) for label in survey.labels}
    if not survey.labels:
        raise BadInput(f"No row has a label: the lists of column {columns.labels!r} are all empty.")
    class_of = discover_classes(survey.labels, listed_labels=columns.labels is not None)
    classes = order_classes(set(class_of.values()))
    if columns.label and len(classes) == 1:
        raise BadInput(
            f"All {survey.notes:,} rows have the label {shown(classes[0])}. A task needs two classes or more."
        )
    return classes, class_of
