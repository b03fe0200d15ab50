"""MIMIC-IV-Note to a corpus: which notes, whose, in which split, with what cleaning; and notes of tasks that it holds."""

import csv
import gzip
import json
import textwrap
from pathlib import Path

import pytest

from clinstack.data.corpus import open_corpus
from clinstack.data.identifiers import Guard
from clinstack.data.sources.mimic4 import build_mimic4
from clinstack.data.splits import split_by_patient
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput, CannotWrite

COLUMNS = ["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text"]
SPLITS = ("train", "valid", "test")


def note(patient: int, number: int = 1, kind: str = "DS", text: str | None = None, **given) -> dict:
    return {
        "note_id": f"{patient}-{kind}-{number}",
        "subject_id": patient,
        "hadm_id": 20_000_000 + patient,
        "note_type": kind,
        "note_seq": number,
        "charttime": "2150-01-01 00:00:00",
        "text": f"Name: ___\n \nNote {number} of {patient}.\n" if text is None else text,
        **given,
    }


def release(folder: Path, discharge=(), radiology=(), *, gz: bool = True, header=COLUMNS) -> Path:
    """A MIMIC-IV-Note folder with these notes and those of 30 other patients."""
    folder.mkdir(parents=True, exist_ok=True)
    others = range(1000, 1030)
    files = {
        "discharge": [*discharge, *(note(patient) for patient in others)],
        "radiology": [*radiology, *(note(patient, 2, "RR", hadm_id="") for patient in others)],
    }
    for name, rows in files.items():
        file = folder / f"{name}.csv{'.gz' if gz else ''}"
        with gzip.open(file, "wt", newline="") if gz else file.open("w", newline="") as out:
            lines = csv.writer(out, lineterminator="\n")
            lines.writerow(header)
            lines.writerows([row.get(column, "") for column in COLUMNS] for row in rows)
    return folder


def notes_of(folder: Path) -> dict[str, dict]:
    corpus = open_corpus(folder)
    return {row["note_id"]: row | {"split": split} for split in SPLITS for row in corpus.read(split).to_pylist()}


def test_notes_keep_their_ids_type_and_time_and_are_cleaned(tmp_path):
    build_mimic4(release(tmp_path / "in", [note(1)], [note(1, 5, "RR", hadm_id="")]), tmp_path / "out")
    found = notes_of(tmp_path / "out")
    assert len(found) == 62
    one = found["1-DS-1"]
    del one["split"]
    assert one == {
        "note_id": "1-DS-1",
        "patient_id": "1",
        "text": "Name: ___ Note 1 of 1.",
        "time": "2150-01-01 00:00:00",
        "category": "DS",
        "subject_id": "1",
        "hadm_id": "20000001",
    }
    assert found["1-RR-5"]["hadm_id"] is None


def test_a_tenth_of_the_patients_is_tested_on_by_hash(tmp_path):
    build_mimic4(release(tmp_path / "in"), tmp_path / "out", seed=9)
    expected = split_by_patient([str(patient) for patient in range(1000, 1030)], 9, (0.8, 0.1, 0.1))
    assert {row["patient_id"]: row["split"] for row in notes_of(tmp_path / "out").values()} == expected


def test_a_holdout_by_note_puts_patients_on_both_sides_and_says_so(tmp_path):
    build_mimic4(release(tmp_path / "in"), tmp_path / "out", holdout="note")
    sides: dict[str, set[str]] = {}
    for row in notes_of(tmp_path / "out").values():
        sides.setdefault(row["patient_id"], set()).add(row["split"])
    assert any(len(splits) > 1 for splits in sides.values())
    assert open_corpus(tmp_path / "out").build["split"] == "by hash of seed and note"


def test_reference_keeps_the_published_text(tmp_path):
    source = release(tmp_path / "in", [note(1, text="a\t[**B**] \n\nc \n")])
    build_mimic4(source, tmp_path / "out", mode="reference")
    assert notes_of(tmp_path / "out")["1-DS-1"]["text"] == "a\t B c "


def test_missing_and_blank_notes_are_dropped_and_counted(tmp_path):
    source = release(tmp_path / "in", [note(1, text=""), note(2, text=" \n ")])
    about = build_mimic4(source, tmp_path / "out")
    assert [(row["left"], row["dropped"]) for row in about["build"]["funnel"]] == [(62, None), (61, 1), (60, 1)]
    assert not {"1-DS-1", "2-DS-1"} & set(notes_of(tmp_path / "out"))


def test_one_kind_of_notes_and_the_distributions_own_folder(tmp_path):
    release(tmp_path / "in" / "note")
    build_mimic4(tmp_path / "in", tmp_path / "out", kinds=["radiology"])
    assert {row["category"] for row in notes_of(tmp_path / "out").values()} == {"RR"}


def test_the_same_input_gives_the_same_files_and_plain_files_the_same_notes(tmp_path):
    one, other = release(tmp_path / "a"), release(tmp_path / "b", gz=False, header=[c.upper() for c in COLUMNS])
    for name, source in (("1", one), ("2", one), ("3", other)):
        build_mimic4(source, tmp_path / name)
    for split in SPLITS:
        assert (tmp_path / "1" / f"{split}.parquet").read_bytes() == (tmp_path / "2" / f"{split}.parquet").read_bytes()
    assert notes_of(tmp_path / "1") == notes_of(tmp_path / "3")


