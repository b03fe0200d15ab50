"""A user's own table of notes -> a task folder or a corpus folder.

Any mix of CSV, TSV, JSON lines and Parquet. The files are read twice: once to find every mistake, the classes and the
splits, once to write. So nothing is written before all is known to be right, text is never held, and what is kept
between the two is an id per note and per patient (about 300 bytes a note together).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinstack.data.classes import check_classes, discover_classes, known_class, listed, order_classes
from clinstack.data.columns import Columns, TableNote, check_columns, understand
from clinstack.data.corpus import CorpusWriter
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import SPLITS, shown
from clinstack.data.rows import read_rows, stem_of
from clinstack.data.splits import split_by_patient
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput
from clinstack.runs.atomic import refuse_occupied

MOST_CLASSES = 10_000
NOTES_AT_ONCE = 256


def build_table(
    files: Sequence[Path],
    out: Path,
    *,
    text: str,
    label: str | None = None,
    labels: str | None = None,
    patient: str | None = None,
    note_id: str | None = None,
    split: str | None = None,
    time: str | None = None,
    category: str | None = None,
    site: str | None = None,
    classes: Sequence[str] | None = None,
    label_separator: str = ";",
    name: str | None = None,
    seed: int = 123,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    terms: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes a task folder (with `label` or `labels`) or a corpus folder (without) from tables of notes.

    files: CSV, TSV, JSON lines (each also .gz) and Parquet, in any mix; all have the columns named.
    text, label, labels, ...: names of columns.
        label: one class name a note; two classes make a binary task, more a multiclass one.
        labels: a list, for a multilabel task; in CSV one text joined by `label_separator`.
        patient: whose note it is; without it every note counts as its own patient.
        note_id: unique over all files; without it "<file name>-<row number>".
        split: train, valid (or val, dev, validation), test; without it patients are split by `seed` and `fractions`.
    classes: the classes in order (of two, the second is the positive); without it those that occur.
    Returns what task.json or corpus.json holds, and "folder" and "warnings", sentences on what will limit the results.
    Raises BadInput with all mistakes of the first file that has any; CannotWrite if `out` is taken.
    """
    columns = Columns(text, label, labels, patient, note_id, split, time, category, site)
    _check_options(files, columns, classes, label_separator)
    refuse_occupied(out)
    survey = _survey(files, columns, label_separator, classes)
    split_of = survey.split_of if split else split_by_patient(survey.split_of, seed, fractions)
    _check_splits(split_of, files, split)
    about: dict[str, Any] = {
        "name": name or out.name,
        "source": files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more",
        "terms": terms,
        "seed": None if split else seed,
        "extra": columns.extra(),
    }
    if not (label or labels):
        with CorpusWriter(out, **about) as corpus:
            for part, notes in _batches(files, columns, label_separator, split_of):
                corpus.write(part, *_columns_of(notes), extra=_extra_of(notes, columns))
        return {**corpus.about, "folder": str(out), "warnings": []}
    ordered, class_of = _classes(survey, columns, classes)
    kind = "multilabel" if labels else "binary" if len(ordered) == 2 else "multiclass"
    with TaskWriter(out, kind=kind, classes=ordered, **about) as task:
        for part, notes in _batches(files, columns, label_separator, split_of):
            named = [list(dict.fromkeys(class_of[label] for label in note.labels)) for note in notes]
            task.write(part, *_columns_of(notes), named, extra=_extra_of(notes, columns))
        _check_one_class(task.seen, kind)
    return {**task.about, "folder": str(out), "warnings": _warnings(task.about)}


@dataclass
class _Survey:
    """What the first reading found: patients (with their split where a column gives it), labels and rows."""

    split_of: dict[str, str] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    rows: int = 0


def _survey(files: Sequence[Path], columns: Columns, separator: str, classes: Sequence[str] | None) -> _Survey:
    """Reads all files once and finds every mistake. Raises BadInput with those of the first file that has any."""
    survey = _Survey()
    earlier = _EarlierRows(files, columns, survey.split_of)
    known = frozenset(classes or ())
    for index, file in enumerate(files):
        mistakes = Mistakes(file)
        rows_before = survey.rows
        for row in read_rows(file, mistakes, list(columns.named().values())):
            survey.rows += 1
            note, wrong = understand(row, file, columns, separator)
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
        if survey.rows == rows_before and not mistakes.count:
            mistakes.add("the file has columns but no rows.")
        mistakes.check()
    return survey


class _EarlierRows:
    """Where each id and each patient stood first, so that both rows can be named when two clash.

    Only the first reading needs it; it is let go before anything is written.
    """

    def __init__(self, files: Sequence[Path], columns: Columns, split_of: dict[str, str]) -> None:
        self._files, self._columns, self._split_of = files, columns, split_of
        self._notes: dict[str, tuple[int, int]] = {}
        self._patients: dict[str, tuple[int, int]] = {}

    def contradicted_by(self, note: TableNote, at: tuple[int, int]) -> list[str]:
        """What in a note clashes with earlier ones; `at` is its file's index and its row. Notes its patient's split."""
        wrong = []
        if self._columns.note_id and note.note_id:
            first = self._notes.setdefault(note.note_id, at)
            if first != at:
                wrong.append(f"the id {shown(note.note_id)} is that of {self._place(first, at)} too.")
        if not note.patient_id or (self._columns.split and not note.split):
            return wrong
        split = self._split_of.setdefault(note.patient_id, note.split or "")
        if self._columns.split:
            first = self._patients.setdefault(note.patient_id, at)
            if split != note.split:
                wrong.append(
                    f"patient {shown(note.patient_id)} is in {note.split} here and in {split} in "
                    f"{self._place(first, at)}. A patient belongs to one split."
                )
        return wrong

    def _place(self, first: tuple[int, int], at: tuple[int, int]) -> str:
        return f"row {first[1]}" if first[0] == at[0] else f"row {first[1]} of {self._files[first[0]]}"


