"""Loads a pretrained model as a backbone, whole or its shape alone.

transformers fills missing weights with random numbers, and a tokenizer of another model is no error to it; both are refused.
"""

import contextlib
import os
from collections.abc import Iterable
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.base_files import base_name, find_base, hash_base
from clinstack.models.from_scratch import is_from_scratch, makes, register_architectures, shape_from_scratch
from clinstack.models.note_attention import NAME
from clinstack.models.quantized import Quantize, loading, multiply_exactly
from clinstack.models.sentence_encoder import encoder_of
from clinstack.models.tokenizer import AssumedTokenizer, NoteTokenizer


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
    if backbone.first_position and tokenizer.pad != pad:
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


def quieten() -> None:
    """Keeps transformers' progress bars and notices off the terminal, and its telemetry off altogether."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    getLogger("bitsandbytes").setLevel("ERROR")  # peft imports it where it is; it tells of kernels that it could fetch
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
