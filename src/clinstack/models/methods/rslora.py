"""rsLoRA: Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA" (arXiv 2312.03732).

LoRA with the update scaled by alpha / sqrt(rank) instead of alpha / rank, so that its size does not shrink as the rank grows.
"""

import math
from typing import ClassVar

from clinstack.models.low_rank import LowRank


class RankStabilisedLoRA(LowRank):
    """Low-rank updates whose size does not depend on their rank."""

    switch: ClassVar[str | None] = "use_rslora"

    def scale(self) -> float:
        """alpha / sqrt(rank)."""
        return self.alpha / math.sqrt(self.rank)
