"""Full fine-tuning: every weight of the base is trained, or of its uppermost layers. The upper comparison, and no PEFT method.

Its file is as large as what trains and holds the weights under transformers' own names; peft does not know it. The base's own
weights are kept beside, so that the adapter can be switched off: memory holds them twice.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models.method import Method

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone


class Full(Method):
    """Every weight of the base, or of its uppermost layers."""

    peft_type: ClassVar[str] = "CLINSTACK_FULL"
    mergeable: ClassVar[bool] = True
    trains_base: ClassVar[bool] = True

    top_layers: int | None = Field(
        None, ge=1, description="Only the weights of the uppermost so many layers train; all of the base without it."
    )

    def effect(self) -> dict[str, Any]:
        """Nothing but the weights."""
        return {}

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Keeps the base's own weights aside; what is trained starts as them."""
        from clinstack.models.backbone import Replaced

        if backbone.replaced:
            raise BadInput(
                "A stack can replace the base's weights once: a full adapter goes neither with another one nor with one that "
                "is merged. Use lora for the other, or leave it unmerged."
            )
        trained = self.parameters(backbone, adapter)
        backbone.replaced[adapter] = Replaced({name: weight.detach().clone() for name, weight in trained.items()})

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """What trains, by transformers' names. A norm behind the uppermost layer is none of its weights."""
        if self.top_layers is None:
            return dict(backbone.own)
        from clinstack.models.split import path_of_layers, uppermost

        layers = backbone.model.base_model.get_submodule(path_of_layers(backbone))
        top = {id(weight) for number in uppermost(backbone, self.top_layers) for weight in layers[number].parameters()}
        return {name: weight for name, weight in backbone.own.items() if id(weight) in top}

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Nothing: the stack exchanges replaced weights."""

    def merge(self, backbone: "Backbone", adapters: list[str]) -> "dict[str, Tensor]":
        """The weights are the base's already, and there is one such adapter at most."""
        (adapter,) = adapters
        return backbone.replaced.pop(adapter).aside

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """The base computes as in use, without its dropout, like the base below every other adapter; but for one of ours."""
        if backbone.made_here:
            backbone.model.train(training)

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """Says that the weights replace the base's."""
        own = {"peft_type": self.peft_type, "base_model_name_or_path": backbone.name, "task_type": None}
        return own if self.top_layers is None else {**own, "top_layers": self.top_layers}

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """How many layers."""
        return cls(top_layers=config.get("top_layers"))
