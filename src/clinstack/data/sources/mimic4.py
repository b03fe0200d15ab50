"""MIMIC-IV-Note's CSV files -> the corpus of step 1: discharge summaries and radiology reports, split by patient.

The files are read twice: once for ids (and, if asked, for likely identifiers and broken rows), once to clean and write, some
hundred notes at a time in the files' order. The published corpus held out a tenth of the notes, which puts most patients on
both sides; here a tenth of the patients is held out, and another tenth is for validation. A corpus may hold notes of a
task's test patients under other ids: `against` looks for them, and the warning is given either way.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinstack.data.corpus import CorpusWriter
from clinstack.data.funnel import Funnel
from clinstack.data.identifiers import Guard
from clinstack.data.note_cleaning import Newlines, cleaner
from clinstack.data.notes import SPLITS
from clinstack.data.raw_tables import RawTables
from clinstack.data.splits import split_by_patient
from clinstack.errors import BadInput, did_you_mean
from clinstack.runs.atomic import refuse_occupied, scratch_beside
from clinstack.runs.layout import mimic4_notes

if TYPE_CHECKING:
    from clinstack.data.contamination import Contamination

KINDS = ("discharge", "radiology")
COLUMNS = ("NOTE_ID", "SUBJECT_ID", "HADM_ID", "NOTE_TYPE", "CHARTTIME", "TEXT")
FRACTIONS = (0.8, 0.1, 0.1)
"""Of patients in train, valid and test; the published corpus held out a tenth."""
CAUTION = (
    "MIMIC-IV (2008 to 2019) and MIMIC-III (2001 to 2012) are of the same hospital, so notes of a task's test patients may "
    "be in this corpus under other ids. Look for them with --against TASK, and leave them out with --drop-contaminated."
)
_AT_ONCE = 512
"""Notes cleaned at once."""


def build_mimic4(
    source: Path,
    out: Path,
    *,
    kinds: Sequence[str] = KINDS,
    mode: str = "strict",
    newlines: Newlines = "space",
    holdout: str = "patient",
    against: Sequence[Path] = (),
    drop_contaminated: bool = False,
    guard: Guard | None = None,
    name: str | None = None,
    seed: int = 123,
    terms: Sequence[str] = (),
    says: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Writes a corpus folder and returns what its corpus.json holds, and "folder" and "warnings".

    source:  folder of discharge.csv(.gz) and radiology.csv(.gz), or the one above it.
    mode:    strict, or reference: the text as published, to the byte, blank notes left out.
    holdout: patient, or note: as published, with patients on both sides, to show what that does.
    against: task folders whose validation and test notes are looked for; `drop_contaminated` leaves out what holds one.
    guard:   counts likely identifiers, and refuses or masks.
    Raises BadInput with file and line; CannotWrite if `out` is taken or the disk is full.
    """
    tidy = cleaner(mode, newlines)
    _check_options(kinds, holdout, against, drop_contaminated)
    refuse_occupied(out)
    with scratch_beside(out) as scratch, RawTables(mimic4_notes(source), scratch) as tables:
        says("Reading ids")
        for kind in kinds:
            _read_ids(tables, kind)
        split_of = _split(tables, kinds, holdout, seed)
        if guard is not None:
            says("Looking for identifiers")
            _look_for_identifiers(tables, kinds, guard, str(source))
        contamination = _contamination(against, says)
        inputs = tables.fingerprints()
        sieve = _Sieve(tidy, guard, contamination, drop_contaminated)
        writer = CorpusWriter(
            out,
            name=name or out.name,
            source=source.name,
            mode=mode,
            terms=terms,
            seed=seed,
            extra=("time", "category", "subject_id", "hadm_id"),
            by_patient=holdout == "patient",
        )
        with writer as corpus:
            for kind in kinds:
                says(f"Cleaning and writing {kind}")
                for rows in _notes(tables, kind):
                    _write(corpus, sieve.through(rows), split_of, holdout)
            corpus.about["build"] = {
                "newlines": newlines,
                "kinds": list(kinds),
                "split": f"by hash of seed and {holdout}",
                "inputs": inputs,
                "version": version("clinstack"),
                "funnel": sieve.funnel(f"rows of {' and '.join(kinds)}"),
                "contamination": contamination.report() if contamination is not None else None,
                "identifiers": guard.report() if guard is not None else None,
            }
    return {**corpus.about, "folder": str(out), "warnings": [] if against else [CAUTION]}


Row = tuple[Any, ...]
"""note_id, subject_id, hadm_id, note_type, charttime, text: each a text, or None where it is empty."""


def _check_options(kinds: Sequence[str], holdout: str, against: Sequence[Path], drop_contaminated: bool) -> None:
    """Raises BadInput for options that are unknown or contradict each other."""
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"Unknown kind of note {kind!r} (--notes). {did_you_mean(kind, KINDS)}")
    if not kinds:
        raise BadInput(f"--notes names nothing. Known: {', '.join(KINDS)}.")
    if holdout not in ("patient", "note"):
        raise BadInput(f"Unknown --holdout {holdout!r}. Known: note, patient.")
    if drop_contaminated and not against:
        raise BadInput("--drop-contaminated needs --against TASK: the notes to look for.")


