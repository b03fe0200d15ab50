"""Writes a whole synthetic hospital: `mimic3/`, `mimic4/` and `tasks/` under one folder.

Two passes over the patients. The first draws latent states only (about 0.2 ms each) and keeps what every file must agree on:
which codes occur, and which patients have an adult note. The second writes, one patient at a time. Memory grows by ids alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinstack.data.sources.hospital.notes import write_notes3, write_notes4
from clinstack.data.sources.hospital.patients import Patient, draw_patient
from clinstack.data.sources.hospital.quirks import WITHOUT_NOTE
from clinstack.data.sources.hospital.tables import write_dictionaries, write_patient
from clinstack.data.sources.hospital.tasks import (
    BREATH_CLASSES,
    DEATH_CLASSES,
    LENGTH_CLASSES,
    SPLIT_SEED,
    TaskFiles,
    TaskPlan,
    diagnosis_class,
    labels_of,
    procedure_class,
)
from clinstack.data.sources.hospital.writing import MIMIC3, MIMIC4, TableFiles
from clinstack.data.splits import split_by_patient
from clinstack.errors import BadInput
from clinstack.runs.atomic import atomic_folder

FEWEST_PATIENTS = 200
# Below this a tenth of them is nobody, and the ventilation task would have no validation notes.
FEWEST_VENTILATED = 10
_PROGRESS_EVERY = 50


def write_hospital(
    out: Path,
    *,
    patients: int,
    seed: int,
    unlabelled_patients: int | None = None,
    compress: bool = True,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Writes a synthetic hospital to `out` and returns its counts.

    patients: in mimic3 and, different ones, in mimic4; at least 200, so that every task has notes in every split.
    unlabelled_patients: in mimic4, if not as many.
    seed:     any whole number; equal seeds give equal content, and patient i is the same however many there are.
    compress: .csv.gz files; else .csv.
    progress: called with the number of patients written so far (of both folders).
    Returns {"patients", "admissions": {folder: n}, "notes": {folder: n}, "rows": {folder: {table: n}}}.
    Raises CannotWrite if `out` holds something, BadInput for too few patients.
    """
    if patients < FEWEST_PATIENTS:
        raise BadInput(f"A synthetic hospital needs at least {FEWEST_PATIENTS} patients, not {patients}.")
    rows: dict[str, dict[str, int]] = {}
    admissions = {"mimic3": 0, "mimic4": 0}
    with atomic_folder(out) as folder:
        plan = _plan(seed, patients)
        with (
            TableFiles(folder / "mimic3", MIMIC3, compress=compress) as files,
            TaskFiles(folder / "tasks", plan) as tasks,
        ):
            write_dictionaries(files)
            for index in range(patients):
                patient = draw_patient(seed, "mimic3", index)
                write_patient(files, seed, patient)
                tasks.write(patient, write_notes3(files, seed, patient))
                admissions["mimic3"] += len(patient.stays)
                _report(progress, index + 1)
            rows["mimic3"] = files.counts()
        with TableFiles(folder / "mimic4", MIMIC4, compress=compress) as files:
            for index in range(patients if unlabelled_patients is None else unlabelled_patients):
                admissions["mimic4"] += write_notes4(files, seed, draw_patient(seed, "mimic4", index))
                _report(progress, patients + index + 1)
            rows["mimic4"] = files.counts()
    notes = {"mimic3": rows["mimic3"]["NOTEEVENTS"], "mimic4": sum(rows["mimic4"].values())}
    return {"patients": patients, "admissions": admissions, "notes": notes, "rows": rows}


def _report(progress: Callable[[int], None] | None, done: int) -> None:
    if progress is not None and done % _PROGRESS_EVERY == 0:
        progress(done)


def _plan(seed: int, patients: int) -> TaskPlan:
    """The first pass: classes of the whole tables (newborns included), splits of the adults that have a note."""
    diagnoses: set[str] = set()
    procedures: set[str] = set()
    adults: list[str] = []
    ventilated: list[str] = []
    for index in range(patients):
        patient = draw_patient(seed, "mimic3", index)
        for stay in patient.stays:
            diagnoses.update(map(diagnosis_class, stay.diagnoses))
            procedures.update(map(procedure_class, stay.procedures))
        labels = [labels_of(patient.stays[number]) for number in _with_note(patient)]
        if labels:
            adults.append(str(patient.patient_id))
        if any("pmv" in entry for entry in labels):
            ventilated.append(str(patient.patient_id))
    if len(ventilated) < FEWEST_VENTILATED:
        raise BadInput(
            f"Only {len(ventilated)} of {patients} patients of seed {seed} were ventilated for two days, and the task of "
            f"prolonged ventilation needs {FEWEST_VENTILATED}. Ask for more patients or another seed."
        )
    splits = split_by_patient(adults, SPLIT_SEED)
    return TaskPlan(
        classes={
            "mor": DEATH_CLASSES,
            "los": LENGTH_CLASSES,
            "pmv": BREATH_CLASSES,
            "diag": tuple(sorted(diagnoses)),
            "proc": tuple(sorted(procedures)),
        },
        splits={
            **dict.fromkeys(("mor", "los", "diag", "proc"), splits),
            "pmv": split_by_patient(ventilated, SPLIT_SEED, (0.8, 0.1, 0.1)),
        },
    )


def _with_note(patient: Patient) -> list[int]:
    """The numbers of the stays that have an admission note: adult, well formed, not lost to a copy."""
    if patient.newborn:
        return []
    copied = {stay.number for stay in patient.stays if stay.copied}
    return [
        stay.number
        for stay in patient.stays
        if stay.quirk not in WITHOUT_NOTE and stay.number not in copied and stay.number + 1 not in copied
    ]
