"""What the papers report of MIMIC-III v1.4, and how what was found differs from it.

A difference of one row means that a rule, or the data, is not the published one, so it is always said. The checks speak
only where the tables look like the real ones; a hospital of one's own is no MIMIC-III.
Sources: row counts of the documentation of v1.4; admission notes, patients and splits of van Aken et al. (2021); Table 1 of
Gema et al. (2023).
"""

from collections.abc import Mapping, Sequence
from typing import Any

TABLE_ROWS = {
    "noteevents": 2_083_180,
    "admissions": 58_976,
    "patients": 46_520,
    "icustays": 61_532,
    "d_icd_diagnoses": 14_567,
}
ADMISSION_NOTES, PATIENTS_WITH_NOTES = 48_745, 37_321
TABLE_1 = {
    "los": (4, (30_421, 4_391, 8_797)),
    "mor": (2, (33_954, 4_908, 9_822)),
    "pmv": (2, (5_666, 707, 706)),
    "diag": (1_266, (33_994, 4_918, 9_829)),
    "proc": (711, (30_030, 4_357, 8_681)),
}
"""Task -> classes, notes in train, valid and test."""
NEAR = 0.02


def looks_like_mimic3(rows: Mapping[str, int]) -> bool:
    """Whether at least two tables have, within 2 %, as many rows as in v1.4."""
    near = [table for table, count in TABLE_ROWS.items() if abs(rows.get(table, 0) - count) <= NEAR * count]
    return len(near) >= 2


def differences(
    rows: Mapping[str, int],
    admission_notes: int,
    patients: int,
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    reference: bool,
) -> list[str]:
    """A sentence for every figure that is not the published one; empty if the tables do not look like MIMIC-III.

    rows:      of each table that was read whole, by lower-case name.
    tasks:     task -> what its task.json holds.
    reference: whether all switches are off; corrected rules give other notes and classes, so only rows are compared then.
    """
    if not looks_like_mimic3(rows):
        return []
    found = [
        _sentence(f"rows of {table.upper()}", count, rows[table])
        for table, count in TABLE_ROWS.items()
        if table in rows
    ]
    if reference:
        found.append(_sentence("admission notes", ADMISSION_NOTES, admission_notes))
        found.append(_sentence("patients with an admission note", PATIENTS_WITH_NOTES, patients))
        for name, (classes, notes) in TABLE_1.items():
            if name in tasks:
                found.append(_sentence(f"classes of {name}", classes, len(tasks[name]["classes"])))
                found += _split_sentences(name, notes, tasks[name]["counts"])
    return [sentence for sentence in found if sentence]


def _split_sentences(name: str, notes: Sequence[int], counts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        _sentence(f"{split} notes of {name}", expected, counts[split]["notes"])
        for split, expected in zip(counts, notes, strict=True)
    ]


def _sentence(what: str, expected: int, found: int) -> str:
    return "" if found == expected else f"Published for MIMIC-III v1.4: {expected:,} {what}; found: {found:,}."
