"""Texts that are nearly another: what a note says in almost the same words is known by heart, whoever it is of.

Two texts are as alike as their groups of three words are: the Jaccard index, shared groups over all groups of both. Digits
count, since two lines of vital signs differ by nothing else. scikit-learn hashes the groups into 4 million columns and sparse
products count what is shared, so every pair is compared and none is estimated.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

THRESHOLD = 0.8
"""From this index on two texts are nearly the same."""
_WORDS = 3
_WORD = re.compile(r"\w+")
_FEATURES = 2**22
_ROWS = 512
"""Texts compared at once: a product of these with all the others is held in memory."""


def near_duplicates(texts: Sequence[str], of: Sequence[str], threshold: float = THRESHOLD) -> NDArray[np.bool_]:
    """(N,) whether each text is nearly one `of` those. Texts without a word are like none."""
    if not texts or not of:
        return np.zeros(len(texts), dtype=bool)
    count = HashingVectorizer(
        analyzer=_groups, n_features=_FEATURES, binary=True, norm=None, alternate_sign=False, dtype=np.float32
    )
    these, those = (sparse.csr_matrix(count.transform(each)) for each in (texts, of))
    sizes, others = (np.asarray(each.sum(axis=1)).ravel() for each in (these, those))
    found = np.zeros(len(texts), dtype=bool)
    columns = those.T.tocsr()
    for start in range(0, len(texts), _ROWS):
        shared = (these[start : start + _ROWS] @ columns).tocoo()
        rows = shared.row + start
        index = shared.data / (sizes[rows] + others[shared.col] - shared.data)
        found[rows[index >= threshold]] = True
    return found


def _groups(text: str) -> list[str]:
    """Every run of three words; of a shorter text all of it."""
    words = _WORD.findall(text.lower())
    if 0 < len(words) < _WORDS:
        return [" ".join(words)]
    return [" ".join(words[start : start + _WORDS]) for start in range(len(words) - _WORDS + 1)]
