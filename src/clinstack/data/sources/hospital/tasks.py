"""The five outcome tasks of a hospital, from the same latent stays that fill its tables.

Text is the admission note of the published rules: eight headings, always all, in their order. Labels follow the published
rules too, so that what a builder makes from the CSV files can be held against these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from clinstack.data.notes import SPLITS
from clinstack.data.sources.hospital.admission import Admission
from clinstack.data.sources.hospital.patients import Patient, Stay
from clinstack.data.task import TaskWriter

LENGTH_CLASSES = ("LT3D", "3DTO7D", "1WTO2W", "GT2W")
DEATH_CLASSES = ("NOT_DIE", "DIE")
BREATH_CLASSES = ("LE7D", "GT7D")
SPLIT_SEED = 123
_BATCH = 64
# Head and neck malignancy, neuromuscular disease, burns: no cohort of prolonged ventilation has them.
_EXCLUDED = (
    *(f"14{digit}" for digit in range(10)),
    "3589",
    "3590",
    "3591",
    "35801",
    "941",
    *(f"948{digit}" for digit in range(3, 10)),
)


def admission_text(admission: Admission) -> str:
    """The admission note: eight headings with their bodies, line breaks inside a body turned to spaces."""
    sections = (
        ("CHIEF COMPLAINT", admission.complaint),
        ("PRESENT ILLNESS", admission.illness),
        ("MEDICAL HISTORY", admission.history),
        ("MEDICATION ON ADMISSION", admission.drugs),
        ("ALLERGIES", admission.allergies),
        ("PHYSICAL EXAM", admission.exam),
        ("FAMILY HISTORY", admission.family),
        ("SOCIAL HISTORY", admission.social),
    )
    return "\n\n".join(f"{heading}: {body.replace(chr(10), ' ').strip()}" for heading, body in sections)


def diagnosis_class(code: str) -> str:
    """The class of an ICD-9 diagnosis: three characters, four for V and E codes."""
    return code[:4] if code.startswith(("V", "E")) else code[:3]


def procedure_class(code: str) -> str:
    """The class of an ICD-9 procedure as published: leading zeros lost before the cut to three characters."""
    return str(int(code))[:3]


def length_class(admitted: datetime, discharged: datetime) -> str:
    """The class of a stay's length: days rounded to one decimal, at most 3, 7, 14 or more."""
    days = round((discharged - admitted).total_seconds() / 86_400, 1)
    return LENGTH_CLASSES[(days > 3) + (days > 7) + (days > 14)]


def breath_class(stay: Stay) -> str | None:
    """The class of the time on a ventilator, first start to last end, or None outside the cohort of more than 2 days."""
    if not stay.ventilation or any(code.startswith(_EXCLUDED) for code in stay.diagnoses):
        return None
    spell = stay.ventilation[-1][1] - stay.ventilation[0][0] + timedelta(hours=6)
    if spell < timedelta(days=2):
        return None
    return BREATH_CLASSES[spell >= timedelta(days=7)]


def labels_of(stay: Stay) -> dict[str, list[str]]:
    """Task -> class names of one stay; a task the stay does not belong to is absent."""
    labels = {"mor": [DEATH_CLASSES[stay.died]]}
    if not stay.died:
        labels["los"] = [length_class(stay.admitted, stay.discharged)]
    breath = breath_class(stay)
    if breath is not None:
        labels["pmv"] = [breath]
    if stay.diagnoses:
        labels["diag"] = list(dict.fromkeys(map(diagnosis_class, stay.diagnoses)))
    if stay.procedures:
        labels["proc"] = list(dict.fromkeys(map(procedure_class, stay.procedures)))
    return labels


@dataclass(frozen=True)
class TaskPlan:
    """What must be known of all patients before the first note is written: classes, and each patient's split by task."""

    classes: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, Mapping[str, str]]

    @property
    def kinds(self) -> dict[str, str]:
        """Task -> kind."""
        return {"mor": "binary", "los": "multiclass", "pmv": "binary", "diag": "multilabel", "proc": "multilabel"}


class TaskFiles:
    """The five task folders being written side by side; a context manager, nothing is left on an error."""

    def __init__(self, folder: Path, plan: TaskPlan) -> None:
        folder.mkdir()
        self._plan = plan
        self._writers = {
            name: TaskWriter(
                folder / name,
                name=name,
                kind=kind,
                classes=plan.classes[name],
                source="synthetic hospital",
                mode="reference",
                seed=SPLIT_SEED,
            )
            for name, kind in plan.kinds.items()
        }
        self._waiting: dict[tuple[str, str], list[tuple[str, str, str, list[str]]]] = defaultdict(list)
        self._places = ExitStack()

    def __enter__(self) -> TaskFiles:
        for writer in self._writers.values():
            self._places.enter_context(writer)
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            for name in self._writers:
                for split in SPLITS:
                    self._flush(name, split)
        self._places.__exit__(*error)  # type: ignore[arg-type]

    def write(self, patient: Patient, admissions: Iterable[Admission | None]) -> None:
        """A patient's stays into every task that they belong to."""
        for stay, admission in zip(patient.stays, admissions, strict=True):
            if admission is None:
                continue
            text = admission_text(admission)
            for name, labels in labels_of(stay).items():
                split = self._plan.splits[name][str(patient.patient_id)]
                self._waiting[name, split].append((str(stay.stay_id), str(patient.patient_id), text, labels))
                if len(self._waiting[name, split]) >= _BATCH:
                    self._flush(name, split)

    def _flush(self, name: str, split: str) -> None:
        waiting = self._waiting.pop((name, split), [])
        if waiting:
            notes, patients, texts, labels = map(list, zip(*waiting, strict=True))
            self._writers[name].write(split, notes, patients, texts, labels)
