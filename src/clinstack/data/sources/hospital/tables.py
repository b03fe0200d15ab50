"""One patient into the rows of MIMIC-III's tables, all but the notes.

Missing and odd values of the real tables are here on purpose: empty codes, ages of 90 and more shifted to about 300, rows
marked as errors, two charting systems (CareVue and MetaVision) with different item numbers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from clinstack.data.sources.hospital.codes import DIAGNOSIS_TITLES, PROCEDURE_TITLES
from clinstack.data.sources.hospital.dice import Dice
from clinstack.data.sources.hospital.patients import Patient, Stay
from clinstack.data.sources.hospital.writing import TableFile, TableFiles

_LOCATIONS = ("EMERGENCY ROOM ADMIT", "TRANSFER FROM HOSP/EXTRAM", "CLINIC REFERRAL/PREMATURE")
_INSURANCES = ("Medicare", "Medicare", "Private", "Medicaid", "Government", "Self Pay")
_FAITHS = ("CATHOLIC", "PROTESTANT QUAKER", "JEWISH", "NOT SPECIFIED", "UNOBTAINABLE", None)
_MARRIAGES = ("MARRIED", "SINGLE", "WIDOWED", "DIVORCED", None)
_ETHNICITIES = (
    "WHITE",
    "WHITE",
    "WHITE",
    "BLACK/AFRICAN AMERICAN",
    "HISPANIC OR LATINO",
    "ASIAN",
    "UNKNOWN/NOT SPECIFIED",
)
_UNITS = {
    "CARDIOLOGY": "CCU",
    "CARDIOTHORACIC": "CSRU",
    "SURGERY": "SICU",
    "TRAUMA": "TSICU",
    "VASCULAR": "SICU",
    "NEONATOLOGY": "NICU",
}
# CareVue and MetaVision: (mode, its values), (tidal volume), (heart rate), (oxygen device, value).
_CAREVUE = ((720, ("Assist Control", "SIMV+PS", "CPAP+PS")), 682, 211, (467, "Nasal Cannula"))
_METAVISION = ((223849, ("CMV/ASSIST/AutoFlow", "PSV/SBT", "CPAP/PSV")), 224685, 220045, (226732, "Nasal cannula"))
_EXTUBATED = 640
_EXTUBATION = 227194


def write_dictionaries(files: TableFiles) -> None:
    """D_ICD_DIAGNOSES and D_ICD_PROCEDURES."""
    for name, titles in (("D_ICD_DIAGNOSES", DIAGNOSIS_TITLES), ("D_ICD_PROCEDURES", PROCEDURE_TITLES)):
        for code in sorted(titles):
            files[name].write_numbered(code, titles[code][:24], titles[code])


def write_patient(files: TableFiles, seed: int, patient: Patient) -> None:
    """One patient's rows in every table but NOTEEVENTS."""
    dice = Dice(seed, "mimic3", patient.index, "tables")
    last = patient.stays[-1]
    died = last.discharged if last.died else None
    later = last.discharged + timedelta(days=dice.between(5, 900)) if died is None and dice.chance(0.2) else None
    born = patient.born.replace(hour=0, minute=0)
    if patient.stays[0].age >= 90:
        # MIMIC hides ages of 90 and more by a birth 300 years before the first admission.
        born = patient.stays[0].admitted.replace(hour=0, minute=0) - timedelta(days=109_572)
    files["PATIENTS"].write_numbered(
        patient.patient_id, patient.sex, born, _day(died or later), _day(died), _day(later), int(bool(died or later))
    )
    for stay in patient.stays:
        _write_admission(files["ADMISSIONS"], dice, patient, stay)
        for name, codes in (("DIAGNOSES_ICD", stay.diagnoses), ("PROCEDURES_ICD", stay.procedures)):
            for number, code in enumerate(codes, 1):
                files[name].write_numbered(patient.patient_id, stay.stay_id, number, code)
            if dice.chance(0.012):
                files[name].write_numbered(patient.patient_id, stay.stay_id, None, None)
        _write_intensive(files, dice, patient, stay)


def _day(when: datetime | None) -> datetime | None:
    return when.replace(hour=0, minute=0) if when else None


