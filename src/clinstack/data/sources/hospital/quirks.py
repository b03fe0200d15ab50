"""How discharge summaries are malformed: the section quirks of real MIMIC-III reports, each rare, each on purpose.

A summary is an ordered list of (heading, body). `render` joins it to text the way a quirk says. Readers that search sections
by their headings meet here what they meet in the real files: dictated upper-case notes, headings they do not know, a blank
line that is not blank, an empty section that swallows the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clinstack.data.sources.hospital.dice import Dice

Section = tuple[str, str]

# What stands between heading and body where it is not a line break.
_GAPS = {"Admission Date": "  ", "Service": " ", "Attending": ""}
_DICTATED = {
    "Physical Exam": "PHYSICAL EXAMINATION ON ADMISSION",
    "Brief Hospital Course": "HOSPITAL COURSE",
    "Pertinent Results": "LABORATORY DATA",
}


def _plain(sections: Sequence[Section]) -> str:
    return "\n\n".join(
        f"{heading}:{_GAPS.get(heading, chr(10))}{body}" if body else f"{heading}:" for heading, body in sections
    )


def _inline(sections: Sequence[Section]) -> str:
    """The dictated style of the early years: upper-case headings, the body on the same line."""
    return "\n\n".join(f"{heading.upper()}:  {body}" for heading, body in sections)


def _dictated(sections: Sequence[Section]) -> str:
    return _inline([(_DICTATED.get(heading, heading), body) for heading, body in sections])


def _empty_allergies(sections: Sequence[Section]) -> str:
    return _plain([(heading, "" if heading == "Allergies" else body) for heading, body in sections])


def _paragraph(sections: Sequence[Section]) -> str:
    """A second paragraph of the present illness that looks like a heading, so that the section ends there."""
    return _edit(sections, "Present Illness", lambda body: _cut(body, "\n\nIn the ED: "))


def _digit_paragraph(sections: Sequence[Section]) -> str:
    """The same with a digit before the colon, which protects it."""
    return _edit(sections, "Present Illness", lambda body: _cut(body, "\n\nAt 10 pm: "))


def _numbered(sections: Sequence[Section]) -> str:
    return _edit(
        sections,
        "Past Medical History",
        lambda body: "\n\n".join(
            f"{number}. {line.lstrip('-0123456789. ')}: see OMR" for number, line in enumerate(body.split("\n"), 1)
        ),
    )


def _three_newlines(sections: Sequence[Section]) -> str:
    return _plain(sections).replace("\n\n", "\n\n\n")


def _bracketed(sections: Sequence[Section]) -> str:
    return (
        _plain(sections)
        .replace("\nHistory of Present Illness:", "\nHPI (per patient and family):")
        .replace("Past Medical History:", "PMH:")
    )


def _spaced_blank(sections: Sequence[Section]) -> str:
    return _inline(sections).replace("\n\nHISTORY OF PRESENT", "\n \nHISTORY OF PRESENT")


def _variant(sections: Sequence[Section]) -> str:
    return _plain(sections).replace("Physical Exam:", "Physical Examination:").replace("Family History:", "Family Hx:")


def _carriage_returns(sections: Sequence[Section]) -> str:
    return _plain(sections).replace("\n", "\r\n")


def _family_last(sections: Sequence[Section]) -> str:
    """The family history ends the text, so that nothing ends it."""
    kept = [section for section in sections if section[0] != "Family History"]
    return _plain(kept + [section for section in sections if section[0] == "Family History"])


def _mid_sentence(sections: Sequence[Section]) -> str:
    first, rest = list(sections[:1]), list(sections[1:])
    return f"{_plain(first)}\n\nThe patient has a medical history: complex per family.\n\n{_plain(rest)}"


def _summary_only(sections: Sequence[Section]) -> str:
    course = dict(sections)["Brief Hospital Course"]
    return f"Summary: patient seen, full report to follow\n\n{course}\n\nPlan: none"


def _edit(sections: Sequence[Section], ending: str, change: Callable[[str], str]) -> str:
    return _plain([(heading, change(body) if heading.endswith(ending) else body) for heading, body in sections])


def _cut(body: str, opening: str) -> str:
    """The body with its second sentence opened as a paragraph of its own."""
    middle = body.find(".", len(body) // 3) + 1
    return body[:middle] + opening + body[middle:].replace("\n", " ").strip()


# Quirk -> (share of summaries, how to render). Carriage returns, a summary only, no text and a lone addendum give no
# admission note under the published rules.
QUIRKS: dict[str, tuple[float, Callable[[Sequence[Section]], str]]] = {
    "plain": (0.65, _plain),
    "inline": (0.08, _inline),
    "dictated": (0.06, _dictated),
    "empty allergies": (0.025, _empty_allergies),
    "paragraph": (0.025, _paragraph),
    "digit paragraph": (0.02, _digit_paragraph),
    "numbered list": (0.03, _numbered),
    "three newlines": (0.015, _three_newlines),
    "bracketed heading": (0.015, _bracketed),
    "spaced blank line": (0.015, _spaced_blank),
    "variant headings": (0.02, _variant),
    "carriage returns": (0.012, _carriage_returns),
    "family last": (0.015, _family_last),
    "mid sentence": (0.012, _mid_sentence),
    "summary only": (0.012, _summary_only),
    "missing text": (0.012, _plain),
    "addendum only": (0.012, _plain),
}
_NAMES = tuple(QUIRKS)
_SHARES = tuple(share for share, _ in QUIRKS.values())


def draw_quirk(dice: Dice) -> str:
    """The name of a quirk, by its share; mostly "plain"."""
    return dice.weighted(_NAMES, _SHARES)


def render(quirk: str, sections: Sequence[Section]) -> str:
    """A summary's text from its sections, malformed as the quirk says."""
    return QUIRKS[quirk][1](sections)
