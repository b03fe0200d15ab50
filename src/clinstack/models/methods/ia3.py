"""(IA)^3: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning"
(arXiv 2205.05638), section 3.3.

Keys, values and the inner activations of the feed-forward layers are multiplied by learned vectors that begin as ones, so that
a fresh adapter changes nothing. Layers and file format are peft's.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from clinstack.errors import BadInput
from clinstack.models import injection
from clinstack.models.method import Method

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone

_PLACES = (
    ("k_proj", "v_proj", "down_proj"),
    ("key", "value", "output.dense"),
    ("c_attn", "mlp.c_proj"),
)
"""What model families call keys, values and, last, the layer behind the inner activations."""


class IA3(Method):
    """Learned scales of keys, values and inner activations."""

    peft_type: ClassVar[str] = "IA3"
    mergeable: ClassVar[bool] = True

    def effect(self) -> dict[str, Any]:
        """Nothing but the weights, whose names tell their places."""
        return {}

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Wraps the scaled layers in place; every scale begins as one."""
        from peft import IA3Config

        targets = injection.names_present(backbone, _PLACES)
        if not targets:
            raise BadInput(f"(IA)^3 knows no layers of base {backbone.name} by name. Choose lora.")
        config = IA3Config(
            target_modules=targets,
            feedforward_modules=targets[-1:],
            task_type=None,
            base_model_name_or_path=backbone.name,
        )
        injection.inject(backbone, adapter, config, "(IA)^3 finds no layers")

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """The scale of every place."""
        return injection.injected(backbone, adapter, ".ia3_l")

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Lets exactly these scales multiply."""
        from peft.tuners.ia3 import IA3Layer

        injection.activate(backbone, IA3Layer, adapters, "ia3_l")

    def merge(self, backbone: "Backbone", adapters: list[str]) -> "dict[str, Tensor]":
        """Multiplies the weights that the scales lie on."""
        from peft.tuners.ia3 import IA3Layer

        return injection.fold(backbone, adapters, IA3Layer)

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Nothing: there is no dropout."""

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """peft's IA3Config."""
        return injection.peft_dict(backbone, adapter)

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """There are no options."""
        return cls()
