"""The plain-pandas tasks against invented examples of every published rule; the numbers are those of the list of rules."""

from datetime import datetime
from hashlib import sha256

import naive_mimic3
import pyarrow.parquet as pq
import pytest
from mimic3_folder import GOOD, admission, summary, write_folder, write_table

HEADINGS = tuple(naive_mimic3.SECTIONS)
CUT = "History of Present Illness:\nFell at home.\n\n{}\n\nPast Medical History:\nCAD\n\nMeds: none"


def built(folder, task: str) -> dict[str, tuple[str, list[str]]]:
    """Note and labels by admission, all splits together."""
    splits = naive_mimic3.build(folder, tasks=(task,))[task]["splits"]
    return {row[0]: (row[2], row[3]) for rows in splits.values() for row in rows}


def bodies(note: str) -> dict[str, str]:
    """The sections of an admission note that are not empty."""
    lines = note.split("\n\n")
    assert [line.split(": ")[0] for line in lines] == list(HEADINGS)
    found = {heading: line.removeprefix(f"{heading}: ") for heading, line in zip(HEADINGS, lines, strict=True)}
    return {heading: body for heading, body in found.items() if body}


SECTION_EXAMPLES = {
    "1 headings on lines of their own": (
        "Chief Complaint:\nDizziness\n\nHistory of Present Illness:\n70 yo man with\ndizziness.\n\nSocial History:\nRetired\n\nX:",
        {
            "CHIEF COMPLAINT": "Dizziness",
            "PRESENT ILLNESS": "70 yo man with dizziness.",
            "SOCIAL HISTORY": "Retired",
        },
    ),
    "2 inline": (
        "CHIEF COMPLAINT:  Falls.\n\nMEDICATIONS ON ADMISSION:  Aspirin 81 mg,\nLasix.\n\nALLERGIES:  Sulfa.\n\nLABORATORY DATA:  none",
        {"CHIEF COMPLAINT": "Falls.", "MEDICATION ON ADMISSION": "Aspirin 81 mg, Lasix.", "ALLERGIES": "Sulfa."},
    ),
    "3 an empty section eats the next": (
        "Allergies:\n\nAttending:\nDr. Q\n\nChief Complaint:\nrash\n\nService: MED",
        {"ALLERGIES": "Attending: Dr. Q", "CHIEF COMPLAINT": "rash"},
    ),
    "4 a paragraph like a heading cuts": (
        CUT.format("In the ED: vitals stable"),
        {"PRESENT ILLNESS": "Fell at home.", "MEDICAL HISTORY": "CAD"},
    ),
    "5 a digit protects": (
        CUT.format("At 10 pm: found down"),
        {"PRESENT ILLNESS": "Fell at home.  At 10 pm: found down", "MEDICAL HISTORY": "CAD"},
    ),
    "6 a numbered list": (
        "Past Medical History:\n1. HTN\n\n2. Gout: chronic\n\nSocial History:\nok\n\nZ: 1",
        {"MEDICAL HISTORY": "1. HTN  2. Gout: chronic", "SOCIAL HISTORY": "ok"},
    ),
    "7 three newlines": (
        "Past Medical History:\nGout\n\n\nSocial History:\nsmoker\n\nZ: 1",
        {"MEDICAL HISTORY": "Gout", "SOCIAL HISTORY": "smoker"},
    ),
    "8 a bracketed heading ends nothing": (
        "Chief Complaint:\nchest pain\n\nHPI (per Dr. X):\ndetails here\n\nPMH:\nCAD\n\nHospital Course:\nfine",
        {"CHIEF COMPLAINT": "chest pain  HPI (per Dr. X): details here"},
    ),
    "9 a blank line with a space is not blank": (
        "CHIEF COMPLAINT:  fall\n \nHISTORY OF PRESENT ILLNESS:  fell at home\n\nALLERGIES:  []\n\nPHYSICAL EXAM:  normal\n\nX: y",
        {
            "CHIEF COMPLAINT": "fall   HISTORY OF PRESENT ILLNESS:  fell at home",
            "PRESENT ILLNESS": "fell at home",
            "ALLERGIES": "[]",
            "PHYSICAL EXAM": "normal",
        },
    ),
    "10 the last section is lost": (
        "Chief Complaint:\nx\n\nZ: 1\n\nFamily History:\nnone recorded",
        {"CHIEF COMPLAINT": "x"},
    ),
    "11 mid-sentence": (
        "He has a medical history: complex per family.\n\nPast Medical History:\nDM2\n\nZ: 1",
        {"MEDICAL HISTORY": "complex per family."},
    ),
    "12 other headings are unknown": (
        "Chief Complaint:\nx\n\nPhysical Examination:\nwell\n\nFamily Hx:\nnone\n\nZ: 1",
        {"CHIEF COMPLAINT": "x"},
    ),
    "13 CR LF": (GOOD.replace("\n", "\r\n"), None),
    "14 neither complaint, illness nor history": ("Summary: patient seen\n\nPlan: none", None),
}


