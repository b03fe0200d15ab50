"""Temperature scaling: one number that makes probabilities mean what they say, fitted where nothing is reported.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 4.2: logits are divided by T, chosen so
that the negative log-likelihood of the validation labels is least. No order of notes within a binary task or a label changes.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from clinstack.metrics.scorecard import log_loss

_RANGE = (np.log(0.05), np.log(20.0))


def fit_temperature(kind: str, logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature of a task of this kind, from logits and labels (N, C) of the validation part; between 0.05 and 20.

    The loss is convex in 1/T, so there is one minimum; where labels are told apart without error it lies at the lower end.
    """
    values, truths = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(bool)
    found = minimize_scalar(
        lambda log_t: log_loss(kind, values / np.exp(log_t), truths), bounds=_RANGE, method="bounded"
    )
    return float(np.exp(found.x))
