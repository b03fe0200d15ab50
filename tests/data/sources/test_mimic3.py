"""MIMIC-III's tables to five tasks: the published rules, the corrections, and what is refused; through the public builder."""

import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mimic3_folder as folder_of
import pytest
from mimic3_folder import GOOD, admission, summary, write_folder, write_table

from clinstack.data.describe import describe
from clinstack.data.published import TABLE_1, TABLE_ROWS, differences
from clinstack.data.rules import make_rules
from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic3 import build_mimic3
from clinstack.data.task import open_task
from clinstack.errors import BadInput, CannotWrite

SPLITS = ("train", "valid", "test")
BACKGROUND = range(900_000, 900_040)
"""Stays of other patients, so that every split has notes."""


def hospital(folder: Path, admissions=(), notes=(), diagnoses=(), procedures=(), *, gz=False) -> Path:
    """A folder with these rows and a background of stays that every rule keeps."""
    return write_folder(
        folder,
        [*admissions, *(admission(stay, HOSPITAL_EXPIRE_FLAG=int(stay % 5 == 0)) for stay in BACKGROUND)],
        [*notes, *(summary(stay, f"{GOOD} {stay}", stay) for stay in BACKGROUND)],
        [*diagnoses, *((stay, "4019") for stay in BACKGROUND)],
        [*procedures, *((stay, "3893") for stay in BACKGROUND)],
        gz=gz,
    )


def built(source: Path, task: str, **options) -> dict[str, dict]:
    """A task's notes by id, of all splits, without the background."""
    out = source.parent / f"out-{random.random()}"
    build_mimic3(source, out, tasks=[task], **options)
    opened = open_task(out / task)
    notes = [note | {"split": split} for split in SPLITS for note in opened.read(split).to_pylist()]
    return {note["note_id"]: note for note in notes if int(note["note_id"]) not in BACKGROUND}


def section(text: str, heading: str) -> str:
    return next(part for part in text.split("\n\n") if part.startswith(heading)).removeprefix(heading + ":").strip()


# Admission notes (rules A and B)


def test_an_addendum_is_attached_and_the_first_section_wins(tmp_path):
    note = GOOD + "\n\nAllergies:\nPenicillins\n\nX: y"
    source = hospital(
        tmp_path / "in",
        [admission(1)],
        [
            summary(1, "Allergies:\nLatex\n\nX: y", 8, CHARTDATE="2150-01-04", DESCRIPTION="Addendum"),
            summary(1, note, 9, CHARTDATE="2150-01-03"),
        ],
    )
    assert section(built(source, "mor")["1"]["text"], "ALLERGIES") == "Penicillins"


def test_of_two_stays_with_the_same_text_the_later_one_keeps_it(tmp_path):
    admissions = [admission(1), admission(2)]
    notes = [summary(2, GOOD, 1, CHARTDATE="2150-02-01"), summary(1, GOOD, 2, CHARTDATE="2150-01-01")]
    source = hospital(tmp_path / "in", admissions, notes)
    assert list(built(source, "mor")) == ["2"]
    assert sorted(built(source, "mor", switches=["duplicates-per-admission"])) == ["1", "2"]


def test_of_equal_texts_of_one_day_the_higher_row_id_is_kept(tmp_path):
    source = hospital(tmp_path / "in", [admission(1), admission(2)], [summary(2, GOOD, 5), summary(1, GOOD, 6)])
    assert list(built(source, "mor")) == ["1"]


