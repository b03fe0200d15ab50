"""Notes that tell the patient's death, by the published filter on the written note and by the corrected one."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.data.death_mentions import without_death_mentions
from clinstack.data.rules import Rules
from clinstack.data.sections import HEADINGS, render

PUBLISHED, STRICT = Rules(), Rules(death_mentions=True)


def note(heading: str, body: str) -> str:
    return render(tuple(body if one == heading else "" for one in HEADINGS))


# The specification's examples: section, body, the line that is left (None: the note is dropped), the rule.
EXAMPLES = {
    17: ("PHYSICAL EXAM", "Pt expired. Cold", "PHYSICAL EXAM: . Cold", "M1 edited"),
    18: ("PHYSICAL EXAM", "brother died", "PHYSICAL EXAM: brother", "M1 edited"),
    19: ("PHYSICAL EXAM", "patient expired; patient died", None, "M2 dropped"),
    20: ("PRESENT ILLNESS", "The patient has died.", None, "M2 dropped"),
    21: ("PRESENT ILLNESS", "used the expired inhaler", None, "M3 dropped"),
    22: ("PRESENT ILLNESS", "expired overnight", "PRESENT ILLNESS: expired overnight", "kept"),
    23: ("PRESENT ILLNESS", "patient was deceased", "PRESENT ILLNESS: patient was deceased", "kept"),
    24: ("FAMILY HISTORY", "Father died at age 60", "FAMILY HISTORY: Father died at age 60", "kept"),
    25: ("MEDICATION ON ADMISSION", "pt had passed away", "MEDICATION ON ADMISSION: ", "M1 edited"),
}


@pytest.mark.parametrize("number", EXAMPLES)
def test_the_examples_of_the_specification(number):
    heading, body, line, rule = EXAMPLES[number]
    text, decided = without_death_mentions(note(heading, body), PUBLISHED)
    assert decided == rule
    if line is None:
        assert text is None
    else:
        assert text is not None
        assert line in text.split("\n\n")


@pytest.mark.parametrize(
    "body",
    [
        "patient was deceased",
        "Pronounced dead at 10",
        "made CMO by family",
        "transitioned to comfort care",
        "she died later",
    ],
)
def test_the_correction_drops_what_the_published_filter_lets_through(body):
    assert without_death_mentions(note("PRESENT ILLNESS", body), PUBLISHED)[0] is not None
    assert without_death_mentions(note("PRESENT ILLNESS", body), STRICT) == (None, "strict dropped")


def test_a_dead_father_stays_under_the_correction_too():
    assert without_death_mentions(note("FAMILY HISTORY", "Father died at age 60"), STRICT)[1] == "kept"


def published(text: str) -> str | None:
    """The filter on the written note, line by line and then as a whole, as the rules are said."""
    words = "(expired|died|passed away|deceased)"
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if line.startswith(("PHYSICAL EXAM:", "MEDICATION ON ADMISSION:")):
            lines[at] = re.sub(rf"(patient|pt)?\s+(had |has )?{words}", "", line, count=1, flags=re.IGNORECASE)
    text = "\n".join(lines)
    if re.search(rf"(patient|pt)\s+(had |has )?{words}", text, re.IGNORECASE):
        return None
    if any(phrase in text.lower() for phrase in ("he expired", "pronounced expired", "time of death")):
        return None
    return text


WORDS = st.sampled_from(
    ["patient", "pt", "Pt", "had", "has", "was", "expired", "died", "passed away", "DECEASED", "he", "she", "pronounced",
     "time of death", ".", " ", "  ", "\t", "x"]
)  # fmt: skip
BODY = st.lists(WORDS, max_size=6).map(" ".join).map(str.strip)


@settings(max_examples=500)
@given(st.tuples(*[BODY] * len(HEADINGS)))
def test_the_filter_is_the_published_one_on_the_written_note(bodies):
    assert without_death_mentions(render(bodies), PUBLISHED)[0] == published(render(bodies))
