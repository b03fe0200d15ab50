"""Likely identifiers in notes: counted before text enters a corpus, so that it may be refused, or masked.

MIMIC is de-identified; a hospital's own export often is not, and an adapter trained on names may repeat them. Finding is
Microsoft's presidio-analyzer (the extra `guard`): its recognisers of dates and phone numbers, and its pattern recogniser
with patterns for clinical notes. Only recognisers that need no language model and no download are used; its e-mail
recogniser fetches a list of domains (2.2), so a pattern stands in for it. This counts what looks like an identifier; it is
a guard at the door and not a de-identification: `benchmarks/identifiers.py` measures how much it finds.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from clinstack.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

KINDS = ("name", "date", "phone", "record-number", "email")
ACTIONS = ("count", "refuse", "mask")
MASK = "___"
"""What stands for an identifier that was masked, as in MIMIC-IV."""

_SURE = 0.4
"""Presidio's score from which a match counts; below are days and months without a year, which lab values look like."""

_WORD = r"[A-Z][a-zA-Z'’-]+"
_NAME = rf"(?:{_WORD}|[A-Z]\.?)(?:[ ]{_WORD}){{0,2}}"
_PATTERNS = {
    "name": (
        rf"\b(?:Dr|DR|Mr|Mrs|Ms|Miss|Prof)\b\.?[ ](?!and\b){_NAME}",
        rf"(?<=[Nn]ame:)[ \t]*{_WORD}(?:,?[ ]{_WORD}){{1,2}}",
        rf"\b{_WORD}[ ](?:[A-Z]\.?[ ])?{_WORD}(?=,?[ ](?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.?P\.?|P\.?A\.?(?:-C)?|Ph\.?D\.?)\b)",
        rf"(?<=[Aa]ttending:)[ \t]*{_WORD}(?:,?[ ]{_WORD}){{0,2}}",
        rf"(?<=[Dd]ictated by:)[ \t]*{_WORD}(?:,?[ ]{_WORD}){{0,2}}",
        rf"(?<=[Dd]ictated by )[ \t]*{_WORD}(?:,?[ ]{_WORD}){{1,2}}",
        rf"(?<=(?:daughter|husband|brother|contact) )(?!is\b){_WORD}[ ]{_WORD}",
        rf"(?<=(?:wife|son|sister|mother|father) ){_WORD}[ ]{_WORD}",
    ),
    "date": (
        r"\b(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|May|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?"
        r"|[Ss]ept?(?:ember)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)\.?[ ]\d{1,2}(?:st|nd|rd|th)?"
        r"(?:,?[ ](?:19|20)\d{2})?\b(?![.:/%]\d)",
        r"\b\d{1,2}[ ](?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?,?[ ](?:19|20)\d{2}\b",
    ),
    "record-number": (
        r"\b(?:MRN|Unit [Nn]o|Medical [Rr]ecord(?: [Nn]umber| #)?|Acct|Account(?: [Nn]umber)?|Patient ID|Record #)"
        r"\b[.:# ]{0,4}[A-Z]{0,2}\d[\d-]{4,11}\b",
        r"\b(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b",
    ),
    "email": (r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b",),
}
_PHONE_DIGITS = re.compile(r"\d{3}\D{0,2}\d{3}\D?\d{4}")
_PLACEHOLDER = re.compile(r"\[\*\*.*?\*\*\]|_{2,}", re.DOTALL)
_PART_OF_NUMBER = "0123456789./"


def find_identifiers(text: str) -> list[tuple[int, int, str]]:
    """Where likely identifiers stand in a text: (start, end, kind), in order, none overlapping.

    Placeholders of MIMIC are none. Of two that overlap, the longer is kept.
    Raises BadInput if the extra `guard` is not installed.
    """
    hidden = [found.span() for found in _PLACEHOLDER.finditer(text)]
    found = []
    for kind, recogniser in _recognisers():
        if kind == "phone" and not _PHONE_DIGITS.search(text):
            continue
        for one in recogniser.analyze(text, recogniser.supported_entities, None) or []:
            start, end = _trimmed(text, one.start, one.end)
            inside = any(start < last and first < end for first, last in hidden)
            if one.score >= _SURE and not inside and not (kind == "date" and _within_number(text, start, end)):
                found.append((start, end, kind))
    kept: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found, key=lambda one: (one[0] - one[1], one)):
        if all(end <= first or last <= start for first, last, _ in kept):
            kept.append((start, end, kind))
    return sorted(kept)


