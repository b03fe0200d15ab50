"""Ventilated episodes, the cohort of prolonged ventilation and its label, from CSV files through the public functions."""

from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mimic3_folder import write_table

from clinstack.data.raw_tables import RawTables
from clinstack.data.ventilation import label_ventilation, load_membership, load_ventilation
from clinstack.errors import BadInput

START = datetime(2150, 1, 1)
VENT, OXYGEN, TUBE_OUT = ("720", "CMV"), ("467", "Nasal Cannula"), ("640", "Extubated")


def at(hours: float) -> str:
    return str(START + timedelta(hours=hours))


def charted(*rows: tuple[float, tuple[str, str]], stay: int = 1) -> list[dict]:
    return [
        {"ICUSTAY_ID": stay, "ITEMID": item, "CHARTTIME": at(hours), "VALUE": value} for hours, (item, value) in rows
    ]


@contextmanager
def opened(folder: Path, chart=(), procedures=(), **tables):
    (folder / "scratch").mkdir(parents=True)
    write_table(folder, "CHARTEVENTS", chart)
    write_table(folder, "PROCEDUREEVENTS_MV", procedures)
    for name, rows in tables.items():
        write_table(folder, name, rows)
    with RawTables(folder, folder / "scratch") as raw:
        yield raw


def episodes(folder: Path, chart, procedures=()) -> list[tuple[float, float]]:
    """(start, end) in hours of each episode of ICU stay 1."""
    with opened(folder, chart, procedures) as raw:
        load_ventilation(raw, None)
        found = raw.all("SELECT starttime, endtime FROM ventilation ORDER BY starttime")
    return [tuple((one - START).total_seconds() / 3600 for one in row) for row in found]


def test_a_silence_of_more_than_eight_hours_ends_an_episode(tmp_path):  # example 45
    assert episodes(tmp_path, charted((0, VENT), (6, VENT), (13, VENT), (22, VENT))) == [(0, 13)]
    assert episodes(tmp_path / "edge", charted((0, VENT), (8, VENT))) == [(0, 8)]
    assert episodes(tmp_path / "over", charted((0, VENT), (8.01, VENT))) == []


def test_an_extubation_ends_an_episode(tmp_path):  # example 46
    chart = charted((0, VENT), (5, TUBE_OUT), (6, VENT), (8, VENT))
    assert episodes(tmp_path, chart) == [(0, 5), (6, 8)]


def test_an_extubation_may_stand_among_the_procedures(tmp_path):
    procedures = [{"ICUSTAY_ID": 1, "STARTTIME": at(5), "ITEMID": item} for item in (227194, 999)]
    assert episodes(tmp_path, charted((0, VENT), (6, VENT), (8, VENT)), procedures) == [(0, 5), (6, 8)]


def test_oxygen_without_a_ventilator_ends_an_episode(tmp_path):  # example 47
    assert episodes(tmp_path, charted((0, VENT), (1, OXYGEN), (2, VENT), (4, VENT))) == [(2, 4)]


@pytest.mark.parametrize(
    ("item", "value", "counts"),
    [
        ("720", "Other/Remarks", False),
        ("223848", "Other", False),
        ("223848", "Drager", True),
        ("223849", "anything", True),
        ("467", "Ventilator", True),
        ("467", "None", False),
        ("445", "7.2", True),
        ("672", "5", True),
        ("459", "30", False),
        ("468", "x", False),
    ],
)
def test_what_counts_as_a_ventilator(tmp_path, item, value, counts):
    assert episodes(tmp_path, charted((0, (item, value)), (2, (item, value)))) == ([(0, 2)] if counts else [])


def test_errors_empty_values_and_rows_without_a_stay_do_not_count(tmp_path):
    good = charted((0, VENT), (2, VENT))
    wrong = [
        {**charted((4, VENT))[0], "ERROR": "1"},
        {**charted((5, VENT))[0], "VALUE": ""},
        {**charted((6, VENT))[0], "ICUSTAY_ID": ""},
    ]
    assert episodes(tmp_path, good + wrong) == [(0, 2)]


def test_a_trailing_space_is_part_of_a_value(tmp_path):
    mask = charted((0, VENT), (1, ("226732", "Trach mask ")), (2, VENT), (3, VENT))
    assert episodes(tmp_path, mask) == [(2, 3)]
    other = charted((0, VENT), (1, ("226732", "Trach mask")), (2, VENT), (3, VENT))
    assert episodes(tmp_path / "other", other) == [(0, 3)]


