"""Notes of the nursery: newborn admissions, which every builder of adult tasks must leave out."""

from __future__ import annotations

from clinstack.data.sources.hospital.admission import Scene
from clinstack.data.sources.hospital.style import wrap


def write_nursery(scene: Scene) -> str:
    """A nurse's note from the nursery."""
    dice = scene.dice
    return wrap(
        f"NICU nursing note\n#1 FEN: wt {dice.between(1700, 4000)} grams, up {dice.between(5, 40)}. Po feeding E20 "
        f"ad lib, taking {dice.between(30, 75)} cc q3-4 hrs. Abd benign, voiding and stooling.\n"
        "#2 Resp: "
        f"{dice.pick(('RA, RR 40-60, LS clear and equal', 'CPAP 5, 21%, mild retractions', 'NC 100 cc, no spells'))}.\n"
        "#3 Parents: "
        f"{dice.pick(('Mom in for cares, breast fed x 1', 'Dad called, updated by RN', 'Both parents at bedside'))}. "
        "Continue to support."
    )


def write_newborn(scene: Scene) -> str:
    """A summary from the nursery."""
    dice, stay, removed = scene.dice, scene.stay, scene.removed
    preterm = stay.problem.key == "preterm baby"
    weight, weeks = (
        (dice.between(1700, 2499), dice.between(32, 36))
        if preterm
        else (dice.between(2500, 4100), dice.between(37, 41))
    )
    sex = "girl" if scene.patient.sex == "F" else "boy"
    return wrap(
        f"Admission Date:  {removed.date(stay.admitted)}     Discharge Date:  {removed.date(stay.discharged)}\n\n"
        "Service:  NB\n\n"
        f"HISTORY:  Baby {sex.capitalize()} {removed.name()} is a {weeks} week {dice.pick(stay.problem.story)}. "
        f"Born to a {dice.between(19, 42)} year-old "
        f"G{dice.between(1, 4)} mother. Apgars were {dice.between(6, 8)} and 9.\n\nPHYSICAL EXAM:  Weight {weight} "
        f"grams. {dice.pick(stay.problem.exam)[1]}.\n\n"
        f"HOSPITAL COURSE BY SYSTEM:  {' '.join(stay.problem.course)} Feeding ad lib E20. "
        f"{dice.pick(stay.problem.workup)}\n\n"
        "CONDITION ON DISCHARGE:  Stable.\n\nDISCHARGE DISPOSITION:  Home with parents."
    )
