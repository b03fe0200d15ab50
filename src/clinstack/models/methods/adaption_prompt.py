"""Adaption prompt: Zhang et al. 2023, "LLaMA-Adapter: Efficient Fine-tuning of Language Models with Zero-init Attention"
(arXiv 2303.16199).

Each of the top layers attends, besides its notes, to a learned prompt; what that adds is multiplied by a gate that begins as
zero, so that a fresh adapter changes nothing. File format and mathematics are peft's; the layer itself is `gated_attention`.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models.method import Method

if TYPE_CHECKING:
    from torch.nn import Parameter

    from clinstack.models.backbone import Backbone


_PUBLISHED_LAYERS = 32
"""Of LLaMA-7B, on which the published space was searched."""


class AdaptionPrompt(Method):
    """A gated prompt at each of the top layers."""

    peft_type: ClassVar[str] = "ADAPTION_PROMPT"
    decoders_only: ClassVar[bool] = True
    every_token: ClassVar[bool] = False
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {"virtual_tokens": (5, 10), "top_layers": (10, 20, 30)}

    virtual_tokens: int = Field(10, ge=1, description="Virtual tokens at each adapted layer.")
    top_layers: int | None = Field(
        None, ge=1, description="How many layers are adapted, from the top; all if not given."
    )

    @classmethod
    def space(cls, layers: int) -> dict[str, tuple[Any, ...]]:
        """The published numbers of layers were of 32; a smaller base has as large a share of its own adapted."""
        wanted = cls.published_space["top_layers"]
        if layers < max(wanted):
            wanted = tuple(sorted({max(1, round(layers * number / _PUBLISHED_LAYERS)) for number in wanted}))
        return {**cls.published_space, "top_layers": wanted}

    def effect(self) -> dict[str, Any]:
        """Nothing but the weights, whose names tell the layers."""
        return {}

    def attach(self, backbone: "Backbone", adapter: str, *, fresh: bool) -> None:
        """Puts a prompt on each of the top layers; every gate begins as zero."""
        from clinstack.models.gated_attention import GatedPrompt, add_prompt, attentions

        layers = list(attentions(backbone.model).values())
        wanted = len(layers) if self.top_layers is None else self.top_layers
        if not layers or not hasattr(layers[0], "head_dim"):
            raise BadInput(f"Adaption prompts know no attention layers of base {backbone.name}. Choose lora.")
        if wanted > len(layers):
            raise BadInput(
                f"--top-layers {wanted} is more than base {backbone.name} has ({len(layers)}). Choose at most that."
            )
        for attention in layers[-wanted:]:
            add_prompt(attention, adapter, GatedPrompt(self.virtual_tokens, backbone.width))

    def parameters(self, backbone: "Backbone", adapter: str) -> "dict[str, Parameter]":
        """Prompt and gate of every adapted layer."""
        from clinstack.models.gated_attention import prompts

        return {
            f"base_model.model.{layer}.{name}": parameter
            for layer, prompt in prompts(backbone.model, adapter).items()
            for name, parameter in prompt.named_parameters()
        }

    def activate(self, backbone: "Backbone", adapters: list[str]) -> None:
        """Lets exactly these prompts be attended to."""
        from clinstack.models.gated_attention import switch

        switch(backbone.model, adapters)

    def train(self, backbone: "Backbone", adapter: str, training: bool) -> None:
        """Nothing: there is no dropout."""

    def peft_config(self, backbone: "Backbone", adapter: str) -> dict[str, Any]:
        """peft's AdaptionPromptConfig."""
        from peft import AdaptionPromptConfig

        from clinstack.models.gated_attention import prompts

        layers = prompts(backbone.model, adapter)
        config = AdaptionPromptConfig(
            target_modules=next(iter(layers)).rpartition(".")[2],
            adapter_len=self.virtual_tokens,
            adapter_layers=len(layers),
            task_type=None,
            base_model_name_or_path=backbone.name,
            inference_mode=True,
        )
        return {key: getattr(value, "value", value) for key, value in config.to_dict().items()}

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """Options from peft's AdaptionPromptConfig."""
        return cls(virtual_tokens=config["adapter_len"], top_layers=config["adapter_layers"])
