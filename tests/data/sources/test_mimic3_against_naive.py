"""The builder against the published rules written down plainly with pandas (`benchmarks/naive_mimic3.py`)."""

from collections.abc import Mapping

import naive_mimic3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mimic3_folder import admission, summary, write_folder

from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic3 import ALL_TASKS, build_mimic3
from clinstack.data.task import open_task

SPLITS = ("train", "valid", "test")


def rows_of(folder, task: str) -> dict[str, list[tuple]]:
    opened = open_task(folder / task)
    names = ("note_id", "patient_id", "text", "labels")
    return {
        split: list(zip(*(opened.read(split)[name].to_pylist() for name in names), strict=True)) for split in SPLITS
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_all_five_tasks_of_a_hospital_are_those_of_the_plain_rules(tmp_path, seed):
    write_hospital(tmp_path / "in", patients=700, unlabelled_patients=1, seed=seed)
    expected = naive_mimic3.build(tmp_path / "in" / "mimic3")
    build_mimic3(tmp_path / "in" / "mimic3", tmp_path / "out")
    for task in ALL_TASKS:
        assert list(open_task(tmp_path / "out" / task).classes) == expected[task]["classes"]
        assert rows_of(tmp_path / "out", task) == expected[task]["splits"]
    assert all(expected["pmv"]["splits"].values())


PIECES = (
    "Chief Complaint:", "History of Present Illness:", "Past Medical History:", "Physical Exam:", "allergies:",
    "Medications on Admission:", "Social History:", "X:", "\n", "\n\n", "\n\n\n", "\r\n", " ", "\t", ",", '"', '""', "'",
    "pt expired", "died", "1. b", "(x):", "é", "\u2028", "\\", "|", "Brief Hospital Course:", "a b c",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=25).map("".join)
NOTE = st.fixed_dictionaries(
    {
        "stay": st.integers(1, 12),
        "text": TEXT,
        "CHARTDATE": st.sampled_from(["2150-01-03", "2150-01-04", ""]),
        "CATEGORY": st.sampled_from(["Discharge summary"] * 5 + ["Nursing"]),
        "DESCRIPTION": st.sampled_from(["Report", "Report", "Addendum"]),
        "ISERROR": st.sampled_from(["", "1"]),
    }
)
WELL = "Chief Complaint:\nfall {n}\n\nHistory of Present Illness:\nfell.\n\nPast Medical History:\nnone\n\nX: y"


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(notes=st.lists(NOTE, max_size=25), crlf=st.booleans(), gz=st.booleans(), shuffled=st.randoms())
def test_any_notes_in_any_csv_give_what_the_plain_rules_give(tmp_path_factory, notes, crlf, gz, shuffled):
    folder = tmp_path_factory.mktemp("any")
    stays = [*range(1, 13), *range(100, 130)]
    rows = [
        summary(note["stay"], note["text"], at, **{key: note[key] for key in note if key not in ("stay", "text")})
        for at, note in enumerate(notes)
    ]
    rows += [summary(stay, WELL.format(n=stay), stay) for stay in range(100, 130)]
    shuffled.shuffle(rows)
    write_folder(
        folder / "in",
        [admission(stay, HOSPITAL_EXPIRE_FLAG=int(stay % 5 == 0), DISCHTIME=f"2150-01-{2 + stay % 20:02} 11:00:00") for stay in stays],
        rows,
        [(stay, code) for stay in stays for code in ("0389", "V4581", f"E88{stay % 7}", "4280", "42821")[: stay % 6]],
        [(stay, code) for stay in stays for code in ("0066", "0331", "3310", "9604")[: stay % 5]],
        gz=gz,
        lineterminator="\r\n" if crlf else "\n",
    )  # fmt: skip
    tasks = ("los", "mor", "diag", "proc")
    expected: Mapping = naive_mimic3.build(folder / "in", tasks=tasks)
    if any(not part for task in tasks for part in expected[task]["splits"].values()):
        return
    build_mimic3(folder / "in", folder / "out", tasks=tasks)
    for task in tasks:
        assert list(open_task(folder / "out" / task).classes) == expected[task]["classes"]
        assert rows_of(folder / "out", task) == expected[task]["splits"]
