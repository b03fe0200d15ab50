import json

import pytest

from clinstack.data.corpus import CorpusWriter, open_corpus
from clinstack.data.notes import read_batches
from clinstack.data.task import TaskWriter
from clinstack.errors import BadInput


def test_what_is_written_is_read_back(tmp_path):
    with CorpusWriter(tmp_path / "c", name="c", source="test", mode="m", terms=["t"], extra=["category"]) as corpus:
        corpus.write("train", ["1", "2"], ["p", "p"], ["é", "two"], {"category": ["Nursing", None]})
        corpus.write("valid", ["3"], ["q"], ["three"], {"category": [None]})
    corpus = open_corpus(tmp_path / "c")
    assert (corpus.name, corpus.source, corpus.mode, corpus.terms, corpus.seed) == ("c", "test", "m", ("t",), None)
    assert corpus.counts == {
        "train": {"notes": 2, "patients": 1, "bytes": 5},
        "valid": {"notes": 1, "patients": 1, "bytes": 5},
        "test": {"notes": 0, "patients": 0, "bytes": 0},
    }
    assert corpus.read("train").to_pylist() == [
        {"note_id": "1", "patient_id": "p", "text": "é", "category": "Nursing"},
        {"note_id": "2", "patient_id": "p", "text": "two", "category": None},
    ]
    batches = list(read_batches(corpus.path("train"), ["text"], rows=1))
    assert [batch.to_pydict() for batch in batches] == [{"text": ["é"]}, {"text": ["two"]}]


def test_an_error_leaves_nothing(tmp_path):
    def build():
        with CorpusWriter(tmp_path / "c", name="c", source="test") as corpus:
            corpus.write("train", ["1"], ["p"], ["x"])
            corpus.write("dev", ["2"], ["q"], ["x"])

    with pytest.raises(BadInput) as error:
        build()
    assert str(error.value) == "Unknown split 'dev'. Known: train, valid, test."
    assert list(tmp_path.iterdir()) == []


def test_an_empty_train_split_is_refused(tmp_path):
    with pytest.raises(BadInput) as error, CorpusWriter(tmp_path / "c", name="c", source="test"):
        pass
    assert str(error.value) == "Corpus 'c': the train split is empty."
    assert list(tmp_path.iterdir()) == []


def test_columns_that_notes_do_not_have_are_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(BadInput) as error, CorpusWriter(tmp_path / "c", name="c", source="test", extra=["ward"]):
        pass
    assert str(error.value) == "A note has no column ward. Optional columns: time, category, site, subject_id, hadm_id."
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_corpus_says_what_it_is(tmp_path):
    with pytest.raises(BadInput) as error:
        open_corpus(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is not a corpus folder: corpus.json is missing. `clinstack data` makes corpus folders."
    )
    with TaskWriter(tmp_path / "t", name="t", kind="multilabel", classes=["a"], source="test") as task:
        task.write("train", ["1"], ["p"], ["x"], [["a"]])
    with pytest.raises(BadInput) as error:
        open_corpus(tmp_path / "t")
    assert str(error.value) == f"{tmp_path / 't'} is a task (labelled notes), and a corpus is needed here."


def test_an_edited_corpus_is_refused(tmp_path):
    with CorpusWriter(tmp_path / "c", name="c", source="test") as corpus:
        corpus.write("train", ["1"], ["p"], ["x"])
    file = tmp_path / "c" / "corpus.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in about.items() if key != "counts"}))
    with pytest.raises(BadInput) as error:
        open_corpus(tmp_path / "c")
    assert str(error.value) == f"{file} lacks 'counts'. It may have been edited; make the folder again."
