"""The page docs/your-own-notes.md: its data commands run on an export as it describes, and print what it shows.

The label map is written as it stands there; the export is made up, with the page's header.
"""

import csv
import json
import random
import re
import shlex
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest

from clinstack import cli

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-notes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HEADER = ["MRN", "Encounter", "Charted", "Unit", "Disposition", "Note"]
SURVIVED = ["Home"] * 6 + ["HOME"] * 4 + ["Home Health Care"] * 2 + ["Left AMA", ""]
WORDS = {True: ["intubated", "pressors", "lactate"], False: ["stable", "ambulating", "afebrile"]}


def write_export(folder: Path) -> None:
    """800 encounters of 500 patients over two years, in two files; one patient in five dies, at the last of them."""
    chance = random.Random(7)
    pick = lambda of: of[int(chance.random() * len(of))]  # noqa: E731
    start = datetime(2021, 1, 1)
    stays = sorted((int(chance.random() * 730 * 1440), int(chance.random() * 500)) for _ in range(800))
    last = {patient: minute for minute, patient in stays}
    rows: dict[int, list[list[str]]] = {2021: [], 2022: []}
    for number, (minute, patient) in enumerate(stays, start=1):
        charted = start + timedelta(minutes=minute)
        died = last[patient] == minute and patient % 5 == 0
        words = [pick(WORDS[died or chance.random() < 0.2]) for _ in range(6)]
        note = f'Chief complaint: "{words[0]}", since Monday\n{" ".join(words[1:])}.'
        outcome = pick(["Expired", "EXPIRED"]) if died else pick(SURVIVED)
        fields = [f"P{patient:03}", f"E{number:05}", charted.strftime("%m/%d/%Y %I:%M %p")]
        rows[charted.year].append([*fields, pick(["North", "South", "Harbour"]), outcome, note])
    for year, of_year in rows.items():
        with (folder / f"export_{year}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *of_year])


def blocks_with(kind: str, start: str) -> list[str]:
    return [text for name, text in BLOCKS if name == kind and text.startswith(start)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder in which the page's data commands have run, and what each of them said."""
    folder, said = tmp_path_factory.mktemp("own-notes"), {}
    write_export(folder)
    (shown,) = blocks_with("csv", "MRN")
    assert next(csv.reader(shown.splitlines())) == HEADER
    (label_map,) = blocks_with("csv", "label")
    (folder / "dispositions.csv").write_text(label_map, encoding="utf-8")
    for command in re.findall(r"^clinstack (data .*)$", PAGE, re.MULTILINE):
        out, err = StringIO(), StringIO()
        with chdir(folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            cli.main(shlex.split(command))
        assert end.value.code == 0, err.getvalue()
        said[f"clinstack {command}\n"] = err.getvalue() + out.getvalue()
    return folder, said


def test_the_data_commands_of_the_page_print_what_it_shows(walked):
    _, said = walked
    assert len(said) == 4
    shown = {
        command: printed
        for (_, command), (kind, printed) in pairwise(BLOCKS)
        if command in said and not kind and not printed.startswith("clinstack")
    }
    assert len(shown) == 1
    for command, printed in shown.items():
        assert said[command] == printed


def test_what_the_page_says_of_splits_is_so(walked):
    """No patient of the tasks' test splits is in the corpus's train split, as the page promises."""
    from clinstack.data.corpus import open_corpus
    from clinstack.data.task import open_task

    folder, _ = walked
    learned = set(open_corpus(folder / "corpus").read("train")["patient_id"].to_pylist())
    task = open_task(folder / "tasks" / "death")
    assert learned
    assert not learned & set(task.read("test")["patient_id"].to_pylist())
    harbour = open_task(folder / "tasks" / "death-harbour")
    assert set(harbour.read("test")["site"].to_pylist()) == {"Harbour"}
    assert "Harbour" not in harbour.read("train")["site"].to_pylist()
    about = json.loads((folder / "tasks" / "death" / "task.json").read_text(encoding="utf-8"))
    assert list(about["build"]) == ["split", "label_map", "identifiers", "dropped"]


def test_the_page_is_short():
    assert len(PAGE.splitlines()) < 120
