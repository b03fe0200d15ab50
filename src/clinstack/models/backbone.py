"""The pretrained model, asked for hidden states.

A backbone is a language model of the transformers library: a decoder, which foretells the next token, or an encoder, which
restores masked ones. The model stays in evaluation mode with frozen weights: what trains is an adapter or a head.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput
from clinstack.models.from_scratch import makes
from clinstack.models.quantized import Quantize, count
from clinstack.models.tokenizer import NoteTokenizer
from clinstack.models.virtual_tokens import VirtualTokens, lengths_of_notes, require_no_window


@dataclass
class Replaced:
    """A second set of some of the base's weights, of a full adapter or of one that is merged; `back` says whether it is the
    base's own that are in place.
    """

    aside: dict[str, Tensor]
    back: bool = False

    def exchange(self, own: dict[str, nn.Parameter]) -> None:
        """Puts the set that lies aside into the model, and the other one aside."""
        for name, other in self.aside.items():
            own[name].data, self.aside[name] = other, own[name].data
        self.back = not self.back


@dataclass(frozen=True)
class Backbone:
    """A language model with its tokenizer and content hash, and what adapters have put beside its layers.

    model:    the transformers model, evaluation mode, weights frozen.
    quantize: how its matrices are rounded, if they are.
    headless: whether its files lack what makes logits of tokens, as a bare encoder's do; step 2 needs none.
    own:      the base's own weights by name (tied ones once), whatever adapters are attached later.
    occupied: names of the attached adapters.
    virtual:  prompts and prefixes.
    replaced: the base's own weights where an adapter has put others in their place.
    halves:   of frozen weights, the copy in the other precision while one of the two is in place.
    """

    name: str
    path: Path
    hash: str
    model: Any
    tokenizer: NoteTokenizer
    quantize: Quantize | None = None
    headless: bool = False
    own: dict[str, nn.Parameter] = field(init=False, repr=False)
    occupied: list[str] = field(default_factory=list, init=False)
    virtual: VirtualTokens = field(default_factory=VirtualTokens, init=False, repr=False)
    replaced: dict[str, Replaced] = field(default_factory=dict, init=False, repr=False)
    halves: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", dict(self.model.named_parameters()))

    def keep_half_copies(self) -> None:
        """Keeps a bfloat16 copy of every frozen weight, for training; the float32 ones stay what the base is."""
        for name, weight in self.own.items():
            if not weight.requires_grad and weight.is_floating_point():
                self.halves[name] = weight.data.bfloat16()

    def use_halves(self, wanted: bool) -> None:
        """Puts the bfloat16 copies into the model, or the float32 weights back."""
        for name, other in self.halves.items():
            weight = self.own[name]
            if (weight.dtype == torch.bfloat16) != wanted:
                weight.data, self.halves[name] = other, weight.data

    @property
    def masked(self) -> bool:
        """Whether this is an encoder, trained to restore masked tokens."""
        return type(self.model).__name__.endswith("MaskedLM")

    @property
    def made_here(self) -> bool:
        """Whether this is a small model of `from_scratch`, which has dropout when all of it trains."""
        return makes(self.model.config)

    def take_auxiliary_loss(self) -> Tensor | None:
        """What the last pass in training adds to the loss of each of its notes, if the model has such a thing."""
        return self.model.take_auxiliary_loss() if hasattr(self.model, "take_auxiliary_loss") else None

    def told(self) -> dict[str, Any]:
        """What the model says of its last pass in training, if it says anything."""
        return dict(self.model.told()) if hasattr(self.model, "told") else {}

    @property
    def width(self) -> int:
        """Width H of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def longest(self) -> int:
        """The most tokens the model was made for, virtual ones included."""
        return int(getattr(self.model.config, "max_position_embeddings", 2**20)) - self.first_position

    @property
    def first_position(self) -> int:
        """The number of a note's first position: not 0 in RoBERTa's family, which counts from behind its padding id."""
        embeddings = getattr(self.model.base_model, "embeddings", None)
        padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
        return 0 if padding is None else int(padding) + 1

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(iter(self.own.values())).device

    @cached_property
    def parameters_total(self) -> int:
        """Number of the base's own weights (tied ones once)."""
        return sum(map(count, self.own.values()))

    def encode(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states, after the final norm.

        tokens: (B, T) int64, padded on the right.
        mask:   (B, T) of 0/1, 1 on real tokens.
        Returns (B, T, H); the states of real tokens are the same whatever the padding.
        """
        if self.virtual.active:  # only decoders have any: no real token sees the padding behind it
            return self.virtual.encode(self.model, tokens, torch.arange(tokens.shape[1], device=tokens.device))
        return self.model.base_model(  # type: ignore[no-any-return]
            input_ids=tokens, attention_mask=mask, use_cache=False
        ).last_hidden_state

    def encode_packed(self, tokens: Tensor, positions: Tensor, lengths: list[int] | None = None) -> Tensor:
        """The last hidden states of packed blocks; attention restarts wherever `positions` restart.

        tokens, positions: (B, T) int64, see `data.packing`.   lengths: tokens of each note, read off the positions if None.
        Returns (B, T, H).
        Without `use_cache=False` transformers 5.23 lets notes attend to their neighbours; a test pins it.
        """
        if self.virtual.active:
            return self.virtual.encode(self.model, tokens, positions)
        inputs = self.packed_inputs(tokens, positions, lengths)
        return self.model.base_model(use_cache=False, **inputs).last_hidden_state  # type: ignore[no-any-return]

    def packed_inputs(self, tokens: Tensor, positions: Tensor, lengths: list[int] | None = None) -> dict[str, Any]:
        """What the base model is given for packed blocks, as `encode_packed` has them, without virtual tokens."""
        lengths = lengths or lengths_of_notes(positions)
        window = getattr(self.model.config, "sliding_window", None)
        if window and max(lengths) > window:  # an older note's beginning is out of sight; transformers knows where
            apart: dict[str, Any] = {"attention_mask": None}
        else:  # any mask in four dimensions keeps transformers from making one over all pairs
            apart = {"attention_mask": tokens.new_ones(1, 1, 1, 1, dtype=torch.bool), "note_lengths": lengths}
        return {"input_ids": tokens, "position_ids": positions + self.first_position, **apart}

    @property
    def vocabulary(self) -> int:
        """How many logits a token has: V."""
        return int(self.model.config.vocab_size)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Token logits (..., V) of hidden states (..., H)."""
        return self.output(hidden)  # type: ignore[no-any-return]

    @property
    def output(self) -> nn.Module:
        """What makes logits of hidden states: the output embeddings, behind an encoder's transform."""
        if not self.masked:
            return self.model.get_output_embeddings()  # type: ignore[no-any-return]
        heads = [part for name, part in self.model.named_children() if name != self.model.base_model_prefix]
        if len(heads) != 1:
            raise BadInput(
                f"Base {self.name}: its family has no masked-language head in one piece. Use a BERT or RoBERTa."
            )
        return heads[0]  # type: ignore[no-any-return]


def check_max_tokens(backbone: Backbone, max_tokens: int) -> None:
    """Raises BadInput if notes would be longer than the base was made for, with the virtual tokens before them."""
    places = backbone.virtual.places
    room = backbone.longest - places
    if max_tokens > room:
        besides = f" behind {places} virtual tokens" if places else ""
        raise BadInput(
            f"--max-tokens {max_tokens} is more than base {backbone.name} can read{besides} ({room}). Choose at most that."
        )
    if places:
        require_no_window(backbone.model.config, places + max_tokens)
