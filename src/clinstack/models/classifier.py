"""The head: pooling and a linear classifier, kept in float32 whatever the backbone computes in.

A run owns its head and saves it beside the adapters, so that a saved run always predicts. (Classes of transformers and peft
that bundle a head read a padding position with some methods and forget to save it with others.)
"""

import torch
from torch import Tensor, nn

from clinstack.models.pooling import Pooling, pool


class Classifier(nn.Module):
    """Token states (B, T, H) and mask (B, T) -> logits (B, C).

    width:   H of the backbone.
    classes: C; a binary task has two.
    Initialised like the published setting's linear layer: normal weights of standard deviation 0.02, zero bias.
    """

    def __init__(self, width: int, classes: int, pooling: Pooling = "last"):
        super().__init__()
        self.pooling: Pooling = pooling
        self.linear = nn.Linear(width, classes)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """One float32 vector (B, H) per note."""
        return pool(hidden, mask, self.pooling).float()

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits (B, C) of pooled states (B, H), outside of any autocast."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.linear(pooled)  # type: ignore[no-any-return]