@pytest.mark.parametrize(
    ("admissions", "notes"),
    [
        ([admission(1, ADMISSION_TYPE="NEWBORN")], [summary(1, GOOD, 1)]),
        ([admission(1)], [summary("", GOOD, 1, subject_id=1)]),
        ([], [summary(1, GOOD, 1)]),
        ([admission(1)], [summary(1, "", 1)]),
        ([admission(1)], [summary(1, GOOD, 1, CATEGORY="Discharge Summary")]),
        ([admission(1)], [summary(1, GOOD, 1, DESCRIPTION="Addendum")]),
        ([admission(1)], [summary(1, "Summary: patient seen\n\nPlan: none", 1)]),
        ([admission(1)], [summary(1, GOOD.replace("\n", "\r\n"), 1)]),
    ],
    ids=[
        "newborn",
        "no stay",
        "unknown stay",
        "no text",
        "another category",
        "only an addendum",
        "no sections",
        "CR LF",
    ],
)
def test_what_the_published_rules_drop(tmp_path, admissions, notes):
    assert built(hospital(tmp_path / "in", admissions, notes), "mor") == {}


def test_a_stay_without_a_type_of_admission_is_kept(tmp_path):
    assert "1" in built(hospital(tmp_path / "in", [admission(1, ADMISSION_TYPE="")], [summary(1, GOOD, 1)]), "mor")


@pytest.mark.parametrize("switch", ["newlines", "drop-errors"])
def test_switches_of_reading_work_alone(tmp_path, switch):
    text = GOOD.replace("\n", "\r\n") if switch == "newlines" else GOOD
    source = hospital(
        tmp_path / "in", [admission(1)], [summary(1, text, 1, ISERROR="1" if switch == "drop-errors" else "")]
    )
    assert ("1" in built(source, "mor")) is (switch == "drop-errors")
    assert ("1" in built(source, "mor", switches=[switch])) is (switch == "newlines")


def test_strict_is_every_correction_and_says_so(tmp_path):
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)])
    about = build_mimic3(source, tmp_path / "out", tasks=["mor"], mode="strict")
    assert about["switches"] == make_rules("strict").on()
    assert json.loads((tmp_path / "out" / "mor" / "task.json").read_text())["mode"] == "strict"


def test_rows_in_any_order_give_the_same_tasks(tmp_path):
    stays = range(1, 30)
    notes = [summary(stay, f"{GOOD} {stay // 2}", stay, CHARTDATE=f"2150-01-{1 + stay % 3:02}") for stay in stays]
    one = built(hospital(tmp_path / "a" / "in", [admission(stay) for stay in stays], notes), "mor")
    random.Random(1).shuffle(notes)
    other = built(hospital(tmp_path / "b" / "in", [admission(stay) for stay in stays][::-1], notes), "mor")
    assert one == other


def test_notes_carry_their_ids_under_both_names(tmp_path):
    note = built(hospital(tmp_path / "in", [admission(7, 70)], [summary(7, GOOD, 1, subject_id=70)]), "mor")["7"]
    assert {key: note[key] for key in ("note_id", "patient_id", "hadm_id", "subject_id")} == {
        "note_id": "7",
        "patient_id": "70",
        "hadm_id": "7",
        "subject_id": "70",
    }


# Labels


@pytest.mark.parametrize(
    ("hours", "name"),
    [
        (72, "LT3D"),
        (73, "LT3D"),
        (73.3, "3DTO7D"),
        (169, "3DTO7D"),
        (170, "1WTO2W"),
        (337, "1WTO2W"),
        (338, "GT2W"),
        (-5, "LT3D"),
        # 3.05, 7.05 and 14.05 days: the binary values of the first two are below the half, that of the last above.
        (73.2, "LT3D"),
        (169.2, "3DTO7D"),
        (337.2, "GT2W"),
    ],
)
def test_length_of_stay_is_cut_at_rounded_days(tmp_path, hours, name):
    from datetime import datetime, timedelta

    left = datetime(2150, 1, 10) + timedelta(hours=hours)
    stay = admission(1, ADMITTIME="2150-01-10 00:00:00", DISCHTIME=str(left))
    with_all = [admission(10 + n, DISCHTIME=f"2150-01-{4 + 7 * n:02} 10:00:00") for n in range(4)]
    notes = [summary(one["HADM_ID"], f"{GOOD} {one['HADM_ID']}", one["HADM_ID"]) for one in [stay, *with_all]]
    assert built(hospital(tmp_path / "in", [stay, *with_all], notes), "los")["1"]["labels"] == [name]


