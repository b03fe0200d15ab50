"""A bottleneck with a residual around it: down, ReLU, up.

Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (arXiv 1902.00751) put two into every layer; Chen et al.
2022, "AdaptFormer" (arXiv 2205.13535) scale the branch. Here one stands behind the last layer (Le et al. 2024, arXiv
2407.19299).
"""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from clinstack.models.activations import ACTIVATIONS, Activation
from clinstack.models.dropout import Dropout
from clinstack.models.head_adapter import HeadAdapter


class BottleneckAdapter(HeadAdapter):
    """Y = X + s * (W_up Drop(act(W_down X' + b_down)) + b_up), where X' is X or LayerNorm(X). Begins as the identity.

    width: H.   size: the bottleneck.   scale: s.   learned_scale: s is trained.   norm: X' is normed.
    start: `zero`: W_up of zeros, W_down uniform; `small`: both normal of standard deviation 0.001, cut off at twice that.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "houlsby": {"activation": "gelu", "start": "small"},
        "adaptformer": {"norm": True, "learned_scale": True},
    }

    def __init__(
        self,
        width: int,
        size: int = 64,
        *,
        activation: Activation = "relu",
        scale: float = 1.0,
        learned_scale: bool = False,
        norm: bool = False,
        start: Literal["zero", "small"] = "zero",
        dropout: float = 0.1,
    ):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        self.scale: nn.Parameter | float = nn.Parameter(torch.tensor([scale])) if learned_scale else scale
        start_bottleneck(self.down, self.up, start)

    @classmethod
    def default_size(cls, width: int) -> int:
        """The common bottleneck."""
        return 64

    @classmethod
    def weights(cls, width: int, size: int) -> int:
        """Two matrices with their biases."""
        return 2 * width * size + size + width

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `HeadAdapter`."""
        inner = self.dropout(self.activation(self.down(self.norm(states))))
        return states + self.scale * self.up(inner)  # type: ignore[no-any-return]


def start_bottleneck(down: nn.Linear, up: nn.Linear, start: Literal["zero", "small"]) -> None:
    """Sets the first weights of a bottleneck, see `BottleneckAdapter`; biases are zero."""
    if start == "zero":
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        nn.init.zeros_(up.weight)
    else:
        for matrix in (down.weight, up.weight):
            nn.init.trunc_normal_(matrix, std=1e-3, a=-2e-3, b=2e-3)
    nn.init.zeros_(down.bias)
    nn.init.zeros_(up.bias)
