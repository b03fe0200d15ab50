"""What baselines share that are linear in TF-IDF weights: one classifier per class, at the strength that validation chose."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from clinstack.metrics.scorecard import SelectBy, selection_score
from clinstack.models.baseline import Arrays, Baseline, Bools, LabelledTexts
from clinstack.models.tf_idf import TfIdfFeatures, judged_columns

Floats = NDArray[np.float64]

SURE = 20.0
"""The logit of what every note of the training part has, and its negative of what none has."""


class TfIdfLinear(Baseline):
    """Weights (C, V) and bias (C,) on TF-IDF weights."""

    strengths: ClassVar[tuple[float, ...]]
    """Inverse strengths of regularisation that are tried."""

    def __init__(self, features: TfIdfFeatures, weights: Floats, bias: Floats, strength: float):
        self.features, self.weights, self.bias, self.strength = features, weights, bias, strength

    @classmethod
    @abstractmethod
    def classifier(cls, strength: float, seed: int) -> Any:
        """scikit-learn's, not yet fitted."""

    @classmethod
    def calibrate(cls, kind: str, margins: Floats, labels: Bools) -> tuple[Floats | float, Floats | float]:
        """Slope and offset (C,) that make logits of what is predicted for the validation part; as it is by default."""
        return 1.0, 0.0

    @classmethod
    def fit(
        cls, kind: str, train: LabelledTexts, valid: LabelledTexts, seed: int, select_by: SelectBy = "auroc"
    ) -> Self:
        """Fits one classifier per class (of two classes one for both) at each strength, and keeps the best."""
        features, seen = TfIdfFeatures.fit_transform(train.texts)
        judged = features.transform(valid.texts)
        chosen = judged_columns(train.labels, kind)
        scores = {}
        for strength in cls.strengths:
            weights, bias = cls._fit_classes(seen, train.labels[:, chosen], kind, strength, seed)
            scores[strength] = selection_score(kind, judged @ weights.T + bias, valid.labels[:, chosen], select_by)
        best = max(cls.strengths, key=lambda strength: (*scores[strength][1:], -strength))
        weights, bias = cls._fit_classes(seen, train.labels, kind, best, seed)
        margins = judged @ weights.T + bias
        slope, offset = cls.calibrate(kind, margins, valid.labels)
        model = cls(features, weights * np.reshape(slope, (-1, 1)), bias * slope + offset, best)
        if select_by != "auroc":  # ranks stay as they are
            model.judged = cls._calibrated_by_others(kind, margins, valid.labels, seed).astype(np.float32)
        return model

    @classmethod
    def _calibrated_by_others(cls, kind: str, margins: Floats, labels: Bools, seed: int) -> Floats:
        """The logits of each half of the validation part, as the other half makes them: decisions of notes that slope and
        offset were fitted to would be too good.
        """
        half = np.random.default_rng(seed).permutation(len(labels)) % 2
        found = margins.copy()
        for mine, other in ((half == 0, half == 1), (half == 1, half == 0)):
            if other.any():
                slope, offset = cls.calibrate(kind, margins[other], labels[other])
                found[mine] = margins[mine] * slope + offset
        return found

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C)."""
        return np.asarray(self.features.transform(texts) @ self.weights.T + self.bias, dtype=np.float32)

    @property
    def fitted_weights(self) -> int:
        """See `Baseline`. A class without a classifier (the first of two, or one that training lacks) has none."""
        classifiers = int(self.weights.any(axis=1).sum())
        return classifiers * (1 + int(self.weights.shape[1]))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Baseline`."""
        arrays, vocabularies = self.features.state()
        about = {"vocabularies": vocabularies, "strength": self.strength}
        return {**arrays, "weights": self.weights, "bias": self.bias}, about

    @classmethod
    def of_state(cls, arrays: Arrays, about: Mapping[str, Any]) -> Self:
        """See `Baseline`."""
        features = TfIdfFeatures.of_state(arrays, about["vocabularies"])
        return cls(features, arrays["weights"], arrays["bias"], about["strength"])

    @classmethod
    def _fit_classes(
        cls, seen: sparse.csr_matrix, labels: Bools, kind: str, strength: float, seed: int
    ) -> tuple[Floats, Floats]:
        """Weights (C, V) and bias (C,)."""
        weights, bias = np.zeros((labels.shape[1], seen.shape[1])), np.full(labels.shape[1], -SURE)
        if kind == "multilabel":
            for column, label in enumerate(labels.T):
                if label.all():
                    bias[column] = SURE
                elif label.any():
                    weights[column], bias[column] = cls._fit(seen, label, strength, seed)
            return weights, bias
        present = np.flatnonzero(labels.any(axis=0))
        if len(present) == 1:
            bias[present] = 0.0
        elif len(present) == 2:  # one classifier, of the second against the first
            bias[present[0]] = 0.0
            weights[present[1]], bias[present[1]] = cls._fit(seen, labels[:, present[1]], strength, seed)
        else:
            weights[present], bias[present] = cls._fit(seen, labels.argmax(axis=1), strength, seed)
        return weights, bias

    @classmethod
    def _fit(cls, seen: sparse.csr_matrix, target: NDArray[Any], strength: float, seed: int) -> tuple[Any, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as good as converged for a ranking
            model = cls.classifier(strength, seed).fit(seen, target)
        return np.squeeze(model.coef_), np.squeeze(model.intercept_)
