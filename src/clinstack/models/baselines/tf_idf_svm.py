"""TF-IDF weights and a linear support vector machine per class, whose margins become logits on the validation part.

Platt 1999, "Probabilistic outputs for support vector machines": a logistic curve over the margins of notes that were not
trained on, for each label; of several classes that exclude each other one slope for all (a temperature).
"""

from typing import ClassVar

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from clinstack.metrics.temperature import fit_temperature
from clinstack.models.baseline import Bools
from clinstack.models.tf_idf_linear import Floats, TfIdfLinear

_LEAST_SLOPE = 1e-3
"""A curve never turns a ranking round, however few the validation notes are; as flat, it foretells what is frequent."""


class TfIdfSvm(TfIdfLinear):
    """Support vector machines."""

    strengths: ClassVar[tuple[float, ...]] = (0.01, 0.1, 1.0, 10.0)

    @classmethod
    def classifier(cls, strength: float, seed: int) -> LinearSVC:
        """See `TfIdfLinear`."""
        return LinearSVC(C=strength, random_state=seed)

    @classmethod
    def calibrate(cls, kind: str, margins: Floats, labels: Bools) -> tuple[Floats | float, Floats | float]:
        """See `TfIdfLinear`. A label that every validation note has, or none, keeps its margins."""
        if kind == "multiclass":
            return 1 / fit_temperature(kind, margins, labels), 0.0
        columns = [1] if kind == "binary" else range(labels.shape[1])
        slope, offset = np.ones(labels.shape[1]), np.zeros(labels.shape[1])
        for column in columns:
            label = labels[:, column]
            if label.any() and not label.all() and np.ptp(margins[:, column]) > 0:
                slope[column], offset[column] = fit_curve(margins[:, column], label)
        return slope, offset


def fit_curve(margins: Floats, label: Bools) -> tuple[float, float]:
    """Slope and offset of Platt's curve. margins: (N,).   label: (N,), both kinds present.

    Targets are (n+1)/(n+2) and 1/(n+2) with n notes on that side, as Platt has them: margins that separate all would else
    become probabilities of 0 and 1.
    """
    having = (label.sum() + 1) / (label.sum() + 2)
    lacking = 1 / ((~label).sum() + 2)
    target = np.where(label, having, lacking)
    twice = np.concatenate([margins, margins])[:, None]
    sides, weights = np.repeat([1, 0], len(margins)), np.concatenate([target, 1 - target])
    found = LogisticRegression(C=np.inf, max_iter=1000).fit(twice, sides, sample_weight=weights)
    slope, offset = float(found.coef_[0, 0]), float(found.intercept_[0])
    if slope < _LEAST_SLOPE:
        return _LEAST_SLOPE, float(logit(target.mean()) - _LEAST_SLOPE * margins.mean())
    return slope, offset
