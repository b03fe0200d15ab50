"""How much of a note is read: nothing twice, nothing invented, and what is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinstack.models.tokenizer import NoteTokenizer
from clinstack.models.window import Window


class Letters:
    """A tokenizer whose tokens are characters; notes are opened with 1 and, if closed, ended with 2."""

    def __init__(self, closed: bool):
        self.end = (2,) if closed else ()

    def plain(self, texts):
        return [[ord(letter) for letter in text] for text in texts]

    def opened(self, ids):
        return [1, *ids, *self.end]

    def room(self, max_tokens):
        return max_tokens - 1 - len(self.end)


texts = st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=60)


@given(texts, st.integers(3, 20), st.integers(1, 4), st.booleans(), st.sampled_from(["head", "tail", "head+tail"]))
def test_chunks_are_opened_no_longer_than_allowed_and_hold_the_kept_text_in_order(
    text, max_tokens, chunks, closed, truncation
):
    tokenizer = Letters(closed)
    (note,) = Window(max_tokens, truncation, chunks).read(tokenizer, [text])
    assert 1 <= len(note) <= chunks
    assert all(chunk[0] == 1 and len(chunk) <= max_tokens for chunk in note)
    assert all(chunk[-1] == 2 for chunk in note) or not closed
    room = tokenizer.room(max_tokens)
    inner = [chunk[1 : len(chunk) - len(tokenizer.end)] for chunk in note]
    assert all(len(one) == room for one in inner[:-1])
    read = "".join(chr(one) for chunk in inner for one in chunk)
    most = room * chunks
    assert len(read) == min(len(text), most)
    from_head = {"head": len(read), "tail": 0, "head+tail": len(read) // 4 if len(text) > most else len(read)}[
        truncation
    ]
    assert read == text[:from_head] + text[len(text) - (len(read) - from_head) :]


@pytest.fixture(scope="module")
def fast(small_base):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(small_base)


@given(
    st.text(st.sampled_from("abé ß🩺\n.1"), max_size=400),
    st.integers(3, 20),
    st.sampled_from(["head", "tail", "head+tail"]),
)
def test_the_characters_that_are_read_are_those_of_the_kept_tokens(fast, text, max_tokens, truncation):
    tokenizer = NoteTokenizer("small", fast)
    window = Window(max_tokens, truncation)
    (ids,) = tokenizer.plain([text])
    found = window.spans(tokenizer, text, ids)
    offsets = fast.backend_tokenizer.encode(text, add_special_tokens=False).offsets
    kept = [offsets[place] for part in window.parts(tokenizer, len(ids)) for place in part]
    if len(kept) == len(offsets):
        assert found == [(0, len(text))]
    else:
        assert all(any(low <= start and end <= high for low, high in found) for start, end in kept)
        ends = {0, len(text)} | {one for place in kept for one in place}
        assert all({low, high} <= ends for low, high in found)


@pytest.mark.parametrize("truncation", ["head", "tail", "head+tail"])
def test_a_text_without_a_token_is_its_start_token(truncation):
    assert Window(5, truncation, 3).read(Letters(closed=False), ["", "a"]) == [[[1]], [[1, 97]]]
