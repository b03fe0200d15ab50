import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinstack.data.corpus import CorpusWriter
from clinstack.data.task import TaskWriter, open_task
from clinstack.errors import BadInput, CannotWrite


def writer(folder, **changes):
    about = {
        "name": "beds",
        "kind": "multilabel",
        "classes": ["b", "a"],
        "source": "test",
        "terms": ["none"],
        "seed": 1,
    }
    return TaskWriter(folder, **(about | changes))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_back(tmp_path):
    with writer(tmp_path / "task", extra=["site", "time"]) as task:
        extra = {"time": ["2101-01-01", None], "site": ["north", "south"]}
        task.write("train", ["1", "2"], ["p", "p"], ["first\r\nline", "é"], [["a", "b"], []], extra)
        task.write("test", ["3"], ["q"], ["other"], [["a"]], {"time": [None], "site": [None]})
    task = open_task(tmp_path / "task")
    assert (task.name, task.kind, task.classes) == ("beds", "multilabel", ("b", "a"))
    assert (task.source, task.mode, task.terms, task.seed) == ("test", "table", ("none",), 1)
    assert task.counts == {
        "train": {"notes": 2, "patients": 1, "classes": {"b": 1, "a": 1}},
        "valid": {"notes": 0, "patients": 0, "classes": {"b": 0, "a": 0}},
        "test": {"notes": 1, "patients": 1, "classes": {"b": 0, "a": 1}},
    }
    table = task.read("train")
    assert table.column_names == ["note_id", "patient_id", "text", "time", "site", "labels"]
    assert table.column("text").to_pylist() == ["first\r\nline", "é"]
    assert table.column("time").to_pylist() == ["2101-01-01", None]
    assert names_in(tmp_path / "task") == ["classes.csv", "task.json", "test.parquet", "train.parquet", "valid.parquet"]


def test_label_columns_stand_in_the_order_of_the_classes(tmp_path):
    with writer(tmp_path / "task") as task:
        task.write("train", ["1", "2", "3"], ["p"] * 3, ["x"] * 3, [["a"], [], ["a", "b"]])
    task = open_task(tmp_path / "task")
    np.testing.assert_array_equal(task.label_matrix(task.read("train")), [[0, 1], [0, 0], [1, 1]])
    assert task.label_matrix(task.read("train").slice(2, 1)).tolist() == [[True, True]]
    assert task.label_matrix(task.read("valid")).shape == (0, 2)


def test_the_same_notes_in_another_order_of_classes_are_another_content(tmp_path):
    """Which logit is whose decides what a run means."""
    for name, changes in {
        "one": {},
        "same": {},
        "turned": {"classes": ["a", "b"]},
        "kind": {"kind": "multiclass"},
    }.items():
        with writer(tmp_path / name, **changes) as task:
            task.write("train", ["1", "2"], ["p", "q"], ["x", "y"], [["a"], ["b"]])
    one, same, turned, kind = (open_task(tmp_path / name) for name in ("one", "same", "turned", "kind"))
    assert one.path("train").read_bytes() == turned.path("train").read_bytes()
    assert one.content_hash() == same.content_hash()
    assert len({task.content_hash() for task in (one, turned, kind)}) == 3


def test_labels_that_are_no_class_are_refused_when_read(tmp_path):
    with writer(tmp_path / "task") as task:
        task.write("train", ["1"], ["p"], ["x"], [["a"]])
    task = open_task(tmp_path / "task")
    table = task.read("train").set_column(3, "labels", pa.array([["c"]]))
    with pytest.raises(BadInput) as error:
        task.label_matrix(table)
    assert str(error.value) == (
        f"{tmp_path / 'task'}: labels that are not among the task's classes. Make the folder again."
    )


def test_many_notes_are_written_in_row_groups(tmp_path):
    with writer(tmp_path / "task") as task:
        for start in range(0, 20_000, 1000):
            ids = [str(number) for number in range(start, start + 1000)]
            task.write("train", ids, ids, ["x"] * 1000, [["a"]] * 1000)
    file = pq.ParquetFile(tmp_path / "task" / "train.parquet")
    assert file.num_row_groups == 3
    assert file.read(["note_id"]).column(0).to_pylist() == [str(number) for number in range(20_000)]


