"""A linear bottleneck with a LayerNorm behind it: an update of low rank, LoRA's nearest relative among the head adapters.

The study that it is named in (Le et al. 2024, arXiv 2407.19299) describes two linear layers and a norm, and no more. Preset
`le2021` is the block of Hang Le et al. 2021, "Lightweight Adapter Tuning for Multilingual Speech Translation" (arXiv
2106.01463).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clinstack.models.head_adapter import HeadAdapter
from clinstack.models.heads.adapter import start_bottleneck


class Lightweight(HeadAdapter):
    """Y = LayerNorm(X + s * (W_up (W_down X + b_down) + b_up)); begins as LayerNorm(X).

    With norm_first: Y = X + s * (W_up ReLU(W_down LayerNorm(X) + b_down) + b_up); begins as the identity.
    width: H.   size: the bottleneck.   scale: s.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"le2021": {"norm_first": True}}

    def __init__(self, width: int, size: int = 64, *, scale: float = 1.0, norm_first: bool = False):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.scale, self.norm_first = scale, norm_first
        start_bottleneck(self.down, self.up, "zero")

    @classmethod
    def default_size(cls, width: int) -> int:
        """As of the bottleneck adapter."""
        return 64

    @classmethod
    def weights(cls, width: int, size: int) -> int:
        """Two matrices with their biases, and the norm."""
        return 2 * width * size + size + 3 * width

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """See `HeadAdapter`."""
        if self.norm_first:
            return states + self.scale * self.up(torch.relu(self.down(self.norm(states))))  # type: ignore[no-any-return]
        return self.norm(states + self.scale * self.up(self.down(states)))  # type: ignore[no-any-return]
