"""Where a head's last layer begins if not at random: at a logistic regression on what it reads before anything has learned.

A block before the pooling begins as nothing, or nearly. With a last layer at random it first spoils what the layer has yet to
learn to read; and in as many steps as suit the block, the layer does not come to where it would be alone. Begun from there, a
block can only be told from a linear probe by what it adds (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", arXiv 2202.10054, who do so before full fine-tuning).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from clinstack.models.classifier import Classifier

_STRENGTH = 1.0
"""Inverse of the penalty, as scikit-learn's C has it: summed losses against half of the squared weights."""
_ITERATIONS, _REMEMBERED = 100, 10


def fit_last_layer(
    head: Classifier, vectors: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], tuple[Tensor, float]]
) -> None:
    """Sets the last layer of a head to where its penalised loss is least, all else as it is.

    As scikit-learn's LogisticRegression, multinomial, or of each label where a note may have several.
    vectors: (N, H), what the last layers read.   labels: (N, C).   loss: of logits and labels, summed, with its weight.
    """
    head.eval()
    with torch.no_grad():
        read = head.before_last(vectors)
    layer = head.linear
    summed = len(read) * (labels.shape[1] if head.independent else 1)  # what the loss is a mean over
    descent = torch.optim.LBFGS(
        layer.parameters(), max_iter=_ITERATIONS, history_size=_REMEMBERED, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        descent.zero_grad()
        total, weight = loss(layer(read), labels)
        objective = total / weight + layer.weight.square().sum() / (2 * _STRENGTH * summed)
        objective.backward()  # type: ignore[no-untyped-call]
        return objective

    descent.step(closure)  # type: ignore[no-untyped-call]
    descent.zero_grad()