def naive(rows: list[tuple[float, str]]) -> list[tuple[float, float]]:
    """The rules of an episode, row by row."""
    moments: dict[float, set[str]] = {}
    for hours, what in rows:
        moments.setdefault(hours, set()).add(what)
    number, last_vent, before, found = 0, None, None, {}
    for hours in sorted(moments):
        vent, oxygen, out = ("v" in moments[hours]), ("o" in moments[hours]), ("x" in moments[hours])
        if (
            ((vent or out) and before is not None and "x" in before)
            or (oxygen and not vent)
            or (vent and last_vent is not None and hours - last_vent > 8)
        ):
            number += 1
        if vent or out:
            found.setdefault(number, []).append((hours, vent))
            before = moments[hours]
        last_vent = hours if vent else last_vent
    spells = [(part[0][0], part[-1][0], any(vent for _, vent in part)) for part in found.values()]
    return [(start, end) for start, end, vented in spells if vented and start < end]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("vvvox")), max_size=25), st.randoms())
def test_episodes_are_those_of_a_walk_over_the_rows_in_any_order(tmp_path_factory, rows, chance):
    kinds = {"v": VENT, "o": OXYGEN, "x": TUBE_OUT}
    chart = charted(*((hours, kinds[what]) for hours, what in rows))
    chance.shuffle(chart)
    assert episodes(tmp_path_factory.mktemp("chart"), chart) == naive(rows)


# The cohort and its label


def durations(*spells: tuple[int, float, float]) -> list[dict]:
    return [{"ICUSTAY_ID": stay, "STARTTIME": at(first), "ENDTIME": at(last)} for stay, first, last in spells]


def cohort(
    folder: Path, spells, *, stays=((1, 100, 0),), codes=(), titles=(), notes=((100, 1),), born="2100-01-01"
) -> dict:
    """hadm_id -> class. stays: (ICU stay, admission, INTIME in hours); notes: (admission, hours)."""
    folder.mkdir(exist_ok=True)
    spent = folder / "ventdurations.csv"
    spent.write_text("icustay_id,ventnum,starttime,endtime,duration_hours\n")
    with spent.open("a") as file:
        for stay, first, last in spells:
            file.write(f"{stay},1,{at(first)},{at(last)},0\n")
    tables = {
        "PATIENTS": [{"SUBJECT_ID": 7, "DOB": f"{born} 00:00:00"}],
        "ICUSTAYS": [{"SUBJECT_ID": 7, "HADM_ID": adm, "ICUSTAY_ID": stay, "INTIME": at(h)} for stay, adm, h in stays],
        "DIAGNOSES_ICD": [{"HADM_ID": 100, "ICD9_CODE": code} for code in ("4019", *codes)],
        "D_ICD_DIAGNOSES": [{"ICD9_CODE": code, "LONG_TITLE": title} for code, title in titles],
    }
    with opened(folder, **tables) as raw:
        raw.run("CREATE TABLE admissions AS SELECT DISTINCT unnest([100, 200])::BIGINT AS hadm_id")
        raw.load("PATIENTS", {"SUBJECT_ID": "BIGINT", "DOB": "TIMESTAMP"})
        icu = {"SUBJECT_ID": "BIGINT", "HADM_ID": "BIGINT", "ICUSTAY_ID": "BIGINT", "INTIME": "TIMESTAMP"}
        raw.load("ICUSTAYS", icu)
        raw.load("DIAGNOSES_ICD", {"HADM_ID": "BIGINT", "ICD9_CODE": "VARCHAR"})
        raw.load("D_ICD_DIAGNOSES", {"ICD9_CODE": "VARCHAR", "LONG_TITLE": "VARCHAR"})
        values = ", ".join(f"({admission}, TIMESTAMP '{at(hours)}')" for admission, hours in notes) or "(0, NULL)"
        raw.run(f"CREATE TABLE bedside_notes AS SELECT * FROM (VALUES {values}) AS t(hadm_id, charttime)")
        load_ventilation(raw, None)
        label_ventilation(raw)
        return {stay: labels[0] for stay, labels in raw.all("SELECT hadm_id, labels FROM labels_pmv")}


DAY = 24


def test_seven_days_less_six_hours_are_prolonged(tmp_path):  # examples 48 and 49
    assert cohort(tmp_path / "a", [(1, 0, 6 * DAY + 18)]) == {100: "GT7D"}
    assert cohort(tmp_path / "b", [(1, 0, 6 * DAY + 18 - 1 / 60)]) == {100: "LE7D"}


