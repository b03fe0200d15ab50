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

from clinstack.data.classes import (
    LabelMap,
    check_classes,
    listed,
    read_label_map,
)
from clinstack.data.columns import Columns, Reading, TableNote, check_columns, check_time_format, understand
from clinstack.data.corpus import CorpusWriter
from clinstack.data.identifiers import Guard
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import SPLITS, shown
from clinstack.data.rows import read_rows, stem_of
from clinstack.data.sources.table_survey import Survey, classes_of, is_dropped, survey_files
from clinstack.data.split_rules import SplitRule, choose_rule
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput
from clinstack.runs.atomic import refuse_occupied

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
    label_map: Path | None = None,
    drop_unmapped: bool = False,
    split_by: str = "patient",
    fractions: tuple[float, float, float] | None = None,
    valid_from: str | None = None,
    test_from: str | None = None,
    time_format: str | None = None,
    test_site: Sequence[str] = (),
    guard: Guard | None = None,
    name: str | None = None,
    seed: int = 123,
    terms: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes a task folder (with `label` or `labels`) or a corpus folder (without) from tables of notes.

    files: CSV, TSV, JSON lines (each also .gz) and Parquet, in any mix; all have the columns named.
    text, label, labels, ...: names of columns.
        label: one class name a note; two classes make a binary task, more a multiclass one.
        labels: a list, for a multilabel task; in CSV one text joined by `label_separator`.
        patient: whose note it is; without it every note counts as its own patient.
        note_id: unique over all files; without it "<file name>-<row number>".
        split: train, valid (or val, dev, validation), test; without it `split_by` decides.
    classes: the classes in order (of two, the second is the positive); without it those that occur.
    label_map: a file that says which class a label means (`classes.read_label_map`). A label without a class is a
        mistake or, with `drop_unmapped`, left out: of `label` with its row, of `labels` alone.
    split_by: patient, time or site, see `split_rules`. `fractions` (0.7, 0.1, 0.2), `seed`, `valid_from` and `test_from`
        (dates), `test_site` (names) are of the rules, see `split_rules.choose_rule`. By time every note needs a time,
        in `time_format` (as for strptime) or year first, by site a site.
    guard: counts likely identifiers in the first reading, and refuses, or masks them in the second.
    Returns what task.json or corpus.json holds, and "folder" and "warnings", sentences on what will limit the results.
    There "build" says how it was made: "split" the rule, "label_map" its file and the classes it led to, "dropped"
    what was left out, as {"label_map": {"rows", "labels"}, "split": {"notes", "patients"}}.
    Raises BadInput with all mistakes of the first file that has any; CannotWrite if `out` is taken.
    """
    columns = Columns(text, label, labels, patient, note_id, split, time, category, site)
    rule = choose_rule(
        by=split_by,
        column=split,
        seed=seed,
        fractions=fractions,
        valid_from=valid_from,
        test_from=test_from,
        test_sites=test_site,
    )
    _check_options(files, columns, classes, label_separator)
    _check_rule_options(columns, split_by, time_format)
    reading = Reading(
        separator=label_separator,
        label_map=_label_map(label_map, columns, classes, drop_unmapped),
        drop_unmapped=drop_unmapped,
        needs_time=split_by == "time",
        time_format=time_format,
        needs_site=split_by == "site",
    )
    refuse_occupied(out)
    survey = survey_files(files, columns, reading, classes, rule, guard)
    rule.settle()
    if guard is not None:
        guard.decide(str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more")
    left_out = _LeftOut()
    about: dict[str, Any] = {
        "name": name or out.name,
        "source": files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more",
        "terms": terms,
        "seed": seed if "seed" in rule.how() else None,
        "extra": columns.extra(),
        "build": {
            "split": {"by": split_by, "column": getattr(columns, split_by)} | rule.how(),
            "label_map": reading.label_map and reading.label_map.about(),
            "identifiers": guard.report() if guard is not None else None,
        },
    }
    writer: TaskWriter | CorpusWriter
    if not (label or labels):
        with CorpusWriter(out, **about) as corpus:
            for part, notes in _batches(files, columns, reading, rule, left_out):
                corpus.write(part, *_columns_of(notes, guard), extra=_extra_of(notes, columns))
            corpus.about["build"]["dropped"] = _dropped(survey, left_out)
        writer = corpus
    else:
        ordered, class_of = classes_of(survey, columns, classes)
        kind = "multilabel" if labels else "binary" if len(ordered) == 2 else "multiclass"
        titles = reading.label_map.titles if reading.label_map else {}
        with TaskWriter(out, kind=kind, classes=ordered, titles=titles, **about) as task:
            for part, notes in _batches(files, columns, reading, rule, left_out):
                named = [list(dict.fromkeys(class_of[label] for label in note.labels)) for note in notes]
                task.write(part, *_columns_of(notes, guard), named, extra=_extra_of(notes, columns))
            _check_one_class(task.seen, kind)
            task.about["build"]["dropped"] = _dropped(survey, left_out)
        writer = task
    warnings = _warnings(writer.about, survey.unmapped, rule.left_out, columns)
    return {**writer.about, "folder": str(out), "warnings": warnings}


@dataclass
class _LeftOut:
    """What the rule of the splits left out in the second reading."""

    notes: int = 0
    patients: set[str] = field(default_factory=set)


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


def _check_rule_options(columns: Columns, split_by: str, time_format: str | None) -> None:
    """Raises BadInput if the splits go by a column that is not named, or a format is given for times not read."""
    for column in ("time", "site"):
        if split_by == column and getattr(columns, column) is None:
            raise BadInput(f"--split-by {column} needs the column: add --{column}.")
    if time_format is not None:
        if split_by != "time":
            raise BadInput("--time-format is for --split-by time; else times are kept as they are written.")
        check_time_format(time_format)


def _label_map(
    file: Path | None, columns: Columns, classes: Sequence[str] | None, drop_unmapped: bool
) -> LabelMap | None:
    """The label map, read. Raises BadInput if it makes no sense with the other options."""
    if file is None:
        if drop_unmapped:
            raise BadInput("--drop-unmapped drops labels that --label-map gives no class. Add --label-map.")
        return None
    if not (columns.label or columns.labels):
        raise BadInput("A label map was given, but no column of labels. Add --label or --labels.")
    label_map = read_label_map(file)
    unknown = sorted(set(label_map.classes.values()) - set(classes)) if classes is not None else []
    if unknown:
        raise BadInput(f"{file} leads to the class {listed(unknown)}, not one of --classes {listed(classes or ())}.")
    return label_map


def _check_one_class(seen: Mapping[str, Mapping[str, int]], kind: str) -> None:
    """Raises BadInput if there is nothing to tell apart in the train split."""
    names = [name for name, notes in seen["train"].items() if notes]
    if kind != "multilabel" and len(names) == 1:
        raise BadInput(
            f"The train split has only the class {shown(names[0])} ({seen['train'][names[0]]} notes). "
            "Give more patients, another --seed, or --split."
        )


def _dropped(survey: Survey, left_out: _LeftOut) -> dict[str, dict[str, int]]:
    return {
        "label_map": {"rows": survey.rows - survey.notes, "labels": survey.unmapped.total()},
        "split": {"notes": left_out.notes, "patients": len(left_out.patients)},
    }


def _warnings(about: Mapping[str, Any], unmapped: Counter[str], why_left_out: str, columns: Columns) -> list[str]:
    """What will limit the results though it is no mistake, a sentence each."""
    build, found = about["build"], []
    if unmapped:
        rows, labels = build["dropped"]["label_map"].values()
        often = ", ".join(f"{label} {count:,}" for label, count in unmapped.most_common(5))
        what = _counted(rows, "row") if columns.label else _counted(labels, "label")
        found.append(f"Dropped {what} without a class in {build['label_map']['file']}; most often {often}.")
    notes, patients = build["dropped"]["split"].values()
    if notes:
        found.append(f"Left out {_counted(notes, 'note')} of {_counted(patients, 'patient')}: {why_left_out}")
    if not columns.patient and not columns.split:
        found.append("Without --patient every note counts as its own patient, and a patient may be in several splits.")
    for split in SPLITS:
        missing = [name for name, notes in about["counts"][split].get("classes", {}).items() if not notes]
        if missing:
            found.append(f"The {split} split has no note of {listed(missing, most=5)}.")
    return found


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _batches(
    files: Sequence[Path], columns: Columns, reading: Reading, rule: SplitRule, left_out: _LeftOut
) -> Iterator[tuple[str, list[TableNote]]]:
    """The notes of all files again, some hundred of one split at a time; those without a split are counted."""
    waiting: dict[str, list[TableNote]] = {split: [] for split in SPLITS}
    for file in files:
        mistakes = Mistakes(file)
        for row in read_rows(file, mistakes, list(columns.named().values())):
            note, wrong = understand(row, file, columns, reading)
            if is_dropped(note, columns, reading):
                continue
            if wrong or note.patient_id not in rule.patients:
                raise BadInput(f"{file} was changed while it was read. Start again.")
            split = rule.split_of(note)
            if split is None:
                left_out.notes += 1
                left_out.patients.add(note.patient_id)
                continue
            waiting[split].append(note)
            if len(waiting[split]) == NOTES_AT_ONCE:
                yield split, waiting[split]
                waiting[split] = []
        mistakes.check()
    for split, notes in waiting.items():
        if notes:
            yield split, notes


def _columns_of(notes: Sequence[TableNote], guard: Guard | None) -> tuple[list[str], list[str], list[str]]:
    texts = [note.text for note in notes]
    return (
        [note.note_id for note in notes],
        [note.patient_id for note in notes],
        texts if guard is None else guard.passed(texts),
    )


def _extra_of(notes: Sequence[TableNote], columns: Columns) -> dict[str, list[str | None]]:
    return {name: [note.extra[index] for note in notes] for index, name in enumerate(columns.extra())}
