"""Attention within notes that lie packed in one row, note by note.

transformers 5.23 keeps packed notes apart by a mask over all pairs of tokens of a row, and then computes every pair. Clinical
notes are short beside a row (a radiology report fills a quarter of 512 tokens), so most pairs are masked. Here each note is
attended to by itself, without a mask over the row: the same numbers, less work. On a processor torch 2.13's kernel goes back
through bfloat16 at a third of the speed of plain matrix products, so there a note's queries are taken 256 at a time and
multiplied with the keys up to them. Where no lengths are given, or a prompt stands before the notes, it is transformers' own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "clinstack_notes"
"""Under which transformers finds it."""

BLOCK = 256
"""Queries multiplied at once: the fastest of 64 to 2,048 for notes of 130 to 1,000 tokens."""


def few_shapes(length: int) -> int:
    """A length filled up to a multiple of 64.

    On a processor oneDNN makes and keeps a program, of up to a megabyte, for every shape of matrices it meets; lengths as they
    come would fill its memory of 1,024 with them, and making them takes longer than using them.
    """
    return -(-length // 64) * 64


def attend_within_notes(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    note_lengths: Sequence[int] | None = None,
    scaling: float | None = None,
    **given: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers asks its implementations for it.

    query, key, value: (B, heads, T, D), fewer heads in key and value where they are shared.
    note_lengths: tokens of each note, row after row, B * T in all.
    Returns (B, T, heads, D).
    """
    if note_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **given)
    rows, heads, length, width = query.shape
    # One split each: slices would each be filled up to the whole row on the way back.
    parts = [
        torch.split(one.transpose(1, 2).reshape(rows * length, one.shape[1], width), list(note_lengths))
        for one in (query, key, value)
    ]
    attend = _at_once if query.device.type == "cuda" or not torch.is_grad_enabled() else _in_blocks
    found = [
        attend(
            *(one.transpose(0, 1) for one in note), causal=bool(module.is_causal), scale=scaling or width**-0.5
        ).transpose(0, 1)
        for note in zip(*parts, strict=True)
    ]
    return torch.cat(found).view(rows, length, heads, width), None


def _at_once(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> Tensor:
    """One note's attention by torch's kernel: (heads, T, D) each, result like `query`."""
    shared = key.shape[0] != query.shape[0]
    return scaled_dot_product_attention(
        query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0), is_causal=causal, scale=scale, enable_gqa=shared
    )[0]


def _in_blocks(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> Tensor:
    """The same by matrix products of at most BLOCK queries at a time."""
    groups = query.shape[0] // key.shape[0]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=0), value.repeat_interleave(groups, dim=0)
    own, length = query.shape[1], few_shapes(query.shape[1])
    query, key, value = (pad(one, (0, 0, 0, length - own)) for one in (query * scale, key, value))
    found = []
    for start in range(0, length, BLOCK):
        end = min(length, start + BLOCK)
        seen = end if causal else length
        scores = query[:, start:end] @ key[:, :seen].transpose(1, 2)
        if causal:  # what fills the note up stands behind every token of it
            later = torch.full(
                (end - start, end - start), float("-inf"), dtype=scores.dtype, device=scores.device
            ).triu(1)
            scores[:, :, start:] += later
        else:
            scores[:, :, own:] = float("-inf")
        found.append(torch.softmax(scores, dim=-1) @ value[:, :seen])
    return (torch.cat(found, dim=1) if len(found) > 1 else found[0])[:, :own]


AttentionInterface.register(NAME, attend_within_notes)
AttentionMaskInterface.register(NAME, sdpa_mask)
