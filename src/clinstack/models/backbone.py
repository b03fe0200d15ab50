"""The pretrained model: found, loaded, identified by content, and asked for hidden states.

A backbone is a language model of the transformers library: a decoder, which foretells the next token, or an encoder, which
restores masked ones. Its hash covers the bytes of weights, configuration and
tokenizer, so two folders with the same content are the same base and a changed weight is another one; adapters are bound to
it by that hash. The model stays in evaluation mode with frozen weights: what trains is an adapter or a head.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput
from clinstack.models.from_scratch import is_from_scratch, makes, register_architectures, shape_from_scratch
from clinstack.models.note_attention import NAME
from clinstack.models.quantized import Quantize, count, hash_of_rounded, loading, multiply_exactly
from clinstack.models.sentence_encoder import encoder_of
from clinstack.models.tokenizer import AssumedTokenizer, NoteTokenizer
from clinstack.models.virtual_tokens import VirtualTokens, lengths_of_notes, require_no_window

TINY_BASE = "tiny-base"
"""The name of the small model that comes with clinstack."""

_IDENTITY = (
    "*.safetensors",
    "config.json",
    "tokenizer.json",
    "*.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)


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
        return int(getattr(self.model.config, "max_position_embeddings", 2**20)) - self._first_position

    @property
    def _first_position(self) -> int:
        """The number of a note's first position: not 0 in RoBERTa's family, which counts from behind its padding id."""
        embeddings = getattr(self.model.base_model, "embeddings", None)
        padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
        return 0 if padding is None else int(padding) + 1

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

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
        return {"input_ids": tokens, "position_ids": positions + self._first_position, **apart}

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


def load_backbone(base: str, device: str = "cpu", quantize: Quantize | None = None) -> Backbone:
    """Loads a base by its name (`tiny-base`), local folder, or hub id. quantize: round its matrices, see `models.quantized`.

    Raises BadInput if there is no such folder, or it holds no language model with a fast tokenizer, or not all its weights.
    """
    path = find_base(base)
    quieten()
    register_architectures()
    from transformers import AutoConfig, AutoTokenizer

    try:
        kind = _kind(AutoConfig.from_pretrained(path))
        rounded = loading(quantize, device)
        model, told = kind.from_pretrained(
            path,
            dtype=torch.float32,
            local_files_only=True,
            attn_implementation="sdpa",
            output_loading_info=True,
            **rounded,
        )
        if not makes(model.config):
            model.set_attn_implementation(NAME)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"Base {base} cannot be loaded from {path}: {reason}") from error
    network: nn.Module = model
    if quantize:
        multiply_exactly(network)
    network.eval().requires_grad_(False).to(device)
    read = NoteTokenizer(base, tokenizer, closed=_is_encoder(network.config))
    headless = _lacks_head(base, model, told["missing_keys"])
    found = Backbone(base_name(base), path, hash_base(path, quantize), network, read, quantize, headless)
    _require_own_tokenizer(found)
    return found


def _lacks_head(base: str, model: Any, missing: Iterable[str]) -> bool:
    """Whether a base's files lack what makes logits of tokens. Raises BadInput if they lack anything else.

    transformers fills what is missing with random numbers, and says so where nobody looks.
    """
    inside = [name for name in sorted(missing) if name.startswith(f"{model.base_model_prefix}.")]
    if inside:
        raise BadInput(
            f"Base {base}: its files lack {len(inside)} of the model's weights, such as {inside[0]}. Fetch it again, whole."
        )
    return bool(missing)


def _require_own_tokenizer(backbone: Backbone) -> None:
    """Raises BadInput if the tokenizer is another model's: it knows more pieces, or pads with what the model takes for a word.

    Decoders' tokenizers may have added tokens beyond the model's, which notes do not hold.
    Encoders of RoBERTa's family number positions by where the padding is, so there every state would be shifted.
    """
    tokenizer, pad = backbone.tokenizer, getattr(backbone.model.config, "pad_token_id", None)
    known = tokenizer.size if backbone.masked else tokenizer.learned
    if known > backbone.vocabulary:
        raise BadInput(
            f"Base {backbone.name}: its tokenizer knows {known:,} pieces and its model {backbone.vocabulary:,}. They "
            "do not belong together; fetch the base again, both from one revision."
        )
    if backbone._first_position and tokenizer.pad != pad:
        raise BadInput(
            f"Base {backbone.name}: its tokenizer pads with token {tokenizer.pad} and its model with {pad}, by which it "
            "numbers positions. Make them the same in config.json and tokenizer_config.json."
        )


def _kind(config: Any) -> Any:
    """Which of transformers' classes reads a model of this configuration."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

    if makes(config):
        return AutoModel
    return AutoModelForMaskedLM if _is_encoder(config) else AutoModelForCausalLM


