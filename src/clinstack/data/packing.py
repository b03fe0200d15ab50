"""Notes -> token blocks, without padding and without a note seeing its neighbour.

All notes of a split are laid end to end in one stream of token ids, each opened by the tokenizer's start token. A block is
`max_tokens` consecutive inputs of the stream and the same number of targets one place further on, so neighbouring blocks share
one token and every token but the start tokens is predicted exactly once: bits per byte are exact over whole notes, and a note
longer than a block goes on in the next one. `positions` count from each note's (or block's) first token; a model that is told
to restart its attention where they restart sees one note at a time. The stream lies on disk, memory-mapped, keyed by the
tokenizer's hash; building it takes the memory of one batch of notes.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinstack.errors import BadInput
from clinstack.runs.atomic import atomic_folder, write_json

NOT_SCORED = -100
"""The target of a place that predicts nothing: the next token opens another note, or is padding."""

Encode = Callable[[list[str]], tuple[list[list[int]], int]]
"""Texts -> token ids of each, opening with the start token, and the UTF-8 bytes of text that they spell."""


@dataclass(frozen=True)
class TokenStream:
    """The tokens of many notes, end to end.

    tokens:     (N,) unsigned ids, usually memory-mapped.
    starts:     (notes,) index of each note's start token, ascending, the first one 0.
    text_bytes: UTF-8 bytes of the text that the tokens spell.
    """

    tokens: NDArray[np.unsignedinteger]
    starts: NDArray[np.int64]
    text_bytes: int

    @property
    def scored_tokens(self) -> int:
        """How many tokens are predicted: all but the notes' start tokens."""
        return len(self.tokens) - len(self.starts)


@dataclass(frozen=True)
class Block:
    """A batch of blocks: `inputs`, `targets` and `positions`, each (B, T) int64; `filled` (B, T) says where tokens are."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    positions: NDArray[np.int64]
    filled: NDArray[np.bool_]


def count_blocks(stream: TokenStream, max_tokens: int) -> int:
    """How many blocks of `max_tokens` the stream fills; the last one may be partly empty."""
    return max(0, -(-(len(stream.tokens) - 1) // max_tokens))


def take_blocks(stream: TokenStream, numbers: Iterable[int], max_tokens: int) -> Block:
    """The blocks of the given numbers as one batch.

    Empty places (only at the stream's end) hold token 0, are isolated by a restarted position, and are not scored.
    """
    numbers = list(numbers)
    inputs = np.zeros((len(numbers), max_tokens), np.int64)
    targets = np.full((len(numbers), max_tokens), NOT_SCORED, np.int64)
    positions = np.zeros((len(numbers), max_tokens), np.int64)
    filled = np.zeros((len(numbers), max_tokens), bool)
    for row, number in enumerate(numbers):
        first = number * max_tokens
        window = np.asarray(stream.tokens[first : first + max_tokens + 1], np.int64)
        length = len(window) - 1
        opens = np.zeros(length + 1, bool)
        low, high = np.searchsorted(stream.starts, [first, first + length + 1])
        opens[stream.starts[low:high] - first] = True
        places = np.arange(length)
        note_start = np.maximum.accumulate(np.where(opens[:length], places, 0))
        inputs[row, :length] = window[:-1]
        targets[row, :length] = np.where(opens[1:], NOT_SCORED, window[1:])
        positions[row, :length] = places - note_start
        filled[row, :length] = True
    return Block(inputs, targets, positions, filled)


def stream_of(encoded: Iterable[list[int]], text_bytes: int) -> TokenStream:
    """A stream in memory from notes already encoded, each with its start token."""
    notes = [np.asarray(note, np.uint32) for note in encoded]
    lengths = np.array([len(note) for note in notes], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if notes else np.zeros(0, np.int64)
    return TokenStream(np.concatenate(notes) if notes else np.zeros(0, np.uint32), starts, text_bytes)


def open_stream(folder: Path) -> TokenStream | None:
    """The stream stored in `folder`, memory-mapped, or None if it has not been built. Raises BadInput if it is damaged."""
    if not folder.is_dir():
        return None
    try:
        about = json.loads((folder / "stream.json").read_text(encoding="utf-8"))
        tokens: NDArray[np.unsignedinteger] = np.memmap(folder / "tokens.bin", dtype=about["dtype"], mode="r")
        starts: NDArray[np.int64] = np.load(folder / "starts.npy")
        whole = len(tokens) == about["tokens"] and len(starts) == about["notes"]
        text_bytes = int(about["text_bytes"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        whole = False
    if not whole:
        raise BadInput(f"{folder} is damaged: its files are not as they were written. Remove it; it is made again.")
    return TokenStream(tokens, starts, text_bytes)


def build_stream(texts: Iterable[list[str]], encode: Encode, vocabulary: int, folder: Path) -> TokenStream:
    """Tokenises batches of texts into the stream stored in `folder`, and opens it.

    texts:      batches of texts; one batch at a time is in memory.
    encode:     see `Encode`.
    vocabulary: number of ids; decides whether an id takes two bytes or four.
    """
    dtype = np.dtype(np.uint16 if vocabulary <= 2**16 else np.uint32)
    starts: list[int] = []
    total = text_bytes = 0
    with atomic_folder(folder) as partial:
        with (partial / "tokens.bin").open("wb") as out:
            for batch in texts:
                notes, spelled = encode(batch)
                for note in notes:
                    starts.append(total)
                    total += len(note)
                    out.write(np.asarray(note, dtype).tobytes())
                text_bytes += spelled
        if not total:
            raise BadInput(f"Split {folder.name} holds no note, so there is nothing to tokenise.")
        np.save(partial / "starts.npy", np.array(starts, np.int64))
        write_json(
            partial / "stream.json",
            {"dtype": dtype.name, "tokens": total, "notes": len(starts), "text_bytes": text_bytes},
        )
    stream = open_stream(folder)
    assert stream is not None
    return stream
