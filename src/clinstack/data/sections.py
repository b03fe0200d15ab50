"""The admission part of a discharge summary: eight sections, each found by its heading, as published (van Aken et al. 2021).

A discharge summary is written at the end of a stay. What was known at its beginning stands in a few sections; everything
else tells the outcome and is left out. The published rule is a regular expression per section: the heading's words
anywhere, then as few characters as possible, then a blank line and something that looks like a heading. Searching eight of
those lazily costs 0.2 to 2 ms a note. Here a heading is one search from the front, its end one search from there: if the
first place has no end behind it, no later one has. That is about 20 microseconds for 10,000 characters, and equal to the
expressions, as tests hold against them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from clinstack.data.rules import Rules

HEADINGS = (
    "CHIEF COMPLAINT",
    "PRESENT ILLNESS",
    "MEDICAL HISTORY",
    "MEDICATION ON ADMISSION",
    "ALLERGIES",
    "PHYSICAL EXAM",
    "FAMILY HISTORY",
    "SOCIAL HISTORY",
)
"""The eight sections, in the order in which they are written."""

Bodies = tuple[str, ...]
"""Eight texts in the order of HEADINGS; a section that was not found is empty."""

SEARCHED = (
    ("chief complaint",),
    ("present illness",),
    ("medical history",),
    ("medications on admission",),
    ("allergies",),
    ("physical exam",),
    ("family history",),
    ("social history",),
)
"""The words that are searched for each section, without their colon."""

SYNONYMS = (
    ("cc", "presenting complaint", "reason for admission", "reason for hospitalization"),
    ("hpi", "history of presenting illness", "present illnesses"),
    ("pmh", "pmhx", "past history", "past medical/surgical history", "past medical and surgical history"),
    ("medication on admission", "admission medications", "home medications", "medications at home", "meds on admission",
     "outpatient medications", "medications prior to admission", "current medications"),
    ("allergy", "allergies/adverse reactions", "drug allergies"),
    ("physical examination", "physical exam on admission", "admission physical exam", "pe", "exam on admission"),
    ("family hx", "fhx", "fh"),
    ("social hx", "shx", "sh"),
)  # fmt: skip
"""Further headings of each section, known with the switch synonyms; they must begin a line."""

LEAKING = (
    "hospital course", "brief hospital course", "hospital course by system", "hospital course by problem",
    "summary of hospital course", "course in hospital", "discharge diagnosis", "discharge diagnoses", "final diagnosis",
    "final diagnoses", "discharge medications", "medications on discharge", "discharge disposition", "disposition",
    "discharge condition", "condition on discharge", "condition at discharge", "discharge instructions",
    "discharge status", "discharge exam", "discharge physical exam", "followup instructions", "follow-up instructions",
    "follow up instructions", "followup", "follow-up", "pertinent results", "major surgical or invasive procedure",
    "procedures", "procedure", "operations and procedures",
)  # fmt: skip
"""Headings of what is known only later; the switch hard-stops cuts a section there."""

OTHERS = (
    "admission date", "discharge date", "date of birth", "sex", "service", "attending", "review of systems", "ros",
    "laboratory data", "laboratories", "labs", "imaging", "studies", "assessment and plan", "assessment", "impression",
    "addendum", "dictated by", "past surgical history", "code status", "medications",
)  # fmt: skip
"""Headings that are neither of the above and end a section."""

_PLACEHOLDER = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_SPACES = re.compile(r" {2,}")
_END_OF_TEXT = "\n\nEnd:"
_HEADER = r"[^\d.()|\\\n]+:"


def extract(text: str, rules: Rules) -> Bodies:
    """The bodies of the eight sections of a discharge summary.

    text: all notes of the stay, joined and stripped. Cost: linear in its length.
    """
    if rules.newlines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if rules.placeholders:
        text = _PLACEHOLDER.sub("___", text)
    patterns = _patterns(rules)
    if rules.end_of_text:
        text += _END_OF_TEXT
    # Lower case has the same length for ASCII only: "İ" becomes two characters.
    lower = text.lower() if text.isascii() else None
    begins = (_first(heading, text, lower) for heading in patterns.headings)
    return tuple("" if begin is None else _body(text, begin, patterns, rules) for begin in begins)


def has_admission_part(bodies: Bodies) -> bool:
    """Whether there is a chief complaint, a present illness or a medical history; else the stay has no admission note."""
    return any(bodies[:3])


def render(bodies: Bodies) -> str:
    """The admission note: every heading with its body, empty ones too, a blank line between."""
    return "\n\n".join(f"{heading}: {body}" for heading, body in zip(HEADINGS, bodies, strict=True))


@dataclass(frozen=True)
class _Patterns:
    """What is searched under a set of rules."""

    headings: tuple["_Heading", ...]
    end: re.Pattern[str]
    stop: re.Pattern[str] | None


@dataclass(frozen=True)
class _Heading:
    """How one section's beginning is found: by its words in lower case where that is enough, else by an expression."""

    words: str | None
    pattern: re.Pattern[str]


