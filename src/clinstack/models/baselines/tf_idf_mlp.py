"""TF-IDF weights and a small network of one hidden layer: scikit-learn's, for as long as the validation part is ranked better.

The line of the group whose small Transformers the limited-data study is about (arXiv 2104.03934): on their own notes it was
above their later networks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from clinstack.metrics.scorecard import SelectBy, selection_score
from clinstack.models.baseline import Arrays, Baseline, LabelledTexts
from clinstack.models.tf_idf import TfIdfFeatures
from clinstack.models.tf_idf_linear import SURE

HIDDEN = 64
_EPOCHS, _PATIENCE = 30, 5


class TfIdfMlp(Baseline):
    """Two layers on TF-IDF weights, ReLU between: inner (V, 64) and (64,), outer (64, C) and (C,)."""

    def __init__(self, features: TfIdfFeatures, arrays: Arrays):
        self.features, self.arrays = features, arrays

    @classmethod
    def fit(
        cls, kind: str, train: LabelledTexts, valid: LabelledTexts, seed: int, select_by: SelectBy = "auroc"
    ) -> Self:
        """Trains for at most 30 epochs and keeps the best; stops when five were no better."""
        features, seen = TfIdfFeatures.fit_transform(train.texts)
        seen = seen.astype(np.float32)  # and so are the network's weights: half of what every step moves
        judged = features.transform(valid.texts)
        several = kind == "multilabel" and train.labels.shape[1] > 1
        target: NDArray[Any] = train.labels.astype(int)
        if not several:  # a label alone is a question with two answers
            target = target[:, 0] if kind == "multilabel" else target.argmax(axis=1)
        draws = np.random.RandomState(seed)  # a number would begin every epoch's order anew, the same
        classes = np.arange(max(2, train.labels.shape[1]))
        network = MLPClassifier(hidden_layer_sizes=(HIDDEN,), batch_size=min(32, len(target)), random_state=draws)
        best, best_score, without_gain = None, (-np.inf, 0.0), 0
        for _ in range(_EPOCHS):
            network.partial_fit(seen, target, classes=classes)
            tried = cls(features, _arrays(network, train.labels))
            found = selection_score(kind, tried._of(judged), valid.labels, select_by)
            score = found.value, found.tie
            if score > best_score:
                best, best_score, without_gain = tried, score, 0
            else:
                without_gain += 1
                if without_gain == _PATIENCE:
                    break
        assert best is not None
        return best

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C)."""
        return self._of(self.features.transform(texts))

    def _of(self, seen: Any) -> NDArray[np.float32]:
        inner = np.maximum(seen @ self.arrays["inner"] + self.arrays["inner_bias"], 0)
        return np.asarray(inner @ self.arrays["outer"] + self.arrays["outer_bias"], dtype=np.float32)

    @property
    def fitted_weights(self) -> int:
        """See `Baseline`. Of two classes the first has no output of its own."""
        outputs = int(self.arrays["outer"].any(axis=0).sum())
        return self.arrays["inner"].size + HIDDEN + outputs * (HIDDEN + 1)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Baseline`."""
        arrays, vocabularies = self.features.state()
        return {**arrays, **self.arrays}, {"vocabularies": vocabularies}

    @classmethod
    def of_state(cls, arrays: Arrays, about: Mapping[str, Any]) -> Self:
        """See `Baseline`."""
        own = {name: arrays[name] for name in ("inner", "inner_bias", "outer", "outer_bias")}
        return cls(TfIdfFeatures.of_state(arrays, about["vocabularies"]), own)


def _arrays(network: MLPClassifier, labels: NDArray[np.bool_]) -> Arrays:
    """The network's weights, copied; of two classes scikit-learn has one output, of the second against the first."""
    (inner, outer), (inner_bias, outer_bias) = network.coefs_, network.intercepts_
    if outer.shape[1] < labels.shape[1]:
        outer = np.hstack([np.zeros_like(outer), outer])
        outer_bias = np.concatenate([[0.0], outer_bias])
    absent = np.where(labels.any(axis=0), 0.0, -SURE)
    return {
        "inner": inner.copy(),
        "inner_bias": inner_bias.copy(),
        "outer": outer.copy(),
        "outer_bias": outer_bias + absent,
    }
