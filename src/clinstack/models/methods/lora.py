"""LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).

A frozen weight W gets a trainable low-rank neighbour: W x + (alpha / rank) B A x, with A random and B zero, so that a fresh
adapter changes nothing.
"""

from typing import ClassVar

from clinstack.models.low_rank import LowRank


class LoRA(LowRank):
    """Low-rank updates of a model's linear layers."""

    switch: ClassVar[str | None] = None

    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank
