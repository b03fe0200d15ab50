"""Patients and their stays before a word is written: the latent states from which notes, tables and labels all follow.

A patient has chronic conditions, each with a level; a stay has an acute problem, a severity between 0 and 1 and disturbances
of physiology. Three scores are sums of their weights plus chance: the score of death is compared with a threshold, those of
length and of ventilation are read off straight lines. So no outcome hangs on one word, and chance keeps every outcome from
being certain (`CHANCE_*` are the deviations of that chance; they set the best AUROC that any reader can reach).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from clinstack.data.sources.hospital.codes import COMPLICATIONS
from clinstack.data.sources.hospital.conditions import CONDITION, CONDITIONS, Condition
from clinstack.data.sources.hospital.dice import Dice, between_knots
from clinstack.data.sources.hospital.disturbances import DISTURBANCE, Disturbance
from clinstack.data.sources.hospital.problems import Problem
from clinstack.data.sources.hospital.problems_belly import BELLY
from clinstack.data.sources.hospital.problems_chest import CHEST
from clinstack.data.sources.hospital.problems_head import HEAD
from clinstack.data.sources.hospital.problems_newborn import NEWBORN
from clinstack.data.sources.hospital.quirks import draw_quirk
from clinstack.data.sources.hospital.tail import (
    DIAGNOSIS_TOTALS,
    PROCEDURE_TOTALS,
    TAIL_DIAGNOSES,
    TAIL_PROCEDURES,
    TailCode,
)

PROBLEMS = CHEST + BELLY + HEAD
NEWBORN_SHARE = 0.06
MOST_STAYS = 8

DEATH_THRESHOLD = 2.7
CHANCE_DEATH = 1.05
CHANCE_LENGTH = 0.38
CHANCE_BREATH = 0.3

# Score -> hours. The lengths give about 13 / 38 / 32 / 17 % of the four length-of-stay classes.
LENGTH_HOURS = ((-1.7, 14.0), (-1.1, 45.0), (-0.65, 80.0), (0.0, 168.0), (0.6, 336.0), (1.2, 560.0), (2.4, 1200.0))
BREATH_HOURS = ((0.1, 9.0), (0.75, 32.0), (1.1, 70.0), (1.6, 165.0), (2.2, 300.0), (3.6, 640.0))
AFTER_SURGERY_HOURS = ((-1.0, 4.0), (0.5, 10.0), (1.2, 20.0), (2.0, 80.0), (3.0, 260.0))

# Planned operations after which patients wake on a ventilator.
_GREAT_OPERATIONS = ("bypass operation", "valve operation", "lung resection", "aortic repair", "brain tumour")

# Codes that only one sex can have, by their first letters.
_FEMALE = (
    "V22",
    "V27",
    "179",
    "180",
    "182",
    "183",
    "218",
    "610",
    "614",
    "617",
    "618",
    "620",
    "626",
    "627",
    "642",
    "654",
)
_MALE = ("600", "601", "603", "605", "607", "186")
_FEMALE_PROCEDURES = ("65", "68", "74", "75", "851", "854")
_MALE_PROCEDURES = ("60", "62")
_PREGNANCY = ("V22", "V27", "642", "654", "741", "7569", "626")


@dataclass(frozen=True, slots=True)
class Stay:
    """One admission. `ventilation` are (start, end) of episodes; `new_tail` are rare facts that came with this stay.

    `quirk` is how its discharge summary is malformed, if it is; `copied`: filed with the text of the stay before.
    """

    number: int
    stay_id: int
    age: int
    admitted: datetime
    discharged: datetime
    died: bool
    problem: Problem
    severity: float
    disturbances: tuple[Disturbance, ...]
    new_tail: tuple[TailCode, ...]
    plan: TailCode | None
    ventilation: tuple[tuple[datetime, datetime], ...]
    intensive: tuple[datetime, datetime]
    diagnoses: tuple[str, ...]
    procedures: tuple[str, ...]
    quirk: str
    copied: bool


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient: `conditions` with their level (0 mild, 1, 2 severe), `tail` of rare facts, and stays in order of time."""

    index: int
    patient_id: int
    sex: str
    born: datetime
    newborn: bool
    conditions: tuple[tuple[Condition, int], ...]
    tail: tuple[TailCode, ...]
    stays: tuple[Stay, ...]