def test_who_died_has_no_length_of_stay(tmp_path):
    source = hospital(tmp_path / "in", [admission(1, HOSPITAL_EXPIRE_FLAG=1)], [summary(1, GOOD, 1)])
    assert built(source, "los") == {}
    assert built(source, "mor")["1"]["labels"] == ["DIE"]


@pytest.mark.parametrize(
    ("task", "codes", "reference", "strict"),
    [
        ("diag", ["0389"], ["038"], ["038"]),
        ("diag", ["42821"], ["428"], ["428"]),
        ("diag", ["V4581"], ["V458"], ["V458"]),
        ("diag", ["V08"], ["V08"], ["V08"]),
        ("diag", ["E8859"], ["E885"], ["E885"]),
        ("diag", ["4280", "42821"], ["428"], ["428"]),
        ("diag", ["", "0389"], ["038"], ["038"]),
        ("proc", ["3893"], ["389"], ["389"]),
        ("proc", ["0066"], ["66"], ["006"]),
        ("proc", ["0331", "3310"], ["331"], ["033", "331"]),
        ("proc", ["9604", "9671"], ["960", "967"], ["960", "967"]),
    ],
)
def test_codes_are_cut_as_published_or_as_stored(tmp_path, task, codes, reference, strict):
    given = {"diag": "diagnoses", "proc": "procedures"}[task]
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)], **{given: [(1, code) for code in codes]})
    assert built(source, task)["1"]["labels"] == reference
    assert built(source, task, mode="strict")["1"]["labels"] == strict


def test_v_codes_can_be_cut_to_their_category(tmp_path):
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)], diagnoses=[(1, "V4581"), (1, "E8859")])
    assert built(source, "diag", switches=["v-categories"])["1"]["labels"] == ["V45", "E885"]


def test_groups_of_codes_have_the_title_of_their_commonest_code(tmp_path):
    codes = [(1, "4280"), (1, "42821"), (2, "42821"), (1, "V08"), (1, "0389"), (1, "E8859")]
    source = hospital(
        tmp_path / "in", [admission(1), admission(2)], [summary(1, GOOD, 1)], codes, [(1, "0331"), (2, "3310")]
    )
    titles = {
        "4280": "Failure, unspecified",
        "42821": "Failure, acute",
        "42820": "Other",
        "V08": "Carrier",
        "0389": " ",
    }
    write_table(source, "D_ICD_DIAGNOSES", [{"ICD9_CODE": code, "LONG_TITLE": one} for code, one in titles.items()])
    write_table(source, "D_ICD_PROCEDURES", [{"ICD9_CODE": "0331", "LONG_TITLE": "Spinal tap"}])
    build_mimic3(source, tmp_path / "out", tasks=["diag", "proc", "mor"])
    tasks = {name: open_task(tmp_path / "out" / name) for name in ("diag", "proc", "mor")}
    assert tasks["diag"].titles == {"428": "Failure, acute and others", "V08": "Carrier"}
    assert tasks["proc"].titles == {"331": "Spinal tap and others"}
    assert tasks["mor"].titles == {"NOT_DIE": "leaves the hospital alive", "DIE": "dies during this hospital stay"}
    rows = list(csv.DictReader((tmp_path / "out" / "diag" / "classes.csv").read_text().splitlines()))
    assert {row["class"]: row["title"] for row in rows}["428"] == "Failure, acute and others"


def test_classes_are_those_of_the_whole_table_and_the_absent_are_said(tmp_path):
    newborn = admission(2, ADMISSION_TYPE="NEWBORN")
    source = hospital(
        tmp_path / "in", [admission(1), newborn], [summary(1, GOOD, 1)], diagnoses=[(2, "V3000"), (1, "4280")]
    )
    about = build_mimic3(source, tmp_path / "out", tasks=["diag"])
    assert open_task(tmp_path / "out" / "diag").classes == ("401", "428", "V300")
    assert any("classes have no note in train, such as" in warning for warning in about["warnings"])
    rows = list(csv.reader((tmp_path / "out" / "diag" / "classes.csv").read_text().splitlines()))
    assert rows[0] == ["index", "class", "title", "train", "valid", "test"]
    assert rows[3] == ["2", "V300", "", "0", "0", "0"]


