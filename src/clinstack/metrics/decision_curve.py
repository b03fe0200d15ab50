"""Net benefit: what acting on a prediction is worth, when a needless action costs a stated share of a missed one.

Vickers and Elkin 2006, "Decision Curve Analysis": who acts from a probability of t on holds one that was missed to be as bad as
(1 - t) / t needless actions. A model is of use at t if it beats both acting on everybody and on nobody (0).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 100))


class DecisionCurve(NamedTuple):
    """Net benefit per note at each threshold, all (T,): of the model, and of acting on everybody."""

    thresholds: Floats
    model: Floats
    everybody: Floats


def decision_curve(probabilities: ArrayLike, labels: ArrayLike, thresholds: ArrayLike = THRESHOLDS) -> DecisionCurve:
    """The net benefit of acting on every note whose probability (N,) of the label reaches a threshold in 0-1."""
    values = np.asarray(probabilities, dtype=np.float64)
    truths = np.asarray(labels).astype(bool)
    chosen = np.asarray(thresholds, dtype=np.float64)
    acted = values[None, :] >= chosen[:, None]
    odds = chosen / (1 - chosen)
    right = (acted & truths).sum(axis=1) / len(values)
    needless = (acted & ~truths).sum(axis=1) / len(values)
    return DecisionCurve(chosen, right - odds * needless, truths.mean() - odds * (1 - truths.mean()))
