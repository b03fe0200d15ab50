"""Words and pairs of words, weighted by TF-IDF, and a logistic regression per class: scikit-learn's, the usual strong line.

Its strength of regularisation is chosen by the validation part; where there are many labels, as with codes of diagnoses, by
the tenth of them that are most frequent, since a fit per label and strength takes a second or so.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from clinstack.metrics.scorecard import selection_score
from clinstack.models.baseline import Arrays, Baseline, Bools, LabelledTexts

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of regularisation that are tried."""
MOST_FEATURES = 50_000
_MANY = 50


class TfIdf(Baseline):
    """Linear in TF-IDF weights: weights (C, V), bias (C,)."""

    def __init__(
        self,
        words: TfidfVectorizer,
        weights: NDArray[np.float64],
        bias: NDArray[np.float64],
        strength: float,
    ):
        self.words, self.weights, self.bias, self.strength = words, weights, bias, strength

    @classmethod
    def fit(cls, kind: str, train: LabelledTexts, valid: LabelledTexts, seed: int) -> Self:
        """Fits one regression per class (of two classes one for both) at each strength, and keeps the best."""
        words = _words(max(1, min(2, len(train.texts) // 100)))
        seen = words.fit_transform(train.texts)
        judged = words.transform(valid.texts)
        chosen = _judged_columns(train.labels, kind)
        scores = {}
        for strength in STRENGTHS:
            weights, bias = _regressions(seen, train.labels[:, chosen], kind, strength)
            logits = judged @ weights.T + bias
            scores[strength] = selection_score(kind, np.asarray(logits), valid.labels[:, chosen])[1]
        best = max(STRENGTHS, key=lambda strength: (scores[strength], -strength))
        return cls(words, *_regressions(seen, train.labels, kind, best), best)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C)."""
        return np.asarray(self.words.transform(texts) @ self.weights.T + self.bias, dtype=np.float32)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Baseline`."""
        arrays = {"weights": self.weights, "bias": self.bias, "idf": self.words.idf_}
        vocabulary = sorted(self.words.vocabulary_, key=self.words.vocabulary_.__getitem__)
        return arrays, {"vocabulary": vocabulary, "strength": self.strength}

    @classmethod
    def of_state(cls, arrays: Arrays, about: Mapping[str, Any]) -> Self:
        """See `Baseline`."""
        words = _words(1, about["vocabulary"])
        words.idf_ = arrays["idf"]
        return cls(words, arrays["weights"], arrays["bias"], about["strength"])


def _words(rarest: int, vocabulary: Sequence[str] | None = None) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=rarest,
        max_features=None if vocabulary is not None else MOST_FEATURES,
        vocabulary=vocabulary,
    )


def _judged_columns(labels: Bools, kind: str) -> NDArray[np.int64]:
    """The labels that a strength is chosen by."""
    columns = np.arange(labels.shape[1])
    if kind != "multilabel" or len(columns) <= _MANY:
        return columns
    often = np.argsort(-labels.sum(axis=0), kind="stable")
    return np.sort(often[: max(_MANY, len(columns) // 10)])


def _regressions(
    seen: sparse.csr_matrix, labels: Bools, kind: str, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (C, V) and bias (C,)."""
    if kind == "multilabel":
        fitted = [_yes_or_no(seen, labels[:, column], strength) for column in range(labels.shape[1])]
        return np.stack([weights for weights, _ in fitted]), np.array([bias for _, bias in fitted])
    present = np.flatnonzero(labels.any(axis=0))
    weights, bias = np.zeros((labels.shape[1], seen.shape[1])), np.full(labels.shape[1], -20.0)
    if len(present) == 1:
        bias[present] = 0.0
        return weights, bias
    model = _fit(seen, labels.argmax(axis=1), strength)
    if len(present) == 2:  # one regression, of the second against the first
        weights[present[1]], bias[present[0]], bias[present[1]] = model.coef_[0], 0.0, model.intercept_[0]
    else:
        weights[present], bias[present] = model.coef_, model.intercept_
    return weights, bias


def _yes_or_no(seen: sparse.csr_matrix, label: Bools, strength: float) -> tuple[NDArray[np.float64], float]:
    if label.all() or not label.any():  # nothing to learn: surely there, or surely not
        return np.zeros(seen.shape[1]), 20.0 if label.all() else -20.0
    model = _fit(seen, label, strength)
    return model.coef_[0], float(model.intercept_[0])


def _fit(seen: sparse.csr_matrix, target: NDArray[Any], strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are as good as converged for a ranking
        return LogisticRegression(C=strength, max_iter=300).fit(seen, target)
