"""Attention of a very small width over the whole note, added to it.

One head of 64 as beside gMLP (Liu et al. 2021, arXiv 2105.08050); preset `zhao2022` has four heads of width one (Zhao, Tan and
Mei 2022, "Tiny-Attention Adapter", arXiv 2211.01979), which `mean_of_heads` turns into one.
"""

import math
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput
from clinstack.models.dropout import Dropout
from clinstack.models.head_adapter import HeadAdapter


class TinyAttention(HeadAdapter):
    """Y = X + s * (concat(softmax(Q K^T / sqrt(d) + M) V) W_o + b_o), M hiding padding; begins as the identity.

    width: H.   size: of all heads together, D = heads * d.   scale: s.   dropout: of the attention's weights.
    Raises BadInput if the size is no multiple of the heads.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"zhao2022": {"size": 4, "heads": 4}}
    reads_sequence: ClassVar[bool] = True

    def __init__(self, width: int, size: int = 64, *, heads: int = 1, scale: float = 1.0, dropout: float = 0.1):
        super().__init__()
        if size % heads:
            raise BadInput(f"A tiny attention of size {size} cannot be cut into {heads} heads. Choose a multiple.")
        self.heads, self.scale = heads, scale
        self.query, self.key, self.value = (nn.Linear(width, size) for _ in range(3))
        self.output = nn.Linear(size, width)
        self.dropout = Dropout(dropout)
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @classmethod
    def default_size(cls, width: int) -> int:
        """Comparable with the bottlenecks."""
        return 64

    @classmethod
    def weights(cls, width: int, size: int) -> int:
        """Four matrices with their biases."""
        return 4 * width * size + 3 * size + width

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `HeadAdapter`. A row without a real token gives numbers, of no meaning."""
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        # Of all numbers here the scores are the most by far: they are scaled before there are T^2 of them, and masked in place.
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(2, 3)
        # The lowest number and not minus infinity: a row of padding alone would be NaN.
        scores = scores.masked_fill_(mask[:, None, None, :] == 0, torch.finfo(scores.dtype).min)
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ value
        return states + self.scale * self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def mean_of_heads(self) -> Self:
        """One head that stands for all: an approximation, a heads-th of the work.

        Its query, key and value weights are the heads' means (Zhao et al. 2022), its output weights their sum, since the heads'
        answers were summed: equal heads are replaced exactly.
        """
        width, size = self.query.in_features, self.query.out_features // self.heads
        single = type(self)(width, size, scale=self.scale, dropout=self.dropout.p)
        with torch.no_grad():
            for name in ("query", "key", "value"):
                many, one = getattr(self, name), getattr(single, name)
                one.weight.copy_(many.weight.reshape(self.heads, size, width).mean(dim=0))
                one.bias.copy_(many.bias.reshape(self.heads, size).mean(dim=0))
            single.output.weight.copy_(self.output.weight.reshape(width, self.heads, size).sum(dim=1))
            single.output.bias.copy_(self.output.bias)
        return single.train(self.training)
