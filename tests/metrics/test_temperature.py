"""Temperature: found where the loss is least, right where it is known, and no ranking is moved."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.metrics import log_loss, roc_auc_score

from clinstack.metrics.calibration import expected_calibration_error
from clinstack.metrics.scorecard import probabilities
from clinstack.metrics.temperature import fit_temperature

RANDOM = np.random.default_rng(0)


def drawn(kind: str, count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are true, and labels drawn from them."""
    logits = RANDOM.normal(scale=2.0, size=(count, 2 if kind == "binary" else 3))
    if kind == "multilabel":
        return logits, RANDOM.random(logits.shape) < expit(logits)
    likely = softmax(logits, axis=1)
    chosen = (RANDOM.random((count, 1)) > likely.cumsum(axis=1)).sum(axis=1).clip(max=likely.shape[1] - 1)
    return logits, np.eye(likely.shape[1], dtype=bool)[chosen]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_logits_that_are_too_sure_or_too_timid_are_put_right(kind, factor):
    logits, labels = drawn(kind)
    temperature = fit_temperature(kind, logits * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.08)
    before = expected_calibration_error(probabilities(kind, logits * factor), labels)
    after = expected_calibration_error(probabilities(kind, logits * factor / temperature), labels)
    assert after < 0.015
    assert after < before or factor == 1.0


def test_the_loss_is_least_there_by_another_count():
    logits, labels = drawn("multiclass", 500)

    def loss(log_t: float) -> float:
        return log_loss(labels.argmax(axis=1), softmax(logits / np.exp(log_t), axis=1))

    expected = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    assert fit_temperature("multiclass", logits, labels) == pytest.approx(expected, rel=1e-3)


def test_no_ranking_of_a_binary_task_moves():
    logits, labels = drawn("binary", 300)
    temperature = fit_temperature("binary", logits, labels)
    figures = [roc_auc_score(labels[:, 1], probabilities("binary", logits / t)[:, 1]) for t in (1.0, temperature)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-12)


def test_labels_told_apart_without_error_do_not_run_away():
    logits = np.array([[2.0, -2.0], [-2.0, 2.0]] * 20)
    assert 0.05 <= fit_temperature("binary", logits, logits > 0) < 0.2
