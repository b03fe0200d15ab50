"""What prompt tuning, P-tuning and prefix tuning share: rows learned for virtual tokens that stand before every note.

While an adapter is fresh a small network of peft's may make the rows; peft's files keep the rows alone, so a loaded adapter is
a plain table, which can be trained on. The forward pass is `virtual_tokens`, not peft's wrapper: notes are packed, the head is
ours, and other adapters may lie in the same model.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models.method import Method

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone

SAVED = "prompt_embeddings"
"""The name of the rows in peft's files."""


class Prompting(Method):
    """A method that puts virtual tokens before every note."""

    decoders_only: ClassVar[bool] = True
    every_token: ClassVar[bool] = False
    before_layers: ClassVar[bool]
    """Whether rows are embeddings at the bottom (True), or keys and values at every layer (False)."""

    virtual_tokens: int = Field(20, ge=1, description="Virtual tokens before every note.")

    @abstractmethod
    def network(self, backbone: "Backbone") -> "nn.Module":
        """Fresh from peft: indices (1, V) -> rows (1, V, W)."""

    @abstractmethod
    def row_width(self, backbone: "Backbone") -> int:
        """Numbers in a row: W."""

    def effect(self) -> dict[str, Any]:
        """Nothing but the rows."""
        return {}

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Puts the virtual tokens in front of the backbone's notes."""
        from clinstack.models.virtual_tokens import Made, Table

        if backbone.longest <= self.virtual_tokens:
            raise BadInput(
                f"--virtual-tokens {self.virtual_tokens} leaves no room for notes: base {backbone.name} reads "
                f"{backbone.longest} tokens. Choose fewer."
            )
        made = Made(self.network(backbone), self.virtual_tokens) if fresh else None
        rows = made or Table(self.virtual_tokens, self.row_width(backbone))
        place = backbone.virtual.prompts if self.before_layers else backbone.virtual.prefixes
        place[adapter] = rows.to(backbone.device)

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """What trains: the network's weights, or the rows themselves."""
        return dict(backbone.virtual.modules()[adapter].named_parameters())

    def export(self, backbone: "Backbone", adapter: str) -> "dict[str, Tensor]":
        """The rows (V, W), as peft's files hold them."""
        import torch

        # As in use: where gradients are taken torch 2.13 computes an LSTM by another kernel, and the last bits differ.
        with torch.inference_mode():
            rows = backbone.virtual.modules()[adapter]()
        return {SAVED: rows.clone()}

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Lets exactly these stand before the notes, in this order."""
        backbone.virtual.active = tuple(name for name in adapters if name in backbone.virtual.modules())

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Switches the network's dropout, where it has one."""
        backbone.virtual.modules()[adapter].train(training)

    def peft_fields(self, backbone: "Backbone") -> dict[str, Any]:
        """What every prompt configuration of peft says about the model."""
        from clinstack.models.virtual_tokens import prefix_shape

        layers, heads, width = prefix_shape(backbone.model.config)
        return {
            # The rows work on hidden states whatever class the model is loaded as; typed ones would pick a pooling.
            "task_type": "FEATURE_EXTRACTION",
            "base_model_name_or_path": backbone.name,
            "num_virtual_tokens": self.virtual_tokens,
            "num_transformer_submodules": 1,
            "num_layers": layers,
            "num_attention_heads": backbone.model.config.num_attention_heads if self.before_layers else heads,
            "token_dim": backbone.width if self.before_layers else heads * width,
        }

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """peft's configuration of the rows."""
        config = self.peft_class()(**self.peft_fields(backbone), **self.peft_options(), inference_mode=True)
        return {key: getattr(value, "value", value) for key, value in config.to_dict().items()}

    @abstractmethod
    def peft_class(self) -> Any:
        """peft's configuration class."""

    @abstractmethod
    def peft_options(self) -> dict[str, Any]:
        """Our options in peft's words, the number of virtual tokens aside."""
