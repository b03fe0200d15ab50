"""Whole discharge summaries: the admission part, and then what happened.

The second half names the same conditions and drugs again in other words (the course says "lasix", the discharge list
"furosemide", the diagnosis "congestive heart failure"), which is where unlabelled notes teach that they belong together. None
of it may reach an admission note.
"""

from __future__ import annotations

import re
from datetime import timedelta

from clinstack.data.sources.hospital.admission import (
    Admission,
    Scene,
    as_sentence,
    laboratory_values,
    name_condition,
    write_admission,
)
from clinstack.data.sources.hospital.codes import DIAGNOSIS_TITLES, PROCEDURE_TITLES
from clinstack.data.sources.hospital.drugs import prescription
from clinstack.data.sources.hospital.quirks import Section
from clinstack.data.sources.hospital.style import wrap

_PRONOUN = re.compile(r"\b(?:He|She)\b")
_CHRONIC = (
    "# {name}: Continued on home {drug}.",
    "# {name}: Stable, {drug} was continued.",
    "# {name}: {drug} was held on admission and restarted at discharge.",
    "# {name}: {drug} was uptitrated during this admission.",
)
_BREATHING = (
    "He was weaned from the ventilator and extubated after {days} day(s).",
    "The patient remained intubated for {days} day(s) before extubation.",
    "Ventilator wean was {pace}; total of {days} day(s) of mechanical ventilation.",
)
_DEATHS = (
    (
        "Despite maximal support the patient continued to decline. After discussion with the family, goals were "
        "changed to comfort and the patient expired on {day}."
    ),
    (
        "He became progressively hypotensive, and the family decided on comfort measures only. He passed away "
        "peacefully on {day}."
    ),
    (
        "On {day} the patient had a PEA arrest and could not be resuscitated. Time of death was recorded and the "
        "family was notified."
    ),
)
_FOLLOW = (
    "Please follow up with Dr. {doctor} in 1-2 weeks. Call {number} to schedule.",
    "PCP: Dr. {doctor} on {day}.",
    "Cardiology clinic with Dr. {doctor}, phone {number}.",
    "You have an appointment with Dr. {doctor} on {day} at 10:30.",
)
_ADVICE = (
    (
        "You were admitted to the hospital with {complaint}. You were treated and improved. Please take all "
        "medications as prescribed. Return if you have fevers, chest pain or trouble breathing."
    ),
    (
        "Call your doctor or return to the emergency department for {complaint}, fever greater than 101, or any "
        "other concern."
    ),
    (
        "You came in because of {complaint}. Please weigh yourself every morning and call if weight goes up more "
        "than 3 lbs."
    ),
)


def summary_sections(scene: Scene, admission: Admission) -> list[Section]:
    """A summary as ordered (heading, body) pairs, lines broken to the page's width."""
    stay, removed = scene.stay, scene.removed
    end = max(stay.admitted, stay.discharged)
    service = stay.problem.service
    head = (
        f"{removed.date(stay.admitted)}              Discharge Date:   {removed.date(end)}\n\n"
        f"Date of Birth:  {removed.date(scene.patient.born)}             Sex:   {scene.patient.sex}"
    )
    sections = [
        ("Admission Date", head),
        ("Service", service),
        ("Allergies", admission.allergies),
        ("Attending", removed.doctor()),
        ("Chief Complaint", admission.complaint),
        ("Major Surgical or Invasive Procedure", _procedures(scene)),
        ("History of Present Illness", admission.illness),
        ("Past Medical History", admission.history),
        ("Social History", admission.social),
        ("Family History", admission.family),
        ("Physical Exam", admission.exam),
        ("Pertinent Results", _results(scene)),
        ("Brief Hospital Course", _course(scene)),
        ("Medications on Admission", admission.drugs),
        *_leaving(scene, admission.complaint),
    ]
    return [(heading, wrap(body)) for heading, body in sections]


def _procedures(scene: Scene) -> str:
    titles = [PROCEDURE_TITLES[code] for code in scene.stay.procedures[:4]]
    return scene.author.listing(titles) if titles else "None"


def _results(scene: Scene) -> str:
    first, last = laboratory_values(scene), laboratory_values(scene)
    day = scene.removed.day(scene.stay.admitted)
    admission = " ".join(f"{name}-{value}" for name, value in first.items())
    discharge = " ".join(f"{name}-{value}" for name, value in list(last.items())[:4])
    return (
        f"{day} 04:15AM BLOOD {admission}\n{scene.dice.pick(scene.stay.problem.workup)}\nBefore discharge: {discharge}"
    )


