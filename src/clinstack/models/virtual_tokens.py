"""What prompt methods put before every note: learned embeddings (a prompt) or learned keys and values (a prefix).

peft's own wrappers place them before every row of a batch. Here notes lie packed in one row, so every note must see the virtual
tokens and none of its neighbours: one copy stands at the front of the row and an explicit mask lets each note attend to it.
That is exact, since virtual tokens never attend to notes and every note's positions count on from theirs; tests hold it
against peft with one note a row. Several prompts in one stack follow each other in the order of the slots.

A prefix is given to the model as a cache that forgets: `update` returns the prefix and what is new, and stores nothing. So it
can be read twice, as checkpointed gradients do, where the cache of transformers 5.23 would grow.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput


@dataclass
class VirtualTokens:
    """The prompts and prefixes attached to a backbone, by adapter, and which of them take part.

    prompts:  modules without arguments that give (V, H).
    prefixes: modules without arguments that give (V, 2 * layers * heads * width of a head), as peft lays them out.
    """

    prompts: dict[str, nn.Module] = field(default_factory=dict)
    prefixes: dict[str, nn.Module] = field(default_factory=dict)
    active: tuple[str, ...] = ()

    @property
    def places(self) -> int:
        """How many positions the active ones take."""
        return sum(len(module()) for name, module in self.modules().items() if name in self.active)

    def modules(self) -> dict[str, nn.Module]:
        """Every attached module by adapter."""
        return self.prompts | self.prefixes

    def encode(self, model: Any, tokens: Tensor, positions: Tensor) -> Tensor:
        """The last hidden states (B, T, H) of the notes' tokens, each note behind all active virtual tokens.

        tokens:    (B, T) ids, padded on the right.
        positions: (B, T) or (T,), counted from each note's first token; where they restart another note begins.
        """
        embedded = model.get_input_embeddings()(tokens)
        rows, length = tokens.shape
        prefix = [
            _keys_and_values(self.prefixes[name](), model.config) for name in self.active if name in self.prefixes
        ]
        prompt = [self.prompts[name]().to(embedded.dtype) for name in self.active if name in self.prompts]
        kept = sum(keys.shape[3] for keys in prefix)
        ahead = sum(len(part) for part in prompt)
        if prompt:
            front = torch.cat(prompt).unsqueeze(0).expand(rows, -1, -1)
            embedded = torch.cat([front, embedded], dim=1)
        positions = positions.expand(rows, length)
        places = torch.arange(kept, kept + ahead, device=tokens.device).expand(rows, ahead)
        allowed = _may_attend(note_numbers(positions), kept, ahead)
        require_no_window(model.config, allowed.shape[-1])
        hidden: Tensor = model.base_model(
            inputs_embeds=embedded,
            attention_mask=allowed,
            position_ids=torch.cat([places, positions + kept + ahead], dim=1),
            past_key_values=_Prefix(torch.cat(prefix, dim=3)) if prefix else None,
            use_cache=False,
        ).last_hidden_state
        return hidden[:, ahead:]


class Made(nn.Module):
    """Rows (V, W) that one of peft's encoders makes."""

    def __init__(self, encoder: nn.Module, virtual_tokens: int):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("indices", torch.arange(virtual_tokens).unsqueeze(0), persistent=False)

    def forward(self) -> Tensor:
        """The rows as they are now."""
        return self.encoder(self.indices)[0]  # type: ignore[no-any-return]


class Table(nn.Module):
    """Rows (V, W) themselves, under the name of peft's files."""

    def __init__(self, virtual_tokens: int, width: int):
        super().__init__()
        self.prompt_embeddings = nn.Parameter(torch.zeros(virtual_tokens, width))

    def forward(self) -> Tensor:
        """The rows as they are now."""
        return self.prompt_embeddings


class _Prefix:
    """Keys and values (layers, 2, heads, V, D) that stand before whatever a layer computes; nothing is remembered."""

    def __init__(self, keys_and_values: Tensor):
        self._stored = keys_and_values

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The layer's prefix followed by the new keys and values (B, heads, T, D)."""
        learned = self._stored[layer_idx].to(keys.dtype)
        first, second = (one.unsqueeze(0).expand(len(keys), -1, -1, -1) for one in learned)
        return torch.cat([first, keys], dim=2), torch.cat([second, values], dim=2)


def prefix_shape(config: Any) -> tuple[int, int, int]:
    """Layers, key-value heads and width of a head of a model: what a prefix must fill."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_hidden_layers, heads, width


def _keys_and_values(flat: Tensor, config: Any) -> Tensor:
    """peft's rows (V, layers * 2 * heads * D) as (layers, 2, heads, V, D)."""
    layers, heads, width = prefix_shape(config)
    return flat.view(len(flat), layers, 2, heads, width).permute(1, 2, 3, 0, 4)


def _note_starts(positions: Tensor) -> Tensor:
    """(B, T) whether a token begins a note (or a row)."""
    starts = torch.ones_like(positions, dtype=torch.bool)
    starts[:, 1:] = positions[:, 1:] != positions[:, :-1] + 1
    return starts


def note_numbers(positions: Tensor) -> Tensor:
    """(B, T) which note of its row each token belongs to."""
    return _note_starts(positions).cumsum(dim=1)


def lengths_of_notes(positions: Tensor) -> list[int]:
    """Tokens of each note, row after row: B * T in all."""
    starts = _note_starts(positions).flatten().nonzero().flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([positions.numel()])])
    return (ends - starts).tolist()


def _may_attend(notes: Tensor, kept: int, ahead: int) -> Tensor:
    """(B, 1, ahead + T, kept + ahead + T): who may attend to whom, with `kept` prefix places that only answer."""
    rows, length = notes.shape
    causal = torch.ones(ahead + length, ahead + length, dtype=torch.bool, device=notes.device).tril()
    allowed = causal.expand(rows, -1, -1).clone()
    allowed[:, ahead:, ahead:] &= notes[:, :, None] == notes[:, None, :]
    always = torch.ones(rows, ahead + length, kept, dtype=torch.bool, device=notes.device)
    return torch.cat([always, allowed], dim=2).unsqueeze(1)


def require_no_window(config: Any, length: int) -> None:
    """Raises BadInput where a model's sliding window would hide the virtual tokens."""
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and length > window:
        raise BadInput(
            f"A prompt or prefix with {length:,} tokens does not fit the base's sliding window of {window:,}. "
            "Choose a smaller --max-tokens, or lora."
        )