def test_a_stay_without_codes_is_in_no_task_of_codes(tmp_path):
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)])
    assert built(source, "diag") == built(source, "proc") == {}


# Splits


def test_patients_are_split_by_the_hash_of_all_who_have_a_note(tmp_path):
    from clinstack.data.splits import split_by_patient

    stays = range(1, 60)
    source = hospital(
        tmp_path / "in",
        [admission(stay, 1 + stay // 2) for stay in stays],
        [summary(stay, f"{GOOD} {stay}", stay, subject_id=1 + stay // 2) for stay in stays],
    )
    expected = split_by_patient([str(1 + stay // 2) for stay in stays] + [str(stay) for stay in BACKGROUND], 7)
    notes = built(source, "mor", seed=7)
    assert {note["patient_id"]: note["split"] for note in notes.values()} == {
        patient: split for patient, split in expected.items() if int(patient) not in BACKGROUND
    }
    assert {note["split"] for note in built(source, "mor", seed=8).values()} == set(SPLITS)


def write_lists(folder: Path, **patients) -> Path:
    folder.mkdir(exist_ok=True)
    for split, name in {"train": "mimic_train", "valid": "mimic_val", "test": "mimic_test"}.items():
        lines = ["SUBJECT_ID", *map(str, patients[split])]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_published_lists_decide_and_drop_whom_they_do_not_name(tmp_path):
    others = list(BACKGROUND)
    lists = write_lists(tmp_path / "lists", train=[1, 1, *others[:20]], valid=[2, *others[20:30]], test=others[30:])
    stays = [1, 2, 3]
    source = hospital(tmp_path / "in", [admission(n) for n in stays], [summary(n, f"{GOOD} {n}", n) for n in stays])
    notes = built(source, "mor", split_lists=lists)
    assert {key: note["split"] for key, note in notes.items()} == {"1": "train", "2": "valid"}


def test_a_patient_in_two_lists_is_refused(tmp_path):
    lists = write_lists(tmp_path / "lists", train=[1, 2], valid=[2], test=[3])
    source = hospital(tmp_path / "in")
    with pytest.raises(BadInput, match=r"patient 2 is in two of the lists\. A patient belongs to one split\.$"):
        build_mimic3(source, tmp_path / "out", tasks=["mor"], split_lists=lists)
    assert not (tmp_path / "out").exists()


# What is said about the whole


def test_the_funnel_counts_what_each_rule_drops(tmp_path):
    source = hospital(
        tmp_path / "in",
        [admission(n) for n in range(1, 6)] + [admission(6, ADMISSION_TYPE="NEWBORN")],
        [
            summary(1, GOOD, 1),
            summary(2, GOOD, 2),
            summary(3, "", 3),
            summary(4, GOOD + "4", 4, CATEGORY="Nursing"),
            summary(5, GOOD + "5", 5, DESCRIPTION="Addendum"),
            summary(6, GOOD + "6", 6),
            summary(5, "nothing", 7, DESCRIPTION="Addendum"),
        ],
    )
    about = build_mimic3(source, tmp_path / "out", tasks=["mor"])
    n = len(BACKGROUND)
    assert [(row["rule"], row["unit"], row["left"], row["dropped"]) for row in about["funnel"]] == [
        ("", "notes", n + 7, None),
        ("A1", "notes", n + 6, 1),
        ("A2", "notes", n + 5, 1),
        ("A3", "notes", n + 4, 1),
        ("A5", "notes", n + 3, 1),
        ("A6", "admissions", n + 2, None),
        ("A7", "admissions", n + 1, 1),
        ("B7", "admissions", n + 1, 0),
    ]
    seen = describe(tmp_path / "out")
    assert seen["what"] == "tasks"
    assert seen["funnel"] == about["funnel"]
    assert describe(tmp_path / "out" / "mor")["funnel"][:8] == about["funnel"]


def test_a_task_says_what_it_was_made_from(tmp_path):
    source = hospital(tmp_path / "in", gz=True)
    build_mimic3(source, tmp_path / "out", tasks=["mor"], terms=["PhysioNet 1.5.0"])
    about = json.loads((tmp_path / "out" / "mor" / "task.json").read_text())
    assert about["terms"] == ["PhysioNet 1.5.0"]
    assert about["build"]["split"] == "by hash of seed and patient"
    assert [one["name"] for one in about["build"]["inputs"]] == ["ADMISSIONS.csv.gz", "NOTEEVENTS.csv.gz"]
    assert all(len(one["sha256"]) == 64 for one in about["build"]["inputs"])


def test_published_counts_speak_up_only_for_tables_that_look_like_mimic3():
    tasks = {
        name: {"classes": range(classes), "counts": dict(zip(SPLITS, ({"notes": n} for n in notes), strict=True))}
        for name, (classes, notes) in TABLE_1.items()
    }
    assert differences(TABLE_ROWS, 48_745, 37_321, tasks, reference=True) == []
    tasks["mor"]["counts"]["test"] = {"notes": 9_800}
    rows = {**TABLE_ROWS, "admissions": 58_975}
    assert differences(rows, 48_745, 37_321, tasks, reference=True) == [
        "Published for MIMIC-III v1.4: 58,976 rows of ADMISSIONS; found: 58,975.",
        "Published for MIMIC-III v1.4: 9,822 test notes of mor; found: 9,800.",
    ]
    assert len(differences(rows, 1, 1, tasks, reference=False)) == 1
    assert differences({"admissions": 500, "noteevents": 4_000}, 1, 1, tasks, reference=True) == []


# Bad input


def edited(file: Path, old: str, new: str, count: int = 1) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, count))


def damage_gz(folder: Path, cut: int | None = None, flip: int | None = None) -> None:
    file = folder / "NOTEEVENTS.csv"
    packed = bytearray(gzip.compress(file.read_bytes(), compresslevel=0))
    if flip is not None:
        packed[len(packed) // 2] ^= flip
    file.with_suffix(".csv.gz").write_bytes(bytes(packed[:cut]))
    file.unlink()


def drop_column(folder: Path) -> None:
    columns = [one for one in folder_of.COLUMNS["ADMISSIONS"].split() if one != "DISCHTIME"]
    write_table(folder, "ADMISSIONS", [admission(stay) for stay in BACKGROUND], columns=columns)


def no_zeros(folder: Path, codes: list[str]) -> None:
    rows = [{"HADM_ID": stay, "ICD9_CODE": code} for stay in BACKGROUND for code in codes]
    write_table(folder, "DIAGNOSES_ICD", rows)


REFUSED = {
    "missing table": (
        lambda f: (f / "ADMISSIONS.csv").unlink(),
        "{f} has no ADMISSIONS.csv or ADMISSIONS.csv.gz. Copy it there.",
    ),
    "table twice": (
        lambda f: (f / "admissions.csv.gz").write_bytes(b""),
        "{f} has ADMISSIONS.csv and admissions.csv.gz. Keep one of them.",
    ),
    "missing column": (drop_column, "{f}/ADMISSIONS.csv has no column DISCHTIME. Did you mean 'deathtime'?"),
    "unclosed quote": (
        lambda f: edited(f / "NOTEEVENTS.csv", '900000"', "900000"),
        "{f}/NOTEEVENTS.csv, row 1 (line 2): a quoted field goes on after its closing quote. "
        "Double the quotes that belong to the text.",
    ),
    "truncated gz": (
        lambda f: damage_gz(f, cut=-500),
        "{f}/NOTEEVENTS.csv.gz, row 38 (line 409): the gzip file is damaged or cut short here. Copy or compress it again.",
    ),
    "gz cut within its checksum": (
        lambda f: damage_gz(f, cut=-6),
        "{f}/NOTEEVENTS.csv.gz, row 41 (line 442): the gzip file is damaged or cut short here. Copy or compress it again.",
    ),
    "gz with a wrong byte": (
        lambda f: damage_gz(f, flip=1),
        "{f}/NOTEEVENTS.csv.gz: the gzip file is damaged or cut short. Copy or compress it again.",
    ),
    "duplicated HADM_ID": (
        lambda f: edited(f / "ADMISSIONS.csv", "900007,900007,900007", "900007,900007,900006"),
        "{f}/ADMISSIONS.csv, line 9: HADM_ID 900006 occurs a second time. Remove one of its rows.",
    ),
    "expire flag": (
        lambda f: edited(f / "ADMISSIONS.csv", ",1,", ",2,"),
        "{f}/ADMISSIONS.csv, line 2: HOSPITAL_EXPIRE_FLAG of HADM_ID 900000 is neither 0 nor 1. Mend it.",
    ),
    "codes as numbers": (
        lambda f: no_zeros(f, ["38.9"]),
        "{f}/DIAGNOSES_ICD.csv, line 2: ICD9_CODE is '38.9'; codes have three characters or more, and no point. They were "
        "probably read as numbers. Export them as text.",
    ),
    "codes without zeros": (
        lambda f: no_zeros(f, ["4280", "38"]),
        "{f}/DIAGNOSES_ICD.csv, line 3: ICD9_CODE is '38'; codes have three characters or more, and no point. They were "
        "probably read as numbers. Export them as text.",
    ),
    "no code begins with zero": (
        lambda f: no_zeros(f, ["4280", "389"] * 13),
        "{f}/DIAGNOSES_ICD.csv, column ICD9_CODE: none of 1,040 codes begins with 0. They were probably read as numbers, "
        "which drops leading zeros. Export them as text.",
    ),
    "a date that does not parse": (
        lambda f: edited(f / "ADMISSIONS.csv", "2150-01-03 10:00:00", "03/01/2150", 2),
        "{f}/ADMISSIONS.csv, line 2: DISCHTIME is '03/01/2150'. Expected a time like 2131-05-30 17:00:00.",
    ),
    "no notes": (
        lambda f: write_table(f, "NOTEEVENTS", []),
        "{f}/NOTEEVENTS.csv has a header and no row. MIMIC-III's public demo leaves the notes out; use the whole of it.",
    ),
    "no discharge summary": (
        lambda f: write_table(f, "NOTEEVENTS", [summary(stay, GOOD, stay, CATEGORY="Nursing") for stay in BACKGROUND]),
        "{f}/NOTEEVENTS.csv has no row of CATEGORY 'Discharge summary' for an adult admission. Is it the right file?",
    ),
    "no sections": (
        lambda f: write_table(f, "NOTEEVENTS", [summary(stay, f"seen {stay}", stay) for stay in BACKGROUND]),
        "{f}/NOTEEVENTS.csv: only 0 of 40 discharge summaries have a chief complaint, present illness or medical history "
        "that ends in a blank line and a heading. If the notes have CR LF line ends, add --strict newlines; if their "
        "headings differ, --strict synonyms; else export them again unchanged.",
    ),
    "not UTF-8": (
        lambda f: (f / "NOTEEVENTS.csv").write_bytes((f / "NOTEEVENTS.csv").read_bytes().replace(b"DM2", b"DM\xe9", 1)),
        "{f}/NOTEEVENTS.csv, row 1 (line 2): line 9, byte 250 is not UTF-8. Save the file as UTF-8.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_tables_are_refused_with_file_line_and_cure_and_nothing_is_left(tmp_path, name):
    spoil, message = REFUSED[name]
    source = hospital(tmp_path / "in")
    spoil(source)
    with pytest.raises(BadInput) as caught:
        build_mimic3(source, tmp_path / "out", tasks=["los", "mor", "diag", "proc"])
    assert str(caught.value).startswith(message.format(f=source))
    assert "chest pain" not in str(caught.value), "note text in a message"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_procedure_codes_that_are_no_numbers_are_refused_by_the_published_rule_only(tmp_path):
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)], procedures=[(1, "38X3")])
    with pytest.raises(BadInput) as caught:
        build_mimic3(source, tmp_path / "out", tasks=["proc"])
    assert str(caught.value) == (
        f"{source}/PROCEDURES_ICD.csv, line 2: ICD9_CODE is '38X3', and the published rule reads procedure codes as whole "
        "numbers. Mend it, or add --strict leading-zeros."
    )
    assert built(source, "proc", switches=["leading-zeros"])["1"]["labels"] == ["38X"]


def test_other_cases_more_columns_crlf_and_gz_are_read(tmp_path):
    source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD, 1)])
    expected = built(source, "mor")
    columns = folder_of.COLUMNS["ADMISSIONS"].split()
    rows = [
        {**one, "EXTRA": "x"}
        for one in [admission(1), *(admission(s, HOSPITAL_EXPIRE_FLAG=int(s % 5 == 0)) for s in BACKGROUND)]
    ]
    (source / "ADMISSIONS.csv").unlink()
    write_table(
        source, "ADMISSIONS", rows, gz=True, columns=[*columns, "EXTRA"], header=[c.lower() for c in [*columns, "EXTRA"]],
        lineterminator="\r\n",
    )  # fmt: skip
    assert built(source, "mor") == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["mort"]}, "Unknown task 'mort' (--tasks). Did you mean 'mor'?"),
        ({"tasks": []}, "--tasks names no task."),
        ({"mode": "strickt"}, "Unknown mode 'strickt'. Did you mean 'strict'?"),
        ({"switches": ["newline"]}, "Unknown switch 'newline' (--strict). Did you mean 'newlines'?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(tmp_path, options, message):
    with pytest.raises(BadInput) as caught:
        build_mimic3(tmp_path, tmp_path / "out", **options)
    assert str(caught.value).startswith(message)


def test_an_occupied_folder_is_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(CannotWrite):
        build_mimic3(hospital(tmp_path / "in"), tmp_path / "out", tasks=["mor"])
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


# What happens to the machine meanwhile


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_one_core_and_all_cores_write_the_same_bytes(tmp_path):
    notes = [summary(stay, f"{GOOD} {stay % 90}", stay) for stay in range(1, 400)]
    source = hospital(tmp_path / "in", [admission(stay) for stay in range(1, 400)], notes, [(1, "4280")], [(1, "9604")])
    tasks, cores = ["los", "mor", "diag", "proc"], os.sched_getaffinity(0)
    build_mimic3(source, tmp_path / "all", tasks=tasks)
    try:
        os.sched_setaffinity(0, {min(cores)})
        build_mimic3(source, tmp_path / "one", tasks=tasks)
    finally:
        os.sched_setaffinity(0, cores)
    assert content(tmp_path / "one") == content(tmp_path / "all")


def test_a_killed_build_leaves_no_folder_and_the_next_one_cleans_up(tmp_path):
    write_hospital(tmp_path / "in", patients=1500, unlabelled_patients=1, seed=3)
    command = [
        sys.executable,
        "-m",
        "clinstack.cli",
        "data",
        "mimic3",
        str(tmp_path / "in" / "mimic3"),
        str(tmp_path / "out"),
    ]
    for _ in range(3):
        build = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while build.poll() is None and not list(tmp_path.glob(".out.*")):
            time.sleep(0.005)
        time.sleep(random.random() * 0.6)
        finished = build.poll() is not None
        build.kill()
        build.wait()
        assert finished or not (tmp_path / "out").exists()
        if finished:
            shutil.rmtree(tmp_path / "out")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert open_task(tmp_path / "out" / "pmv").counts["test"]["notes"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(place)], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz ", k=600_000))
        source = hospital(tmp_path / "in", [admission(1)], [summary(1, GOOD.replace("70 yo man", noise), 1)])
        with pytest.raises(CannotWrite, match="full"):
            build_mimic3(source, place / "out", tasks=["mor"])
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
