"""How many tokens a corpus, a task or a table of notes comes to, from its size and a sample of its notes."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from clinstack.data.corpus import open_corpus
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import SPLITS, read_batches
from clinstack.data.rows import read_columns, read_rows
from clinstack.data.task import Task
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.tokenizer import NoteTokenizer

_SAMPLE_NOTES = 256


@dataclass(frozen=True)
class Reading:
    """Notes and tokens by part, tokens of a note on average and at most, a few notes, and whether the tokenizer that counted
    is the base's own.
    """

    notes: dict[str, int]
    tokens: dict[str, float]
    note_tokens: float
    longest: int
    sample: list[str]
    known: bool


def read_corpus(folder: Path, backbone: Backbone, max_tokens: int) -> Reading:
    """A corpus in blocks of `max_tokens`: its tokens are its bytes over the bytes a token has in the sample."""
    corpus = open_corpus(folder)
    sample = _first_texts(corpus.path("train"))
    lengths = [len(one) for one in backbone.tokenizer.encode(sample)]
    per_byte = sum(lengths) / sum(len(text.encode()) for text in sample)
    return Reading(
        notes={split: corpus.counts[split]["notes"] for split in SPLITS},
        tokens={split: corpus.counts[split]["bytes"] * per_byte for split in SPLITS},
        note_tokens=float(np.mean(np.minimum(lengths, max_tokens))),
        longest=max_tokens,
        sample=sample,
        known=isinstance(backbone.tokenizer, NoteTokenizer),
    )


def read_task(task: Task, backbone: Backbone, max_tokens: int) -> Reading:
    """A task whose notes are read up to `max_tokens`."""
    notes = {split: task.counts[split]["notes"] for split in SPLITS}
    return _cut(notes, _first_texts(task.path("train")), backbone, max_tokens)


def read_table(file: Path, text: str, backbone: Backbone, max_tokens: int) -> Reading:
    """A table of notes to predict, read up to `max_tokens` each; its one part is "input"."""
    if text not in read_columns(file):
        raise BadInput(f"{file} has no column {text!r}. Say which holds the notes with --text.")
    rows = read_rows(file, Mistakes(file), [text])
    sample = [row.values[text] for row in islice(rows, _SAMPLE_NOTES)]
    if not sample:
        raise BadInput(f"{file} holds no rows.")
    return _cut({"input": len(sample) + sum(1 for _ in rows)}, sample, backbone, max_tokens)


def _cut(notes: dict[str, int], sample: list[str], backbone: Backbone, max_tokens: int) -> Reading:
    lengths = [len(one) for one in backbone.tokenizer.encode(sample, max_tokens)]
    mean = float(np.mean(lengths))
    tokens = {part: count * mean for part, count in notes.items()}
    return Reading(notes, tokens, mean, max(lengths), sample, isinstance(backbone.tokenizer, NoteTokenizer))


def _first_texts(file: Path) -> list[str]:
    batches: Iterable[list[str]] = (one.column("text").to_pylist() for one in read_batches(file, ["text"]))
    return list(islice(chain.from_iterable(batches), _SAMPLE_NOTES))
