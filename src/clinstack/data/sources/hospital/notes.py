"""One patient into the rows of the notes' tables: NOTEEVENTS of MIMIC-III, discharge and radiology of MIMIC-IV-Note.

With the oddities of the real tables: addenda (also without their report), a report filed again under the next admission,
reports without text, nurses' notes without admission or time, rows marked as errors.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from clinstack.data.sources.hospital.admission import Scene
from clinstack.data.sources.hospital.bedside import chest_film, nursing, respiratory, tracing, within_stay
from clinstack.data.sources.hospital.dice import Dice
from clinstack.data.sources.hospital.discharge import write_addendum, write_summary_sections
from clinstack.data.sources.hospital.newborn import write_newborn, write_nursery
from clinstack.data.sources.hospital.patients import Patient, Stay
from clinstack.data.sources.hospital.planting import Planter
from clinstack.data.sources.hospital.quirks import render
from clinstack.data.sources.hospital.style import Removed, draw_author
from clinstack.data.sources.hospital.writing import TableFile, TableFiles


def stage(seed: int, release: str, patient: Patient, stay: Stay) -> Scene:
    """The scene in which a stay's notes are written; its own stream of chance."""
    dice = Dice(seed, release, patient.index, "words", stay.number)
    drugs = {
        drug: None for condition, _ in patient.conditions for drug in dice.some(condition.drugs, dice.between(0, 2))
    }
    return Scene(dice, draw_author(dice), Removed(dice, release), patient, stay, tuple(drugs))


def write_notes3(files: TableFiles, seed: int, patient: Patient) -> None:
    """A patient's rows of NOTEEVENTS."""
    file = files["NOTEEVENTS"]
    previous = ""
    for stay in patient.stays:
        scene = stage(seed, "mimic3", patient, stay)
        events = _Events(file, scene)
        if patient.newborn:
            events.write("Discharge summary", "Report", stay.discharged, write_newborn(scene), timed=False)
            events.write("Nursing/other", "Report", within_stay(scene, 0.3), write_nursery(scene))
            continue
        _, sections = write_summary_sections(scene)
        text = render(stay.quirk, sections)
        if stay.copied:
            # The same text twice: the published rules keep the later admission's, so the earlier one loses its note.
            text = previous
        _write_summary(events, stay, text)
        _write_bedside(events, stay)
        previous = text


class _Events:
    """Writes rows of NOTEEVENTS for one stay."""

    def __init__(self, file: TableFile, scene: Scene) -> None:
        self.file, self.scene = file, scene

    def write(
        self,
        category: str,
        description: str,
        when: datetime,
        text: str | None,
        *,
        timed: bool = True,
        error: bool = False,
    ) -> None:
        dice, stay = self.scene.dice, self.scene.stay
        lost = timed and dice.chance(0.01)
        time = when if timed and not dice.chance(0.015) else None
        self.file.write_numbered(
            self.scene.patient.patient_id,
            None if lost else stay.stay_id,
            f"{when:%Y-%m-%d}",
            time,
            time + timedelta(minutes=dice.between(5, 90)) if time else None,
            category,
            description,
            dice.between(14_000, 21_000) if timed else None,
            1 if error else None,
            text,
        )


def _write_summary(events: _Events, stay: Stay, text: str) -> None:
    dice = events.scene.dice
    left = max(stay.discharged, stay.admitted)
    if stay.quirk != "addendum only":
        if dice.chance(0.015):
            draft = text[: len(text) // 3]
            events.write("Discharge summary", "Report", left, draft, timed=False, error=True)
        shown = None if stay.quirk == "missing text" else text
        events.write("Discharge summary", "Report", left, shown, timed=False)
    if stay.quirk == "addendum only" or dice.chance(0.04):
        events.write(
            "Discharge summary", "Addendum", left + timedelta(days=1), write_addendum(events.scene), timed=False
        )


def _write_bedside(events: _Events, stay: Stay) -> None:
    """Nurses', respiratory, radiology and ECG notes; a ventilated patient nearly always has one in the first two days."""
    scene, dice = events.scene, events.scene.dice
    category = "Nursing/other" if scene.patient.index % 3 != 0 else "Nursing"
    for _ in range(dice.between(1, 2)):
        when = within_stay(scene, dice.roll())
        ventilated = any(start <= when < end for start, end in stay.ventilation)
        events.write(category, "Report", when, nursing(scene, ventilated), error=dice.chance(0.015))
    if stay.ventilation:
        when = stay.ventilation[0][0] + timedelta(minutes=dice.between(20, 600))
        events.write("Respiratory ", "Respiratory Care Shift Note", when, respiratory(scene))
    when = within_stay(scene, 0.05)
    events.write("Radiology", "CHEST (PORTABLE AP)", when, chest_film(scene, when))
    if dice.chance(0.35):
        events.write("ECG", "Report", when, tracing(scene))


def write_notes4(files: TableFiles, seed: int, patient: Patient, planter: Planter) -> int:
    """A patient's rows of discharge and radiology, with what is planted. Returns the number of admissions."""
    who = patient.patient_id
    for number, stay in enumerate(patient.stays, 1):
        scene = stage(seed, "mimic4", patient, stay)
        dice = scene.dice
        admission_id = 20_000_000 + stay.stay_id
        left = max(stay.discharged, stay.admitted)
        day = left.replace(hour=0, minute=0)
        if patient.newborn:
            text = write_newborn(scene)
        else:
            _, sections = write_summary_sections(scene)
            name = f"Name:  ___                     Unit No:   ___\n \n{render('plain', sections)}"
            text = " \n" + name.replace("\n\n", "\n \n")
        note = f"{who}-DS-{number}"
        files["discharge"].write(
            note, who, admission_id, "DS", number, day, left + timedelta(hours=30), planter.into(note, text)
        )
        if not patient.newborn and dice.chance(0.01):
            files["discharge"].write(
                f"{who}-AD-{number}",
                who,
                admission_id,
                "AD",
                number,
                day,
                left + timedelta(days=2),
                write_addendum(scene),
            )
        for film in range(dice.between(1, 2)):
            when = within_stay(scene, dice.roll())
            sequence = 2 * number + film
            note = f"{who}-RR-{sequence}"
            files["radiology"].write(
                note, who, None if dice.chance(0.2) else admission_id, "RR", sequence, when,
                when + timedelta(minutes=dice.between(15, 400)), planter.into(note, chest_film(scene, when)),
            )  # fmt: skip
    return len(patient.stays)
