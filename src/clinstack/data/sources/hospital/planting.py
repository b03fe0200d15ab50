"""Identifiers planted into notes, at places that are written down: what a finder of identifiers is measured on.

Names, dates, numbers and addresses are made up, in the forms in which hospitals write them, within sentences; each stands on
a line of its own between the note's lines, so the rest of the note keeps its words.
"""

from __future__ import annotations

import csv
import io

from clinstack.data.sources.hospital.dice import Dice

KINDS = ("name", "date", "phone", "record-number", "email")

_FIRST = (
    "Alice",
    "Robert",
    "Maria",
    "James",
    "Wei",
    "Fatima",
    "John",
    "Siobhan",
    "Carlos",
    "Anna-Maria",
    "Olga",
    "David",
)
_LAST = (
    "Smith",
    "O'Connor",
    "Nguyen",
    "Garcia",
    "Thompson",
    "Kowalski",
    "Haddad",
    "Brown",
    "Ito",
    "Delacroix",
    "Becker",
)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November")
# Kind -> (what stands before, form, what stands after); the form alone is the identifier.
_SENTENCES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "name": (
        ("Discussed with ", "Dr. {first} {last}", " by telephone."),
        ("Seen by ", "Dr. {last}", " of cardiology."),
        ("", "Mr. {last}", " was informed of the findings."),
        ("Name: ", "{last}, {first}", ""),
        ("Attending: ", "{first} {last}", ""),
        ("Signed electronically by ", "{first} {last}", ", MD"),
        ("Per his daughter ", "{first} {last}", " he lives alone."),
        ("His neighbour ", "{first} {last}", " brought him in."),
        ("cc: ", "{LAST}, {FIRST}", ""),
    ),
    "date": (
        ("Seen in clinic on ", "{m}/{d}/{year}", "."),
        ("Last transfusion ", "{d:02}-{m:02}-{year}", "."),
        ("Follow-up on ", "{year}-{m:02}-{d:02}", "."),
        ("Echo of ", "{month} {d}, {year}", " was normal."),
        ("Fall on ", "{month} {d}", " at home."),
        ("Biopsy ", "{m}/{d}/{yy:02}", " benign."),
        ("Stent placed ", "{d} {month} {year}", "."),
        ("Next visit ", "{m}/{d}", "."),
    ),
    "phone": (
        ("Call ", "617-555-{n:04}", " with questions."),
        ("Phone: ", "(617) 555-{n:04}", ""),
        ("Pharmacy at ", "617.555.{n:04}", "."),
        ("Contact ", "+1 617 555 {n:04}", " after hours."),
    ),
    "record-number": (
        ("", "MRN: {number}", ""),
        ("", "Unit No: {number}", ""),
        ("", "Medical Record Number {number}", " reviewed."),
        ("SSN ", "{n3:03}-45-{n:04}", ""),
        ("Old chart ", "{number}", " requested."),
    ),
    "email": (
        ("Results to ", "{low}@example.org", "."),
        ("E-mail: ", "{first}.{low}@mail.example.com", ""),
    ),
}  # fmt: skip


class Planter:
    """Plants into a share of the notes and keeps the list of what was planted where.

    seed:  of the hospital; a note gets the same identifiers whatever the share of the others.
    share: of the notes that get any.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._seed, self._share = seed, share
        self._list = io.StringIO(newline="")
        self._rows = csv.writer(self._list, lineterminator="\n")
        self._rows.writerow(("note_id", "kind", "start", "end"))

    def into(self, note_id: str, text: str) -> str:
        """The note with one to four identifiers more, or as it was."""
        dice = Dice(self._seed, "identifiers", note_id)
        if not dice.chance(self._share):
            return text
        lines = text.split("\n")
        planted: dict[int, tuple[str, str, str, str]] = {}
        for _ in range(dice.between(1, 4)):
            planted[dice.between(0, len(lines))] = _sentence(dice)
        parts, at = [], 0
        for number in range(len(lines) + 1):
            if number in planted:
                kind, before, found, after = planted[number]
                self._rows.writerow((note_id, kind, at + len(before), at + len(before) + len(found)))
                parts.append(before + found + after)
                at += len(parts[-1]) + 1
            if number < len(lines):
                parts.append(lines[number])
                at += len(lines[number]) + 1
        return "\n".join(parts)

    def list(self) -> str:
        """What was planted, as CSV: note_id, kind, start and end in characters."""
        return self._list.getvalue()


def _sentence(dice: Dice) -> tuple[str, str, str, str]:
    """A kind, and a sentence in three parts whose middle is the identifier."""
    kind = dice.pick(KINDS)
    before, form, after = dice.pick(_SENTENCES[kind])
    first, last, year = dice.pick(_FIRST), dice.pick(_LAST), dice.between(2009, 2019)
    values = {
        "first": first,
        "last": last,
        "FIRST": first.upper(),
        "LAST": last.upper(),
        "low": last.lower().replace("'", ""),
        "m": dice.between(1, 12),
        "d": dice.between(1, 28),
        "year": year,
        "yy": year - 2000,
        "month": dice.pick(_MONTHS),
        "n": dice.between(0, 9999),
        "n3": dice.between(100, 665),
        "number": dice.between(100_000, 9_999_999),
    }
    return kind, before, form.format(**values), after
