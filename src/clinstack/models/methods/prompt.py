"""Prompt tuning: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning" (arXiv 2104.08691).

Learned embeddings stand before every note. They begin as the embeddings of a text, repeated until the prompt is full, or as
standard normal numbers as in peft. The text by default is that of the published clinical study; it is read without a start
token, since every note brings its own.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from clinstack.errors import BadInput
from clinstack.models.prompting import Prompting

if TYPE_CHECKING:
    from torch import nn

    from clinstack.models.backbone import Backbone


class Prompt(Prompting):
    """Learned embeddings before every note."""

    peft_type: ClassVar[str] = "PROMPT_TUNING"
    before_layers: ClassVar[bool] = True
    published_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "virtual_tokens": (1, 5, 10, 15, 20),
        "initialisation": ("text", "random"),
    }

    initialisation: Literal["text", "random"] = Field("text", description="What the prompt begins as.")
    text: str = Field("Finish this clinical note:", min_length=1, description="The text that it begins as.")

    def network(self, backbone: "Backbone") -> "nn.Module":
        """peft's table, with the embeddings of the text in it."""
        import torch
        from peft import PromptEmbedding

        config = self.peft_class()(**self.peft_fields(backbone))
        table = PromptEmbedding(config, backbone.model.get_input_embeddings())
        if self.initialisation == "text":
            words = backbone.tokenizer.encode_plain(self.text)
            if not words:
                raise BadInput(
                    "--text holds no token of the base's tokenizer. Give a text, or --initialisation random."
                )
            repeated = [words[i % len(words)] for i in range(self.virtual_tokens)]
            embeddings = backbone.model.get_input_embeddings().weight
            with torch.no_grad():
                table.embedding.weight.copy_(embeddings[repeated])
        made: nn.Module = table
        return made

    def row_width(self, backbone: "Backbone") -> int:
        """An embedding's width."""
        return backbone.width

    def peft_class(self) -> Any:
        """peft's PromptTuningConfig."""
        from peft import PromptTuningConfig

        return PromptTuningConfig

    def peft_options(self) -> dict[str, Any]:
        """None: how the rows began does not matter to those who load them."""
        return {}

    @classmethod
    def from_peft(cls, config: dict[str, Any]) -> Self:
        """Options of rows that have been learned."""
        return cls(virtual_tokens=config["num_virtual_tokens"])
