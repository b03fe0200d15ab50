"""MIMIC-III's CSV files -> the five outcome tasks of admission notes, as task folders with one split by patient.

The way: ADMISSIONS and NOTEEVENTS into duckdb, admission notes cut out of the discharge summaries, patients split by hash
(or by published lists), each outcome's labels made in SQL and joined with the notes, and the joined rows streamed into task
folders. Memory is duckdb's limit plus some hundred notes; what grows with the hospital is an id per note and per patient.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from clinstack.data.admission_notes import load_notes, write_admission_notes
from clinstack.data.funnel import Funnel
from clinstack.data.notes import SPLITS
from clinstack.data.outcome import Outcome, chosen_outcomes
from clinstack.data.published import differences
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import make_rules
from clinstack.data.splits import split_by_patient
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput
from clinstack.runs.atomic import atomic_folder, refuse_occupied, scratch_beside, write_json
from clinstack.runs.layout import BuildLayout, split_list

ALL_TASKS = ("los", "mor", "pmv", "diag", "proc")
ADMISSIONS = {
    "SUBJECT_ID": "BIGINT",
    "HADM_ID": "BIGINT",
    "ADMITTIME": "TIMESTAMP",
    "DISCHTIME": "TIMESTAMP",
    "ADMISSION_TYPE": "VARCHAR",
    "HOSPITAL_EXPIRE_FLAG": "BIGINT",
}
_AT_ONCE = 512


def build_mimic3(
    source: Path,
    out: Path,
    *,
    tasks: Sequence[str] = ALL_TASKS,
    mode: str = "reference",
    switches: Sequence[str] = (),
    split_lists: Path | None = None,
    given: Mapping[str, Path | None] | None = None,
    seed: int = 123,
    terms: Sequence[str] = (),
    says: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Writes a task folder for each outcome into `out`, and `build.json`, and returns what that holds.

    source:      folder of MIMIC-III-shaped CSV files, plain or gzipped.
    tasks:       names of outcomes.
    mode:        reference (as published) or strict (every correction); `switches` turns on single ones.
    split_lists: folder of the published lists of patients (mimic_train, mimic_val and mimic_test, .csv); without it a hash
        of `seed` and patient decides.
    given:       further files that outcomes take, by option name.
    says:        is told each piece of work as it begins.
    Returns {"folder", "mode", "switches", "seed", "split", "inputs", "version", "funnel", "tasks", "warnings"}.
    Raises BadInput with file and line; CannotWrite if `out` is taken or the disk is full.
    """
    rules = make_rules(mode, switches)
    outcomes = chosen_outcomes(tasks, given or {})
    refuse_occupied(out)
    funnel = Funnel()
    with atomic_folder(out) as folder, scratch_beside(out) as scratch, RawTables(source, scratch) as tables:
        says("Reading ADMISSIONS and the tables of the tasks")
        _load_admissions(tables)
        for outcome in outcomes:
            outcome.load(tables, rules)
        says("Reading NOTEEVENTS")
        load_notes(tables, rules, funnel)
        says("Cutting admission notes out of discharge summaries")
        write_admission_notes(tables, rules, scratch, funnel)
        _split_patients(tables, seed, split_lists)
        build: dict[str, Any] = {
            "mode": mode,
            "switches": rules.on(),
            "seed": None if split_lists else seed,
            "split": "published lists of patients" if split_lists else "by hash of seed and patient",
            "version": version("clinstack"),
            "funnel": funnel.rows,
        }
        funnels, labelled = {}, {}
        for outcome in outcomes:
            says(f"Labels of {outcome.name}")
            funnels[outcome.name] = Funnel()
            labelled[outcome.name] = outcome.label(tables, rules, funnels[outcome.name])
        # The checks of all files end here, before anything is written that they could spoil.
        build["inputs"] = tables.fingerprints()
        written = {}
        for outcome in outcomes:
            says(f"Writing {outcome.name}")
            name = outcome.name
            classes, titles = labelled[name], outcome.titles(tables, rules)
            about = _write_task(tables, outcome, classes, titles, folder, source, build, funnels[name], seed, terms)
            written[name] = about
        notes, patients = tables.count("frame"), tables.count("(SELECT DISTINCT subject_id FROM frame)")
        warnings = differences(tables.rows, notes, patients, written, reference=not rules.on())
        warnings += [sentence for about in written.values() for sentence in _absent_classes(about)]
        build["tasks"] = {name: {key: about[key] for key in ("kind", "counts")} for name, about in written.items()}
        build["warnings"] = warnings
        write_json(BuildLayout(folder).build, build)
    return {"folder": str(out), **build}