def test_the_guard_masks_before_text_enters(tmp_path):
    source = release(tmp_path / "in", [note(1, text="Seen by Dr. Alice Jones.")])
    about = build_mimic4(source, tmp_path / "out", guard=Guard("mask"))
    assert notes_of(tmp_path / "out")["1-DS-1"]["text"] == "Seen by ___."
    assert about["build"]["identifiers"]["found"]["name"] == 1
    with pytest.raises(BadInput, match=r"has 16\.4 likely identifiers per 1,000 notes \(name 16\.4\)"):
        build_mimic4(source, tmp_path / "refused", guard=Guard("refuse"))
    assert not (tmp_path / "refused").exists()


# Notes of a task in the corpus

ILLNESS = (
    "This is a 72 year old woman with diabetes and prior stroke who was found down at home by her family after two days "
    "without contact and was brought in by ambulance with confusion and fever to [**2150-3-4**] and a cough since 10 days."
)


def task(folder: Path, texts: dict[str, str]) -> Path:
    with TaskWriter(folder, name="t", kind="binary", classes=["a", "b"], source="tests") as out:
        for number, (split, text) in enumerate(texts.items()):
            out.write(split, [f"n{number}"], [f"p{number}"], [text], [["a"]])
    return folder


def admission(illness: str) -> str:
    return f"CHIEF COMPLAINT: fall\n\nPRESENT ILLNESS: {illness}\n\nMEDICAL HISTORY: none"


def test_a_test_note_is_found_inside_a_longer_note_with_other_placeholders_and_digits(tmp_path):
    tested = task(
        tmp_path / "task", {"train": admission("x " * 20), "valid": admission("y " * 20), "test": admission(ILLNESS)}
    )
    disguised = ILLNESS.replace("[**2150-3-4**]", "___").replace("72", "70").replace("10 days", "9 days")
    lines = textwrap.fill(disguised, 70)
    long = f"Name: ___\n \nHistory of Present Illness:\n{lines}\n \nHospital Course: fine\n" + "a b " * 200
    source = release(tmp_path / "in", [note(1, text=long), note(2, text=ILLNESS[:100])])
    about = build_mimic4(source, tmp_path / "out", against=[tested])
    found = about["build"]["contamination"]
    assert found["splits"]["test"]["notes"] == 1
    assert [(one["note"], one["corpus_note"]) for one in found["found"]] == [("n2", "1-DS-1")]
    assert found["found"][0]["containment"] > 0.9
    assert about["warnings"] == []
    assert "1-DS-1" in notes_of(tmp_path / "out")
    cleaned = build_mimic4(source, tmp_path / "clean", against=[tested], drop_contaminated=True)
    assert set(notes_of(tmp_path / "out")) - set(notes_of(tmp_path / "clean")) == {"1-DS-1"}
    assert cleaned["build"]["funnel"][-1]["dropped"] == 1


def test_without_tasks_to_look_for_the_possibility_is_said(tmp_path):
    (warning,) = build_mimic4(release(tmp_path / "in"), tmp_path / "out")["warnings"]
    assert "may be in this corpus under other ids" in warning


def test_reports_hold_ids_and_no_text(tmp_path):
    tested = task(tmp_path / "task", {split: admission(ILLNESS + split) for split in SPLITS})
    build_mimic4(release(tmp_path / "in", [note(1, text=ILLNESS)]), tmp_path / "out", against=[tested])
    written = (tmp_path / "out" / "corpus.json").read_text()
    assert "diabetes" not in written
    assert json.loads(written)["build"]["contamination"]["found"]


# Bad input


def broken_gz(folder: Path) -> None:
    file = folder / "radiology.csv.gz"
    file.write_bytes(file.read_bytes()[:-20])


REFUSED = {
    "missing file": (lambda f: (f / "radiology.csv.gz").unlink(), "{f} has no radiology.csv or radiology.csv.gz. Copy it there."),
    "missing column": (
        lambda f: release(f, header=[c if c != "text" else "note" for c in COLUMNS]),
        "{f}/discharge.csv.gz has no column TEXT.",
    ),
    "truncated gz": (broken_gz, "{f}/radiology.csv.gz, row 30"),
    "empty": (lambda f: (f / "discharge.csv.gz").write_bytes(gzip.compress(b"")), "{f}/discharge.csv.gz: the file is empty."),
    "no rows": (
        lambda f: (f / "discharge.csv.gz").write_bytes(gzip.compress(",".join(COLUMNS).encode() + b"\n")),
        "{f}/discharge.csv.gz has a header and no row. Copy it again.",
    ),
    "note twice": (
        lambda f: release(f, [note(7), note(7)]),
        "{f}/discharge.csv.gz, line 6: note_id '7-DS-1' occurs a second time. Remove one of its rows.",
    ),
    "no patient": (
        lambda f: release(f, [note(7, subject_id="")]),
        "{f}/discharge.csv.gz, line 2: subject_id is empty. Every note needs one.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_with_file_line_and_cure_and_nothing_is_left(tmp_path, name):
    spoil, message = REFUSED[name]
    source = release(tmp_path / "in")
    spoil(source)
    with pytest.raises(BadInput) as caught:
        build_mimic4(source, tmp_path / "out")
    assert str(caught.value).startswith(message.format(f=source))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["discharges"]}, "Unknown kind of note 'discharges' (--notes). Did you mean 'discharge'?"),
        ({"holdout": "site"}, "Unknown --holdout 'site'. Known: note, patient."),
        ({"drop_contaminated": True}, "--drop-contaminated needs --against TASK: the notes to look for."),
        ({"mode": "reference", "newlines": "keep"}, "--newlines keep belongs to --mode strict"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path, options, message):
    with pytest.raises(BadInput) as caught:
        build_mimic4(release(tmp_path / "in"), tmp_path / "out", **options)
    assert str(caught.value).startswith(message)


def test_an_occupied_folder_is_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(CannotWrite):
        build_mimic4(release(tmp_path / "in"), tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
