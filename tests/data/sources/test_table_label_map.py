"""Label maps: what stands in the files -> the classes of the task."""

import json
from pathlib import Path

import pytest

from clinstack.data.sources.table import build_table
from clinstack.data.task import open_task
from clinstack.errors import BadInput

SPLITS = ("train", "valid", "test")
MAPS = {
    ".csv": 'label,class\nY,dead\n yes ,dead\n1,dead\n"no, he is not",alive\nN,alive\n',
    ".tsv": "class\tlabel\tsince\ndead\tY\t1\ndead\tyes\t1\ndead\t1\t1\nalive\tno, he is not\t1\nalive\tN\t1\n",
    ".json": json.dumps({"Y": "dead", "yes": "dead", "1": "dead", "no, he is not": "alive", "N": " alive "}),
    ".toml": 'Y = "dead"\nyes = "dead"\n1 = "dead"\n"no, he is not" = "alive"\nN = "alive"\n',
}
WRITTEN = ["Y", " N", "yes", "no, he is not", "1.0"] * 4
DEAD = [True, False, True, False, True] * 4


def write_notes(file: Path, labels) -> Path:
    file.write_text("".join(json.dumps({"text": f"note {i}", "label": one}) + "\n" for i, one in enumerate(labels)))
    return file


def write_map(tmp_path, content, name="map.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def build(tmp_path, written, **options):
    notes = write_notes(tmp_path / "notes.jsonl", written)
    return build_table([notes], tmp_path / "out", **({"text": "text", "label": "label"} | options))


def refused(tmp_path, written, **options):
    with pytest.raises(BadInput) as error:
        build(tmp_path, written, **options)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def labels_of(folder):
    """The labels of the notes, by row."""
    task = open_task(folder)
    found = {row["note_id"]: row["labels"] for split in SPLITS for row in task.read(split).to_pylist()}
    return [found.get(f"notes-{number}") for number in range(1, max(int(n.split("-")[1]) for n in found) + 1)]


@pytest.mark.parametrize("extension", MAPS)
def test_every_form_of_a_map_gives_the_same_classes(tmp_path, extension):
    label_map = write_map(tmp_path, MAPS[extension], f"map{extension}")
    about = build(tmp_path, WRITTEN, label_map=label_map)
    assert (about["kind"], about["classes"]) == ("binary", ["alive", "dead"])
    assert labels_of(tmp_path / "out") == [["dead" if dead else "alive"] for dead in DEAD]
    assert about["build"]["label_map"] == {
        "file": f"map{extension}",
        "classes": {"alive": ["no, he is not", "N"], "dead": ["Y", "yes", "1"]},
    }
    assert about["build"]["dropped"]["label_map"] == {"rows": 0, "labels": 0}


def test_given_classes_order_what_a_map_leads_to(tmp_path):
    label_map = write_map(tmp_path, MAPS[".csv"])
    assert build(tmp_path, WRITTEN, label_map=label_map, classes=["dead", "alive"])["classes"] == ["dead", "alive"]


def test_the_empty_label_may_have_a_class(tmp_path):
    label_map = write_map(tmp_path, "label,class\n2020-01-05,dead\n,alive\n")
    build(tmp_path, ["2020-01-05", "", None, "NaN"] * 5, label_map=label_map)
    assert labels_of(tmp_path / "out") == [["dead"], ["alive"], ["alive"], ["alive"]] * 5


@pytest.mark.parametrize("missing", ["", "?,\n"], ids=["absent", "given no class"])
def test_labels_without_a_class_are_named_with_their_rows(tmp_path, missing):
    label_map = write_map(tmp_path, MAPS[".csv"] + missing)
    assert refused(tmp_path, [*WRITTEN, "?", "y", "?", None], label_map=label_map) == (
        f"{tmp_path / 'notes.jsonl'}: 4 mistakes.\n"
        f"  rows 21 and 23: label '?' has no class in {label_map}. Add it, or give --drop-unmapped.\n"
        f"  row 22: label 'y' has no class in {label_map}. Add it, or give --drop-unmapped.\n"
        f"  row 24: label '' has no class in {label_map}. Add it, or give --drop-unmapped."
    )


def test_rows_without_a_class_are_dropped_and_counted_when_asked(tmp_path):
    label_map = write_map(tmp_path, MAPS[".csv"])
    note = "a note that somebody typed into the column of labels, longer than any label"
    labels = ["?", *WRITTEN, "?", None, note]
    about = build(tmp_path, labels, label_map=label_map, drop_unmapped=True)
    assert labels_of(tmp_path / "out") == [None, *(["dead" if dead else "alive"] for dead in DEAD)]
    assert about["build"]["dropped"]["label_map"] == {"rows": 4, "labels": 4}
    assert about["warnings"][0] == (
        "Dropped 4 rows without a class in map.csv; most often '?' 2, '' 1, of 75 characters 1."
    )
    assert sum(about["counts"][split]["patients"] for split in SPLITS) == 20


def test_what_else_is_wrong_with_a_dropped_row_does_not_matter(tmp_path):
    notes = write_notes(tmp_path / "notes.jsonl", WRITTEN)
    notes.write_text(notes.read_text() + '{"text": null, "label": "?"}\n')
    label_map = write_map(tmp_path, MAPS[".csv"])
    about = build_table([notes], tmp_path / "out", text="text", label="label", label_map=label_map, drop_unmapped=True)
    assert about["build"]["dropped"]["label_map"]["rows"] == 1


def test_of_lists_the_labels_without_a_class_are_dropped_and_the_notes_stay(tmp_path):
    label_map = write_map(tmp_path, "label,class\n4280,heart\n42821,heart\n250,sugar\n")
    lists = [["4280", "42821"], ["250.0"], ["250", "V58"], []] * 5
    assert refused(tmp_path, lists, label=None, labels="label", label_map=label_map) == (
        f"{tmp_path / 'notes.jsonl'}: 10 mistakes.\n"
        f"  rows 2, 6, 10, 14 and 18: label '250.0' has no class in {label_map}. Add it, or give --drop-unmapped.\n"
        f"  rows 3, 7, 11, 15 and 19: label 'V58' has no class in {label_map}. Add it, or give --drop-unmapped."
    )
    options = {"label": None, "labels": "label", "label_map": label_map, "drop_unmapped": True}
    about = build(tmp_path, lists, **options)
    assert (about["kind"], about["classes"]) == ("multilabel", ["heart", "sugar"])
    assert labels_of(tmp_path / "out") == [["heart"], [], ["sugar"], []] * 5
    assert about["build"]["dropped"]["label_map"] == {"rows": 0, "labels": 10}
    assert about["warnings"][0] == "Dropped 10 labels without a class in map.csv; most often '250.0' 5, 'V58' 5."


def test_more_labels_than_a_task_may_have_classes_can_be_grouped(tmp_path):
    codes = [str(100_000 + i) for i in range(10_500)]
    content = "label,class\n" + "".join(f"{code},{'even' if i % 2 else 'odd'}\n" for i, code in enumerate(codes))
    about = build(tmp_path, codes, label_map=write_map(tmp_path, content))
    assert about["classes"] == ["even", "odd"]


def test_a_map_that_leaves_no_row_is_refused(tmp_path):
    label_map = write_map(tmp_path, "label,class\na,b\n")
    assert refused(tmp_path, WRITTEN, label_map=label_map, drop_unmapped=True) == (
        "No row is left: none of the 20 labels has a class in the label map."
    )


# Maps that make no sense. Name: (file name, content, what the message says after the path).
def test_a_map_may_say_what_classes_stand_for(tmp_path):
    content = (
        "label,class,title\nY,dead,died in hospital\nyes,dead,\n1,dead,died in hospital\n"
        + '"no, he is not",alive,\nN,alive,\n'
    )
    label_map = write_map(tmp_path, content)
    about = build(tmp_path, WRITTEN, label_map=label_map)
    assert about["titles"] == {"dead": "died in hospital"}
    assert open_task(tmp_path / "out").titles == {"dead": "died in hospital"}


WRONG_MAPS = {
    "two titles": (
        "map.csv",
        "label,class,title\nY,dead,died\nyes,dead,passed away\n",
        ", row 2: class 'dead' is given a second title. Write one, or leave the others empty.",
    ),
    "no header": (
        "map.csv",
        "Y,dead\nN,alive\n",
        " has no column 'label' and no column 'class'. A label map has the columns 'label', as it stands in the files, "
        "and 'class'.",
    ),
    "two classes": (
        "map.csv",
        "label,class\nY,dead\nN,alive\nY ,alive\nN,\n",
        ": 2 mistakes.\n"
        "  row 3: label 'Y' is given two classes, 'dead' and 'alive'.\n"
        "  row 4: label 'N' is given two classes, 'alive' and ''.",
    ),
    "label twice in JSON": (
        "map.json",
        '{"Y": "dead", "Y": "alive"}',
        ": label 'Y' is given two classes, 'dead' and 'alive'.",
    ),
    "list in JSON": (
        "map.json",
        '{"dead": ["Y", "yes"]}',
        ": the class of label 'dead' is no name. Write one class beside each label.",
    ),
    "table in TOML": (
        "map.toml",
        'I.10 = "pressure"',
        ": the class of label 'I' is no name. Write one class beside each label.",
    ),
    "no object": ("map.json", '["dead"]', ' holds no object. Write {"label": "class", ...}.'),
    "broken JSON": ("map.json", "{", " is not valid JSON: "),
    "broken TOML": ("map.toml", "Y = dead", " is not valid TOML: "),
    "not UTF-8": ("map.json", b'{"Y": "\xe9"}', " is not valid JSON: "),
    "no class": ("map.csv", "label,class\nY,\n", " gives no label a class."),
    "quote": (
        "map.csv",
        'label,class\n"Y,dead\n',
        ", row 1: a quote opens in this row and is never closed. Close it, or double it if it belongs to the text.",
    ),
    "extension": ("map.xlsx", "", ": a label map is a .csv, .tsv, .json or .toml file."),
}


@pytest.mark.parametrize("case", WRONG_MAPS)
def test_a_wrong_map_is_refused(tmp_path, case):
    name, content, said = WRONG_MAPS[case]
    file = write_map(tmp_path, content, name)
    message = refused(tmp_path, WRITTEN, label_map=file)
    # After the colon stands what the parser of the format found.
    assert message == f"{file}{said}" or (said.endswith(": ") and message.startswith(f"{file}{said}"))


@pytest.mark.parametrize(("name", "said"), [("no.csv", " does not exist."), ("no.json", " cannot be read")])
def test_a_missing_map_is_named(tmp_path, name, said):
    assert refused(tmp_path, WRITTEN, label_map=tmp_path / name).startswith(f"{tmp_path / name}{said}")


OPTIONS = {
    "drop without map": (
        {"drop_unmapped": True},
        "--drop-unmapped drops labels that --label-map gives no class. Add --label-map.",
    ),
    "map without labels": (
        {"label": None, "label_map": Path("any.csv")},
        "A label map was given, but no column of labels. Add --label or --labels.",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_make_no_sense_are_refused(tmp_path, case):
    options, message = OPTIONS[case]
    assert refused(tmp_path, WRITTEN, **options) == message


def test_a_map_to_classes_that_are_not_given_is_refused(tmp_path):
    file = write_map(tmp_path, MAPS[".csv"])
    message = refused(tmp_path, WRITTEN, label_map=file, classes=["dead", "survived"])
    assert message == f"{file} leads to the class alive, not one of --classes dead, survived."
