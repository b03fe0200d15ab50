"""P-tuning: Liu et al. 2021, "GPT Understands, Too" (arXiv 2103.10385).

Embeddings before every note, made by a small network from a table: a multilayer perceptron, or a two-way LSTM followed by one.
The network is peft's; once trained, only the embeddings that it makes are kept.
"""

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from clinstack.models.prompting import Prompting

if TYPE_CHECKING:
    from torch import nn

    from clinstack.models.backbone import Backbone


class PTuning(Prompting):
    """Embeddings before every note, made by a small network."""

    peft_type: ClassVar[str] = "P_TUNING"
    before_layers: ClassVar[bool] = True
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "virtual_tokens": (1, 5, 10, 15, 20),
        "encoder": ("mlp", "lstm"),
        "encoder_hidden": (64, 128, 256, 768),
        "encoder_layers": (1, 2, 4, 8, 12),
        "dropout": (0.0, 0.1, 0.2),
    }

    encoder: Literal["mlp", "lstm"] = Field("mlp", description="Network that makes the embeddings.")
    encoder_hidden: int = Field(256, ge=1, description="Hidden width of that network.")
    encoder_layers: int = Field(2, ge=1, description="Layers of the lstm; the mlp always has three linear ones.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout between layers of the lstm.")

    def decisive(self) -> dict[str, Any]:
        """An mlp has neither a number of layers nor dropout, and an lstm of one layer no place for dropout."""
        unused = (
            {"encoder_layers", "dropout"}
            if self.encoder == "mlp"
            else {"dropout"}
            if self.encoder_layers == 1
            else set()
        )
        return self.model_dump(exclude=unused)

    def network(self, backbone: "Backbone") -> "nn.Module":
        """peft's encoder."""
        from peft import PromptEncoder

        with warnings.catch_warnings():
            # torch says that an LSTM of one layer has no place for dropout; the published search tries that too.
            warnings.filterwarnings("ignore", message="dropout option adds dropout")
            made: nn.Module = PromptEncoder(self.peft_class()(**self.peft_fields(backbone), **self.peft_options()))
        return made

    def row_width(self, backbone: "Backbone") -> int:
        """An embedding's width."""
        return backbone.width

    def peft_class(self) -> Any:
        """peft's PromptEncoderConfig."""
        from peft import PromptEncoderConfig

        return PromptEncoderConfig

    def peft_options(self) -> dict[str, Any]:
        """The network; an mlp's layers are fixed in peft, which warns when they are named."""
        layers = {"encoder_num_layers": self.encoder_layers} if self.encoder == "lstm" else {}
        return {
            "encoder_reparameterization_type": self.encoder.upper(),
            "encoder_hidden_size": self.encoder_hidden,
            "encoder_dropout": self.dropout,
            **layers,
        }

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """Options of the network that made the rows."""
        return cls(
            virtual_tokens=config["num_virtual_tokens"],
            encoder=config["encoder_reparameterization_type"].lower(),
            encoder_hidden=config["encoder_hidden_size"],
            encoder_layers=config["encoder_num_layers"],
            dropout=config["encoder_dropout"],
        )
