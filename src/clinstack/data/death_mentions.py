"""Admission notes that tell the patient's death: edited, or left out of the tasks that it would answer.

Admission sections can hold a later addition ("Pt expired."). The published filter (van Aken et al. 2021) takes the first
mention out of two sections and then drops every note with another one. It has gaps and false alarms, which reference keeps:
"the expired inhaler" drops a note, "patient was deceased" does not. The switch death-mentions closes the gaps.
"""

import re

from clinstack.data.rules import Rules
from clinstack.data.sections import HEADINGS

KEPT, EDITED = "kept", "M1 edited"
"""Rules that keep a note; the others' names end in "dropped"."""

_WORDS = r"(?:expired|died|passed away|deceased)"
_FIRST = re.compile(rf"(?:patient|pt)?\s+(?:had |has )?{_WORDS}", re.IGNORECASE)
# Without any of these no published rule acts, and looking for them is ten times as quick as for the expressions. Letters
# beyond ASCII may fold to others ("deceaſed"), so only the expressions know.
_NEEDED = ("expired", "died", "passed away", "deceased", "time of death")
_EDITED_LINES = (HEADINGS.index("PHYSICAL EXAM"), HEADINGS.index("MEDICATION ON ADMISSION"))
_DROPPING = {
    "M2 dropped": re.compile(rf"(?:patient|pt)\s+(?:had |has )?{_WORDS}", re.IGNORECASE),
    "M3 dropped": re.compile(r"he expired|pronounced expired|time of death", re.IGNORECASE),
}
_STRICT = {
    "strict dropped": re.compile(
        rf"\b(?:patient|pt|he|she)\s+(?:was |is |had |has |has been |later |subsequently )?(?:{_WORDS}|pronounced)\b"
        r"|\bpronounced (?:dead|deceased)\b|\bdeath certificate\b|\bcomfort (?:measures|care)\b|\bmade (?:cmo|comfort)\b"
        r"|\bcmo\b|\bwithdraw(?:al of|n|ing)? (?:life|care|support)|\bautopsy\b|\bmedical examiner\b",
        re.IGNORECASE,
    )
}


def without_death_mentions(note: str, rules: Rules) -> tuple[str | None, str]:
    """An admission note as tasks about death may read it, or None if it is left out; and the rule that decided.

    note: as `sections.render` writes it: a line for each section, a blank line between. The edit works on a section's whole
        line, as published, so a mention right after the heading takes the space there with it.
    """
    if not rules.death_mentions and note.isascii() and not any(words in note.lower() for words in _NEEDED):
        return note, KEPT
    lines, rule = note.split("\n\n"), KEPT
    for at in _EDITED_LINES:
        lines[at], removed = _FIRST.subn("", lines[at], count=1)
        rule = EDITED if removed else rule
    edited = "\n\n".join(lines)
    for name, pattern in (_DROPPING | (_STRICT if rules.death_mentions else {})).items():
        if pattern.search(edited):
            return None, name
    return edited, rule
