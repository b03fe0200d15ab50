"""Chunks of tokens -> what the head reads. A reader hides whether hidden states are computed or were kept (`models.features`).

Without gradient a processor reads one chunk at a time: nothing is padded, which is as fast or faster, and a note's bits do not
depend on its neighbours. An accelerator reads batches of similar length, whose rows agree with single ones to rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clinstack.models.backbone import Backbone
from clinstack.models.classifier import Classifier

Chunks = Sequence[list[int]]


class Reader(Protocol):
    """A way from chunks to states."""

    def load(self, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """What `encode` needs of these chunks, padded on the right, and their mask (M, T)."""

    def encode(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states (M, T, H), with gradient where something trains."""

    def pooled(self, chunks: Chunks, head: Classifier, batch_size: int) -> Tensor:
        """A vector per chunk (M, H), without gradient."""


@dataclass(frozen=True)
class WholeReader:
    """Computes every layer every time."""

    backbone: Backbone

    def load(self, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """Tokens and mask (M, T)."""
        return pad(chunks, self.backbone.tokenizer.pad, self.backbone.device)

    def encode(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """The backbone's states of tokens (M, T)."""
        return self.backbone.encode(inputs, mask)

    def pooled(self, chunks: Chunks, head: Classifier, batch_size: int) -> Tensor:
        """See `Reader`."""
        return pool_batches(self, chunks, head, batch_size, self.backbone)


def pool_batches(reader: Reader, chunks: Chunks, head: Classifier, batch_size: int, backbone: Backbone) -> Tensor:
    """What `Reader.pooled` promises, by loading and encoding batches."""
    vectors = torch.empty(len(chunks), backbone.width, device=backbone.device)
    with torch.inference_mode():
        for rows in reading_order(chunks, batch_size, backbone.device):
            inputs, mask = reader.load([chunks[row] for row in rows])
            vectors[torch.tensor(rows, device=backbone.device)] = head.pool(reader.encode(inputs, mask), mask)
    return vectors


def reading_order(chunks: Chunks, batch_size: int, device: torch.device) -> Iterator[list[int]]:
    """Row numbers of batches: single ones on a processor, else of similar length, the longest first."""
    size = 1 if device.type == "cpu" else batch_size
    order = sorted(range(len(chunks)), key=lambda row: (-len(chunks[row]), row))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def pad(chunks: Chunks, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and mask (M, T) of chunks, padded on the right to the longest."""
    longest = max(map(len, chunks))
    tokens = torch.full((len(chunks), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros(len(chunks), longest, dtype=torch.int64)
    for row, chunk in enumerate(chunks):
        tokens[row, : len(chunk)] = torch.tensor(chunk)
        mask[row, : len(chunk)] = 1
    return tokens.to(device), mask.to(device)
