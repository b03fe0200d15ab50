"""NOTEEVENTS -> one admission note per hospital stay: what was known when the patient came in.

Rules A1 to A9 and B1 to B8 of the task description. The table is read twice, which costs less than keeping its text: once for
ids, with an md5 of every discharge summary to find duplicates; once for the texts. Those of stays with one summary are cut to
sections as they stream by; those of stays with several, about a tenth, wait on the disk to be sorted first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinstack.data.death_mentions import without_death_mentions
from clinstack.data.funnel import Funnel
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules
from clinstack.data.sections import extract, has_admission_part, render
from clinstack.errors import BadInput
from clinstack.runs.layout import frame_file, several_file

NOTEEVENTS = {
    "ROW_ID": "BIGINT",
    "SUBJECT_ID": "BIGINT",
    "HADM_ID": "BIGINT",
    "CHARTDATE": "TIMESTAMP",
    "CHARTTIME": "TIMESTAMP",
    "CATEGORY": "VARCHAR",
    "DESCRIPTION": "VARCHAR",
    "ISERROR": "VARCHAR",
    "TEXT": "VARCHAR",
}
SUMMARY = "Discharge summary"
FEWEST_SECTIONED = 0.5
"""Of all discharge summaries, the share that must yield an admission note; below it something is wrong with the file."""

_AT_ONCE = 512
_SCHEMA = pa.schema(
    [
        ("hadm_id", pa.int64()),
        ("subject_id", pa.int64()),
        ("text", pa.large_string()),
        ("edited", pa.large_string()),
        ("death_rule", pa.string()),
    ]
)
_READ = ("hadm_id", "subject_id", "report", "text")
_SEVERAL = pa.schema(
    [
        ("hadm_id", pa.int64()),
        ("subject_id", pa.int64()),
        ("report", pa.bool_()),
        ("text", pa.large_string()),
        ("chartdate", pa.timestamp("us")),
        ("row_id", pa.int64()),
    ]
)


def load_notes(tables: RawTables, rules: Rules, funnel: Funnel) -> None:
    """Reads NOTEEVENTS into `noteevents`, without its texts, and finds the discharge summaries to read.

    tables: has `admissions`. Afterwards `kept_notes` are those left after A5, with how many their stay has.
    Raises BadInput for an empty table, or one without a discharge summary of an adult.
    """
    error = "WHEN iserror = '1' THEN 'A9'" if rules.drop_errors else ""
    tables.load(
        "NOTEEVENTS",
        NOTEEVENTS,
        select=f"""* EXCLUDE (text), text IS NULL AS no_text,
            CASE WHEN category = '{SUMMARY}' THEN md5(text) END AS text_md5""",
    )
    # After the reading: were the admissions joined there, duckdb might hold all texts in memory for it.
    tables.run(
        f"""CREATE VIEW judged AS SELECT *, CASE WHEN adult IS NULL THEN 'A1' WHEN no_text THEN 'A2'
            WHEN category IS DISTINCT FROM '{SUMMARY}' THEN 'A3' {error} END AS dropped
        FROM noteevents LEFT JOIN (
            SELECT hadm_id, true AS adult FROM admissions WHERE admission_type IS DISTINCT FROM 'NEWBORN') USING (hadm_id)"""
    )
    file = tables.find("NOTEEVENTS")
    if not tables.rows["noteevents"]:
        raise BadInput(
            f"{file} has a header and no row. MIMIC-III's public demo leaves the notes out; use the whole of it."
        )
    left = tables.rows["noteevents"]
    dropped: dict[str, int] = dict(
        tables.all("SELECT dropped, count(*) FROM judged WHERE dropped IS NOT NULL GROUP BY ALL")
    )
    funnel.left("", "rows of NOTEEVENTS", "notes", left)
    for rule, what in _ROW_RULES.items():
        if rule != "A9" or rules.drop_errors:
            left -= dropped.get(rule, 0)
            funnel.left(rule, what, "notes", left)
    if not left:
        raise BadInput(f"{file} has no row of CATEGORY {SUMMARY!r} for an adult admission. Is it the right file?")
    within = "text_md5, hadm_id" if rules.duplicates_per_admission else "text_md5"
    tables.run(
        f"""CREATE TABLE kept_notes AS SELECT *, count(*) OVER (PARTITION BY hadm_id) AS of_stay FROM (
            SELECT row_id, hadm_id, subject_id, chartdate, description = 'Report' AS report
            FROM judged WHERE dropped IS NULL
            QUALIFY row_number() OVER (PARTITION BY {within} ORDER BY chartdate DESC NULLS FIRST, row_id DESC) = 1)"""
    )
    funnel.left("A5", "texts that occur once", "notes", tables.count("kept_notes"))


_ROW_RULES = {
    "A1": "of an admission of an adult",
    "A2": "with a text",
    "A3": "discharge summaries",
    "A9": "not marked as errors",
}


def write_admission_notes(tables: RawTables, rules: Rules, scratch: Path, funnel: Funnel) -> None:
    """Makes the table `frame`, a parquet file in `scratch`: one row per stay that has an admission note.

    Columns: hadm_id, subject_id, text; of tasks that a mention of death would answer: edited (the text where it differs) and
    death_rule (which rule decided, such as "M2 dropped").
    Raises BadInput if fewer than half of the discharge summaries yield one.
    """
    seen = {"stays": 0, "reports": 0, "notes": 0}
    waiting: list[tuple[Any, ...]] = []
    frame = frame_file(scratch)
    with pq.ParquetWriter(frame, _SCHEMA, compression="lz4") as parquet:
        for stay in _stays(tables, several_file(scratch)):
            seen["stays"] += 1
            if stay.subject_id is None:
                continue
            seen["reports"] += 1
            bodies = extract("\n\n".join(stay.texts).strip(), rules)
            if not has_admission_part(bodies):
                continue
            seen["notes"] += 1
            note = render(bodies)
            edited, rule = without_death_mentions(note, rules)
            waiting.append((stay.hadm_id, stay.subject_id, note, None if edited == note else edited, rule))
            if len(waiting) == _AT_ONCE:
                parquet.write_table(_table(waiting))
                waiting = []
        parquet.write_table(_table(waiting))
    tables.view("frame", frame)
    funnel.left("A6", "with a discharge summary, addenda attached", "admissions", seen["stays"])
    funnel.left("A7", "with a report, not only addenda", "admissions", seen["reports"])
    funnel.left("B7", "with a chief complaint, present illness or medical history", "admissions", seen["notes"])
    if seen["notes"] < FEWEST_SECTIONED * seen["reports"] or not seen["notes"]:
        raise BadInput(
            f"{tables.find('NOTEEVENTS')}: only {seen['notes']:,} of {seen['reports']:,} discharge summaries have a chief "
            "complaint, present illness or medical history that ends in a blank line and a heading. If the notes have CR LF "
            "line ends, add --strict newlines; if their headings differ, --strict synonyms; else export them again unchanged."
        )


@dataclass(frozen=True, slots=True)
class _Stay:
    """One admission's discharge texts in order; `subject_id` is None if there is no report among them."""

    hadm_id: int
    subject_id: int | None
    texts: list[str]


