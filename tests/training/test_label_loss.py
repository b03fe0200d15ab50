"""The losses of step 2, against scikit-learn's weights and the formulas written out."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from clinstack.errors import BadInput
from clinstack.metrics.kinds import KINDS
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.training.label_loss import GAMMA_NEGATIVE, MARGIN, class_weights, frequencies, label_loss

CHANCE = np.random.default_rng(0)
SINGLE = np.eye(3, dtype=bool)[CHANCE.choice(3, 60, p=[0.7, 0.2, 0.1])]
SEVERAL = CHANCE.random((60, 4)) < [0.5, 0.1, 0.0, 1.0]


def test_balanced_weights_of_classes_are_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=SINGLE.argmax(axis=1))
    np.testing.assert_allclose(class_weights(SINGLE, "multiclass", "balanced"), expected, rtol=1e-6)
    np.testing.assert_allclose(class_weights(SINGLE, "multiclass", "root"), np.sqrt(expected), rtol=1e-6)
    assert class_weights(SINGLE, "multiclass", "none").tolist() == [1, 1, 1]


def test_balanced_weights_of_labels_make_both_answers_count_alike():
    weights = class_weights(SEVERAL, "multilabel", "balanced").numpy()
    counts = SEVERAL.sum(axis=0)
    assert weights[:2] * counts[:2] == pytest.approx(60 - counts[:2])
    assert weights[2:].tolist() == [1, 1]  # no note has the one, every note the other


def test_plain_losses_are_those_of_torch():
    logits = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(SEVERAL).float()
    total, weight = label_loss("multilabel", "plain", torch.ones(4))(logits, labels)
    assert float(total / weight) == pytest.approx(float(functional.binary_cross_entropy_with_logits(logits, labels)))
    weights = class_weights(SINGLE, "multiclass", "balanced")
    total, weight = label_loss("multiclass", "plain", weights)(logits[:, :3], torch.from_numpy(SINGLE).float())
    expected = functional.cross_entropy(logits[:, :3], torch.from_numpy(SINGLE.argmax(axis=1)), weight=weights)
    assert float(total / weight) == pytest.approx(float(expected))


def test_the_asymmetric_loss_is_its_formula_and_passes_over_easy_negatives():
    logits = torch.tensor([[2.0, -1.0], [-4.0, 3.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    p = torch.sigmoid(logits)
    q = (p - MARGIN).clamp(min=0)
    expected = labels * -(1 - p) * torch.log(p) - (1 - labels) * q**GAMMA_NEGATIVE * torch.log(1 - q)
    loss = label_loss("multilabel", "asymmetric", torch.ones(2, dtype=torch.float64))
    total, weight = loss(logits, labels)
    assert float(total / weight) == pytest.approx(float(expected.mean(dim=1).mean()))
    logits.requires_grad_()
    loss(logits, labels)[0].backward()
    assert logits.grad[1, 0] == 0  # sigmoid(-4) lies within the margin
    assert torch.autograd.gradcheck(lambda x: loss(x, labels)[0], logits)
    extreme = torch.tensor([[100.0, -100.0]], dtype=torch.float64)
    for truth in ([[0.0, 1.0]], [[1.0, 0.0]]):
        assert bool(torch.isfinite(loss(extreme, torch.tensor(truth, dtype=torch.float64))[0]))


@pytest.mark.parametrize("how", ["none", "balanced", "root"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_heads_first_biases_are_where_the_loss_of_constant_logits_is_least(kind, how):
    labels = SEVERAL[:, :2] if kind == "multilabel" else SINGLE
    weights = class_weights(labels, kind, how)
    loss, truths = label_loss(kind, "plain", weights), torch.from_numpy(labels).float()
    head = Classifier(HeadForm(), 4, labels.shape[1], independent=kind == "multilabel")
    head.expect(frequencies(labels, kind, weights))
    bias = head.linear.bias.detach().requires_grad_()
    loss(bias.expand(len(labels), -1), truths)[0].backward()
    assert bias.grad.abs().max() < 1e-4


def test_the_asymmetric_loss_is_refused_where_a_note_has_one_class():
    with pytest.raises(BadInput) as caught:
        label_loss("binary", "asymmetric", torch.ones(2))
    assert str(caught.value) == (
        "--loss asymmetric is for tasks of several labels a note; this one is binary. Leave it out."
    )
