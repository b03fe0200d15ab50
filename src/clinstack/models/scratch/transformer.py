"""A compact Transformer encoder for small data: two blocks of width 64, trained from nothing.

Vaswani et al. 2017 (arXiv 1706.03762), normed before each part (Xiong et al. 2020, arXiv 2002.04745). Preset `keras` has the
sizes of the Keras tutorial on text classification with a Transformer, the likeliest origin of the small models of Le et al.
2024 (arXiv 2407.19299); padding counts for nothing there either, unlike in the tutorial. Preset `mean` has no block at all: a
mean of embeddings, as in fastText (Joulin et al. 2016, arXiv 1607.01759).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from clinstack.models.activations import ACTIVATIONS, Activation
from clinstack.models.dropout import Dropout
from clinstack.models.from_scratch import Architecture
from clinstack.models.note_attention import attend_rows

_NORM_EPS = 1e-6


class TransformerConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a compact Transformer, under the names that transformers uses.

    head_dim: of each attention head, not tied to the width.   norm_first: before each part, or behind it.
    norm_embeddings: whether what enters the first block is normed (without weights of its own).
    experts and what follows: of blocks with several feed-forward layers, see `moe_transformer`.
    """

    model_type = "clinstack-transformer"

    def __init__(
        self,
        vocab_size: int = 8000,
        hidden_size: int = 64,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        head_dim: int = 16,
        intermediate_size: int = 128,
        activation: Activation = "gelu",
        norm_first: bool = True,
        norm_embeddings: bool = True,
        dropout: float = 0.1,
        max_position_embeddings: int = 256,
        pad_token_id: int = 0,
        **others: Any,
    ):
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        self.num_attention_heads, self.head_dim, self.intermediate_size = (
            num_attention_heads,
            head_dim,
            intermediate_size,
        )
        self.activation, self.dropout = activation, dropout
        self.norm_first, self.norm_embeddings = norm_first, norm_embeddings
        self.max_position_embeddings = max_position_embeddings
        self.pad_token_id = pad_token_id
        super().__init__(**others)


class Attention(nn.Module):
    """Every token of a note attends to all of its real tokens."""

    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, heads * head_dim) for _ in range(3))
        self.output = nn.Linear(heads * head_dim, width)

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        """states: (B, T, H).   seen: (B, 1, 1, T) bool, True on real tokens."""
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = attend_rows(query, key, value, seen)
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two layers on each token."""

    def __init__(self, width: int, inner: int, activation: Activation):
        super().__init__()
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states: (B, T, H).   mask: (B, T); not needed here."""
        return self.outer(self.activation(self.inner(states)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then what works on each token; each with a residual, a norm and dropout."""

    def __init__(self, config: TransformerConfig, feed_forward: nn.Module):
        super().__init__()
        width = config.hidden_size
        self.attention = Attention(width, config.num_attention_heads, config.head_dim)
        self.feed_forward = feed_forward
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=_NORM_EPS) for _ in range(2))
        self.dropout = Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states: (B, T, H).   mask: (B, T) of 0/1."""
        for norm, part, argument in zip(
            self.norms, (self.attention, self.feed_forward), (mask[:, None, None, :] == 1, mask), strict=True
        ):
            if self.norm_first:
                states = states + self.dropout(part(norm(states), argument))
            else:
                states = norm(states + self.dropout(part(states, argument)))
        return states


class TransformerModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Tokens (B, T) and mask (B, T) -> last hidden states (B, T, H)."""

    config_class: type[TransformerConfig] = TransformerConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        width = config.hidden_size
        self.tokens = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        # The norms at both ends have no weights: so the model has as many as its published description.
        self.enter = (
            nn.LayerNorm(width, eps=_NORM_EPS, elementwise_affine=False) if config.norm_embeddings else nn.Identity()
        )
        self.dropout = Dropout(config.dropout if config.norm_embeddings else 0.0)
        self.blocks = nn.ModuleList(Block(config, one) for one in self._feed_forwards(config))
        self.leave = (
            nn.LayerNorm(width, eps=_NORM_EPS, elementwise_affine=False) if config.norm_first else nn.Identity()
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """What makes vectors of tokens, under the name that transformers gives it."""
        return self.tokens

    def _feed_forwards(self, config: TransformerConfig) -> list[nn.Module]:
        """What works on each token, of every block."""
        sizes = (config.hidden_size, config.intermediate_size, config.activation)
        return [FeedForward(*sizes) for _ in range(config.num_hidden_layers)]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **ignored: Any) -> BaseModelOutput:
        """See the class. At most `max_position_embeddings` tokens."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.dropout(self.enter(self.tokens(input_ids) + self.positions(places)))
        for block in self.blocks:
            states = block(states, attention_mask)
        return BaseModelOutput(last_hidden_state=self.leave(states))


class Transformer(Architecture):
    """The compact Transformer."""

    config: ClassVar[type[Any]] = TransformerConfig
    model: ClassVar[type[Any]] = TransformerModel
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "": {},
        "keras": {
            "pieces": {"kind": "words", "most": 20_000},
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 32,
            "intermediate_size": 32,
            "activation": "relu",
            "norm_first": False,
            "norm_embeddings": False,
        },
        "mean": {"num_hidden_layers": 0, "norm_embeddings": False, "norm_first": False},
    }