def _course(scene: Scene) -> str:
    dice, stay = scene.dice, scene.stay
    who = scene.fill(f"{scene.who} with {{words}}", words=", ".join(_names(scene, 3)) or "no significant history")
    parts = [f"{who}, admitted with {dice.pick(stay.problem.complaints)}."]
    main = " ".join(dice.some(stay.problem.course, 2))
    parts.append(f"# {stay.problem.key.capitalize()}: {main.replace('[**Date**]', scene.removed.day(stay.admitted))}")
    for entry in stay.disturbances:
        parts.append(
            f"# {entry.key.capitalize()}: {as_sentence(dice.pick(entry.story))} {as_sentence(dice.pick(entry.course))}"
        )
    if stay.ventilation:
        days = round((stay.ventilation[-1][1] - stay.ventilation[0][0]).total_seconds() / 86_400)
        words = dice.pick(_BREATHING) if not stay.died else "He required mechanical ventilation for {days} day(s)."
        parts.append("# Respiratory: " + words.format(days=max(1, days), pace="slow" if days > 6 else "uneventful"))
    for code in stay.diagnoses:
        if code in ("5990", "00845", "99731", "45341", "2930", "99859") and dice.chance(0.7):
            parts.append(f"# Course was complicated by {DIAGNOSIS_TITLES[code].lower()}, treated accordingly.")
    for condition, level in dice.some(scene.patient.conditions, 6):
        taken = [drug for drug in condition.drugs if drug in scene.drugs]
        if taken:
            drug = prescription(dice, dice.pick(taken), terse=True)
            parts.append(dice.pick(_CHRONIC).format(name=name_condition(dice, condition, level), drug=drug))
    if stay.died:
        parts.append(dice.pick(_DEATHS).format(day=scene.removed.day(stay.discharged)))
    he = "He" if scene.patient.sex == "M" else "She"
    return _PRONOUN.sub(he, scene.author.write(dice, "\n\n".join(parts)))


def _names(scene: Scene, count: int) -> list[str]:
    return [name_condition(scene.dice, *entry) for entry in scene.dice.some(scene.patient.conditions, count)]


def _leaving(scene: Scene, complaint: str) -> list[Section]:
    """Drugs, place, diagnoses, condition and advice at discharge, or what is written instead after a death."""
    dice, stay = scene.dice, scene.stay
    titles = [DIAGNOSIS_TITLES[code] for code in stay.diagnoses[:3]]
    diagnosis = "\n".join(
        [f"Primary: {titles[0] if titles else stay.problem.key}", *(f"Secondary: {title}" for title in titles[1:])]
    )
    if stay.died:
        return [
            ("Discharge Medications", "None"),
            ("Discharge Disposition", "Expired"),
            ("Discharge Diagnosis", diagnosis),
            ("Discharge Condition", "Expired"),
            ("Discharge Instructions", "None"),
            ("Followup Instructions", "None"),
        ]
    drugs = [prescription(dice, drug, terse=False) for drug in scene.drugs if dice.chance(0.93)]
    frail = stay.age > 70 and stay.severity > 0.4
    place = dice.pick(
        ("Extended Care", "Home With Service", "Extended Care") if frail else ("Home", "Home", "Home With Service")
    )
    follow = dice.pick(_FOLLOW).format(
        doctor=scene.removed.doctor(),
        number=scene.removed.number(),
        day=scene.removed.day(stay.discharged + timedelta(days=10)),
    )
    return [
        ("Discharge Medications", "\n".join(f"{number}. {drug}" for number, drug in enumerate(drugs, 1)) or "None"),
        ("Discharge Disposition", place),
        ("Discharge Diagnosis", diagnosis),
        (
            "Discharge Condition",
            dice.pick(("Stable", "Good", "Mental Status: Clear and coherent. Ambulatory.", "Stable, tolerating po")),
        ),
        ("Discharge Instructions", dice.pick(_ADVICE).format(complaint=complaint)),
        ("Followup Instructions", follow),
    ]


def write_addendum(scene: Scene) -> str:
    """A short note filed a day later; its headings repeat some of the report's."""
    dice = scene.dice
    drug = dice.pick(scene.drugs or ("aspirin",))
    return wrap(
        f"Name:  {scene.removed.name()}                Unit No:  {scene.removed.number()}\n\nAdmission Date:  "
        f"{scene.removed.date(scene.stay.admitted)}\n\n"
        f"Allergies:\n{dice.pick(('Latex', 'Penicillins', 'Codeine'))}\n\nAttending:{scene.removed.doctor()}\n\n"
        "Addendum:\n"
        f"The patient was also discharged on {prescription(dice, drug, terse=False)}. Please note the change of "
        "dose.\n\nDischarge Disposition:\nHome"
    )


def write_summary_sections(scene: Scene) -> tuple[Admission, list[Section]]:
    """The admission part and the sections of the whole summary of one adult stay."""
    admission = write_admission(scene)
    return admission, summary_sections(scene, admission)