def _read_ids(tables: RawTables, kind: str) -> None:
    """Reads a file's ids into duckdb, and its text only to see that it can be read. Raises BadInput with file and line."""
    tables.load(
        kind,
        {column: "BIGINT" if column == "SUBJECT_ID" else "VARCHAR" for column in COLUMNS},
        select="note_id, subject_id, strlen(text) AS bytes",
    )
    file = tables.find(kind)
    if not tables.rows[kind]:
        raise BadInput(f"{file} has a header and no row. Copy it again.")
    if not tables.count(f"{kind} WHERE bytes > 0"):
        raise BadInput(f"{file}: column text is empty in every row. Is it the right file?")
    for column in ("note_id", "subject_id"):
        if tables.count(f"{kind} WHERE {column} IS NULL"):
            raise BadInput(f"{file}, {tables.place(file, column, None)}: {column} is empty. Every note needs one.")


def _split(tables: RawTables, kinds: Sequence[str], holdout: str, seed: int) -> dict[str, str]:
    """The split of every patient (or note). Raises BadInput for a note id that occurs twice."""
    every = " UNION ALL ".join(f"SELECT note_id, subject_id, '{kind}' AS kind FROM {kind}" for kind in kinds)
    twice = tables.first(
        f"""SELECT note_id, max(kind), max_by(times, kind) FROM (SELECT note_id, kind, count(*) AS times FROM ({every})
        GROUP BY ALL) GROUP BY note_id HAVING sum(times) > 1 ORDER BY note_id LIMIT 1"""
    )
    if twice is not None:
        file = tables.find(twice[1])
        at = tables.place(file, "note_id", twice[0], nth=twice[2])
        raise BadInput(f"{file}, {at}: note_id {twice[0]!r} occurs a second time. Remove one of its rows.")
    column = "subject_id" if holdout == "patient" else "note_id"
    ids = tables.all(f"SELECT DISTINCT {column}::VARCHAR FROM ({every})")
    split_of = split_by_patient((one for (one,) in ids), seed, FRACTIONS)
    empty = [split for split in SPLITS if split not in set(split_of.values())]
    if empty:
        raise BadInput(f"{len(split_of)} {holdout}s are too few to split: none in {' and '.join(empty)}. Give more.")
    return split_of


def _notes(tables: RawTables, kind: str) -> Iterator[list[Row]]:
    """A file's notes in its order, some hundred at a time; text is None where it is missing."""
    file = tables.find(kind)
    names = ", ".join(column.lower() for column in COLUMNS)
    for batch in tables.batches(f"SELECT {names} FROM {tables.source(file, COLUMNS)}", _AT_ONCE):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _look_for_identifiers(tables: RawTables, kinds: Sequence[str], guard: Guard, what: str) -> None:
    """Has the guard read every note and decide."""
    for kind in kinds:
        for rows in _notes(tables, kind):
            guard.read([row[-1] for row in rows if row[-1]])
    guard.decide(what)


def _contamination(against: Sequence[Path], says: Callable[[str], None]) -> "Contamination | None":
    """The notes of tasks that are looked for; None if there are none."""
    if not against:
        return None
    # scikit-learn takes a second to import.
    from clinstack.data.contamination import look_for

    says("Reading the tasks that are looked for")
    return look_for(against)


class _Sieve:
    """Cleans notes, masks them if the guard so decided, leaves some out, and counts what it leaves out."""

    def __init__(
        self, tidy: Callable[[str], str], guard: Guard | None, contamination: "Contamination | None", drop: bool
    ) -> None:
        self._tidy, self._guard, self._contamination, self._drop = tidy, guard, contamination, drop
        self._counts = {"read": 0, "with a text": 0, "not blank after cleaning": 0, "that hold no note of the tasks": 0}

    def through(self, rows: list[Row]) -> list[Row]:
        """The rows that stay, cleaned."""
        written = [row for row in rows if row[-1] is not None]
        texts = [self._tidy(row[-1]) for row in written]
        if self._guard is not None:
            texts = self._guard.passed(texts)
        filled = [(*row[:-1], text) for row, text in zip(written, texts, strict=True) if text and not text.isspace()]
        clean = filled
        if self._contamination is not None:
            hits = self._contamination.meet([row[0] for row in filled], [row[-1] for row in filled])
            clean = [row for row, hit in zip(filled, hits, strict=True) if not (hit and self._drop)]
        for what, left in zip(self._counts, (rows, written, filled, clean), strict=True):
            self._counts[what] += len(left)
        return clean

    def funnel(self, what: str) -> list[dict[str, Any]]:
        """What was left of `what`, step by step."""
        funnel = Funnel()
        for number, (sentence, count) in enumerate(self._counts.items()):
            if number < 3 or self._drop:
                funnel.left("", what if not number else sentence, "notes", count)
        return funnel.rows


def _write(corpus: CorpusWriter, rows: list[Row], split_of: dict[str, str], holdout: str) -> None:
    key = 1 if holdout == "patient" else 0
    in_order = sorted(rows, key=lambda row: SPLITS.index(split_of[row[key]]))
    for split, part in groupby(in_order, key=lambda row: split_of[row[key]]):
        notes, patients, stays, types, times, texts = (list(column) for column in zip(*part, strict=True))
        extra = {"time": times, "category": types, "subject_id": patients, "hadm_id": stays}
        corpus.write(split, notes, patients, texts, extra=extra)