def _classes(survey: _Survey, columns: Columns, given: Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes in order, given or found, and the class of each label. Raises BadInput if they make no task."""
    if given is not None:
        return tuple(given), {label: str(known_class(label, given)) for label in survey.labels}
    if not survey.labels:
        raise BadInput(f"No row has a label: the lists of column {columns.labels!r} are all empty.")
    class_of = discover_classes(survey.labels, listed_labels=columns.labels is not None)
    classes = order_classes(set(class_of.values()))
    if columns.label and len(classes) == 1:
        raise BadInput(
            f"All {survey.rows:,} rows have the label {shown(classes[0])}. A task needs two classes or more."
        )
    return classes, class_of


def _check_options(files: Sequence[Path], columns: Columns, classes: Sequence[str] | None, separator: str) -> None:
    """Raises BadInput for options that contradict each other or the files' columns."""
    if not files:
        raise BadInput("No file was given. Name at least one CSV, TSV, JSON lines or Parquet file.")
    if columns.label and columns.labels:
        raise BadInput("Both --label and --labels were given. Use --label for one class a note, --labels for several.")
    if columns.text in (columns.label, columns.labels):
        raise BadInput(f"Column {columns.text!r} is named as the text and as the label. Name two columns.")
    if not separator:
        raise BadInput("The separator of labels is empty. Give at least one character.")
    if classes is not None:
        if not (columns.label or columns.labels):
            raise BadInput("Classes were given, but no column of labels. Add --label or --labels.")
        check_classes("multilabel" if columns.labels else "multiclass", classes)
    for file in files:
        check_columns(file, columns)
    stems = Counter(stem_of(file) for file in files)
    if not columns.note_id and max(stems.values()) > 1:
        twice = stems.most_common(1)[0][0]
        raise BadInput(f"Two files are named {twice!r}, and note ids are made of file names. Rename one, or give --id.")


def _check_splits(split_of: Mapping[str, str], files: Sequence[Path], split: str | None) -> None:
    """Raises BadInput if a split has no patient."""
    patients = Counter(split_of.values())
    empty = [name for name in SPLITS if not patients[name]]
    if empty and split:
        where = files[0] if len(files) == 1 else f"The {len(files)} files"
        raise BadInput(f"{where}: no row's split (column {split!r}) is {' or '.join(empty)}. Every split needs notes.")
    if empty:
        counts = ", ".join(f"{patients[name]} {name}" for name in SPLITS)
        raise BadInput(
            f"{len(split_of)} patients are too few to split: {counts}. "
            "Every split needs one; give more patients, or --split."
        )


def _check_one_class(seen: Mapping[str, Mapping[str, int]], kind: str) -> None:
    """Raises BadInput if there is nothing to tell apart in the train split."""
    names = [name for name, notes in seen["train"].items() if notes]
    if kind != "multilabel" and len(names) == 1:
        raise BadInput(
            f"The train split has only the class {shown(names[0])} ({seen['train'][names[0]]} notes). "
            "Give more patients, another --seed, or --split."
        )


def _warnings(about: Mapping[str, Any]) -> list[str]:
    """What will limit the results though it is no mistake, a sentence each."""
    found = []
    for split in SPLITS:
        missing = [name for name, notes in about["counts"][split]["classes"].items() if not notes]
        if missing:
            found.append(f"The {split} split has no note of {listed(missing, most=5)}.")
    return found


def _batches(
    files: Sequence[Path], columns: Columns, separator: str, split_of: Mapping[str, str]
) -> Iterator[tuple[str, list[TableNote]]]:
    """The notes of all files again, some hundred of one split at a time."""
    waiting: dict[str, list[TableNote]] = {split: [] for split in SPLITS}
    for file in files:
        mistakes = Mistakes(file)
        for row in read_rows(file, mistakes, list(columns.named().values())):
            note, wrong = understand(row, file, columns, separator)
            split = split_of.get(note.patient_id)
            if wrong or split is None:
                raise BadInput(f"{file} was changed while it was read. Start again.")
            waiting[split].append(note)
            if len(waiting[split]) == NOTES_AT_ONCE:
                yield split, waiting[split]
                waiting[split] = []
        mistakes.check()
    for split, notes in waiting.items():
        if notes:
            yield split, notes


def _columns_of(notes: Sequence[TableNote]) -> tuple[list[str], list[str], list[str]]:
    return [note.note_id for note in notes], [note.patient_id for note in notes], [note.text for note in notes]


def _extra_of(notes: Sequence[TableNote], columns: Columns) -> dict[str, list[str | None]]:
    return {name: [note.extra[index] for note in notes] for index, name in enumerate(columns.extra())}
