import pytest

from clinstack.data.corpus import CorpusWriter
from clinstack.data.describe import describe, describe_text
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput


@pytest.fixture
def task(tmp_path):
    with TaskWriter(tmp_path / "t", name="t", kind="multilabel", classes=["[a]", "b", "c"], source="s") as task:
        ids = ["1", "2", "3"]
        task.write(
            "train", ids, ["p", "p", "q"], ["One two three", "é  x", "one TWO\nthree "], [["b"], [], ["[a]", "b"]]
        )
        task.write("test", ["4", "5"], ["r", "r"], ["one two three", "new words"], [["[a]"], ["b"]])
    return tmp_path / "t"


def test_sizes_lengths_balance_and_repeats_are_counted(task):
    assert describe(task) == {
        "folder": str(task),
        "name": "t",
        "what": "task",
        "kind": "multilabel",
        "classes": 3,
        "source": "s",
        "mode": "table",
        "terms": [],
        "funnel": [],
        "length_unit": "words",
        "splits": {
            "train": {
                "notes": 3,
                "patients": 2,
                "bytes": 32,
                "characters": 31,
                "lengths": {"mean": 8 / 3, "median": 3.0, "p95": 3.0, "max": 3},
                "labels": {
                    "most": [
                        {"class": "b", "notes": 2, "share": 2 / 3},
                        {"class": "[a]", "notes": 1, "share": 1 / 3},
                        {"class": "c", "notes": 0, "share": 0.0},
                    ],
                    "classes_without_notes": 1,
                    "unlabelled": 1,
                },
            },
            "valid": {
                "notes": 0,
                "patients": 0,
                "bytes": 0,
                "characters": 0,
                "lengths": {"mean": None, "median": None, "p95": None, "max": None},
                "labels": {
                    "most": [{"class": name, "notes": 0, "share": 0.0} for name in ("b", "[a]", "c")],
                    "classes_without_notes": 3,
                    "unlabelled": 0,
                },
            },
            "test": {
                "notes": 2,
                "patients": 1,
                "bytes": 22,
                "characters": 22,
                "lengths": {"mean": 2.5, "median": 2.5, "p95": 2.95, "max": 3},
                "labels": {
                    "most": [
                        {"class": "b", "notes": 1, "share": 0.5},
                        {"class": "[a]", "notes": 1, "share": 0.5},
                        {"class": "c", "notes": 0, "share": 0.0},
                    ],
                    "classes_without_notes": 1,
                    "unlabelled": 0,
                },
            },
        },
        "duplicates": {
            "within": [{"split": "train", "also_in": "train", "notes": 1, "first": [["3", "1"]]}],
            "across": [{"split": "test", "also_in": "train", "notes": 1, "first": [["4", "1"]]}],
        },
    }


def test_the_text_for_people_names_classes_as_they_are_and_no_note(task):
    shown = describe_text(describe(task))
    assert shown.startswith("t: task, multilabel, 3 classes\n")
    assert "[a]" in shown
    assert shown.endswith("Repeated texts: 1 of train repeat a text of train; 1 of test repeat a text of train.\n")
    assert "two" not in shown


def test_a_corpus_has_no_labels(tmp_path):
    with CorpusWriter(tmp_path / "c", name="c", source="s") as corpus:
        corpus.write("train", ["1"], ["p"], ["some words"])
    summary = describe(tmp_path / "c")
    assert "labels" not in summary["splits"]["train"]
    assert summary["duplicates"] == {"within": [], "across": []}
    assert describe_text(summary).startswith("c: corpus\n")


def test_lengths_are_in_tokens_of_a_given_tokenizer(task, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words.enable_truncation(2)
    words.save(str(tmp_path / "tokenizer.json"))
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        summary = describe(task, place)
        assert summary["length_unit"] == "tokens"
        assert summary["splits"]["train"]["lengths"]["max"] == len("one TWO\nthree ")


def test_what_cannot_be_described_is_refused(task, tmp_path):
    with pytest.raises(BadInput) as error:
        describe(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is neither a task nor a corpus folder: it has no task.json and no corpus.json."
    )
    with pytest.raises(BadInput) as error:
        describe(task, tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'tokenizer.json'} does not exist. "
        "Name a folder with a tokenizer.json, or leave the tokenizer out."
    )
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput) as error:
        describe(task, tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'tokenizer.json'} cannot be read as a tokenizer (")
