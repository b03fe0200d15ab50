"""Adaption prompts: what they add to an attention layer, for the model families that have one.

peft 0.21.2 replaces the attention module and computes the queries a second time; it knows LLaMA, Mistral and GPT-2. Here two
hooks read the queries that the layer computes anyway and add to its output, so that the module keeps its name (a LoRA may lie
in it), several adaption prompts can lie on one layer, and Qwen is served too. Tests hold it against peft where peft can.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

_HOLDER = "adaption"
"""The attribute of an attention module under which its adaption prompts lie, by adapter."""


class GatedPrompt(nn.Module):
    """One layer's prompt (1, V, H) and its gate (1,), which begins as zero; named as in peft's files."""

    def __init__(self, virtual_tokens: int, width: int):
        super().__init__()
        self.adaption_prompt = nn.Parameter(torch.empty(1, virtual_tokens, width).normal_())
        self.adaption_gate = nn.Parameter(torch.zeros(1))


def attentions(model: nn.Module) -> dict[str, Any]:
    """The self-attention modules by name, bottom first."""
    return {
        name: module
        for name, module in model.named_modules()
        if name.endswith((".self_attn", ".attn")) and (hasattr(module, "q_proj") or hasattr(module, "c_attn"))
    }


def add_prompt(attention: Any, adapter: str, prompt: GatedPrompt) -> None:
    """Puts a prompt on an attention layer; it takes part once it is switched on."""
    if not hasattr(attention, _HOLDER):
        attention.add_module(_HOLDER, nn.ModuleDict())
    getattr(attention, _HOLDER)[adapter] = prompt


def prompts(model: nn.Module, adapter: str) -> dict[str, GatedPrompt]:
    """An adapter's prompts by the name of their attention layer."""
    found = {name: getattr(module, _HOLDER, {}) for name, module in attentions(model).items()}
    return {name: held[adapter] for name, held in found.items() if adapter in held}


def switch(model: nn.Module, adapters: list[str]) -> None:
    """Lets exactly these adapters take part, hooked to the layers as they are now (a LoRA may have come between)."""
    for attention in attentions(model).values():
        for handle in attention.__dict__.pop("_adaption_hooks", ()):
            handle.remove()
        active = [getattr(attention, _HOLDER)[name] for name in adapters if name in getattr(attention, _HOLDER, {})]
        if active:
            attention.__dict__["_adaption_hooks"] = _hook(attention, active)


def _hook(attention: Any, active: list[GatedPrompt]) -> list[Any]:
    """Notes the queries on their way, and adds what the prompts say to the layer's output."""
    seen: list[Tensor] = []

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        seen[:] = [output]

    def add(_: nn.Module, __: Any, given: dict[str, Any], output: Any) -> Any:
        projected = seen.pop()
        added = sum(_answer(attention, one, projected, given.get("position_embeddings")) for one in active)
        seen.clear()  # a GPT-2 projects prompts by the layer that is listened to
        return (output[0] + added, *output[1:])

    queries = attention.c_attn if hasattr(attention, "c_attn") else attention.q_proj
    return [queries.register_forward_hook(note), attention.register_forward_hook(add, with_kwargs=True)]


def _answer(attention: Any, prompt: GatedPrompt, projected: Tensor, rotation: Any) -> Tensor:
    """Gated attention of the notes' queries to a prompt's keys and values (Zhang et al. 2023, section 3.2).

    projected: (B, T, ...) what the query layer gave.   rotation: cosines and sines of the positions, or None.
    Returns (B, T, H), after the output layer (GPT-2 in peft: before it is never asked; kept equal).
    """
    width = attention.head_dim
    whole = hasattr(attention, "c_attn")
    if whole:
        queries = torch.split(projected, attention.split_size, dim=2)[0]
        _, keys, values = attention.c_attn(prompt.adaption_prompt).split(attention.split_size, dim=2)
    else:
        queries, keys, values = (
            projected,
            attention.k_proj(prompt.adaption_prompt),
            attention.v_proj(prompt.adaption_prompt),
        )
    queries, keys, values = (one.unflatten(-1, (-1, width)) for one in (queries, keys, values))
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    queries, keys, values = (one.transpose(1, 2) for one in (queries, keys, values))
    if rotation is not None:
        queries = _rotate(queries, *rotation)
    groups = queries.shape[1] // keys.shape[1]
    keys, values = (one.repeat_interleave(groups, dim=1).to(queries.dtype) for one in (keys, values))
    scores = (queries @ keys.transpose(2, 3)) / math.sqrt(width)
    weights = prompt.adaption_gate * torch.softmax(scores, dim=-1, dtype=torch.float32)
    answer: Tensor = (weights.to(queries.dtype) @ values).transpose(1, 2).flatten(2)
    return answer if whole else attention.o_proj(answer)


def _rotate(queries: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) on (B, heads, T, D), halves against each other as LLaMA's family has them."""
    first, second = queries.chunk(2, dim=-1)
    cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)
    return queries * cosine + torch.cat([-second, first], dim=-1) * sine
