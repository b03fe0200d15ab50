"""Perplexity and bits per byte on models whose loss is known without a model."""

import math

import pytest

from clinstack.errors import BadInput
from clinstack.metrics import bits


def test_a_uniform_guess_over_a_vocabulary_has_its_size_as_perplexity():
    assert bits.perplexity(100 * math.log(4096), tokens=100) == pytest.approx(4096)


def test_a_uniform_guess_over_bytes_costs_eight_bits_each():
    assert bits.bits_per_byte(37 * math.log(256), utf8_bytes=37) == pytest.approx(8)


def test_bits_per_byte_do_not_change_with_the_tokenizer():
    # The same text and total loss, in 50 long tokens or 100 short ones: perplexity moves, bits per byte do not.
    assert bits.perplexity(200.0, tokens=50) > bits.perplexity(200.0, tokens=100)
    assert bits.bits_per_byte(200.0, utf8_bytes=300) == 200.0 / math.log(2) / 300


def test_a_broken_model_has_infinite_perplexity_and_stops_nothing():
    assert bits.perplexity(1e6, tokens=1) is None


def test_an_empty_split_is_refused():
    with pytest.raises(BadInput, match=r"^Perplexity needs at least one foretold token; the split holds none\.$"):
        bits.perplexity(0.0, tokens=0)
    with pytest.raises(BadInput, match=r"^Bits per byte needs at least one byte of text; the split holds none\.$"):
        bits.bits_per_byte(0.0, utf8_bytes=0)
