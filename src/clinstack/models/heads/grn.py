"""The gated residual network of Lim et al. 2021, "Temporal Fusion Transformers" (arXiv 1912.09363), for each token by itself.

In full width it has about 24 times the weights of a bottleneck adapter of 64: whoever compares the two compares sizes as well.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from clinstack.models.dropout import Dropout
from clinstack.models.head_adapter import HeadAdapter


class GatedResidualNetwork(HeadAdapter):
    """Y = LayerNorm(X + GLU(Drop(W_1 ELU(W_2 X + b_2) + b_1))), GLU(g) = sigmoid(W_4 g + b_4) * (W_5 g + b_5).

    width: H.   size: of what lies inside; H if None.   gate_bias: first value of b_4; far below 0 the gate begins closed.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {"size": 128}, "closed-gate": {"gate_bias": -2.0}}

    def __init__(self, width: int, size: int | None = None, *, gate_bias: float = 0.0, dropout: float = 0.1):
        super().__init__()
        size = size or width
        self.outer, self.inner = nn.Linear(width, size), nn.Linear(size, size)
        self.dropout = Dropout(dropout)
        self.gate, self.value = nn.Linear(size, width), nn.Linear(size, width)
        self.norm = nn.LayerNorm(width)
        for layer in (self.outer, self.inner, self.gate, self.value):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.gate.bias, gate_bias)

    @classmethod
    def default_size(cls, width: int) -> int:
        """The backbone's width, as published."""
        return width

    @classmethod
    def weights(cls, width: int, size: int) -> int:
        """Two layers to the inside, two back, and the norm."""
        return (width * size + size) + (size * size + size) + 2 * (size * width + width) + 2 * width

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `HeadAdapter`."""
        inner = self.dropout(self.inner(elu(self.outer(states))))
        return self.norm(states + torch.sigmoid(self.gate(inner)) * self.value(inner))  # type: ignore[no-any-return]