def draw_patient(seed: int, folder: str, index: int) -> Patient:
    """The patient `index` of a folder ("mimic3" or "mimic4"), the same whoever was drawn before."""
    dice = Dice(seed, folder, index, "states")
    patient_id = 10_000 + index if folder == "mimic3" else 10_000_000 + 7 * index
    born_minute = timedelta(minutes=dice.between(0, 1439))
    first = datetime(2100, 1, 1) + timedelta(days=dice.between(100, 32_000)) + born_minute
    sex = "F" if dice.chance(0.45) else "M"
    if dice.chance(NEWBORN_SHARE):
        stay = _draw_newborn(dice, index, first)
        return Patient(index, patient_id, sex, first, True, (), (), (stay,))
    age = min(97, max(18, int(63 + 16.5 * dice.bell())))
    born = first - timedelta(days=age * 365 + age // 4 + dice.between(0, 300))
    conditions = _draw_conditions(dice, age, sex)
    tail = _draw_tail(dice, TAIL_DIAGNOSES, DIAGNOSIS_TOTALS, dice.between(0, 3), sex, age)
    chronic_tail = tuple(entry for entry in tail if not entry.code.startswith("E"))
    stays: list[Stay] = []
    admitted = first
    while True:
        stay = _draw_stay(dice, index, len(stays), admitted, born, sex, conditions, chronic_tail)
        stays.append(stay)
        if stay.died or len(stays) == MOST_STAYS or not dice.chance(0.24):
            break
        admitted = max(stay.discharged, stay.admitted) + timedelta(minutes=dice.between(4_000, 900_000))
    return Patient(index, patient_id, sex, born, False, conditions, chronic_tail, tuple(stays))


def _draw_conditions(dice: Dice, age: int, sex: str) -> tuple[tuple[Condition, int], ...]:
    chosen = []
    for condition in CONDITIONS:
        share = condition.share * min(1.3, max(0.04, (age - condition.onset) / (70 - condition.onset)))
        if dice.chance(share) and condition.sex in ("", sex):
            chosen.append((condition, dice.weighted((0, 1, 2), (0.25, 0.5, 0.25))))
    return tuple(chosen)


def _fits(code: str, sex: str, age: int, *, procedure: bool) -> bool:
    wrong: tuple[str, ...]
    if procedure:
        wrong = _MALE_PROCEDURES if sex == "F" else _FEMALE_PROCEDURES
    else:
        wrong = _MALE if sex == "F" else _FEMALE
    return not code.startswith(wrong) and not (age > 45 and code.startswith(_PREGNANCY))


def _draw_tail(
    dice: Dice, table: tuple[TailCode, ...], totals: tuple[int, ...], count: int, sex: str, age: int
) -> tuple[TailCode, ...]:
    chosen: dict[str, TailCode] = {}
    for _ in range(count):
        entry = table[bisect_right(totals, int(dice.roll() * totals[-1]))]
        if _fits(entry.code, sex, age, procedure=table is TAIL_PROCEDURES):
            chosen[entry.code] = entry
    return tuple(chosen.values())


def _draw_problem(dice: Dice, conditions: tuple[tuple[Condition, int], ...]) -> Problem:
    keys = {condition.key for condition, _ in conditions}
    weights = []
    for problem in PROBLEMS:
        favoured = sum(key in keys for key in problem.favours)
        weights.append(problem.weight * (1 + 1.6 * favoured) * (0.35 if favoured == 0 and problem.favours else 1.0))
    return dice.weighted(PROBLEMS, weights)


def _draw_disturbances(dice: Dice, problem: Problem, severity: float, age: int) -> tuple[Disturbance, ...]:
    chosen = []
    for key, share in problem.disturbances:
        if key == "frailty" and age < 60:
            continue
        if dice.chance(share * (0.25 + 1.5 * severity)):
            chosen.append(DISTURBANCE[key])
    return tuple(chosen)


def _draw_stay(
    dice: Dice,
    index: int,
    number: int,
    admitted: datetime,
    born: datetime,
    sex: str,
    conditions: tuple[tuple[Condition, int], ...],
    tail: tuple[TailCode, ...],
) -> Stay:
    age = (admitted - born).days * 4 // 1461
    problem = _draw_problem(dice, conditions)
    severity = min(1.0, max(0.0, 0.5 + 0.24 * dice.bell()))
    disturbances = _draw_disturbances(dice, problem, severity, age)
    levels = [(condition, (0.5, 1.0, 1.5)[level]) for condition, level in conditions]
    planned = 0.0 if problem.elective else 0.25

    risk = problem.risk + 1.1 * (severity - 0.5) + sum(entry.risk for entry in disturbances) + 0.022 * (age - 63)
    risk += sum(condition.risk * level for condition, level in levels) + planned
    died = risk + CHANCE_DEATH * dice.bell() > DEATH_THRESHOLD

    hours = _breath_hours(dice, problem, severity, disturbances, levels)
    length = problem.length + 0.9 * (severity - 0.5) + sum(entry.length for entry in disturbances)
    length += 0.5 * sum(condition.length * level for condition, level in levels) + CHANCE_LENGTH * dice.bell()
    stay_hours = between_knots(length - (0.5 if died else 0.25), LENGTH_HOURS)
    stay_hours = max(stay_hours, hours + (2 if died else 30))
    discharged = admitted + timedelta(minutes=int(stay_hours * 60))

    started = admitted + timedelta(minutes=dice.between(30, 400 if not problem.elective else 900))
    ventilation = _episodes(dice, started, hours, ends=not died)
    if ventilation and ventilation[-1][1] > discharged:
        discharged = ventilation[-1][1] + timedelta(minutes=dice.between(5, 300))
    if died and not ventilation and dice.chance(0.12):
        # Organ donors and clerks: MIMIC has deaths whose discharge is written before the admission.
        discharged = admitted - timedelta(minutes=dice.between(20, 900))
    out = admitted + (max(discharged, admitted) - admitted) * (0.35 + 0.5 * severity)
    if ventilation:
        out = max(out, ventilation[-1][1])
    intensive = (admitted + timedelta(minutes=dice.between(5, 29)), max(out, admitted + timedelta(hours=1)))

    new_tail = _draw_tail(dice, TAIL_DIAGNOSES, DIAGNOSIS_TOTALS, dice.between(0, 1), sex, age)
    planned_procedures = _draw_tail(dice, TAIL_PROCEDURES, PROCEDURE_TOTALS, 1 if dice.chance(0.45) else 0, sex, age)
    plan = planned_procedures[0] if planned_procedures else None
    return Stay(
        number=number,
        stay_id=100_000 + MOST_STAYS * index + number,
        age=age,
        admitted=admitted,
        discharged=discharged,
        died=died,
        problem=problem,
        severity=severity,
        disturbances=disturbances,
        new_tail=new_tail,
        plan=plan,
        ventilation=ventilation,
        intensive=intensive,
        diagnoses=_diagnoses(dice, problem, severity, disturbances, conditions, tail + new_tail, hours),
        procedures=_procedures(dice, problem, severity, disturbances, plan, hours),
        quirk=draw_quirk(dice),
        copied=number > 0 and dice.chance(0.04),
    )


def _breath_hours(
    dice: Dice,
    problem: Problem,
    severity: float,
    disturbances: tuple[Disturbance, ...],
    levels: list[tuple[Condition, float]],
) -> float:
    """Hours from the first to the last moment on a ventilator; 0 for most."""
    score = problem.breath + 1.4 * (severity - 0.5) + sum(entry.breath for entry in disturbances)
    score += sum(1.3 * condition.breath * level for condition, level in levels) + CHANCE_BREATH * dice.bell()
    keys = {entry.key for entry in disturbances}
    if "respiratory failure" in keys:
        return between_knots(score, BREATH_HOURS) if dice.chance(0.92) else 0.0
    if problem.elective and problem.key in _GREAT_OPERATIONS:
        return between_knots(score, AFTER_SURGERY_HOURS) if dice.chance(0.9) else 0.0
    if dice.chance(0.3 if "shock" in keys else 0.03):
        return between_knots(score, BREATH_HOURS)
    return 0.0


def _episodes(dice: Dice, start: datetime, hours: float, *, ends: bool) -> tuple[tuple[datetime, datetime], ...]:
    """One episode, or two when the patient was extubated too early; nothing under 4 hours."""
    if hours < 4:
        return ()
    minutes = int(hours * 60)
    end = start + timedelta(minutes=minutes)
    if ends and minutes > 4_000 and dice.chance(0.15):
        first = start + timedelta(minutes=int(minutes * 0.55))
        return ((start, first), (first + timedelta(minutes=dice.between(60, 900)), end))
    return ((start, end),)


def _diagnoses(
    dice: Dice,
    problem: Problem,
    severity: float,
    disturbances: tuple[Disturbance, ...],
    conditions: tuple[tuple[Condition, int], ...],
    tail: tuple[TailCode, ...],
    hours: float,
) -> tuple[str, ...]:
    """Codes in order of sequence: the problem first. Coders miss some conditions and rare facts."""
    if dice.chance(0.004):
        return ()
    count = len(problem.codes)
    codes = [problem.codes[min(dice.between(0, count - 1), dice.between(0, count - 1))]]
    if count > 1 and dice.chance(0.35):
        codes.append(dice.pick(problem.codes))
    codes += [dice.pick(entry.codes) for entry in disturbances if dice.chance(0.85)]
    codes += [dice.pick(condition.codes) for condition, _ in conditions if dice.chance(0.85)]
    codes += [entry.code for entry in tail if dice.chance(0.9)]
    codes += [code for code, share in COMPLICATIONS if dice.chance(share * (0.3 + 1.4 * severity))]
    if hours > 96 and dice.chance(0.2):
        codes.append("99731")
    return tuple(dict.fromkeys(codes))


def _procedures(
    dice: Dice,
    problem: Problem,
    severity: float,
    disturbances: tuple[Disturbance, ...],
    plan: TailCode | None,
    hours: float,
) -> tuple[str, ...]:
    codes = [code for code, share in problem.procedures if dice.chance(share)]
    keys = {entry.key for entry in disturbances}
    if hours >= 4:
        codes += ["9604"] if not problem.elective and dice.chance(0.9) else []
        codes += ["9672" if hours >= 96 else "9671"]
        codes += ["311"] if hours > 300 and dice.chance(0.45) else []
        codes += ["4311"] if hours > 300 and dice.chance(0.35) else []
        codes += ["966"] if hours > 96 and dice.chance(0.4) else []
    codes += ["3893"] if dice.chance(0.75 if "shock" in keys else 0.12 + 0.2 * severity) else []
    codes += ["3891"] if dice.chance(0.45 if "shock" in keys or hours > 4 else 0.04) else []
    codes += ["9904"] if dice.chance(0.7 if "blood loss" in keys else 0.08) else []
    codes += ["9907"] if "coagulopathy" in keys and dice.chance(0.45) else []
    codes += ["3995", "3895"] if "kidney injury" in keys and dice.chance(0.25 * severity) else []
    codes += [plan.code] if plan is not None and dice.chance(0.92) else []
    return tuple(dict.fromkeys(codes))


def _draw_newborn(dice: Dice, index: int, born: datetime) -> Stay:
    problem = dice.weighted(NEWBORN, [entry.weight for entry in NEWBORN])
    length = between_knots(problem.length + 0.5 * dice.bell(), LENGTH_HOURS)
    discharged = born + timedelta(minutes=int(length * 60))
    codes = [problem.codes[0], *(code for code in problem.codes[1:] if dice.chance(0.45))]
    return Stay(
        number=0,
        stay_id=100_000 + MOST_STAYS * index,
        age=0,
        admitted=born,
        discharged=discharged,
        died=False,
        problem=problem,
        severity=0.2,
        disturbances=(),
        new_tail=(),
        plan=None,
        ventilation=(),
        intensive=(born + timedelta(minutes=40), discharged),
        diagnoses=tuple(codes),
        procedures=tuple(code for code, share in problem.procedures if dice.chance(share)),
        quirk="plain",
        copied=False,
    )


def has_condition(patient: Patient, key: str) -> bool:
    """Whether the patient has a chronic condition of CONDITIONS."""
    wanted = CONDITION[key]
    return any(condition is wanted for condition, _ in patient.conditions)
