"""Made-up French lines: the shares that were asked for, the same every time, and no bag of words that knows the label."""

import csv
import re
from collections import defaultdict

import numpy as np
import pytest

from clinstack import cli
from clinstack.data.sources.french_lines import LABELS, make_lines


def positives(lines) -> np.ndarray:
    return np.array([line.label == LABELS[1] for line in lines])


def test_the_default_is_as_large_as_the_study():
    lines = list(make_lines())
    assert len(lines) == len({line.note_id for line in lines}) == len({line.text for line in lines}) == 5444
    assert len({line.patient_id for line in lines}) == 1386
    assert positives(lines).mean() == pytest.approx(0.36, abs=0.001)
    assert np.mean([len(line.text.split()) for line in lines]) == pytest.approx(106, rel=0.1)


def test_arguments_decide_every_byte():
    assert list(make_lines(50, 20, seed=3)) == list(make_lines(50, 20, seed=3))
    assert list(make_lines(50, 20, seed=3)) != list(make_lines(50, 20, seed=4))


def test_noise_turns_labels_round_and_leaves_the_text():
    clean, noisy = list(make_lines(3000, 900)), list(make_lines(3000, 900, noise=0.2))
    assert [line.text for line in clean] == [line.text for line in noisy]
    assert (positives(clean) != positives(noisy)).mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("positive", [0.0, 0.1, 0.9, 1.0])
def test_balance_is_as_asked(positive):
    assert positives(make_lines(500, 200, positive=positive)).mean() == pytest.approx(positive, abs=0.005)


def test_signs_are_named_in_both_classes():
    named = defaultdict(list)
    for line in make_lines(2000, 600):
        named[line.label].append(bool(re.search("défaillance|insuffisance|dysfonction|galop|stase", line.text, re.I)))
    assert all(np.mean(found) > 0.3 for found in named.values())


def test_a_childs_lines_begin_alike():
    openings = defaultdict(set)
    for line in make_lines(300, 60):
        openings[line.patient_id].add(line.text.split(".")[0])
    assert all(len(found) == 1 for found in openings.values())


def test_the_command_writes_a_table_for_data_table(tmp_path, capsys):
    for words in (
        ["data", "lines", str(tmp_path / "lines.csv"), "--lines", "60", "--patients", "20"],
        [
            *(
                "data",
                "table",
                str(tmp_path / "lines.csv"),
                str(tmp_path / "task"),
                "--text",
                "text",
                "--label",
                "label",
            ),
            *("--patient", "patient_id", "--id", "note_id"),
        ],
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0, capsys.readouterr().err
    with (tmp_path / "lines.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 60
    assert (tmp_path / "task" / "task.json").is_file()


def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "lines", str(tmp_path / "file" / "lines.csv")])
    assert end.value.code == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_file_that_exists_is_kept(tmp_path, capsys):
    (tmp_path / "lines.csv").write_text("mine")
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "lines", str(tmp_path / "lines.csv")])
    assert end.value.code == 2
    assert "lines.csv exists" in capsys.readouterr().err
    assert (tmp_path / "lines.csv").read_text() == "mine"
