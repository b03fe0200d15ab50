"""Near-duplicates against a brute force over sets."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinstack.data.near_duplicates import near_duplicates

TEXTS = st.lists(st.lists(st.sampled_from(["FC", "120", "stable", "œdème", "-"]), max_size=6).map(" ".join), max_size=6)


def groups(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    size = min(3, len(words))
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)} if words else set()


@given(TEXTS, TEXTS, st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_it_is_the_jaccard_index_of_groups_of_three_words(texts, of, threshold):
    expected = [
        any(
            len(groups(one) & groups(other)) / len(groups(one) | groups(other)) >= threshold
            for other in of
            if groups(one) & groups(other)
        )
        for one in texts
    ]
    assert near_duplicates(texts, of, threshold).tolist() == expected


def test_a_line_that_differs_in_a_number_is_near_and_one_in_every_third_word_is_not():
    line = " ".join(f"mot{number}" for number in range(40))
    changed = line.replace("mot39", "mot99")
    scattered = " ".join(word if place % 3 else "autre" for place, word in enumerate(line.split()))
    found = near_duplicates([changed, scattered, ""], [line, "tout autre chose"])
    assert np.array_equal(found, [True, False, False])
