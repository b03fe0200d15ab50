"""Prefix tuning: Li & Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation" (arXiv 2101.00190).

Learned keys and values stand before every layer's own. With `projection` a two-layer network as wide as the base makes them
from a table; once trained, only the keys and values are kept. Network and file format are peft's.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from clinstack.models.prompting import Prompting

if TYPE_CHECKING:
    from torch import nn

    from clinstack.models.backbone import Backbone


class Prefix(Prompting):
    """Learned keys and values before every layer's own."""

    peft_type: ClassVar[str] = "PREFIX_TUNING"
    before_layers: ClassVar[bool] = False
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "virtual_tokens": (1, 5, 10, 15, 20),
        "projection": (False, True),
    }

    projection: bool = Field(False, description="Let a network as wide as the base make the keys and values.")

    def network(self, backbone: "Backbone") -> "nn.Module":
        """peft's encoder."""
        from peft import PrefixEncoder

        hidden = {"encoder_hidden_size": backbone.width}
        made: nn.Module = PrefixEncoder(
            self.peft_class()(**self.peft_fields(backbone), **self.peft_options(), **hidden)
        )
        return made

    def row_width(self, backbone: "Backbone") -> int:
        """Keys and values of all layers."""
        from clinstack.models.virtual_tokens import prefix_shape

        layers, heads, width = prefix_shape(backbone.model.config)
        return layers * 2 * heads * width

    def peft_class(self) -> Any:
        """peft's PrefixTuningConfig."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig

    def peft_options(self) -> dict[str, Any]:
        """Whether a network made the rows."""
        return {"prefix_projection": self.projection}

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """Options of rows that have been learned."""
        return cls(virtual_tokens=config["num_virtual_tokens"], projection=config["prefix_projection"])
