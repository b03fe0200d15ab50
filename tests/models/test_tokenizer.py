"""The tokenizer: one start token a note, exact limits, exact bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinstack.errors import BadInput
from clinstack.models.tokenizer import NoteTokenizer


@pytest.fixture(scope="module")
def fast(small_base: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(small_base)


@pytest.fixture(scope="module")
def tokenizer(fast) -> NoteTokenizer:
    return NoteTokenizer("small", fast)


def test_a_note_opens_with_exactly_one_start_token(tokenizer, fast):
    for note in tokenizer.encode(["patient seen", "x"]):
        assert note.count(fast.bos_token_id) == 1
        assert note[0] == fast.bos_token_id


def test_a_tokenizer_that_adds_its_own_start_token_does_not_add_a_second(shared: Path):
    from transformers import AutoTokenizer

    adds_its_own = AutoTokenizer.from_pretrained(shared / "models" / "stories260k-llama")
    [note] = NoteTokenizer("stories", adds_its_own).encode(["Once upon a time"])
    assert note.count(adds_its_own.bos_token_id) == 1


def test_without_a_start_token_the_end_token_opens_a_note_and_without_a_pad_token_it_pads(fast):
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=fast.backend_tokenizer, eos_token="</s>")
    found = NoteTokenizer("bare", bare)
    assert (found.start, found.pad, found.has_pad) == (bare.eos_token_id, bare.eos_token_id, False)


def test_a_tokenizer_that_cannot_open_a_note_is_refused(fast):
    from transformers import PreTrainedTokenizerFast

    with pytest.raises(BadInput) as caught:
        NoteTokenizer("bare", PreTrainedTokenizerFast(tokenizer_object=fast.backend_tokenizer))
    assert str(caught.value) == "bare: its tokenizer has neither a start nor an end token, so notes cannot be opened."


@given(text=st.text(min_size=1, max_size=40), max_tokens=st.integers(2, 30))
def test_a_limit_keeps_the_first_tokens_and_counts_the_bytes_they_spell(tokenizer, text, max_tokens):
    [whole] = tokenizer.encode([text])
    [cut] = tokenizer.encode([text], max_tokens)
    [kept], text_bytes = tokenizer.encode_within([text], max_tokens)
    assert cut == kept == whole[:max_tokens]
    assert len(cut) <= max_tokens
    if len(whole) <= max_tokens:
        assert text_bytes == len(text.encode())
    assert text_bytes <= len(text.encode())


def test_tokenizers_that_open_notes_otherwise_have_other_hashes(fast, tokenizer):
    other = fast.__class__(tokenizer_object=fast.backend_tokenizer, bos_token="</s>", eos_token="</s>")
    found = NoteTokenizer("other", other)
    assert found.start != tokenizer.start
    assert found.hash != tokenizer.hash


def test_equal_tokenizers_have_equal_hashes(fast, tokenizer):
    assert NoteTokenizer("again", fast).hash == tokenizer.hash
    fast_with_more = fast.__class__(
        tokenizer_object=fast.backend_tokenizer, bos_token="<s>", extra_special_tokens=["<new>"]
    )
    assert NoteTokenizer("more", fast_with_more).hash != tokenizer.hash