def _load_admissions(tables: RawTables) -> None:
    """Reads ADMISSIONS; every stay once, each with an expire flag."""
    tables.load("ADMISSIONS", ADMISSIONS)
    file = tables.find("ADMISSIONS")
    twice = tables.first("SELECT hadm_id FROM admissions GROUP BY hadm_id HAVING count(*) > 1 LIMIT 1")
    if twice is not None:
        at = tables.place(file, "HADM_ID", str(twice[0]), nth=2)
        raise BadInput(f"{file}, {at}: HADM_ID {twice[0]} occurs a second time. Remove one of its rows.")
    flag = tables.first(
        "SELECT hadm_id FROM admissions WHERE hospital_expire_flag IS NULL OR hospital_expire_flag NOT IN (0, 1) LIMIT 1"
    )
    if flag is not None:
        at = tables.place(file, "HADM_ID", str(flag[0]))
        raise BadInput(f"{file}, {at}: HOSPITAL_EXPIRE_FLAG of HADM_ID {flag[0]} is neither 0 nor 1. Mend it.")


def _split_patients(tables: RawTables, seed: int, lists: Path | None) -> None:
    """Makes `split_of(subject_id, split)` for each patient with an admission note. Raises BadInput for an empty split."""
    if lists is None:
        patients = tables.all("SELECT DISTINCT subject_id FROM frame")
        _keep_splits(tables, "split_of", split_by_patient((str(patient) for (patient,) in patients), seed))
    else:
        parts = []
        for split in SPLITS:
            table = f"list_{split}"
            tables.load(table, {"SUBJECT_ID": "BIGINT"}, file=split_list(lists, split))
            parts.append(f"SELECT DISTINCT subject_id, '{split}' AS split FROM {table}")
        tables.run(f"CREATE TABLE split_of AS {' UNION ALL '.join(parts)}")
        both = tables.first("SELECT subject_id FROM split_of GROUP BY ALL HAVING count(*) > 1 LIMIT 1")
        if both is not None:
            raise BadInput(f"{lists}: patient {both[0]} is in two of the lists. A patient belongs to one split.")
    _require_every_split(tables, "The admission notes", "frame JOIN split_of USING (subject_id)")


def _keep_splits(tables: RawTables, name: str, split_of: Mapping[str, str]) -> None:
    """Makes a duckdb table of patients and their splits."""
    patients = pa.table({"subject_id": [int(one) for one in split_of], "split": list(split_of.values())})
    tables.keep(name, patients)


def _require_every_split(tables: RawTables, what: str, relation: str) -> None:
    """Raises BadInput if a split has no note."""
    found = dict(tables.all(f"SELECT split, count(*) FROM {relation} GROUP BY split"))
    empty = [split for split in SPLITS if not found.get(split)]
    if empty:
        counts = ", ".join(f"{found.get(split, 0):,} {split}" for split in SPLITS)
        raise BadInput(
            f"{what}: no note in {' and '.join(empty)} ({counts}). Give more patients, another --seed or other --split-lists, "
            "or leave the task out with --tasks."
        )


