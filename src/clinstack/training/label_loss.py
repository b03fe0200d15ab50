"""The loss of step 2: cross-entropy over classes, binary cross-entropy over labels, weighted by rarity or by ease."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clinstack.errors import BadInput

Weighting = Literal["none", "balanced", "root"]
LossForm = Literal["plain", "asymmetric"]

GAMMA_POSITIVE, GAMMA_NEGATIVE, MARGIN = 1.0, 4.0, 0.05
"""How strongly sure answers are passed over, and what a negative may be given for nothing; the authors' own choice."""


def class_weights(labels: NDArray[np.bool_], kind: str, how: Weighting) -> Tensor:
    """A weight per class (C,), from the training part's labels (N, C).

    Of one class per note: what a note of the class counts, inversely proportional to how often the class occurs, N / (C count),
    as scikit-learn's `class_weight="balanced"`. Multilabel: what a note with the label counts against one without, notes
    without over notes with. `root` takes the square root of either. 1 for a label that no note or every note has.
    """
    if how == "none":
        return torch.ones(labels.shape[1])
    counts = labels.sum(axis=0).astype(np.float64)
    if kind == "multilabel":
        both = (counts > 0) & (counts < len(labels))
        weights = np.where(both, (len(labels) - counts) / np.maximum(counts, 1), 1.0)
    else:
        weights = np.where(counts > 0, len(labels) / (labels.shape[1] * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights if how == "balanced" else np.sqrt(weights)).float()


def frequencies(labels: NDArray[np.bool_], kind: str, weights: Tensor) -> Tensor:
    """How frequent each class is (C,), in 0-1, when notes count as they do in the loss."""
    counts = torch.from_numpy(labels.sum(axis=0)).float().to(weights.device)
    weighted = counts * weights
    if kind == "multilabel":
        return weighted / (weighted + len(labels) - counts)
    return counts / len(labels) if (weights == 1).all() else weighted / weighted.sum()


def check_loss(kind: str, form: LossForm) -> None:
    """Raises BadInput if a kind of task has no such form of loss."""
    if form == "asymmetric" and kind != "multilabel":
        raise BadInput(f"--loss asymmetric is for tasks of several labels a note; this one is {kind}. Leave it out.")


def label_loss(kind: str, form: LossForm, weights: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, float]]:
    """A loss of logits and labels (N, C), summed over notes, with the weight to divide it by.

    Multilabel: the mean over labels of each note. Raises BadInput if the kind has no such form.
    """
    check_loss(kind, form)
    if kind == "multilabel":
        entry = _asymmetric if form == "asymmetric" else _binary

        def multilabel(logits: Tensor, labels: Tensor) -> tuple[Tensor, float]:
            return entry(logits, labels, weights).mean(dim=1).sum(), float(len(logits))

        return multilabel

    def single(logits: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        label = labels.argmax(dim=1)
        total = functional.cross_entropy(logits, label, weight=weights, reduction="sum")
        return total, float(weights[label].sum())

    return single


def _binary(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none", pos_weight=weights)


def _asymmetric(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification" (arXiv 2009.14119).

    A positive of probability p costs (1 - p)^g+ times its cross-entropy, a negative q^g- times that of q = max(p - m, 0).
    """
    likely = torch.sigmoid(logits)
    shifted = (likely - MARGIN).clamp(min=0)
    positive = weights * (1 - likely) ** GAMMA_POSITIVE * -functional.logsigmoid(logits)
    negative = shifted**GAMMA_NEGATIVE * -torch.log1p(-shifted)
    return labels * positive + (1 - labels) * negative
