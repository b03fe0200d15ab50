"""A note's token states -> one vector. Always by the attention mask, never by the padding id.

Models whose padding id equals their end-of-text id would otherwise be read at the wrong place.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from clinstack.errors import BadInput

Pooling = Literal["last", "mean", "first", "max"]


def pool_last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each note's last real token.

    hidden: (B, T, H) float.   mask: (B, T) of 0/1, padding on the right.
    Returns (B, H), the same values whatever the padding length.
    """
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, mask.sum(dim=1) - 1]


def pool_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean hidden state of each note's real tokens. Shapes as in `pool_last`."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def pool_first(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each note's first token; of use with encoders, where it sees the whole note."""
    return hidden[:, 0]


def pool_max(hidden: Tensor, mask: Tensor) -> Tensor:
    """The largest of each feature over each note's real tokens."""
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "last": pool_last,
    "mean": pool_mean,
    "first": pool_first,
    "max": pool_max,
}


def pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """One vector (B, H) per note from (B, T, H).

    Raises BadInput if a row has no real token or padding on the left.
    """
    if not bool((mask[:, 0] == 1).all()) or bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise BadInput("Notes must be padded on the right and hold at least one token.")
    return POOLINGS[how](hidden, mask)
