"""DoRA: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv 2402.09353), equation 5.

A weight is a direction times a magnitude per output: the direction gets a LoRA, the magnitude is learned itself. The norm of
W + B A is computed anew in every pass, which costs time that LoRA does not.
"""

from typing import Any, ClassVar

from clinstack.models.low_rank import LowRank


class DoRA(LowRank):
    """Low-rank updates of the directions of weights, and their magnitudes."""

    switch: ClassVar[str | None] = "use_dora"
    additive: ClassVar[bool] = False

    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    def effect(self) -> dict[str, Any]:
        """The scale, and that directions are normed."""
        return {"scale": self.scale(), "normed": True}
