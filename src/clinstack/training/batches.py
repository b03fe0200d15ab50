"""The two kinds of training data the loop is given: packed blocks (step 1) and labelled notes (step 2).

Both shuffle by seed and epoch alone, so a resumed run meets the same batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinstack.data.packing import TokenStream, count_blocks, take_blocks
from clinstack.models.note_classifier import Pooled, flat
from clinstack.models.reading import Reader
from clinstack.models.window import Encoded

_WINDOW = 16
"""Batches whose notes are sorted by length together: less padding, while epochs still differ."""


def spread_blocks(count: int, max_tokens: int, limit: int | None) -> NDArray[np.int64]:
    """Numbers of blocks that hold about `limit` tokens, evenly spread over all `count`; all of them if None."""
    wanted = count if limit is None else min(count, max(1, limit // max_tokens))
    return np.unique(np.linspace(0, count - 1, wanted).astype(np.int64))


@dataclass(frozen=True)
class PackedBatch:
    """Blocks as tensors (B, T): inputs, targets, positions, and where tokens are."""

    inputs: Tensor
    targets: Tensor
    positions: Tensor
    filled: Tensor


@dataclass(frozen=True)
class PackedBlocks:
    """A token stream cut into blocks; every block once an epoch.

    ids:   gives every note's id, for messages.   limit: about so many tokens are read, evenly spread; None for all.
    """

    stream: TokenStream
    max_tokens: int
    batch_size: int
    seed: int
    device: torch.device
    ids: Callable[[], Sequence[str]] = field(default=tuple)
    limit: int | None = None

    def order(self, epoch: int) -> list[list[int]]:
        """Block numbers of each batch."""
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.numbers())
        return _batches(shuffled, self.batch_size)

    def numbers(self) -> NDArray[np.int64]:
        """The blocks that are read, in the order of the stream."""
        return spread_blocks(count_blocks(self.stream, self.max_tokens), self.max_tokens, self.limit)

    def load(self, rows: Sequence[int]) -> PackedBatch:
        """The blocks of these numbers."""
        block = take_blocks(self.stream, rows, self.max_tokens)
        arrays = (block.inputs, block.targets, block.positions, block.filled)
        return PackedBatch(*(torch.from_numpy(array).to(self.device) for array in arrays))

    def note_ids(self, rows: Sequence[int]) -> list[str]:
        """The notes that these blocks hold a piece of."""
        ids, found = self.ids(), []
        for row in rows:
            first = row * self.max_tokens
            low = int(np.searchsorted(self.stream.starts, first, side="right")) - 1
            high = int(np.searchsorted(self.stream.starts, first + self.max_tokens))
            found += [ids[number] if ids else str(number) for number in range(low, high)]
        return found


@dataclass(frozen=True)
class NoteBatch:
    """Labelled notes: what the reader loaded of their chunks, their mask (M, T), whose each chunk is (M,), labels (N, C)."""

    inputs: Tensor
    mask: Tensor
    note: Tensor
    labels: Tensor


@dataclass(frozen=True)
class LabelledNotes:
    """Encoded notes with their ids and labels (N, C); every note once an epoch, in batches of similar length."""

    ids: Sequence[str]
    encoded: Encoded
    labels: NDArray[np.bool_]
    batch_size: int
    seed: int
    reader: Reader
    device: torch.device

    def order(self, epoch: int) -> list[list[int]]:
        """Row numbers of each batch."""
        chance = np.random.default_rng([self.seed, epoch])
        shuffled = chance.permutation(len(self.encoded))
        lengths = np.array([sum(map(len, note)) for note in self.encoded])
        window = _WINDOW * self.batch_size
        by_length = [part[np.argsort(lengths[part], kind="stable")] for part in _split(shuffled, window)]
        batches = [batch for part in by_length for batch in _batches(part, self.batch_size)]
        return [batches[i] for i in chance.permutation(len(batches))]

    def load(self, rows: Sequence[int]) -> NoteBatch:
        """The notes of these numbers."""
        chunks, note = flat([self.encoded[row] for row in rows])
        inputs, mask = self.reader.load(chunks)
        labels = torch.from_numpy(self.labels[list(rows)].astype(np.float32)).to(self.device)
        return NoteBatch(inputs, mask, torch.tensor(note, device=self.device), labels)

    def note_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of these notes."""
        return [self.ids[row] for row in rows]


@dataclass(frozen=True)
class PooledBatch:
    """Labelled notes that have been read: labels (N, C) float of 0/1."""

    pooled: Pooled
    labels: Tensor


@dataclass(frozen=True)
class PooledNotes:
    """Notes read once by a stack in which nothing trains: what the head sees never changes, so it is computed once."""

    notes: LabelledNotes
    pooled: Pooled

    def order(self, epoch: int) -> list[list[int]]:
        """The same batches as the notes themselves would come in."""
        return self.notes.order(epoch)

    def load(self, rows: Sequence[int]) -> PooledBatch:
        """The notes of these numbers."""
        chosen = list(rows)
        labels = torch.from_numpy(self.notes.labels[chosen].astype(np.float32)).to(self.notes.device)
        return PooledBatch(self.pooled.take(chosen), labels)

    def note_ids(self, rows: Sequence[int]) -> list[str]:
        """The ids of these notes."""
        return self.notes.note_ids(rows)


def _split(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _batches(rows: NDArray[np.int64], size: int) -> list[list[int]]:
    return [part.tolist() for part in _split(rows, size)]