def test_gaps_count_as_ventilated(tmp_path):  # example 50
    assert cohort(tmp_path, [(1, 0, DAY), (1, 8 * DAY, 8.5 * DAY)]) == {100: "GT7D"}


def test_the_cohort_begins_at_two_days_less_six_hours(tmp_path):
    assert cohort(tmp_path / "a", [(1, 0, 42)]) == {100: "LE7D"}
    assert cohort(tmp_path / "b", [(1, 0, 42 - 1 / 60)]) == {}


def test_children_are_left_out(tmp_path):
    assert cohort(tmp_path / "a", [(1, 0, 50)], born="2132-01-01") == {100: "LE7D"}
    assert cohort(tmp_path / "b", [(1, 0, 50)], born="2132-01-02") == {}


def test_hidden_ages_of_ninety_and_more_are_adults(tmp_path):
    assert cohort(tmp_path, [(1, 0, 50)], born="1850-01-01") == {100: "LE7D"}


@pytest.mark.parametrize(
    ("code", "kept"),
    [("1409", False), ("149", False), ("1499", False), ("150", True), ("14", True), ("3589", False), ("3588", True),
     ("3590", False), ("3591", False), ("3592", True), ("35801", False), ("35800", True), ("9411", False), ("9421", True),
     ("9482", True), ("9483", False), ("94899", False)],
)  # fmt: skip
def test_diagnoses_that_leave_the_cohort(tmp_path, code, kept):
    assert bool(cohort(tmp_path, [(1, 0, 50)], codes=[code])) is kept


def test_donors_are_left_out_by_title(tmp_path):
    assert cohort(tmp_path, [(1, 0, 50)], codes=["V5900"], titles=[("V5900", "Blood Donors, whole blood")]) == {}


def test_a_bedside_note_must_stand_in_the_48_hours_after_the_first_start(tmp_path):
    for name, hours, kept in (("a", 10, True), ("b", 58, True), ("c", 58.1, False), ("d", 9.9, False)):
        assert bool(cohort(tmp_path / name, [(1, 10, 80)], notes=[(100, hours)])) is kept
    assert cohort(tmp_path / "e", [(1, 10, 80)], notes=[(200, 20)]) == {}


def test_any_icu_stay_decides_the_label_and_the_earliest_long_one_the_index_time(tmp_path):
    stays = ((1, 100, 0), (2, 100, 200), (3, 100, 400))
    spells = [(1, 1, 5), (2, 201, 260), (3, 401, 401 + 8 * DAY)]
    assert cohort(tmp_path / "a", spells, stays=stays, notes=[(100, 210)]) == {100: "GT7D"}
    assert cohort(tmp_path / "b", spells, stays=stays, notes=[(100, 2), (100, 410)]) == {}


# Members from a published table


def members(folder: Path, text: str, name: str = "members.csv") -> list[tuple]:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    with opened(folder / "raw") as raw:
        load_membership(raw, file)
        return raw.all("SELECT hadm_id, labels, split FROM labels_pmv ORDER BY hadm_id")


def test_members_are_taken_as_they_are(tmp_path):
    found = members(tmp_path, "hadm_id,label,split\n100,1,train\n101,0,val\n102,0,test\n")
    assert found == [(100, ["GT7D"], "train"), (101, ["LE7D"], "valid"), (102, ["LE7D"], "test")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("101,2,val", "{f}, line 3: label is '2'. Known: 0, 1."),
        ("101,,val", "{f}, line 3: label is ''. Known: 0, 1."),
        ("101,1,vale", "{f}, line 3: split is 'vale'. Known: train, val, test."),
        ("100,1,val", "{f}, line 3: hadm_id 100 occurs a second time. Remove one of its rows."),
        ("x,1,val", "{f}, line 3: HADM_ID is 'x'. Expected a whole number."),
    ],
)
def test_a_member_that_makes_no_sense_is_refused_with_its_line(tmp_path, row, message):
    with pytest.raises(BadInput) as caught:
        members(tmp_path, f"hadm_id,label,split\n100,1,train\n{row}\n")
    assert str(caught.value) == message.format(f=tmp_path / "members.csv")


def test_a_pickle_is_refused(tmp_path):
    with pytest.raises(
        BadInput, match=r"is a pickle, which runs whatever its maker wrote into it\. Give the table as CSV\.$"
    ):
        members(tmp_path, "", "members.pkl")


def test_a_missing_column_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"members\.csv has no column SPLIT\."):
        members(tmp_path, "hadm_id,label\n1,1\n")