@pytest.mark.parametrize(("text", "expected"), SECTION_EXAMPLES.values(), ids=SECTION_EXAMPLES)
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gzip"])
def test_sections_are_those_of_the_published_rules(tmp_path, text, expected, gz):
    folder = write_folder(tmp_path, [admission(1), admission(2)], [summary(1, text, 1), summary(2, GOOD, 2)], gz=gz)
    notes = built(folder, "los")
    assert "2" in notes
    assert (bodies(notes["1"][0]) if "1" in notes else None) == expected


@pytest.mark.parametrize("character", list("7.()|\\"))
def test_one_character_keeps_a_line_from_ending_a_section(tmp_path, character):
    text = f"Chief Complaint:\nfall\n\nIn the E{character}D: stable\n\nZ: 1"
    folder = write_folder(tmp_path, [admission(1)], [summary(1, text, 1)])
    assert bodies(built(folder, "los")["1"][0]) == {"CHIEF COMPLAINT": f"fall  In the E{character}D: stable"}


def test_all_eight_headings_are_there_and_the_last_keeps_its_space(tmp_path):
    folder = write_folder(tmp_path, [admission(1)], [summary(1, "Chief Complaint:\nx\n\nZ: 1", 1)])
    expected = "\n\n".join(f"{heading}: {'x' if heading == 'CHIEF COMPLAINT' else ''}" for heading in HEADINGS)
    assert built(folder, "los")["1"][0] == expected


def test_15_the_first_of_report_and_addendum_wins(tmp_path):
    report = "Chief Complaint:\nx\n\nAllergies:\nPenicillins\n\nZ: 1"
    addendum = summary(
        1, "Allergies:\nLatex\n\nZ: 1", 1, DESCRIPTION="Addendum", CHARTDATE="2150-01-04"
    )  # an earlier row, a later day
    folder = write_folder(tmp_path, [admission(1)], [addendum, summary(1, report, 2)])
    assert bodies(built(folder, "los")["1"][0])["ALLERGIES"] == "Penicillins"


def test_16_of_two_admissions_with_the_same_text_the_later_keeps_it(tmp_path):
    notes = [summary(1, GOOD, 2, CHARTDATE="2150-01-03"), summary(2, GOOD, 1, CHARTDATE="2150-01-04")]
    assert set(built(write_folder(tmp_path, [admission(1), admission(2)], notes), "los")) == {"2"}


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"ADMISSION_TYPE": "NEWBORN"}, {}),
        ({}, {"HADM_ID": ""}),
        ({}, {"TEXT": ""}),
        ({}, {"CATEGORY": "Discharge Summary"}),
        ({}, {"DESCRIPTION": "Addendum"}),
    ],
    ids=["newborn", "no admission", "no text", "other category", "addendum only"],
)
def test_an_admission_without_an_adults_report_has_no_note(tmp_path, given, note):
    folder = write_folder(tmp_path, [admission(1, **given)], [summary(1, GOOD, 1) | note])
    assert built(folder, "los") == {}


def test_a_row_marked_as_an_error_counts(tmp_path):
    folder = write_folder(tmp_path, [admission(1)], [summary(1, GOOD, 1, ISERROR=1)])
    assert set(built(folder, "los")) == {"1"}


