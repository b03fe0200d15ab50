"""Disturbed physiology: what makes a stay dangerous, in the words, the vital signs and the codes that speak of it.

A stay's acute problem says what is wrong; its disturbances say how bad it is. They carry most of the signal for death, for the
time on a ventilator and for the length of stay, and each is written in many ways, some of them numbers ("BP 78/40").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disturbance:
    """One derangement: `story` for the present illness, `exam` for the examination, `course` for the hospital course."""

    key: str
    story: tuple[str, ...]
    exam: tuple[str, ...]
    course: tuple[str, ...]
    system: str
    codes: tuple[str, ...]
    risk: float = 0.0
    length: float = 0.0
    breath: float = 0.0


DISTURBANCES = (
    Disturbance(
        "shock",
        (
            "hypotensive to the 70s despite 3L IVF and started on levophed",
            "SBP dropped to 70s, peripheral dopamine started",
            "in shock on arrival, central line placed and pressors started",
            "hypotensive, requiring neosynephrine and fluid boluses", "BP 74/40 not responsive to fluids",
            "requiring two pressors", "found to be hypotensive with cool extremities",
        ),
        ("extremities cool and mottled", "thready pulses", "cap refill delayed", "on levophed gtt"),
        (
            "required pressors to maintain MAP > 60", "was fluid resuscitated and weaned off levophed",
            "remained hypotensive on vasopressin and levophed",
        ),
        "extremities", ("78552", "78551", "4589"), 0.75, 0.35, 0.35,
    ),
    Disturbance(
        "respiratory failure",
        (
            "in respiratory distress, tiring, and intubated in the ED", "failed BiPAP and was intubated",
            "found to be hypercarbic with ABG 7.18/88/60 and intubated",
            "desatted to 70s on NRB and was emergently intubated", "intubated in the field for airway protection",
            "with increased work of breathing, placed on BiPAP",
            "RR 40s using accessory muscles, electively intubated",
        ),
        (
            "intubated, coarse vented breath sounds bilaterally", "using accessory muscles", "ETT in place",
            "tachypneic, speaking in short phrases",
        ),
        (
            "remained ventilator dependent with difficulty weaning", "was extubated after passing SBT",
            "respiratory failure was felt to be multifactorial",
        ),
        "lungs", ("51881", "51884"), 0.55, 0.45, 0.6,
    ),
    Disturbance(
        "hypoxia",
        (
            "satting 86% on RA, improved to 94% on 4L NC", "hypoxic, placed on NRB", "O2 sat 84% RA",
            "new O2 requirement of 4L", "desatting with ambulation", "sats in the high 80s on room air",
        ),
        ("bibasilar crackles", "diffuse rhonchi", "decreased BS at the bases", "on 4L NC, mildly tachypneic"),
        ("was weaned off O2", "required high flow O2 for several days"),
        "lungs", ("79902",), 0.2, 0.15, 0.3,
    ),
    Disturbance(
        "altered mental status",
        (
            "found to be confused and lethargic", "obtunded, not following commands", "with AMS per family",
            "minimally responsive, GCS 7", "more somnolent and disoriented", "A+O x 1, agitated",
            "unresponsive at home",
        ),
        (
            "lethargic, oriented to self only", "does not follow commands", "withdraws to pain",
            "somnolent but arousable",
        ),
        (
            "mental status slowly cleared", "remained encephalopathic",
            "head CT was negative and delirium was attributed to illness",
        ),
        "neuro", ("78097", "34831", "78009"), 0.45, 0.2, 0.25,
    ),
    Disturbance(
        "kidney injury",
        (
            "Cr 3.4 from baseline 1.0", "labs notable for ARF with Cr 4.1", "in acute renal failure",
            "with AKI (BUN 78, Cr 2.9)", "oliguric with rising creatinine", "making little urine",
        ),
        ("foley with scant dark urine", "2+ edema to sacrum"),
        (
            "renal failure was felt to be ATN", "creatinine peaked and then improved with fluids",
            "required CVVH for volume overload",
        ),
        "abdomen", ("5849", "5845"), 0.35, 0.3, 0.1,
    ),
    Disturbance(
        "acidosis",
        (
            "lactate 6.8", "lactate 4.2, bicarb 12", "with anion gap metabolic acidosis", "ABG 7.12/30/88",
            "pH 7.19, lactate 9", "acidotic with lactate of 5",
        ),
        ("kussmaul respirations", "ill appearing, diaphoretic"),
        ("lactate trended down with resuscitation", "acidosis persisted despite bicarbonate gtt"),
        "general", ("2762",), 0.5, 0.1, 0.15,
    ),
    Disturbance(
        "fever",
        (
            "febrile to 102.4", "T 103 with rigors", "with fevers and chills at home", "spiked to 101.8",
            "Tm 102, cultures sent", "WBC 19.4 with 12% bands",
        ),
        ("warm, flushed", "febrile, mildly diaphoretic"),
        ("was pan-cultured and treated with broad spectrum antibiotics", "defervesced on antibiotics"),
        "general", ("78060", "7806"), 0.05, 0.15, 0.0,
    ),
    Disturbance(
        "tachyarrhythmia",
        (
            "HR 150s in afib with RVR, given dilt 20 mg IV", "tachy to 160s", "with runs of NSVT",
            "went into rapid AF", "SVT to 170, broke with adenosine",
        ),
        ("tachycardic, irregularly irregular", "irregular, HR 130s"),
        ("was rate controlled with diltiazem gtt", "was loaded with amiodarone"),
        "heart", ("42731", "4271", "42789"), 0.15, 0.15, 0.05,
    ),
    Disturbance(
        "coagulopathy",
        (
            "INR 5.6, given vitamin K and FFP", "platelets 32", "coagulopathic with INR 3.8", "supratherapeutic INR",
            "thrombocytopenic to 24",
        ),
        ("scattered ecchymoses", "oozing from line sites", "petechiae over shins"),
        ("was reversed with FFP and vitamin K", "platelets were transfused"),
        "skin", ("2869", "2875", "28749"), 0.35, 0.15, 0.1,
    ),
    Disturbance(
        "blood loss",
        (
            "Hct 19 from baseline 34, transfused 2U PRBC", "with Hct drop to 22", "crossmatched for 4 units",
            "hct 21.5, guaiac positive", "transfused at OSH for hct of 20",
        ),
        ("pale conjunctivae", "guaiac positive brown stool", "melena on rectal"),
        ("received PRBC with appropriate bump in Hct", "hematocrit remained stable after transfusion"),
        "abdomen", ("2851",), 0.15, 0.1, 0.05,
    ),
    Disturbance(
        "electrolytes",
        (
            "Na 121", "K 6.7 with peaked T waves", "hyponatremic to 118", "hyperkalemic, given calcium and insulin",
            "Na 158, felt to be dry", "with K 2.4",
        ),
        ("dry MM, poor skin turgor", "flat JVP"),
        ("electrolytes were repleted daily", "sodium corrected slowly"),
        "general", ("2761", "2767", "2760", "2768"), 0.1, 0.1, 0.0,
    ),
    Disturbance(
        "frailty",
        (
            "sent in from nursing home", "bedbound at baseline", "from rehab", "DNR/DNI per family",
            "NH resident, poor PO intake for weeks", "failure to thrive, 30 lb weight loss",
            "code status discussed, patient is DNR/DNI",
        ),
        ("cachectic, chronically ill appearing", "frail, temporal wasting", "stage III sacral decubitus"),
        ("goals of care were addressed with family", "nutrition was consulted for tube feeds"),
        "general",
        ("7837", "V4986", "7993", "70703", "2639"),
        0.5, 0.2, 0.1,
    ),
)  # fmt: skip

DISTURBANCE = {disturbance.key: disturbance for disturbance in DISTURBANCES}
