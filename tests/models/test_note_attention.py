"""Attention within packed notes: torch's own on every note alone, forward and back, in few shapes."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from clinstack.models.note_attention import attend_within_notes, few_shapes

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=4)


def packed(lengths: list[int], heads: int, shared: int, seed: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    sizes = (heads, heads // shared, heads // shared)
    return [
        torch.randn(1, size, sum(lengths), 8, generator=chance, dtype=torch.float64, requires_grad=True)
        for size in sizes
    ]


@pytest.mark.parametrize("causal", [True, False])
@given(lengths=LENGTHS, shared=st.sampled_from([1, 2]))
def test_it_is_torchs_attention_of_each_note_alone_with_its_gradients(causal, lengths, shared):
    given_ = packed(lengths, 2, shared, len(lengths))
    module = SimpleNamespace(is_causal=causal, num_key_value_groups=shared)
    found, _ = attend_within_notes(module, *given_, None, note_lengths=lengths)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = torch.autograd.grad((found * weights).sum(), given_)
    notes = zip(*(one.split(lengths, dim=2) for one in given_), strict=True)
    alone = [scaled_dot_product_attention(*note, is_causal=causal, enable_gqa=shared > 1) for note in notes]
    expected = torch.cat(alone, dim=2).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    for mine, other in zip(ours, torch.autograd.grad((expected * weights).sum(), given_), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("seen", ["all", "up to each", "a mask", "a mask that hides all from some"])
@given(length=st.sampled_from([1, 5, 64, 100, 256]), shared=st.sampled_from([1, 2]), rows=st.integers(1, 3))
def test_short_rows_in_bfloat16_are_torchs_attention_in_float64(seen, length, shared, rows):
    chance = torch.Generator().manual_seed(length)
    exact = [
        torch.randn(rows, heads, length, 8, generator=chance).bfloat16().double().requires_grad_()
        for heads in (2, 2 // shared, 2 // shared)
    ]
    rounded = [one.detach().bfloat16().requires_grad_() for one in exact]
    mask = None
    if seen.startswith("a mask"):
        mask = torch.rand(rows, 1, length, length, generator=chance) < 0.5
        mask[..., 0] = True
        if "hides" in seen:
            mask[0, :, 0] = False
    module = SimpleNamespace(is_causal=seen == "up to each", num_key_value_groups=shared)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attend_within_notes(module, *rounded, mask)
    expected = scaled_dot_product_attention(
        *exact, attn_mask=mask, is_causal=seen == "up to each", enable_gqa=shared > 1
    ).transpose(1, 2)
    counts = torch.ones(rows, length) if mask is None else mask.any(-1)[:, 0]  # a query without keys is nobody's token
    weights = torch.randn(found.shape, generator=chance) * counts[..., None, None]
    ours = torch.autograd.grad((found * weights).sum(), rounded)
    theirs = torch.autograd.grad((expected * weights).sum(), exact)
    for mine, other in zip([found * weights, *ours], [expected * weights, *theirs], strict=True):
        torch.testing.assert_close(mine.double(), other, atol=0.03 * float(other.detach().abs().max()), rtol=0.03)


@pytest.mark.parametrize("causal", [True, False])
def test_notes_of_many_lengths_multiply_matrices_of_few_shapes(causal, monkeypatch):
    shapes, multiply = set(), torch.Tensor.__matmul__

    def counted(one, other):
        shapes.add((one.shape, other.shape))
        return multiply(one, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", counted)
    for length in range(1, 257):
        attend_within_notes(SimpleNamespace(is_causal=causal), *packed([length], 2, 1, 0), None, note_lengths=[length])
    assert len(shapes) == 2 * 256 / few_shapes(1)