DEATH_EXAMPLES = {
    "17": ("PHYSICAL EXAM: Pt expired. Cold", "PHYSICAL EXAM: . Cold"),
    "18": ("PHYSICAL EXAM: brother died", "PHYSICAL EXAM: brother"),
    "19": ("PHYSICAL EXAM: patient expired; patient died", None),
    "20": ("PRESENT ILLNESS: The patient has died.", None),
    "21": ("PRESENT ILLNESS: used the expired inhaler", None),
    "22": ("PRESENT ILLNESS: expired overnight", "PRESENT ILLNESS: expired overnight"),
    "23": ("PRESENT ILLNESS: patient was deceased", "PRESENT ILLNESS: patient was deceased"),
    "24": ("FAMILY HISTORY: Father died at age 60", "FAMILY HISTORY: Father died at age 60"),
    "25": ("MEDICATION ON ADMISSION: pt had passed away", "MEDICATION ON ADMISSION: "),
    "pronounced": ("SOCIAL HISTORY: Pronounced  expired", "SOCIAL HISTORY: Pronounced  expired"),
    "pronounced, one space": ("SOCIAL HISTORY: Pronounced expired", None),
    "time of death": ("SOCIAL HISTORY: Time of Death noon", None),
}


@pytest.mark.parametrize(("line", "expected"), DEATH_EXAMPLES.values(), ids=DEATH_EXAMPLES)
def test_mentions_of_a_death_are_cut_out_or_drop_the_note(tmp_path, line, expected):
    text = f"Chief Complaint:\nx\n\n{line.replace('MEDICATION ON', 'MEDICATIONS ON')}\n\nZ: 1"
    folder = write_folder(tmp_path, [admission(1, HOSPITAL_EXPIRE_FLAG=1)], [summary(1, text, 1)])
    found = built(folder, "mor")
    if expected is None:
        assert found == {}
    else:
        assert found["1"][1] == ["DIE"]
        assert expected in found["1"][0].split("\n\n")


@pytest.mark.parametrize(
    ("discharged", "expected"),
    [
        pytest.param("2150-01-04 10:00:00", "LT3D", id="26 72 h"),
        pytest.param("2150-01-04 11:00:00", "LT3D", id="27 73 h"),
        pytest.param("2150-01-04 11:18:00", "3DTO7D", id="28 73.3 h"),
        pytest.param("2150-01-08 11:00:00", "3DTO7D", id="29 169 h"),
        pytest.param("2150-01-08 12:00:00", "1WTO2W", id="30 170 h"),
        pytest.param("2150-01-15 11:00:00", "1WTO2W", id="31 337 h"),
        pytest.param("2150-01-15 12:00:00", "GT2W", id="32 338 h"),
        pytest.param("2149-12-31 10:00:00", "LT3D", id="33 before admission"),
    ],
)
def test_days_are_rounded_to_one_decimal_before_they_are_classed(tmp_path, discharged, expected):
    stays = [admission(1, DISCHTIME=discharged), admission(2, DISCHTIME=discharged, HOSPITAL_EXPIRE_FLAG=1)]
    folder = write_folder(tmp_path, stays, [summary(1, GOOD, 1), summary(2, GOOD + "!", 2)])
    assert {stay: labels for stay, (_, labels) in built(folder, "los").items()} == {"1": [expected]}


@pytest.mark.parametrize(
    ("task", "stored", "expected"),
    [
        pytest.param("diag", ["0389"], ["038"], id="34"),
        pytest.param("diag", ["42821"], ["428"], id="35"),
        pytest.param("diag", ["V4581"], ["V458"], id="36"),
        pytest.param("diag", ["V08"], ["V08"], id="37"),
        pytest.param("diag", ["E8859"], ["E885"], id="38"),
        pytest.param("diag", [""], None, id="39"),
        pytest.param("diag", ["4280", "0389", "42821"], ["428", "038"], id="40, in file order"),
        pytest.param("proc", ["3893"], ["389"], id="41"),
        pytest.param("proc", ["0066"], ["66"], id="42"),
        pytest.param("proc", ["0331", "3310"], ["331"], id="43"),
        pytest.param("proc", ["9604", "9671"], ["960", "967"], id="44"),
    ],
)
def test_codes_are_shortened_as_published(tmp_path, task, stored, expected):
    folder = write_folder(
        tmp_path,
        [admission(1)],
        [summary(1, GOOD, 1)],
        **{"diagnoses" if task == "diag" else "procedures": [(1, code) for code in stored]},
    )
    found = built(folder, task)
    assert (found["1"][1] if found else None) == expected


