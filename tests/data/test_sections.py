"""The admission part of a discharge summary: the published rules, each correction alone, and a lazy expression as oracle."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.data.rules import Rules, make_rules
from clinstack.data.sections import HEADINGS, SEARCHED, extract, has_admission_part, render

CC, PI, MH, MEDS, ALLERGIES, PE, FAMILY, SOCIAL = range(8)
REFERENCE = Rules()

# The specification's examples, by number; sections that are not named are empty.
EXAMPLES = {
    1: (
        "Chief Complaint:\nDizziness\n\nHistory of Present Illness:\n70 yo man with\ndizziness.\n\n"
        "Social History:\nRetired\n\nX:",
        {CC: "Dizziness", PI: "70 yo man with dizziness.", SOCIAL: "Retired"},
    ),
    2: (
        "CHIEF COMPLAINT:  Falls.\n\nMEDICATIONS ON ADMISSION:  Aspirin 81 mg,\nLasix.\n\nALLERGIES:  Sulfa.\n\n"
        "LABORATORY DATA:  none",
        {CC: "Falls.", MEDS: "Aspirin 81 mg, Lasix.", ALLERGIES: "Sulfa."},
    ),
    3: (
        "Allergies:\n\nAttending:\nDr. Q\n\nChief Complaint:\nrash\n\nService: MED",
        {ALLERGIES: "Attending: Dr. Q", CC: "rash"},
    ),
    4: (
        "History of Present Illness:\nFell at home.\n\nIn the ED: vitals stable\n\nPast Medical History:\nCAD\n\nMeds: none",
        {PI: "Fell at home.", MH: "CAD"},
    ),
    5: (
        "History of Present Illness:\nFell at home.\n\nAt 10 pm: found down\n\nPast Medical History:\nCAD\n\nMeds: none",
        {PI: "Fell at home.  At 10 pm: found down", MH: "CAD"},
    ),
    6: (
        "Past Medical History:\n1. HTN\n\n2. Gout: chronic\n\nSocial History:\nok\n\nZ: 1",
        {MH: "1. HTN  2. Gout: chronic", SOCIAL: "ok"},
    ),
    7: ("Past Medical History:\nGout\n\n\nSocial History:\nsmoker\n\nZ: 1", {MH: "Gout", SOCIAL: "smoker"}),
    8: (
        "Chief Complaint:\nchest pain\n\nHPI (per Dr. X):\ndetails here\n\nPMH:\nCAD\n\nHospital Course:\nfine",
        {CC: "chest pain  HPI (per Dr. X): details here"},
    ),
    9: (
        "CHIEF COMPLAINT:  fall\n \nHISTORY OF PRESENT ILLNESS:  fell at home\n\nALLERGIES:  []\n\n"
        "PHYSICAL EXAM:  normal\n\nX: y",
        {CC: "fall   HISTORY OF PRESENT ILLNESS:  fell at home", PI: "fell at home", ALLERGIES: "[]", PE: "normal"},
    ),
    10: ("Chief Complaint:\nx\n\nZ: 1\n\nFamily History:\nnone recorded", {CC: "x"}),
    11: (
        "He has a medical history: complex per family.\n\nPast Medical History:\nDM2\n\nZ: 1",
        {MH: "complex per family."},
    ),
    12: ("Chief Complaint:\nx\n\nPhysical Examination:\nwell\n\nFamily Hx:\nnone\n\nZ: 1", {CC: "x"}),
    13: ("Chief Complaint:\r\nx\r\n\r\nFamily History:\r\nnone\r\n\r\nZ: 1", {}),
    14: ("Summary: patient seen\n\nPlan: none", {}),
    15: (
        "Allergies:\nPenicillins\n\nX: y\n\nAllergies:\nLatex\n\nX: y",
        {ALLERGIES: "Penicillins"},
    ),
}  # fmt: skip


def bodies(named: dict[int, str]) -> tuple[str, ...]:
    return tuple(named.get(at, "") for at in range(len(HEADINGS)))


@pytest.mark.parametrize("number", EXAMPLES)
def test_the_examples_of_the_specification(number):
    text, named = EXAMPLES[number]
    assert extract(text, REFERENCE) == bodies(named)


@pytest.mark.parametrize("number", EXAMPLES)
def test_a_note_without_complaint_illness_and_history_has_no_admission_part(number):
    text, named = EXAMPLES[number]
    assert has_admission_part(extract(text, REFERENCE)) is bool({CC, PI, MH} & set(named))


def test_all_eight_headings_are_always_written():
    assert render(bodies({CC: "rash"})) == (
        "CHIEF COMPLAINT: rash\n\nPRESENT ILLNESS: \n\nMEDICAL HISTORY: \n\nMEDICATION ON ADMISSION: \n\nALLERGIES: \n\n"
        "PHYSICAL EXAM: \n\nFAMILY HISTORY: \n\nSOCIAL HISTORY: "
    )


# Switch -> text, what reference finds, what the switch alone finds.
SWITCHES = {
    "newlines": (EXAMPLES[13][0], {}, {CC: "x", FAMILY: "none"}),
    "blank_lines": (
        "Chief Complaint:\nfall\n \t\nAllergies:\nnone\n\nX: y",
        {CC: "fall  \t Allergies: none", ALLERGIES: "none"},
        {CC: "fall", ALLERGIES: "none"},
    ),
    "empty_bodies": (EXAMPLES[3][0], EXAMPLES[3][1], {CC: "rash"}),
    "end_of_text": (EXAMPLES[10][0], {CC: "x"}, {CC: "x", FAMILY: "none recorded"}),
    "line_headers": (EXAMPLES[11][0], EXAMPLES[11][1], {MH: "DM2"}),
    "synonyms": (
        "HPI:\nfell\n\nPMH: CAD\n\nHome Medications:\naspirin\n\nPhysical Examination:\nwell\n\nSocial Hx: smoker\n\nX: y",
        {},
        {PI: "fell", MH: "CAD", MEDS: "aspirin", PE: "well", SOCIAL: "smoker"},
    ),
    "known_terminators": (
        EXAMPLES[4][0].replace("Meds: none", "Labs: none"),
        {PI: "Fell at home.", MH: "CAD"},
        {PI: "Fell at home.  In the ED: vitals stable", MH: "CAD"},
    ),
    "hard_stops": (
        "Past Medical History:\nCAD\nHospital Course:\nhe died\n\nX: y",
        {MH: "CAD Hospital Course: he died"},
        {MH: "CAD"},
    ),
    "blank_brackets": (
        "Chief Complaint:\nx\n\nAllergies: [] none\n\nX: y",
        {CC: "x", ALLERGIES: "[] none"},
        {CC: "x"},
    ),
    "placeholders": (
        "Chief Complaint:\nseen by [**Known\nlastname 5**] today\n\nX: y",
        {CC: "seen by [**Known lastname 5**] today"},
        {CC: "seen by ___ today"},
    ),
    "collapse_spaces": ("Chief Complaint:\na\n\n1.  b\n\nX: y", {CC: "a  1.  b"}, {CC: "a 1. b"}),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_correction_works_alone(switch):
    text, reference, corrected = SWITCHES[switch]
    assert extract(text, REFERENCE) == bodies(reference)
    assert extract(text, Rules(**{switch: True})) == bodies(corrected)


def test_strict_reads_a_messy_note_as_a_person_would():
    text = (
        "CC:\r\nfall\r\n \r\nHPI:\r\nFell at home.\r\n\r\nIn the ED: vitals stable\r\n\r\nPMH:\r\n1. CAD\r\n\r\n"
        "Allergies:\r\n\r\nBrief Hospital Course:\r\nintubated\r\n\r\nSocial History:\r\nLives with [**Name**]"
    )
    assert extract(text, make_rules("strict")) == bodies(
        {CC: "fall", PI: "Fell at home. In the ED: vitals stable", MH: "1. CAD", SOCIAL: "Lives with ___"}
    )


def published(text: str) -> tuple[str, ...]:
    """The published rule as it is said: one lazy expression a section."""
    found = []
    for (words,) in SEARCHED:
        match = re.search(re.escape(words) + r":(.+?)\n\n[^\d.()|\\\n]+:", text, re.IGNORECASE | re.DOTALL)
        found.append(match[1].replace("\n", " ").strip() if match else "")
    return tuple(found)


PIECES = (
    *(words[0].title() + ":" for words in SEARCHED), *(words[0] for words in SEARCHED), "History of Present Illness:",
    "\n", "\n\n", "\n\n\n", "\r\n", " ", "\t", ":", "X:", "a b", "1. b", "(per X):", "|", "\\", ".", "[]", "é", "٣:",
    # Letters that fold to others, or grow in lower case: "present illneſs:" matches, and "İ" is two characters then.
    "present illneſs:", "İ", "\u212a", "\u2028",
)  # fmt: skip


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_sections_are_those_of_the_published_expressions(text):
    assert extract(text, REFERENCE) == published(text)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.sets(st.sampled_from(sorted(SWITCHES))).map(lambda names: Rules(**dict.fromkeys(names, True))),
)
def test_any_mix_of_corrections_gives_eight_lines_from_the_text(text, rules):
    found = extract(text, rules)
    assert len(found) == len(HEADINGS)
    assert not any("\n" in body or body != body.strip() for body in found)
    assert all(len(body) <= len(text) for body in found)
