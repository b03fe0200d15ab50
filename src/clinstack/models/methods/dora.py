"""DoRA: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv 2402.09353), equation 5.

A weight is a direction times a magnitude per output: the direction gets a LoRA, the magnitude is learned itself. The norm of
W + B A is computed anew in every pass, which costs time that LoRA does not.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from clinstack.models import injection
from clinstack.models.low_rank import LowRank

if TYPE_CHECKING:
    from clinstack.models.backbone import Backbone


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

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """As a LoRA, and with dropout on what B A reads.

        peft 0.21.2 asks whether the layer trains, which no layer of a stack does, and would then read the base's output of
        dropped inputs, without the adapters below.
        """
        super().attach(backbone, adapter, fresh=fresh)
        from peft.tuners.lora import LoraLayer

        for layer in injection.layers(backbone, LoraLayer):
            if adapter in layer.lora_magnitude_vector:
                _drop_first(layer.lora_magnitude_vector[adapter], layer.lora_dropout[adapter])


def _drop_first(normed: Any, dropout: Any) -> None:
    """Puts a dropout before what a layer reads."""
    normed.register_forward_pre_hook(lambda _, read: (dropout(read[0]), *read[1:]))