def test_classes_are_the_sorted_codes_of_the_whole_table_newborns_too(tmp_path):
    stays = [admission(1), admission(2, ADMISSION_TYPE="NEWBORN")]
    folder = write_folder(tmp_path, stays, [summary(1, GOOD, 1)], [(1, "4280"), (2, "V3000"), (2, "0389"), (9, "")])
    assert naive_mimic3.build(folder, tasks=("diag",))["diag"]["classes"] == ["038", "428", "V300"]


VENT, OXYGEN, EXTUBATED = (720, "CPAP"), (467, "Nasal Cannula"), (640, "Extubated")


def at(clock: str, day: int = 0) -> str:
    return f"2150-01-{1 + day:02} {clock}:00"


def write_ventilation(
    folder, charted, *, born="2100-01-01 00:00:00", note="2150-01-01 02:00:00", removed=(), text=GOOD, code="4280"
):
    """A folder with one adult in intensive care; charted: (time, (item, value))."""
    who = {"SUBJECT_ID": 1, "HADM_ID": 1, "ICUSTAY_ID": 5}
    nurse = summary(1, "slept", 2, CATEGORY="Nursing/other", CHARTTIME=note)
    write_folder(folder, [admission(1)], [summary(1, text, 1), nurse], [(1, code)])
    write_table(folder, "PATIENTS", [{"ROW_ID": 1, "SUBJECT_ID": 1, "DOB": born}])
    write_table(folder, "ICUSTAYS", [{"ROW_ID": 1, "INTIME": at("00:00"), **who}])
    write_table(folder, "D_ICD_DIAGNOSES", [{"ICD9_CODE": "V594", "LONG_TITLE": "Kidney donors"}])
    rows = [{"CHARTTIME": when, "ITEMID": item, "VALUE": value, **who} for when, (item, value) in charted]
    write_table(folder, "CHARTEVENTS", rows)
    pulled = [{"ICUSTAY_ID": 5, "STARTTIME": when, "ITEMID": 227194} for when in removed]
    write_table(folder, "PROCEDUREEVENTS_MV", pulled)
    return folder


SPELL_EXAMPLES = {
    "45 gaps of 6, 7 and 9 hours": ([(c, VENT) for c in ("00:00", "06:00", "13:00", "22:00")], [("00:00", "13:00")]),
    "46 extubated between": (
        [("00:00", VENT), ("05:00", EXTUBATED), ("06:00", VENT), ("08:00", VENT)],
        [("00:00", "05:00"), ("06:00", "08:00")],
    ),
    "47 oxygen between": (
        [("00:00", VENT), ("01:00", OXYGEN), ("02:00", VENT), ("04:00", VENT)],
        [("02:00", "04:00")],
    ),
    "exactly eight hours are no gap": ([("00:00", VENT), ("08:00", VENT)], [("00:00", "08:00")]),
    "extubation without ventilation": ([("00:00", EXTUBATED), ("02:00", EXTUBATED)], []),
    "a value that sets no flag": ([("00:00", (720, "Other/Remarks")), ("02:00", VENT), ("03:00", VENT)], [("02:00", "03:00")]),
}  # fmt: skip


@pytest.mark.parametrize(("charted", "expected"), SPELL_EXAMPLES.values(), ids=SPELL_EXAMPLES)
def test_charted_rows_become_spells_of_ventilation(tmp_path, charted, expected):
    folder = write_ventilation(tmp_path, [(at(clock), what) for clock, what in charted])
    spells = [(datetime.fromisoformat(at(start)), datetime.fromisoformat(at(end))) for start, end in expected]
    assert naive_mimic3.ventilated_spells(folder).get("5", []) == spells


def test_an_extubation_among_the_procedures_ends_a_spell(tmp_path):
    charted = [(at(clock), VENT) for clock in ("00:00", "04:00", "06:00", "07:00")]
    spells = naive_mimic3.ventilated_spells(write_ventilation(tmp_path, charted, removed=[at("05:00")]))["5"]
    assert [(start.hour, end.hour) for start, end in spells] == [(0, 5), (6, 7)]