def _stays(tables: RawTables, several: Path) -> Iterator[_Stay]:
    """Every stay with a discharge text: first those with one, as they stand in the file, then those with several, sorted."""
    raw = tables.source(tables.find("NOTEEVENTS"), ["ROW_ID", "CATEGORY", "TEXT"])
    summaries = f"(SELECT row_id::BIGINT AS row_id, text FROM {raw} WHERE category = '{SUMMARY}')"
    kept = f"SELECT {', '.join(_SEVERAL.names)}, of_stay FROM {summaries} JOIN kept_notes USING (row_id)"
    with pq.ParquetWriter(several, _SEVERAL, compression="lz4") as parquet:
        for batch in tables.batches(kept, _AT_ONCE):
            alone = pc.equal(batch.column("of_stay"), 1)
            parquet.write_batch(batch.filter(pc.invert(alone)).select(_SEVERAL.names).cast(_SEVERAL))
            for row in _each([batch.filter(alone)]):
                yield _stay([row])
    tables.view("several", several)
    ordered = "SELECT * FROM several ORDER BY hadm_id, chartdate NULLS LAST, row_id"
    for _, rows in groupby(_each(tables.batches(ordered, _AT_ONCE)), key=lambda row: row[0]):
        yield _stay(list(rows))


def _stay(rows: list[tuple[Any, ...]]) -> _Stay:
    """rows: hadm_id, subject_id, whether it is a report, and text of each note of the stay, in order."""
    reports = [subject for _, subject, report, _ in rows if report]
    return _Stay(rows[0][0], reports[0] if reports else None, [text for *_, text in rows])


def _each(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(batch.column(name).to_pylist() for name in _READ), strict=True)


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_SCHEMA)
    return pa.table(
        [pa.array(values, kind) for values, kind in zip(columns, _SCHEMA.types, strict=True)], schema=_SCHEMA
    )
