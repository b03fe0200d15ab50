"""`predict`: a table of notes -> a table of probabilities, whole or absent."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from clinstack.config import PredictOptions, TrainOptions
from clinstack.errors import BadInput
from clinstack.evaluation.prediction import predict
from clinstack.models.note_classifier import load
from clinstack.training.classification import train

NOTES = {f"n{i}": text for i, text in enumerate(["stable", 'quoted "text", été\nsecond line', "shock " * 30, "x"])}


@pytest.fixture(scope="module", params=["binary", "multilabel"])
def run(request, tmp_path_factory, small_base: Path, small_task) -> Path:
    out = tmp_path_factory.mktemp("runs") / request.param
    train(
        TrainOptions(
            base=str(small_base),
            task=small_task(request.param),
            out=out,
            epochs=1,
            max_tokens=48,
            resamples=100,
            device="cpu",
        )
    )
    return out


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["note_id", "text"], *NOTES.items()])
    return file


def read(file: Path) -> dict[str, dict[str, float]]:
    """note_id -> class -> probability, whatever the format."""
    if file.suffix == ".jsonl":
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return {line["note_id"]: line["probabilities"] for line in lines}
    if file.suffix == ".parquet":
        rows = parquet.read_table(file).to_pylist()
    else:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    return {row.pop("note_id"): {name: float(value) for name, value in row.items()} for row in rows}


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_every_format_holds_the_same_bits_under_the_notes_own_ids(run, notes, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    classifier = load(run)
    said = predict(PredictOptions(run=run, input=notes, output=output, device="cpu"))
    assert said == {"output": str(output), "notes": 4, "task": classifier.task, "classes": len(classifier.classes)}
    expected = classifier.predict_proba(list(NOTES.values()))
    found = read(output)
    assert list(found) == list(NOTES)
    assert all(tuple(row) == classifier.classes for row in found.values())
    assert np.array_equal(np.array([list(row.values()) for row in found.values()]), expected)


def test_every_kind_of_table_is_read_and_rows_without_ids_are_numbered(run, notes, tmp_path):
    table = pa.table({"text": list(NOTES.values())})
    parquet.write_table(table, tmp_path / "plain.parquet")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in NOTES.values())
    (tmp_path / "plain.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    predict(PredictOptions(run=run, input=notes, output=tmp_path / "expected.csv", device="cpu"))
    expected = list(read(tmp_path / "expected.csv").values())
    for name in ("plain.parquet", "plain.jsonl.gz"):
        predict(PredictOptions(run=run, input=tmp_path / name, output=tmp_path / "found.csv", device="cpu"))
        found = read(tmp_path / "found.csv")
        assert list(found) == [f"plain-{row}" for row in range(1, 5)]
        assert list(found.values()) == expected


def test_notes_beyond_one_chunk_come_out_in_the_order_they_came_in(run, tmp_path):
    ids = [f"n{i}" for i in range(1100)]
    parquet.write_table(
        pa.table({"note_id": ids, "text": [f"day {i % 7}" for i in range(1100)]}), tmp_path / "many.parquet"
    )
    predict(PredictOptions(run=run, input=tmp_path / "many.parquet", output=tmp_path / "out.parquet", device="cpu"))
    found = read(tmp_path / "out.parquet")
    assert list(found) == ids
    by_text: dict[int, list[list[float]]] = {}
    for number, row in enumerate(found.values()):
        by_text.setdefault(number % 7, []).append(list(row.values()))
    for rows in by_text.values():
        np.testing.assert_allclose(rows, [rows[0]] * len(rows), atol=1e-5)


def test_bad_rows_are_told_together_and_nothing_is_written(run, tmp_path):
    file = tmp_path / "notes.jsonl"
    rows = [{"note_id": "a", "text": "one"}, {"note_id": "b", "text": " "}, {"note_id": "a", "text": "two"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BadInput) as caught:
        predict(PredictOptions(run=run, input=file, output=tmp_path / "out.csv", device="cpu"))
    assert str(caught.value) == (
        f"{file}: 2 mistakes.\n  row 2: the text (column 'text') is empty.\n  row 3: the id 'a' is that of row 1 too."
    )
    assert [one.name for one in tmp_path.iterdir()] == ["notes.jsonl"]


def test_an_output_of_no_known_kind_is_refused(run, notes, tmp_path):
    with pytest.raises(BadInput) as caught:
        predict(PredictOptions(run=run, input=notes, output=tmp_path / "out.xlsx", device="cpu"))
    assert str(caught.value) == f"--output {tmp_path / 'out.xlsx'}: the name must end in .csv, .parquet, .jsonl."
