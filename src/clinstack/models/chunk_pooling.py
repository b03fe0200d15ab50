"""The vectors of a note's chunks -> one vector of the note. A note of one chunk keeps its vector under mean and max."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

ChunkPooling = Literal["mean", "max", "attention"]


class MeanOfChunks(nn.Module):
    """Their mean."""

    def forward(self, chunks: Tensor, note: Tensor, notes: int) -> Tensor:
        """(M, H) of chunks -> (N, H) of notes; note: (M,) whose each chunk is."""
        return _sums(chunks, note, notes) / _sums(torch.ones_like(chunks[:, :1]), note, notes)


class MaxOfChunks(nn.Module):
    """The largest of each of their features."""

    def forward(self, chunks: Tensor, note: Tensor, notes: int) -> Tensor:
        """Shapes as in `MeanOfChunks`."""
        return _largest(chunks, note, notes)


class AttentionOverChunks(nn.Module):
    """A mean with learned weights: Ilse et al. 2018, "Attention-based Deep Multiple Instance Learning" (arXiv 1802.04712),
    equations 7 and 8.

    width: H.   Starts as the mean: the last layer's weights begin as zeros.
    """

    def __init__(self, width: int, hidden: int = 64):
        super().__init__()
        self.inner = nn.Linear(width, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, chunks: Tensor, note: Tensor, notes: int) -> Tensor:
        """Shapes as in `MeanOfChunks`."""
        scores = self.score(torch.tanh(self.inner(chunks)))
        weights = torch.exp(scores - _largest(scores.detach(), note, notes)[note])  # no sum overflows
        return _sums(weights * chunks, note, notes) / _sums(weights, note, notes)


def _sums(rows: Tensor, note: Tensor, notes: int) -> Tensor:
    return rows.new_zeros(notes, rows.shape[1]).index_add(0, note, rows)


def _largest(rows: Tensor, note: Tensor, notes: int) -> Tensor:
    places = note.unsqueeze(1).expand_as(rows)
    # Not include_self=False (torch 2.13): on the way back what lay in the memory before would count as one of the largest.
    lowest = rows.new_full((notes, rows.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, places, rows, "amax")


CHUNK_POOLINGS: dict[ChunkPooling, Callable[[int], nn.Module]] = {
    "mean": lambda width: MeanOfChunks(),
    "max": lambda width: MaxOfChunks(),
    "attention": AttentionOverChunks,
}
"""By name, for a backbone of width H."""
