"""A random tiny model of every family that a stack must work on, as its own library writes it: two layers, 32 wide."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

WORDS = [
    "patient",
    "is",
    "a",
    "man",
    "woman",
    "with",
    "history",
    "of",
    "the",
    "and",
    "was",
    "seen",
    "on",
    "day",
    "for",
    "follow",
    "up",
    "pain",
    "stable",
    "afebrile",
    "intubated",
]
VOCABULARY = 300
SHAPE: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
SPREAD: dict[str, Any] = {"initializer_range": 0.15, "intermediate_size": 64, "max_position_embeddings": 256}
IDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _llama() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SHAPE, **SPREAD, **IDS))


def _mistral() -> Any:  # keys and values shared by two query heads each, as in the released models
    return MistralForCausalLM(MistralConfig(**SHAPE, **SPREAD, **IDS, num_key_value_heads=2, head_dim=8))


def _qwen2() -> Any:  # biases on queries, keys and values
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, **SPREAD, **IDS, num_key_value_heads=2))


def _qwen3() -> Any:  # heads wider than width / heads, and normed queries and keys
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE, **SPREAD, **IDS, num_key_value_heads=2, head_dim=16))


def _gpt2() -> Any:
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "vocab_size": VOCABULARY}
    return GPT2LMHeadModel(GPT2Config(**shape, **IDS, initializer_range=0.15))


def _bert() -> Any:
    return BertForMaskedLM(BertConfig(**SHAPE, **SPREAD, pad_token_id=0))


def _roberta() -> Any:
    return RobertaForMaskedLM(RobertaConfig(**SHAPE, **SPREAD, **IDS, type_vocab_size=1))


def _camembert() -> Any:
    return CamembertForMaskedLM(CamembertConfig(**SHAPE, **SPREAD, **IDS, type_vocab_size=1))


DECODERS: dict[str, Callable[[], Any]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gpt2": _gpt2,
}
ENCODERS: dict[str, Callable[[], Any]] = {"bert": _bert, "roberta": _roberta, "camembert": _camembert}
FAMILIES = {**DECODERS, **ENCODERS}


def make_family(folder: Path, family: str, seed: int = 0) -> Path:
    """The model of a family with a tokenizer of its kind."""
    torch.manual_seed(seed)
    FAMILIES[family]().save_pretrained(folder)
    _tokenizer(encoder=family in ENCODERS).save_pretrained(folder)
    return folder


def _tokenizer(*, encoder: bool) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", *(["<mask>"] if encoder else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    if encoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
        names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
