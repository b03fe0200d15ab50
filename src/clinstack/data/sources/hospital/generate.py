"""Writes a whole synthetic hospital: `mimic3/` and `mimic4/` under one folder, one patient at a time, in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinstack.data.sources.hospital.notes import write_notes3, write_notes4
from clinstack.data.sources.hospital.patients import draw_patient
from clinstack.data.sources.hospital.planting import Planter
from clinstack.data.sources.hospital.tables import write_dictionaries, write_patient
from clinstack.data.sources.hospital.writing import MIMIC3, MIMIC4, TableFiles
from clinstack.runs.atomic import atomic_folder, write_text
from clinstack.runs.layout import HospitalLayout

_PROGRESS_EVERY = 50


def write_hospital(
    out: Path,
    *,
    patients: int,
    seed: int,
    unlabelled_patients: int | None = None,
    compress: bool = True,
    identifiers: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Writes a synthetic hospital to `out` and returns its counts.

    patients: in mimic3 and, different ones, in mimic4.
    unlabelled_patients: in mimic4, if not as many.
    seed:     any whole number; equal seeds give equal content, and patient i is the same however many there are.
    compress: .csv.gz files; else .csv.
    identifiers: share of mimic4's notes into which made-up identifiers are planted; `planted.csv` lists them.
    progress: called with the number of patients written so far (of both folders).
    Returns {"patients", "admissions": {folder: n}, "notes": {folder: n}, "rows": {folder: {table: n}}}.
    Raises CannotWrite if `out` holds something.
    """
    rows: dict[str, dict[str, int]] = {}
    admissions = {"mimic3": 0, "mimic4": 0}
    with atomic_folder(out) as folder:
        layout = HospitalLayout(folder)
        with TableFiles(layout.mimic3, MIMIC3, compress=compress) as files:
            write_dictionaries(files)
            for index in range(patients):
                patient = draw_patient(seed, "mimic3", index)
                write_patient(files, seed, patient)
                write_notes3(files, seed, patient)
                admissions["mimic3"] += len(patient.stays)
                _report(progress, index + 1)
            rows["mimic3"] = files.counts()
        planter = Planter(seed, identifiers)
        with TableFiles(layout.mimic4, MIMIC4, compress=compress) as files:
            for index in range(patients if unlabelled_patients is None else unlabelled_patients):
                admissions["mimic4"] += write_notes4(files, seed, draw_patient(seed, "mimic4", index), planter)
                _report(progress, patients + index + 1)
            rows["mimic4"] = files.counts()
        if identifiers:
            write_text(layout.planted, planter.list())
    notes = {"mimic3": rows["mimic3"]["NOTEEVENTS"], "mimic4": sum(rows["mimic4"].values())}
    return {"patients": patients, "admissions": admissions, "notes": notes, "rows": rows}


def _report(progress: Callable[[int], None] | None, done: int) -> None:
    if progress is not None and done % _PROGRESS_EVERY == 0:
        progress(done)
