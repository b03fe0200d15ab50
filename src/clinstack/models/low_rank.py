"""What LoRA and its relatives share: rank-r neighbours of a model's linear layers, made by peft's LoRA layer.

Several can lie on the same weights and add up; peft makes every active adapter trainable at each switch, so the stack sets
frozenness again after it.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models import injection
from clinstack.models.method import Method, method_name

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone

_QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("c_attn",),
    ("query_key_value",),
    ("Wqkv",),
)
"""What model families call the projections of the published setting. Where one layer makes all three, it is adapted whole."""

_SWITCHES = ("use_dora", "use_rslora")
"""peft's switches that make another method of a LoRA."""


class LowRank(Method):
    """A method whose adapter is a low-rank update of linear layers; its members differ in scale and in peft's switch."""

    peft_type: ClassVar[str] = "LORA"
    mergeable: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    switch: ClassVar[str | None]
    """peft's switch for this member, None for plain LoRA."""
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (2, 4, 8, 16),
        "alpha": (4.0, 8.0, 16.0, 32.0),
        "dropout": (0.0, 0.1, 0.2),
    }

    rank: int = Field(8, ge=1, description="Rank of the update.")
    alpha: float = Field(
        16.0, gt=0, description="The update is scaled by alpha / rank (rslora: by alpha / square root of rank)."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on what the adapter reads, while training.")
    targets: str = Field(
        "qv",
        pattern=r"^[\w.]+(,[\w.]+)*$",
        description="Layers that get an update: qv (query and value), all (every linear layer), or names joined by commas.",
    )

    top_layers: int | None = Field(
        None,
        ge=1,
        description="Only the uppermost so many layers get an update; all without it. What lies below can then be shared.",
    )

    @abstractmethod
    def scale(self) -> float:
        """What the update B A x is multiplied by."""

    def effect(self) -> dict[str, Any]:
        """The update's scale and the variant; its place is told by the weights' names."""
        return {"scale": self.scale()}

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Adds updates in place; A is random and B zero, so that a fresh one changes nothing."""
        from peft import LoraConfig

        chosen = {"qv": injection.names_present(backbone, _QUERY_AND_VALUE), "all": "all-linear"}
        targets = chosen.get(self.targets, self.targets.split(","))
        if not targets:
            raise BadInput(
                f"Base {backbone.name} calls its query and value layers by no known name. Use --targets all, or their names."
            )
        config = LoraConfig(
            layers_to_transform=self._layers(backbone),
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets,
            task_type=None,  # a typed LoRA does not load onto a model of another type (peft 0.21.2)
            base_model_name_or_path=backbone.name,
            **({self.switch: True} if self.switch else {}),
        )
        injection.inject(backbone, adapter, config, f"Method {method_name(self)} finds no layers {self.targets!r}")
        if fresh and self.targets not in chosen:
            _require_adapted(backbone, adapter, self.targets.split(","))

    def _layers(self, backbone: "Backbone") -> list[int] | None:
        """Numbers of the layers that get an update; None for all."""
        from clinstack.models.split import uppermost

        return None if self.top_layers is None else list(uppermost(backbone, self.top_layers))

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """A and B of every adapted layer, and a DoRA's magnitudes."""
        found = injection.injected(backbone, adapter, ".lora_")
        return {_file_name(name): parameter for name, parameter in found.items()}

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Lets exactly these updates add to their layers' outputs; those of other members of the family are among them."""
        from peft.tuners.lora import LoraLayer

        injection.activate(backbone, LoraLayer, adapters, "lora_A")

    def merge(self, backbone: "Backbone", adapters: list[str]) -> "dict[str, Tensor]":
        """Adds the updates to the weights they lie on; a DoRA's norm stays that of the weights without the others."""
        from peft.tuners.lora import LoraLayer

        return injection.fold(backbone, adapters, LoraLayer)

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Switches the dropout in front of A."""
        from peft.tuners.lora import LoraLayer

        for layer in injection.layers(backbone, LoraLayer):
            if adapter in layer.lora_dropout:
                layer.lora_dropout[adapter].train(training)

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """peft's LoraConfig."""
        return injection.peft_dict(backbone, adapter)

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self | None:
        """Options from peft's LoraConfig if it is of this member, the targeted layers by name."""
        if [switch for switch in _SWITCHES if config.get(switch)] != ([cls.switch] if cls.switch else []):
            return None
        targets, layers = config["target_modules"], config.get("layers_to_transform")
        return cls(
            top_layers=len(layers) if layers else None,
            rank=config["r"],
            alpha=config["lora_alpha"],
            dropout=config["lora_dropout"],
            targets="all" if targets == "all-linear" else ",".join(sorted(targets)),
        )


def _require_adapted(backbone: "Backbone", adapter: str, names: list[str]) -> None:
    """Raises BadInput for a name that no layer has, or whose layers an update would lie in without effect: peft is silent."""
    from peft.tuners.lora import LoraLayer

    unread = backbone.model.get_output_embeddings()
    for name in names:
        found = [
            layer
            for path, layer in injection.named_layers(backbone, LoraLayer)
            if f".{path}".endswith(f".{name}") and adapter in layer.scaling
        ]
        if not found:
            raise BadInput(
                f"--targets {name}: base {backbone.name} has no layer of that name. Use --targets all, or mend it."
            )
        if any(adapter not in layer.lora_A or layer is unread for layer in found):
            raise BadInput(
                f"--targets {name}: it is no linear layer between the tokens and the states that a head reads, so an update of "
                "it would have no effect. Leave it out."
            )


def _file_name(name: str) -> str:
    """peft's files keep the magnitude's name from before it became a layer of its own."""
    return name.removesuffix(".weight") if name.endswith("lora_magnitude_vector.weight") else name
