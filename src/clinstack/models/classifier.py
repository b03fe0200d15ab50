"""The head: pooling of tokens and of chunks, and a linear classifier, kept in float32 whatever the backbone computes in.

A run owns its head and saves it beside the adapters, so that a saved run always predicts. (Classes of transformers and peft
that bundle a head read a padding position with some methods and forget to save it with others.)
"""

import torch
from torch import Tensor, nn

from clinstack.models.chunk_pooling import CHUNK_POOLINGS, ChunkPooling
from clinstack.models.pooling import Pooling, pool


class Classifier(nn.Module):
    """Token states (M, T, H) and mask (M, T) of chunks -> logits (N, C) of notes.

    width:   H of the backbone.
    classes: C; a binary task has two.
    independent: each class is a yes or no of its own (multilabel), not one of C.
    Initialised like the published setting's linear layer: normal weights of standard deviation 0.02, zero bias.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        pooling: Pooling = "last",
        chunk_pooling: ChunkPooling = "mean",
        *,
        independent: bool = False,
    ):
        super().__init__()
        self.independent = independent
        self.pooling: Pooling = pooling
        self.chunk_pooling: ChunkPooling = chunk_pooling
        self.chunks = CHUNK_POOLINGS[chunk_pooling](width)
        self.linear = nn.Linear(width, classes)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def expect(self, frequencies: Tensor) -> None:
        """Sets the biases so that untrained logits already say how frequent each class is.

        frequencies: (C,) in 0-1, of the training part (as weighted in the loss).
        Otherwise the first hundreds of steps go into learning that rare labels are rare, and drag the weights along.
        Source: Lin et al. 2017 (arXiv 1708.02002), section 4.1, "initialization" with a prior.
        """
        likely = frequencies.clamp(1e-4, 1 - 1e-4)
        with torch.no_grad():
            self.linear.bias.copy_(torch.logit(likely) if self.independent else likely.log())

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """One float32 vector (M, H) per chunk."""
        return pool(hidden, mask, self.pooling).float()

    def forward(self, pooled: Tensor, note: Tensor, notes: int) -> Tensor:
        """Logits (N, C) of notes from pooled chunks (M, H), outside of any autocast; note: (M,) whose each chunk is."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.linear(self.chunks(pooled, note, notes))  # type: ignore[no-any-return]
