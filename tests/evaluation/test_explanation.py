"""Explanations by word and section, and whether they are to be believed."""

import numpy as np
import pytest

from clinstack.evaluation.explanation import explain, shares_without

TEXT = (
    "CHIEF COMPLAINT: chest pain.\nHPI: the old man has a shock and was given pressors for the shock today and again."
)


def planted(texts):
    """Log-odds that count one word."""
    return np.array([2.0 * text.count("shock") - 1.0 for text in texts])


def test_leaving_words_out_finds_the_word_that_counts():
    found = explain(TEXT, shares_without(TEXT, planted), planted)
    strongest = [TEXT[one.start : one.end] for one in sorted(found.words, key=lambda one: -one.share)[:2]]
    assert strongest == ["shock", "shock"]
    assert [one.share for one in found.words if one.share] == [2.0, 2.0]
    assert [(one.name, one.share) for one in found.sections] == [("chief complaint", 0.0), ("present illness", 4.0)]
    assert found.faithfulness.words == 2
    assert found.faithfulness.without_named == 4.0
    assert found.faithfulness.by_chance < 1.5


def test_a_tokens_share_goes_to_the_word_that_it_begins_in_and_unread_words_are_left_out():
    found = explain("abc defgh ijk", [(0, 1.0), (4, 0.5), (6, 0.25)], planted)
    assert [(one.start, one.end, one.share) for one in found.words] == [(0, 3, 1.0), (4, 9, 0.75)]
    assert found.faithfulness is None
    assert explain("", [], planted).words == []
    assert explain(" \n ", [(0, 1.0)], planted).words == []


def test_a_token_that_begins_with_the_space_before_a_word_belongs_to_that_word():
    found = explain("abc def", [(0, 1.0), (3, 2.0)], planted)
    assert [one.share for one in found.words] == [1.0, 2.0]


def test_an_explanation_of_nothing_is_no_better_than_chance():
    shares = [(start, 0.001 * start) for start in range(0, len(TEXT), 3)]
    found = explain(TEXT, shares, lambda texts: np.zeros(len(texts)))
    assert found.faithfulness.without_named == found.faithfulness.by_chance == 0


def test_a_long_note_is_left_out_in_groups():
    text = " ".join(["filler"] * 3000 + ["shock"])
    asked = []

    def count(texts):
        asked.append(len(texts))
        return planted(texts)

    shares = shares_without(text, count)
    assert len(shares) == 3001
    assert asked[0] <= 502
    assert sum(share for _, share in shares) == pytest.approx(2.0)
