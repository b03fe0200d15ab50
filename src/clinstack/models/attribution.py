"""Which tokens moved a note's answer: integrated gradients over the token embeddings.

Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks" (arXiv 1703.01365), equation 1: along the straight way from
a note of nothing but mask tokens (of decoders: start tokens) to the note itself, the gradient of a class's log-odds is summed
up by a Gauss-Legendre rule. The shares add up to the difference of the log-odds of the two (completeness), which tests hold it
to. Not from embeddings of zero: norms undo their scale, so that all would happen in the first step. captum (0.9) has the same
where each row has an answer of its own; here several rows are one note's chunks.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinstack.models.backbone import Backbone
from clinstack.models.classifier import Classifier
from clinstack.models.reading import pad

STEPS = 24
_ROWS = 8
"""Rows of one pass forward and back."""


def token_attributions(
    backbone: Backbone, head: Classifier, chunks: Sequence[list[int]], kind: str, column: int, steps: int = STEPS
) -> tuple[list[NDArray[np.float64]], float]:
    """What each token adds to the log-odds of a class of a note, and by how much the shares miss their sum.

    chunks: the note's, as its window cuts it.   kind: of the task.   column: of the class.
    Returns an array (T,) for each chunk, its opening (and closing) token included; and what the rule's error leaves of the sum.
    Nothing of the backbone or the head may train. Cost: `steps` passes forward and back.
    """
    tokens, mask = pad(chunks, backbone.tokenizer.pad, backbone.device)
    nodes, weights = (torch.tensor(one, device=backbone.device) for one in _rule(steps))
    total = torch.zeros(*tokens.shape, backbone.width, dtype=torch.float64, device=backbone.device)
    at_once = max(1, _ROWS // len(chunks))
    embedded: Tensor | None = None
    for start in range(0, steps, at_once):
        shares = nodes[start : start + at_once].float()
        rows = len(shares)
        with torch.enable_grad(), _scaled_embeddings(backbone, shares.repeat_interleave(len(chunks))) as held:
            states = backbone.encode(tokens.repeat(rows, 1), mask.repeat(rows, 1))
            vectors = head.pool(states, mask.repeat(rows, 1))
            whose = torch.arange(rows, device=backbone.device).repeat_interleave(len(chunks))
            odds = log_odds(head(vectors, whose, rows), kind, column)
            (gradient,) = torch.autograd.grad(odds.sum(), held["scaled"])
        gradient = gradient.detach().view(rows, *total.shape).double()
        total += (weights[start : start + at_once].view(-1, 1, 1, 1) * gradient).sum(0)
        embedded = held["own"][: len(chunks)].detach().double()
    assert embedded is not None
    found = (total * (embedded - _empty(backbone).double())).sum(-1).cpu().numpy()
    shares_of_chunks = [row[: len(chunk)] for row, chunk in zip(found, chunks, strict=True)]
    missed = _rise(backbone, head, tokens, mask, kind, column) - sum(float(one.sum()) for one in shares_of_chunks)
    return shares_of_chunks, missed


def log_odds(logits: Tensor, kind: str, column: int) -> Tensor:
    """Of a class against all others (N,), from logits (N, C)."""
    if kind == "multilabel":
        return logits[:, column]
    others = torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1)
    return logits[:, column] - others.logsumexp(1)


def _rise(backbone: Backbone, head: Classifier, tokens: Tensor, mask: Tensor, kind: str, column: int) -> float:
    """How far the log-odds of the note lie above those of the empty one."""
    ends = torch.tensor([0.0, 1.0], device=backbone.device)
    with torch.no_grad(), _scaled_embeddings(backbone, ends.repeat_interleave(len(tokens))):
        states = backbone.encode(tokens.repeat(2, 1), mask.repeat(2, 1))
        whose = torch.tensor([0, 1], device=backbone.device).repeat_interleave(len(tokens))
        odds = log_odds(head(head.pool(states, mask.repeat(2, 1)), whose, 2), kind, column)
    return float(odds[1] - odds[0])


@contextmanager
def _scaled_embeddings(backbone: Backbone, shares: Tensor) -> Any:
    """Has the token embeddings of each row lie at its share of the way; the note's own and those on the way are held."""
    held: dict[str, Tensor] = {}
    empty = _empty(backbone)

    def scale(_layer: Any, _inputs: Any, output: Tensor) -> Tensor:
        held["own"] = output.detach()
        on_the_way = empty + shares.view(-1, 1, 1) * (held["own"] - empty)
        held["scaled"] = on_the_way.requires_grad_(torch.is_grad_enabled())
        return held["scaled"]

    hook = backbone.model.get_input_embeddings().register_forward_hook(scale)
    try:
        yield held
    finally:
        hook.remove()


def _empty(backbone: Backbone) -> Tensor:
    """The embedding (H,) of a token that says nothing."""
    tokenizer = backbone.tokenizer
    nothing = tokenizer.start if tokenizer.mask is None else tokenizer.mask
    with torch.no_grad():
        return backbone.model.get_input_embeddings()(torch.tensor([nothing], device=backbone.device))[0]  # type: ignore[no-any-return]


def _rule(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes in 0-1 and weights of the Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2
