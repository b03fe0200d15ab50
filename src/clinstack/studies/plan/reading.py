"""How many tokens a corpus, a task or a table of notes comes to, from its size and a sample of its notes."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from clinstack.data.corpus import open_corpus
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import SPLITS, sample_texts
from clinstack.data.rows import read_columns, read_rows
from clinstack.data.task import Task
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.note_classifier import flat
from clinstack.models.tokenizer import NoteTokenizer
from clinstack.models.window import Window

_SAMPLE_NOTES = 256


@dataclass(frozen=True)
class Reading:
    """Notes and tokens by part, tokens of a chunk on average, chunks of a note on average, tokens of the longest chunk, a few
    notes, and whether the tokenizer that counted is the base's own.
    """

    notes: dict[str, int]
    tokens: dict[str, float]
    note_tokens: float
    chunks: float
    longest: int
    sample: list[str]
    known: bool


def read_corpus(folder: Path, backbone: Backbone, max_tokens: int) -> Reading:
    """A corpus in blocks of `max_tokens`: its tokens are its bytes over the bytes a token has in the sample."""
    corpus = open_corpus(folder)
    sample = sample_texts(corpus.path("train"), _SAMPLE_NOTES)
    lengths = [len(one) for one in backbone.tokenizer.encode(sample)]
    per_byte = sum(lengths) / sum(len(text.encode()) for text in sample)
    return Reading(
        notes={split: corpus.counts[split]["notes"] for split in SPLITS},
        tokens={split: corpus.counts[split]["bytes"] * per_byte for split in SPLITS},
        note_tokens=float(np.mean(np.minimum(lengths, max_tokens))),
        chunks=1.0,
        longest=max_tokens,
        sample=sample,
        known=isinstance(backbone.tokenizer, NoteTokenizer),
    )


def read_task(task: Task, backbone: Backbone, window: Window) -> Reading:
    """A task whose notes are read through a window."""
    notes = {split: task.counts[split]["notes"] for split in SPLITS}
    return _cut(notes, sample_texts(task.path("train"), _SAMPLE_NOTES), backbone, window)


def read_table(file: Path, text: str, backbone: Backbone, window: Window) -> Reading:
    """A table of notes to predict; its one part is "input"."""
    if text not in read_columns(file):
        raise BadInput(f"{file} has no column {text!r}. Say which holds the notes with --text.")
    rows = read_rows(file, Mistakes(file), [text])
    sample = [row.values[text] for row in islice(rows, _SAMPLE_NOTES)]
    if not sample:
        raise BadInput(f"{file} holds no rows.")
    return _cut({"input": len(sample) + sum(1 for _ in rows)}, sample, backbone, window)


def _cut(notes: dict[str, int], sample: list[str], backbone: Backbone, window: Window) -> Reading:
    chunks, _ = flat(window.read(backbone.tokenizer, sample))
    lengths = [len(chunk) for chunk in chunks]
    per_note = len(chunks) / len(sample)
    tokens = {part: count * per_note * float(np.mean(lengths)) for part, count in notes.items()}
    known = isinstance(backbone.tokenizer, NoteTokenizer)
    return Reading(notes, tokens, float(np.mean(lengths)), per_note, max(lengths), sample, known)