@cache
def _patterns(rules: Rules) -> _Patterns:
    headings = []
    for words, more in zip(SEARCHED, SYNONYMS, strict=True):
        # Up to four words, capitalised or small joining ones, may stand before the heading's own on its line, as in
        # "History of Present Illness"; a sentence such as "He has a medical history:" does not match.
        begin = r"^[ \t]*(?:(?-i:[A-Z][A-Za-z]*|of|on|and|the|or) ){0,4}?" if rules.line_headers else ""
        pattern = begin + re.escape(words[0]) + ":"
        if rules.synonyms:
            pattern = rf"(?:{pattern}|^[ \t]*(?:{_any_of(more)})[ \t]*:)"
        plain = not rules.line_headers and not rules.synonyms
        headings.append(_Heading(words[0] + ":" if plain else None, re.compile(pattern, re.IGNORECASE | re.MULTILINE)))
    blank = r"\n(?:[ \t]*\n)+?" if rules.blank_lines else r"\n\n"
    # The end of the text is marked by a heading of its own, so that there is one rule for all ends.
    header = rf"(?:[ \t]*(?:{_any_of(_known(rules))})[ \t]*|End):" if rules.known_terminators else _HEADER
    if rules.blank_lines and not rules.known_terminators:
        header = r"[^\d.()|\\\n]*[^\d.()|\\\n\s][^\d.()|\\\n]*:"
    stop = re.compile(rf"(?:^|\n)[ \t]*(?:{_any_of(LEAKING)})[ \t]*:", re.IGNORECASE) if rules.hard_stops else None
    # The header is looked at and not consumed: with empty bodies one section's end may overlap the next one's beginning.
    return _Patterns(tuple(headings), re.compile(rf"{blank}(?={header})", re.IGNORECASE), stop)


def _known(rules: Rules) -> Iterator[str]:
    """All headings that end a section with the switch known-terminators."""
    for words in SEARCHED:
        yield words[0]
    yield from ("history of present illness", "past medical history", "past history")
    if rules.synonyms:
        for more in SYNONYMS:
            yield from more
    yield from LEAKING
    yield from OTHERS


def _any_of(words: Iterator[str] | tuple[str, ...]) -> str:
    return "|".join(re.escape(one) for one in sorted(set(words), key=lambda one: (-len(one), one)))


def _first(heading: _Heading, text: str, lower: str | None) -> int | None:
    """Where the body of a section begins, or None if its heading is not in the text."""
    if heading.words is not None and lower is not None:
        found = lower.find(heading.words)
        return None if found < 0 else found + len(heading.words)
    match = heading.pattern.search(text)
    return match.end() if match else None


def _body(text: str, begin: int, patterns: _Patterns, rules: Rules) -> str:
    """What stands between the end of a section's heading and the first end of a section; of one character at least."""
    end = patterns.end.search(text, begin + (0 if rules.empty_bodies else 1))
    if end is None:
        return ""
    body = text[begin : end.start()]
    if patterns.stop is not None and (leak := patterns.stop.search(body)):
        body = body[: leak.start()]
    body = body.replace("\n", " ").strip()
    if rules.blank_brackets and body.startswith("[]"):
        return ""
    return _SPACES.sub(" ", body) if rules.collapse_spaces else body
