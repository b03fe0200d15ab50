"""How much of a note is read: nothing twice, nothing invented, and what is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("truncation", ["head", "tail", "head+tail"])
def test_a_text_without_a_token_is_its_start_token(truncation):
    assert Window(5, truncation, 3).read(Letters(closed=False), ["", "a"]) == [[[1]], [[1, 97]]]