def _write_task(
    tables: RawTables,
    outcome: Outcome,
    classes: Sequence[str],
    titles: Mapping[str, str],
    folder: Path,
    source: Path,
    build: Mapping[str, Any],
    funnel: Funnel,
    seed: int,
    terms: Sequence[str],
) -> dict[str, Any]:
    """Joins an outcome's labels with the admission notes and streams them into its task folder; returns its task.json."""
    name = outcome.name
    notes = _join(tables, outcome, seed)
    _count_rules(tables, outcome, funnel)
    _require_every_split(tables, f"Task {name}", notes)
    writer = TaskWriter(
        BuildLayout(folder).task(name),
        name=name,
        kind=outcome.kind,
        classes=classes,
        titles=titles,
        source=str(source.name),
        mode=str(build["mode"]),
        terms=terms,
        seed=None if outcome.gives_split else build["seed"],
        extra=("subject_id", "hadm_id"),
        build={**build, "funnel": [*build["funnel"], *funnel.rows]},
    )
    with writer as task:
        for split, rows in _by_split(tables, notes, outcome.without_death):
            stays, patients, texts, labels = (list(column) for column in zip(*rows, strict=True))
            task.write(split, stays, patients, texts, labels, extra={"subject_id": patients, "hadm_id": stays})
    return task.about


def _join(tables: RawTables, outcome: Outcome, seed: int) -> str:
    """SQL of an outcome's notes: hadm_id, subject_id, text, edited, labels, split; patients split as it wants."""
    name = outcome.name
    where = "WHERE NOT ends_with(death_rule, 'dropped')" if outcome.without_death else ""
    split = ", split" if outcome.gives_split else ""
    joined = f"(SELECT frame.*, labels{split} FROM frame JOIN labels_{name} USING (hadm_id) {where})"
    if outcome.gives_split:
        return joined
    if outcome.own_fractions is not None:
        patients = tables.all(f"SELECT DISTINCT subject_id FROM {joined}")
        shares = split_by_patient((str(patient) for (patient,) in patients), seed, outcome.own_fractions)
        _keep_splits(tables, f"split_of_{name}", shares)
        return f"({joined} JOIN split_of_{name} USING (subject_id))"
    return f"({joined} JOIN split_of USING (subject_id))"


def _count_rules(tables: RawTables, outcome: Outcome, funnel: Funnel) -> None:
    """Adds what the joining leaves to an outcome's funnel: stays with a label, and those whose note tells no death."""
    labelled = f"frame JOIN labels_{outcome.name} USING (hadm_id)"
    funnel.left("", f"with a label of {outcome.name}", "admissions", tables.count(labelled))
    if outcome.without_death:
        rules = dict(tables.all(f"SELECT death_rule, count(*) FROM {labelled} GROUP BY ALL"))
        left = sum(rules.values())
        for rule in sorted(rule for rule in rules if rule.endswith("dropped")):
            left -= rules[rule]
            funnel.left(rule.removesuffix(" dropped"), "without a mention of the patient's death", "admissions", left)


def _by_split(tables: RawTables, notes: str, without_death: bool) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """An outcome's notes by rising HADM_ID, some hundred at a time, by split."""
    text = "coalesce(edited, text)" if without_death else "text"
    query = f"SELECT split, hadm_id::VARCHAR, subject_id::VARCHAR, {text}, labels FROM {notes} ORDER BY hadm_id"
    for batch in tables.batches(query, _AT_ONCE):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        for split, part in groupby(sorted(rows, key=lambda row: SPLITS.index(row[0])), key=lambda row: row[0]):
            yield split, [row[1:] for row in part]


def _absent_classes(about: Mapping[str, Any]) -> list[str]:
    """A sentence if classes have no note in train: no model can learn them, and no average should hide it."""
    absent = [name for name, notes in about["counts"]["train"]["classes"].items() if not notes]
    if not absent:
        return []
    of = len(about["classes"])
    return [f"Task {about['name']}: {len(absent):,} of {of:,} classes have no note in train, such as {absent[0]}."]