def _is_encoder(config: Any) -> bool:
    """Whether a model's configuration is of a family that restores masked tokens, and not set up to foretell."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    made_as = (config.architectures or [""])[0]
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not made_as.endswith(("CausalLM", "LMHeadModel"))


def shape_of(base: str, quantize: Quantize | None = None) -> Backbone:
    """A base's shape without its weights: on torch's meta device, from its configuration; its tokenizer if that is here.

    Raises BadInput if there is no configuration, or of no language model.
    """
    if is_from_scratch(base):
        tokenizer: Any = AssumedTokenizer()
        return Backbone(base, Path(base), "not hashed", shape_from_scratch(base), tokenizer, quantize)
    base = encoder_of(base) or base
    path = find_base(base, weights=False)
    quieten()
    register_architectures()
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(path)
        with torch.device("meta"):
            model = _kind(config).from_config(config, attn_implementation="sdpa")
        if not makes(config):
            model.set_attn_implementation(NAME)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"Base {base} cannot be planned from {path}: {str(error).strip().splitlines()[0]}") from error
    network: nn.Module = model
    network.eval().requires_grad_(False)
    read: Any = AssumedTokenizer()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, BadInput):
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        read = NoteTokenizer(base, tokenizer, closed=_is_encoder(config))
    return Backbone(base_name(base), path, "not hashed", network, read, quantize)


def find_base(base: str, *, weights: bool = True) -> Path:
    """The local folder of a base. A hub id is fetched through the hub's own cache, which also answers offline.

    base: may end in `@` and a revision of the hub, such as a commit.
    weights: whether they are needed; without them a hub id costs kilobytes.
    """
    if base == TINY_BASE:
        return Path(str(files("clinstack") / "demo" / "tiny_base"))
    if is_from_scratch(base):
        raise BadInput(
            f"{base} is trained from nothing by `clinstack train`, so there is no base of that name to adapt."
        )
    if encoder := encoder_of(base):
        raise BadInput(f"{base} is what `clinstack train` makes of {encoder}. Give {encoder} itself.")
    path = Path(base)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BadInput(f"Base {base} holds no config.json, so it is not a model folder.")
        return path
    if base.count("/") != 1 or base.startswith((".", "/", "~")):
        raise BadInput(f"Base {base} does not exist. Give a model folder, a hub id such as owner/name, or {TINY_BASE}.")
    name, _, revision = base.partition("@")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.model", "*.txt", *(["*.safetensors"] if weights else [])]
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise BadInput(
            f"Base {base} is neither a folder here nor to be had from the hub. Give a model folder, or {TINY_BASE}."
        ) from error


def base_name(base: str) -> str:
    """The short name of a base: a folder's last part, or the hub id as it is."""
    return Path(base).resolve().name if Path(base).is_dir() else base


def hash_base(path: Path, quantize: Quantize | None = None) -> str:
    """The content hash of a model folder, as it is loaded: names and bytes of weights, configuration and tokenizer."""
    whole = hashlib.sha256()
    found = sorted({file for pattern in _IDENTITY for file in path.glob(pattern)})
    if not any(file.suffix == ".safetensors" for file in found):
        raise BadInput(f"{path} holds no .safetensors weights. Pickled weights are not loaded; convert them first.")
    for file in found:
        with file.open("rb") as content:
            whole.update(f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return hash_of_rounded("sha256:" + whole.hexdigest(), quantize)


def quieten() -> None:
    """Keeps transformers' progress bars and notices off the terminal, and its telemetry off altogether."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    getLogger("bitsandbytes").setLevel("ERROR")  # peft imports it where it is; it tells of kernels that it could fetch
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