class Guard:
    """Counts likely identifiers in a first reading of the notes, decides, and masks in the second if it so decided.

    action:       count, refuse, or mask.
    per_thousand: likely identifiers per 1,000 notes that are still let through.
    """

    def __init__(self, action: str = "count", per_thousand: float = 0.0) -> None:
        if action not in ACTIONS:
            raise BadInput(f"Unknown action {action!r} (--identifiers). {did_you_mean(action, ACTIONS)}")
        _recognisers()
        self.action, self.per_thousand = action, per_thousand
        self.masks = False
        self._notes = 0
        self._found: Counter[str] = Counter()

    def read(self, texts: Sequence[str]) -> None:
        """First reading: counts."""
        self._notes += len(texts)
        for text in texts:
            self._found.update(kind for _, _, kind in find_identifiers(text))

    def decide(self, what: str) -> None:
        """After the first reading. Raises BadInput if `what` has too many and is to be refused."""
        above = self._rate(self._found.total()) > self.per_thousand
        if above and self.action == "refuse":
            counts = ", ".join(f"{kind} {self._rate(self._found[kind]):,.1f}" for kind in KINDS if self._found[kind])
            raise BadInput(
                f"{what} has {self._rate(self._found.total()):,.1f} likely identifiers per 1,000 notes ({counts}), more than "
                f"the {self.per_thousand:g} allowed. De-identify the notes first, or use --identifiers mask."
            )
        self.masks = above and self.action == "mask"

    def passed(self, texts: Sequence[str]) -> list[str]:
        """Second reading: the texts, every likely identifier masked if it was so decided."""
        return [mask(text) for text in texts] if self.masks else list(texts)

    def report(self) -> dict[str, Any]:
        """What was found and done, ready for JSON."""
        return {
            "notes": self._notes,
            "found": {kind: self._found[kind] for kind in KINDS},
            "per_thousand": {kind: round(self._rate(self._found[kind]), 3) for kind in KINDS},
            "action": self.action,
            "allowed_per_thousand": self.per_thousand,
            "masked": self.masks,
            "finder": f"presidio-analyzer {version('presidio-analyzer')}",
        }

    def _rate(self, count: int) -> float:
        return 1000 * count / self._notes if self._notes else 0.0


def mask(text: str) -> str:
    """The text with `___` for every likely identifier."""
    parts, at = [], 0
    for start, end, _ in find_identifiers(text):
        parts += [text[at:start], MASK]
        at = end
    return "".join([*parts, text[at:]])


@cache
def _recognisers() -> tuple[tuple[str, "EntityRecognizer"], ...]:
    try:
        from presidio_analyzer import Pattern, PatternRecognizer
        from presidio_analyzer.predefined_recognizers import DateRecognizer, PhoneRecognizer
    except ImportError:
        raise BadInput("Looking for identifiers needs presidio-analyzer. Install clinstack[guard].") from None
    own = [
        (
            kind,
            PatternRecognizer(
                supported_entity=kind,
                patterns=[Pattern(f"{kind} {number}", regex, 0.8) for number, regex in enumerate(patterns)],
                global_regex_flags=re.MULTILINE,
            ),
        )
        for kind, patterns in _PATTERNS.items()
    ]
    return (*own, ("date", DateRecognizer()), ("phone", PhoneRecognizer(supported_regions=("US",))))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the blanks at its ends."""
    found = text[start:end]
    return start + len(found) - len(found.lstrip()), end - len(found) + len(found.rstrip())


def _within_number(text: str, start: int, end: int) -> bool:
    """Whether a date is a piece of something longer, such as a blood gas of 7.18/8/60."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before != "" and before in _PART_OF_NUMBER) or (after != "" and after in "/0123456789")
