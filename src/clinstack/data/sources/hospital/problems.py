"""Acute problems: why a patient comes, how that is told, what is found and done, and how it tends to end.

This file says what a problem is and gathers them; they are written down by organ in `problems_chest.py`,
`problems_belly.py` and `problems_head.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One acute problem, the reason of a stay.

    complaints:   the chief complaint, in several wordings.
    story:        symptoms, each fit to follow "presents with".
    workup:       sentences about tests before admission.
    treatment:    what was given before admission, each fit to follow "given".
    exam:         findings as (part of the body, words).
    course:       sentences of the hospital course, which no admission note may show.
    codes:        ICD-9 diagnoses, the first ones likelier.
    procedures:   (ICD-9 procedure, probability).
    disturbances: (disturbance, probability at middle severity).
    favours:      chronic conditions that make the problem likelier.
    weight:       how common it is; risk, length, breath as for a condition.
    elective:     planned: the story is a referral and not an emergency.
    """

    key: str
    service: str
    weight: float
    complaints: tuple[str, ...]
    story: tuple[str, ...]
    workup: tuple[str, ...]
    treatment: tuple[str, ...]
    exam: tuple[tuple[str, str], ...]
    course: tuple[str, ...]
    codes: tuple[str, ...]
    procedures: tuple[tuple[str, float], ...] = ()
    disturbances: tuple[tuple[str, float], ...] = ()
    favours: tuple[str, ...] = ()
    risk: float = 0.0
    length: float = 0.0
    breath: float = 0.0
    elective: bool = False
