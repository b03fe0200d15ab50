"""How a clinician writes: abbreviating or spelling out, with typing mistakes, and with identifiers already removed.

An author is terse, spells out, or mixes; the same sentence then comes in several shapes, which is what a model adapted to
notes has seen and one that has not seen them must guess. Removed identifiers look as each release leaves them: `[**...**]` in
MIMIC-III, `___` in MIMIC-IV.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from clinstack.data.sources.hospital.dice import Dice

_SHORT = {
    "patient": "pt", "with": "w/", "without": "w/o", "history of": "h/o", "shortness of breath": "SOB",
    "chest pain": "CP", "abdominal": "abd", "abdominal pain": "abd pain", "secondary to": "2/2",
    "status post": "s/p", "nausea": "N", "bilateral": "b/l", "complicated by": "c/b", "consistent with": "c/w",
    "presents with": "p/w", "presented with": "p/w", "antibiotics": "abx", "respiratory": "resp", "treated": "tx'd",
    "days": "d", "started on": "started", "temperature": "T", "prior to": "PTA", "creatinine": "Cr",
    "transferred": "xferred", "weakness": "wkness", "hypertension": "HTN", "nursing home": "NH",
    "atrial fibrillation": "AF", "pneumonia": "PNA", "intravenous": "IV", "discharge": "d/c", "evidence of": "e/o",
}  # fmt: skip
_LONG = {
    "SOB": "shortness of breath", "CP": "chest pain", "c/w": "consistent with", "N/V": "nausea and vomiting",
    "IVF": "intravenous fluids", "CXR": "chest x-ray", "abx": "antibiotics", "DOE": "dyspnea on exertion",
    "AMS": "altered mental status", "Cr": "creatinine", "Hct": "hematocrit", "hct": "hematocrit",
    "PNA": "pneumonia", "RVR": "rapid ventricular response", "LOC": "loss of consciousness",
    "NRB": "non-rebreather", "BRBPR": "bright red blood per rectum", "abd": "abdominal", "UA": "urinalysis",
    "sz": "seizure", "HA": "headache", "PRBC": "packed red blood cells", "trop": "troponin", "RA": "room air",
    "h/o": "history of", "ETOH": "alcohol", "MVC": "motor vehicle collision", "HTN": "hypertension",
    "CAD": "coronary artery disease", "CHF": "congestive heart failure", "NC": "nasal cannula",
    "s/p": "status post", "p/w": "presents with", "LE": "lower extremity", "gtt": "drip", "OSH": "outside hospital",
}  # fmt: skip


def _pattern(words: dict[str, str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(r"(?<![\w/])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w/])")


_SHORT_PATTERN, _LONG_PATTERN = _pattern(_SHORT), _pattern(_LONG)
_WORD = re.compile(r"[a-z]{6,}")
_MISSPELLINGS = {
    "pneumonia": "pnuemonia", "diarrhea": "diarhea", "hypotensive": "hypotenisve", "edema": "edmea",
    "antibiotics": "antibotics", "received": "recieved", "abdominal": "abdominla", "bilateral": "bilaterl",
    "hemorrhage": "hemmorhage", "respiratory": "resiratory", "lethargic": "lethargis",
    "catheterization": "catherization", "weakness": "weaknes", "admitted": "admited",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Author:
    """One writer: `habit` is "terse", "mixed" or "spelled"; `careless` makes typing mistakes; `lists` numbers lists."""

    habit: str
    careless: bool
    lists: str

    def write(self, dice: Dice, text: str) -> str:
        """The text in this author's hand."""
        if self.habit == "terse":
            text = _SHORT_PATTERN.sub(lambda found: _SHORT[found[0]], text)
        elif self.habit == "spelled":
            text = _LONG_PATTERN.sub(lambda found: _LONG[found[0]], text)
        return misspell(dice, text) if self.careless else text

    def listing(self, entries: list[str]) -> str:
        """Entries of a list, as this author sets lists."""
        if self.lists == "numbers":
            return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, 1))
        if self.lists == "dashes":
            return "\n".join(f"- {entry}" for entry in entries)
        return ", ".join(entries) if self.lists == "commas" else "\n".join(entries)


def draw_author(dice: Dice) -> Author:
    """A writer's habits."""
    habit = dice.weighted(("terse", "mixed", "spelled"), (0.35, 0.4, 0.25))
    return Author(habit, dice.chance(0.3), dice.pick(("numbers", "dashes", "commas", "lines", "numbers")))


def misspell(dice: Dice, text: str) -> str:
    """The text with one or two typing mistakes: a common one, or two letters swapped inside a longer word."""
    for right, wrong in _MISSPELLINGS.items():
        if right in text and dice.chance(0.5):
            text = text.replace(right, wrong, 1)
            break
    found = _WORD.search(text, int(dice.roll() * len(text)))
    if found:
        at = found.start() + 2
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


@dataclass(frozen=True, slots=True)
class Removed:
    """What stands where an identifier stood; `release` is "mimic3" or "mimic4"."""

    dice: Dice
    release: str

    def _mark(self, words: str) -> str:
        return f"[**{words}**]" if self.release == "mimic3" else "___"

    def date(self, when: datetime) -> str:
        """A full date."""
        return self._mark(f"{when.year}-{when.month}-{when.day}")

    def day(self, when: datetime) -> str:
        """A date without its year."""
        return self._mark(f"{when.month}-{when.day}")

    def name(self) -> str:
        """The patient's family name."""
        return self._mark(f"Known lastname {self.dice.between(100, 19999)}")

    def doctor(self) -> str:
        """A clinician's name."""
        return self._mark(f"Last Name (NamePattern1) {self.dice.between(100, 9999)}")

    def hospital(self) -> str:
        """Another hospital."""
        return self._mark(self.dice.pick(("Hospital1 18", "Hospital 1727", "Hospital3 417", "Hospital6 204")))

    def number(self) -> str:
        """A number: telephone, record, device."""
        return self._mark(f"Numeric Identifier {self.dice.between(100, 9999)}")

    def age(self, years: int) -> str:
        """An age; those of 90 and more are removed."""
        if years < 90:
            return str(years)
        return "[**Age over 90 **]" if self.release == "mimic3" else "___"


def wrap(text: str, width: int = 74) -> str:
    """The text with lines broken at spaces, as the hospital's editor does. Existing breaks stay."""
    lines = []
    for line in text.split("\n"):
        while len(line) > width:
            cut = line.rfind(" ", 1, width)
            if cut < 1:
                break
            lines.append(line[:cut])
            line = line[cut + 1 :]
        lines.append(line)
    return "\n".join(lines)