def spell(start: str, end: str) -> list[tuple[str, tuple[int, str]]]:
    """Charted rows of a spell short enough to have no gap."""
    return [(start, VENT), (end, VENT)]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param((at("12:00", 6), at("18:00", 6)), {"1": ["GT7D"]}, id="48 six days and 18 hours"),
        pytest.param((at("12:00", 6), at("17:59", 6)), {"1": ["LE7D"]}, id="49 a minute less"),
        pytest.param((at("04:00", 8), at("12:00", 8)), {"1": ["GT7D"]}, id="50 a gap counts as ventilated"),
        pytest.param((at("12:00", 1), at("18:00", 1)), {"1": ["LE7D"]}, id="one day and 18 hours are in the cohort"),
        pytest.param((at("12:00", 1), at("17:59", 1)), {}, id="a minute less is not"),
    ],
)
def test_ventilation_is_long_from_first_start_to_last_end(tmp_path, second, expected):
    folder = write_ventilation(tmp_path, spell(at("00:00"), at("05:00")) + spell(*second))
    assert {stay: labels for stay, (_, labels) in built(folder, "pmv").items()} == expected


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"born": "2132-01-01 00:00:00"}, True, id="18 today"),
        pytest.param({"born": "2132-01-02 00:00:00"}, False, id="18 tomorrow"),
        pytest.param({"born": "1850-01-01 00:00:00"}, True, id="age of 90 and more, hidden"),
        pytest.param({"code": "1419"}, False, id="cancer of head or neck"),
        pytest.param({"code": "9482"}, True, id="a burn of a fifth"),
        pytest.param({"code": "9483"}, False, id="a burn of a third"),
        pytest.param({"code": "V594"}, False, id="donor"),
        pytest.param({"note": at("00:00", 2)}, True, id="note after 48 hours"),
        pytest.param({"note": "2150-01-03 00:00:01"}, False, id="note a second later"),
        pytest.param({"note": "2149-12-31 23:59:59"}, False, id="note before"),
        pytest.param({"note": ""}, False, id="note without a time"),
        pytest.param({"text": GOOD.replace("70 yo man.", "The patient died.")}, False, id="not in mortality"),
    ],
)
def test_who_is_in_the_ventilated_cohort(tmp_path, given, kept):
    charted = spell(at("00:00"), at("05:00")) + spell(at("00:00", 3), at("05:00", 3))
    assert set(built(write_ventilation(tmp_path, charted, **given), "pmv")) == ({"1"} if kept else set())


def test_patients_are_split_whole_seven_one_two_and_rows_ascend(tmp_path):
    stays = [admission(number, 1 + number % 90) for number in range(1, 181)]
    notes = [summary(stay["HADM_ID"], f"{GOOD}{stay['HADM_ID']}", 1, stay["SUBJECT_ID"]) for stay in reversed(stays)]
    splits = naive_mimic3.build(write_folder(tmp_path, stays, notes), tasks=("los",))["los"]["splits"]
    patients = {name: {row[1] for row in rows} for name, rows in splits.items()}
    # Ninety: 0.7 times 90 is just below 63 as a floating-point number.
    assert {name: len(found) for name, found in patients.items()} == {"train": 63, "valid": 9, "test": 18}
    assert len(set.union(*patients.values())) == 90
    by_hash = sorted(map(str, range(1, 91)), key=lambda patient: sha256(f"123:{patient}".encode()).hexdigest())
    assert patients["train"] == set(by_hash[:63])
    assert patients["valid"] == set(by_hash[63:72])
    assert all([int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows) for rows in splits.values())


def test_the_command_writes_a_parquet_file_per_task_and_split(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)], [(1, "4280"), (1, "0389")])
    monkeypatch.setattr("sys.argv", ["naive_mimic3.py", str(folder), str(tmp_path / "out"), "--tasks", "diag"])
    naive_mimic3.main()
    files = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*"))
    assert files == ["diag/classes.json", "diag/test.parquet", "diag/train.parquet", "diag/valid.parquet"]
    (row,) = pq.read_table(tmp_path / "out" / "diag" / "test.parquet").to_pylist()
    assert list(row) == ["note_id", "patient_id", "text", "labels"]
    assert (row["note_id"], row["patient_id"], row["labels"]) == ("1", "1", ["428", "038"])
