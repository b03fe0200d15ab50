"""A table of notes -> a table of probabilities, note by note, in constant memory."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from clinstack.config import PredictOptions
from clinstack.data.columns import Columns, check_columns, understand
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.data.rows import read_columns, read_rows
from clinstack.errors import BadInput
from clinstack.models.text_classifier import TextClassifier
from clinstack.runs.atomic import atomic_file

_ROWS = 1024

Write = Callable[[list[str], NDArray[np.float64]], None]


class Predicts(Protocol):
    """What probabilities come from: a run that was loaded, or a server."""

    @property
    def task(self) -> str:
        """The task's name."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the probabilities."""

    def predict_notes(self, notes: Sequence[tuple[str, str]], batch_size: int = 32) -> NDArray[np.float64]:
        """Probabilities (N, C) of notes (id and text); a server keeps ids, for outcomes that are posted back later."""


@dataclass(frozen=True)
class _OfRun:
    """A run that was loaded, which has no use for ids."""

    classifier: TextClassifier

    @property
    def task(self) -> str:
        return self.classifier.task

    @property
    def classes(self) -> tuple[str, ...]:
        return self.classifier.classes

    def predict_notes(self, notes: Sequence[tuple[str, str]], batch_size: int = 32) -> NDArray[np.float64]:
        return self.classifier.predict_proba([text for _, text in notes], batch_size)


def predict(options: PredictOptions, find: Callable[[], Predicts] | None = None) -> dict[str, Any]:
    """Writes `note_id` and one probability per class for every note of a file; returns where and how many.

    find: gives what predicts, once the file was found good; the run of the options without it.
    The output is CSV or Parquet (a column per class), or JSON lines ({"note_id", "task", "probabilities": {class: p}}).
    Raises BadInput if the input or output cannot be used; nothing is written then.
    """
    if options.output.suffix not in _WRITERS:
        raise BadInput(f"--output {options.output}: the name must end in {', '.join(_WRITERS)}.")
    has_ids = options.id in read_columns(options.input)
    columns = Columns(text=options.text, note_id=options.id if has_ids else None)
    check_columns(options.input, columns)
    _check_rows(options.input, columns)
    classifier = find() if find else _of_run(options)
    written = 0
    with atomic_file(options.output) as partial, _WRITERS[options.output.suffix](partial, classifier) as write:
        for rows in _chunks(read_rows(options.input, Mistakes(options.input), list(columns.named().values()))):
            notes = [understand(row, options.input, columns)[0] for row in rows]
            likely = classifier.predict_notes([(note.note_id, note.text) for note in notes], options.batch_size)
            write([note.note_id for note in notes], likely)
            written += len(notes)
    return {
        "output": str(options.output),
        "notes": written,
        "task": classifier.task,
        "classes": len(classifier.classes),
    }


def _of_run(options: PredictOptions) -> Predicts:
    if options.run is None:
        raise BadInput("There is nothing to predict with. Give a run folder, or a server with --server.")
    from clinstack.models.note_classifier import load  # torch: who asks a server does not wait for it
    from clinstack.training.machine import choose_device

    return _OfRun(load(options.run, options.base, choose_device(options.device)))


def _check_rows(file: Path, columns: Columns) -> None:
    """A first pass that only looks: all mistakes of the file are reported together, before a model is loaded."""
    mistakes = Mistakes(file)
    seen: dict[str, str] = {}
    for row in read_rows(file, mistakes, list(columns.named().values())):
        note, wrong = understand(row, file, columns)
        for sentence in wrong:
            mistakes.add(sentence, row.place)
        if note.note_id in seen:
            mistakes.add(f"the id {shown(note.note_id)} is that of row {seen[note.note_id]} too.", row.place)
        seen.setdefault(note.note_id, row.place)
    mistakes.check()
    if not seen:
        raise BadInput(f"{file} holds no rows.")


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@contextmanager
def _csv(file: Path, classifier: Predicts) -> Iterator[Write]:
    with file.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["note_id", *classifier.classes])

        def write(note_ids: list[str], probabilities: NDArray[np.float64]) -> None:
            lines.writerows(
                [note_id, *map(repr, row)] for note_id, row in zip(note_ids, probabilities.tolist(), strict=True)
            )

        yield write


@contextmanager
def _json_lines(file: Path, classifier: Predicts) -> Iterator[Write]:
    with file.open("w", encoding="utf-8") as out:
        yield lambda note_ids, probabilities: _write_json_lines(out, classifier, note_ids, probabilities)


def _write_json_lines(
    out: IO[str], classifier: Predicts, note_ids: list[str], probabilities: NDArray[np.float64]
) -> None:
    for note_id, row in zip(note_ids, probabilities.tolist(), strict=True):
        answer = {
            "note_id": note_id,
            "task": classifier.task,
            "probabilities": dict(zip(classifier.classes, row, strict=True)),
        }
        out.write(json.dumps(answer, ensure_ascii=False) + "\n")


@contextmanager
def _parquet(file: Path, classifier: Predicts) -> Iterator[Write]:
    schema = pa.schema([("note_id", pa.string()), *((name, pa.float64()) for name in classifier.classes)])
    with parquet.ParquetWriter(file, schema, compression="zstd") as out:
        yield lambda note_ids, probabilities: out.write_table(
            pa.table([pa.array(note_ids), *(pa.array(column) for column in probabilities.T)], schema=schema)
        )


_WRITERS = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines}
