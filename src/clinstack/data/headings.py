"""Which part of a note a character belongs to, for figures by section; by its headings, in any kind of clinical note.

A heading is one of the known words followed by a colon, wherever it stands: cleaned corpora have no line breaks left. A part
runs from its heading to the next. This is for breaking a figure down, where a missed heading costs little; what decides labels
and leakage is `sections`, which follows the published rules to the letter.
"""

import re

OPENING = "(opening)"
"""What stands before the first heading."""

HEADINGS = {
    "chief complaint": ("chief complaint", "presenting complaint", "reason for admission", "reason for visit"),
    "present illness": ("history of present illness", "present illness", "hpi", "history", "clinical history", "subjective"),
    "medical history": ("past medical history", "medical history", "pmh", "past surgical history", "surgical history"),
    "medications": ("medications on admission", "medications", "current medications", "home medications"),
    "allergies": ("allergies", "allergy"),
    "family and social history": ("family history", "social history"),
    "review of systems": ("review of systems", "ros"),
    "physical exam": ("physical examination", "physical exam", "objective", "vital signs", "exam"),
    "results": ("pertinent results", "laboratory data", "labs", "laboratory", "diagnostic studies"),
    "procedure": (
        "major surgical or invasive procedure", "procedure", "procedures", "procedure performed", "operation performed",
        "description of procedure", "operative procedure", "technique", "anesthesia", "preoperative diagnosis",
        "postoperative diagnosis", "indication", "indications", "indications for procedure",
    ),
    "hospital course": ("brief hospital course", "hospital course"),
    "assessment and plan": ("assessment and plan", "assessment", "impression", "plan", "diagnosis", "diagnoses", "conclusion"),
    "radiology findings": ("findings", "comparison", "examination"),
    "discharge": (
        "discharge medications", "discharge diagnosis", "discharge diagnoses", "discharge disposition", "discharge condition",
        "discharge instructions", "followup instructions", "follow-up instructions", "disposition",
    ),
}  # fmt: skip
"""Parts of a note, and the words that open each."""

PARTS = (OPENING, *HEADINGS)

_PART_OF = {word: part for part, words in HEADINGS.items() for word in words}
_HEADING = re.compile(
    r"(?<![\w/])(" + "|".join(sorted(map(re.escape, _PART_OF), key=len, reverse=True)) + r")\s?:", re.IGNORECASE
)


def parts_of(text: str) -> list[tuple[int, str]]:
    """Where each part begins (character, ascending, the first 0) and which it is."""
    found = [(match.start(), _PART_OF[match[1].lower()]) for match in _HEADING.finditer(text)]
    return found if found and found[0][0] == 0 else [(0, OPENING), *found]