def _write_admission(file: TableFile, dice: Dice, patient: Patient, stay: Stay) -> None:
    kind = (
        "NEWBORN"
        if patient.newborn
        else "ELECTIVE"
        if stay.problem.elective
        else dice.pick(("EMERGENCY",) * 9 + ("URGENT",))
    )
    emergency = kind == "EMERGENCY" and dice.chance(0.7)
    location = "PHYS REFERRAL/NORMAL DELI" if kind in ("NEWBORN", "ELECTIVE") else dice.pick(_LOCATIONS)
    left = "DEAD/EXPIRED" if stay.died else dice.pick(("HOME", "HOME HEALTH CARE", "SNF", "REHAB/DISTINCT PART HOSP"))
    file.write_numbered(
        patient.patient_id,
        stay.stay_id,
        stay.admitted,
        stay.discharged,
        stay.discharged if stay.died else None,
        kind,
        location,
        left,
        dice.pick(_INSURANCES) if stay.age < 65 else "Medicare",
        "ENGL" if dice.chance(0.6) else None,
        dice.pick(_FAITHS),
        None if patient.newborn else dice.pick(_MARRIAGES),
        dice.pick(_ETHNICITIES),
        stay.admitted - timedelta(minutes=dice.between(60, 600)) if emergency else None,
        stay.admitted + timedelta(minutes=dice.between(5, 60)) if emergency else None,
        stay.problem.complaints[0].upper() if dice.chance(0.97) else None,
        int(stay.died),
        1,
    )


def _write_intensive(files: TableFiles, dice: Dice, patient: Patient, stay: Stay) -> None:
    """The intensive care stay with what was charted: breathing support, pulse, and where a tube was taken out."""
    carevue = patient.index % 3 != 0
    unit = _UNITS.get(stay.problem.service, "MICU")
    stay_id = stay.stay_id + 100_000
    inside, outside = stay.intensive
    days = int((outside - inside).total_seconds() / 86_400 * 10_000)
    files["ICUSTAYS"].write_numbered(
        patient.patient_id, stay.stay_id, stay_id, "carevue" if carevue else "metavision", unit, unit, 50, 50, inside, outside,
        f"{days // 10_000}.{days % 10_000:04d}",
    )  # fmt: skip
    (mode, modes), volume, pulse, (oxygen, device) = _CAREVUE if carevue else _METAVISION
    who = (patient.patient_id, stay.stay_id, stay_id)
    chart = files["CHARTEVENTS"]

    def note(item: int, when: datetime, value: str | None, unit: str | None = None, error: int | None = None) -> None:
        number = value if value is not None and value.isdigit() else None
        wrong = error if error is not None else (None if carevue else 0)
        chart.write_numbered(
            *who,
            item,
            when,
            when + timedelta(minutes=7),
            14_000 + item % 900,
            value,
            number,
            unit,
            None if carevue else 0,
            wrong,
            None,
            None,
        )

    for number in range(3):
        note(pulse, inside + timedelta(hours=number), str(dice.between(60, 120)), "bpm")
    if dice.chance(0.3):
        note(volume, inside + timedelta(minutes=3), str(dice.between(380, 600)), "ml", error=1)
    for start, end in stay.ventilation:
        when, first = start, True
        while when < end:
            note(mode, when, dice.pick(modes))
            if first or dice.chance(0.4):
                note(volume, when, str(dice.between(380, 600)), "ml")
            when, first = when + timedelta(minutes=dice.between(180, 300)), False
        last = (start, end) == stay.ventilation[-1]
        if stay.died and last:
            note(mode, end, dice.pick(modes))
        elif carevue:
            note(_EXTUBATED, end, "Extubated" if dice.chance(0.95) else "Self Extubation")
        else:
            _write_extubation(files["PROCEDUREEVENTS_MV"], who, end, chart.rows)
        if not stay.died:
            note(oxygen, end + timedelta(minutes=30), device)


def _write_extubation(file: TableFile, who: tuple[int, int, int], when: datetime, order: int) -> None:
    file.write_numbered(
        *who, when, when + timedelta(minutes=1), _EXTUBATION, 1, "None", None, None, when, 17_000, order, order,
        "Intubation/Extubation", None, "Task", 0, 0, 0, "FinishedRunning", None, None, None,
    )  # fmt: skip