WRONG = {
    "label": (["2"], ["q"], ["x"], [["c"]], "Note '2': label 'c' is not one of b, a."),
    "label twice": (["2"], ["q"], ["x"], [["a", "a"]], "Note '2' has a label twice. Name each once."),
    "blank text": (["2"], ["q"], [" \n"], [["a"]], "Note '2' has no text. Remove it, or give it one."),
    "id twice": (["1"], ["q"], ["x"], [["a"]], "Note id '1' occurs twice. Every note needs an id of its own."),
    "patient twice": (
        ["2"],
        ["p"],
        ["x"],
        [["a"]],
        "Patient 'p' is in train and in valid. A patient belongs to one split.",
    ),
    "lengths": (
        ["2", "3"],
        ["q"],
        ["x"],
        [["a"]],
        "Columns of different lengths: note_id 2, patient_id 1, text 1, labels 1.",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_wrong_note_is_named_and_nothing_is_left(tmp_path, case):
    *notes, message = WRONG[case]

    def build():
        with writer(tmp_path / "task") as task:
            task.write("train", ["1"], ["p"], ["x"], [["a"]])
            task.write("valid", *notes)

    with pytest.raises(BadInput) as error:
        build()
    assert str(error.value) == message
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "multi"},
            "Unknown kind of task 'multi'. Did you mean 'multilabel'? Known: binary, multiclass, multilabel.",
        ),
        ({"kind": "binary", "classes": ["a"]}, "A binary task has two classes, not 1: a."),
        (
            {"kind": "multiclass", "classes": ["a"]},
            "A task of one class a note needs two classes or more, not 1: a.",
        ),
        ({"classes": []}, "A multilabel task needs at least one class."),
        ({"classes": ["a", "b", "a"]}, "Class 'a' is named twice. Name each class once."),
    ],
)
def test_classes_that_make_no_task_are_refused(tmp_path, changes, message):
    with pytest.raises(BadInput) as error:
        writer(tmp_path / "task", **changes)
    assert str(error.value) == message


@pytest.mark.parametrize("labels", [[], ["a", "b"]])
def test_a_note_of_a_binary_task_has_one_label(tmp_path, labels):
    with pytest.raises(BadInput) as error, writer(tmp_path / "task", kind="binary") as task:
        task.write("train", ["1"], ["p"], ["x"], [labels])
    assert str(error.value) == f"Note '1' has {len(labels)} labels. A note of a binary task has exactly one."


def test_an_empty_train_split_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(BadInput) as error, writer(tmp_path / "task") as task:
        task.write("test", ["1"], ["p"], ["x"], [["a"]])
    assert str(error.value) == "Task 'beds': the train split is empty."
    assert names_in(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    def build():
        with writer(tmp_path / "task") as task:
            task.write("train", ["1"], ["p"], ["x"], [["a"]])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert names_in(tmp_path) == []


def test_a_label_as_long_as_a_note_is_not_quoted(tmp_path):
    with pytest.raises(BadInput) as error, writer(tmp_path / "task") as task:
        task.write("train", ["1"], ["p"], ["x"], [["Pt admitted with chest pain. " * 9]])
    assert str(error.value) == "Note '1': label of 261 characters is not one of b, a."


def test_an_occupied_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.txt").write_text("keep")
    with pytest.raises(CannotWrite) as error, writer(tmp_path / "task"):
        pass
    assert str(error.value) == (
        f"{tmp_path / 'task'} exists and is not empty. Choose another place, or remove it first."
    )
    assert names_in(tmp_path / "task") == ["mine.txt"]


def test_a_folder_that_is_no_task_says_what_it_is(tmp_path):
    with pytest.raises(BadInput) as error:
        open_task(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is not a task folder: task.json is missing. `clinstack data` makes task folders."
    )
    with CorpusWriter(tmp_path / "corpus", name="c", source="test") as corpus:
        corpus.write("train", ["1"], ["p"], ["x"])
    with pytest.raises(BadInput) as error:
        open_task(tmp_path / "corpus")
    assert str(error.value) == (f"{tmp_path / 'corpus'} is a corpus (notes without labels), and a task is needed here.")


def test_an_edited_or_damaged_task_is_refused(tmp_path):
    with writer(tmp_path / "task") as task:
        task.write("train", ["1"], ["p"], ["x"], [["a"]])
    folder = tmp_path / "task"
    (folder / "test.parquet").write_bytes(b"PAR1 no longer")
    with pytest.raises(BadInput) as error:
        open_task(folder).read("test")
    assert str(error.value) == f"{folder / 'test.parquet'} is missing or damaged. Make its folder again."
    about = json.loads((folder / "task.json").read_text())
    del about["classes"]
    (folder / "task.json").write_text(json.dumps(about))
    with pytest.raises(BadInput) as error:
        open_task(folder)
    assert str(error.value) == (
        f"{folder / 'task.json'} lacks 'classes'. It may have been edited; make the folder again."
    )
