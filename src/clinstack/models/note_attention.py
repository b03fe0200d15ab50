"""Attention of notes: of such as lie packed in one row, note by note, and of short rows in bfloat16 on a processor.

transformers 5.23 keeps packed notes apart by a mask over all pairs of tokens of a row, and then computes every pair. Clinical
notes are short beside a row (a radiology report fills a quarter of 512 tokens), so most pairs are masked. Here each note is
attended to by itself, without a mask over the row: the same numbers, less work. On a processor torch 2.13's kernel goes back
through bfloat16 at a third of the speed of plain matrix products, so there a note's queries are taken 256 at a time and
multiplied with the keys up to them, and so are rows of up to 256 tokens that are not packed. All else is transformers' own.
"""

from collections.abc import Mapping, Sequence
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
    rows, heads, length, width = query.shape
    if note_lengths is None:
        if not _slow_by_torch(query, key, attention_mask, given):
            return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **given)
        causal = attention_mask is None and bool(module.is_causal)
        mixed = _in_blocks(query, key, value, causal=causal, scale=scaling or width**-0.5, mask=attention_mask)
        return mixed.transpose(1, 2).contiguous(), None
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


def attend_rows(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """Attention of rows of their own, in the way that is faster here: (B, heads, T, D) each, and the result.

    seen: (B, 1, 1, T), true on the keys that a row has.
    """
    if not _slow_by_torch(query, key, seen, {}):
        return scaled_dot_product_attention(query, key, value, attn_mask=seen)
    mask = seen.expand(-1, -1, query.shape[2], -1)
    return _in_blocks(query, key, value, causal=False, scale=query.shape[-1] ** -0.5, mask=mask)


def _slow_by_torch(query: Tensor, key: Tensor, mask: Tensor | None, given: Mapping[str, Any]) -> bool:
    """Whether rows of their own are learned from faster by plain products (2.7 times for 16 rows of 128 tokens)."""
    learned = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    short = key.shape[2] == query.shape[2] <= BLOCK
    plain = (mask is None or mask.dtype == torch.bool) and not given.get("dropout")
    return (
        learned and short and plain and all(given.get(name) is None for name in ("softcap", "position_bias", "cache"))
    )


def _at_once(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> Tensor:
    """One note's attention by torch's kernel: (heads, T, D) each, result like `query`."""
    shared = key.shape[0] != query.shape[0]
    return scaled_dot_product_attention(
        query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0), is_causal=causal, scale=scale, enable_gqa=shared
    )[0]


def _in_blocks(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float, mask: Tensor | None = None
) -> Tensor:
    """The same by matrix products of at most BLOCK queries at a time: (..., heads, T, D) each.

    mask: (..., 1 or heads, T, T), true where a key is seen; without it all keys are, or if causal all keys up to the query.
    """
    groups = query.shape[-3] // key.shape[-3]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=-3), value.repeat_interleave(groups, dim=-3)
    own, length = query.shape[-2], few_shapes(query.shape[-2])
    query, key, value = (pad(one, (0, 0, 0, length - own)) for one in (query * scale, key, value))
    if mask is not None:
        mask = pad(mask, (0, length - own, 0, length - own))
    found = []
    for start in range(0, length, BLOCK):
        end = min(length, start + BLOCK)
        seen = end if causal else length
        scores = query[..., start:end, :] @ key[..., :seen, :].transpose(-1, -2)
        if mask is not None:  # not infinity: a query that sees no key, as padding may, must not become NaN
            scores = scores.masked_fill(~mask[..., start:end, :], torch.finfo(scores.dtype).min)
        elif causal:  # what fills the note up stands behind every token of it
            later = torch.full(
                (end - start, end - start), float("-inf"), dtype=scores.dtype, device=scores.device
            ).triu(1)
            scores[..., start:] += later
        else:
            scores[..., own:] = float("-inf")
        found.append(torch.softmax(scores, dim=-1) @ value[..., :seen, :])
    return (torch.cat(found, dim=-2) if len(found) > 1 else found[0])[..., :own, :]


AttentionInterface.register(NAME, attend_within_notes)
AttentionMaskInterface.register(NAME, sdpa_mask)
