"""Net benefit, against its definition note by note."""

import numpy as np
import pytest

from clinstack.metrics.decision_curve import decision_curve

RANDOM = np.random.default_rng(0)


def test_net_benefit_is_its_definition():
    probabilities, labels = RANDOM.random(200).round(2), RANDOM.random(200) < 0.3
    curve = decision_curve(probabilities, labels)
    for place, threshold in enumerate(curve.thresholds):
        gained = 0.0
        for probability, label in zip(probabilities, labels, strict=True):
            if probability >= threshold:
                gained += 1.0 if label else -threshold / (1 - threshold)
        assert curve.model[place] == pytest.approx(gained / 200)
    everybody = decision_curve(np.ones(200), labels)
    assert np.allclose(everybody.model, curve.everybody)


def test_a_model_that_knows_is_worth_the_prevalence_at_every_threshold():
    labels = RANDOM.random(100) < 0.4
    assert np.allclose(decision_curve(labels.astype(float), labels).model, labels.mean())


def test_a_model_that_says_the_prevalence_of_all_is_acting_on_everybody_below_it_and_on_nobody_above():
    labels = np.array([True] * 30 + [False] * 70)
    curve = decision_curve(np.full(100, 0.3), labels)
    below = curve.thresholds <= 0.3
    assert np.allclose(curve.model[below], curve.everybody[below])
    assert (curve.model[~below] == 0).all()
