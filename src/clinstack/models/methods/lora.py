"""LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).

A frozen weight W gets a trainable low-rank neighbour: W x + (alpha / rank) B A x, with A random and B zero, so that a fresh
adapter changes nothing. Layers and file format are peft's. Several LoRAs can lie on the same weights and add up; peft makes
every active adapter trainable at each switch, so the stack sets frozenness again after it.
"""

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models.method import Method

if TYPE_CHECKING:
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone


_TARGETS = {"qv": None, "all": "all-linear"}
"""What peft calls our two short words; None lets it look up the model family's query and value projections."""


class LoRA(Method):
    """Low-rank updates of a model's linear layers."""

    peft_type: ClassVar[str] = "LORA"

    rank: int = Field(8, ge=1, description="Rank of the update.")
    alpha: float = Field(16.0, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the update's input while training.")
    targets: str = Field(
        "qv",
        pattern=r"^[\w.]+(,[\w.]+)*$",
        description="Layers that get an update: qv (query and value), all (every linear layer), or names joined by commas.",
    )

    def effect(self) -> dict[str, float]:
        """The scale of the update; its place is told by the weights' names."""
        return {"scale": self.alpha / self.rank}

    def attach(self, backbone: "Backbone", adapter: str) -> None:
        """Adds a fresh LoRA to the model's linear layers in place."""
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=_TARGETS[self.targets] if self.targets in _TARGETS else self.targets.split(","),
            task_type=None,  # a typed LoRA does not load onto a model of another type (peft 0.21.2)
            base_model_name_or_path=backbone.name,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several adapters are the point
            try:
                inject_adapter_in_model(config, backbone.model, adapter_name=adapter)
            except ValueError as error:
                raise BadInput(
                    f"LoRA finds no layers {self.targets!r} in base {backbone.name}. Use --targets all, or names of its layers."
                ) from error

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """A and B of every adapted layer, named as in peft's files."""
        infix = f".{adapter}."
        return {
            "base_model.model." + name.replace(infix, "."): parameter
            for name, parameter in backbone.model.named_parameters()
            if ".lora_" in name and infix in name
        }

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Lets exactly these LoRAs add to their layers' outputs; the order of `adapters` is of no effect."""
        for layer in _layers(backbone):
            present = [name for name in adapters if name in layer.lora_A]
            layer.set_adapter(present)

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Switches the dropout in front of A."""
        for layer in _layers(backbone):
            if adapter in layer.lora_dropout:
                layer.lora_dropout[adapter].train(training)

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """peft's LoraConfig, with the targets spelled out and sorted so that equal adapters give equal files."""
        config = dict(backbone.model.peft_config[adapter].to_dict())
        config["target_modules"] = sorted(config["target_modules"])
        config["inference_mode"] = True
        return {
            key: sorted(value) if isinstance(value, set) else getattr(value, "value", value)
            for key, value in config.items()
        }

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """Options from peft's configuration, the targeted layers by name."""
        targets = config["target_modules"]
        return cls(
            rank=config["r"],
            alpha=config["lora_alpha"],
            dropout=config["lora_dropout"],
            targets="all" if targets == "all-linear" else ",".join(sorted(targets)),
        )


def _layers(backbone: "Backbone") -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in backbone.model.modules() if isinstance(module, LoraLayer)]
