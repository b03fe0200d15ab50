"""Texts -> TF-IDF weights of their words and pairs of words and, of short notes, of groups of letters: what baselines read.

Groups of letters see stems and misspellings, which counts where notes are few and short; long notes have so many words that the
groups cost five times as much and add little. scikit-learn's vectorizers do the work.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

MOST_FEATURES = 50_000
"""Of words, and as many of groups of letters."""
SHORT = 2_000
"""Letters that a note has on average, at most, for its groups of letters to be read."""
_MANY_LABELS = 50
_KINDS: tuple[tuple[str, str, tuple[int, int]], ...] = (("words", "word", (1, 2)), ("letters", "char_wb", (3, 5)))


class TfIdfFeatures:
    """One vectorizer for words, and one for groups of letters if there is one."""

    def __init__(self, vectorizers: Mapping[str, TfidfVectorizer]):
        self.vectorizers = vectorizers

    @classmethod
    def fit_transform(cls, texts: Sequence[str]) -> tuple[Self, sparse.csr_matrix]:
        """Learns which words there are, and how rare they are; and the weights (N, V) of these texts, read once for both."""
        texts = _composed(texts)
        short = sum(map(len, texts)) <= SHORT * len(texts)
        rarest = max(1, min(2, len(texts) // 100))
        found = {name: _vectorizer(name, rarest) for name, *_ in _KINDS if name == "words" or short}
        weights = [one.fit_transform(texts) for one in found.values()]
        return cls(found), sparse.hstack(weights, format="csr")

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """(N, V)."""
        texts = _composed(texts)
        return sparse.hstack([one.transform(texts) for one in self.vectorizers.values()], format="csr")

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
        """All that they consist of: weights and vocabularies by kind."""
        arrays = {f"idf_{name}": one.idf_ for name, one in self.vectorizers.items()}
        vocabularies = {
            name: sorted(one.vocabulary_, key=one.vocabulary_.__getitem__) for name, one in self.vectorizers.items()
        }
        return arrays, vocabularies

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]], vocabularies: Mapping[str, list[str]]) -> Self:
        """What `state` was taken of."""
        found = {}
        for name, vocabulary in vocabularies.items():
            found[name] = _vectorizer(name, 1, vocabulary)
            found[name].idf_ = arrays[f"idf_{name}"]
        return cls(found)


def _composed(texts: Sequence[str]) -> list[str]:
    """An accent that stands behind its letter would else end the word."""
    return [normalize("NFC", text) for text in texts]


def judged_columns(labels: NDArray[np.bool_], kind: str) -> NDArray[np.int64]:
    """The labels that options are chosen by: of many the tenth of them that are most frequent, since each costs a fit."""
    columns = np.arange(labels.shape[1])
    if kind != "multilabel" or len(columns) <= _MANY_LABELS:
        return columns
    often = np.argsort(-labels.sum(axis=0), kind="stable")
    return np.sort(often[: max(_MANY_LABELS, len(columns) // 10)])


def _vectorizer(name: str, rarest: int, vocabulary: Sequence[str] | None = None) -> TfidfVectorizer:
    analyzer, lengths = next((analyzer, lengths) for one, analyzer, lengths in _KINDS if one == name)
    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=lengths,
        sublinear_tf=True,
        min_df=rarest,
        max_features=None if vocabulary is not None else MOST_FEATURES,
        vocabulary=vocabulary,
    )
