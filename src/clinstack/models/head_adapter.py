"""What a head adapter must be: a small trained block between a backbone's token states and the pooling that reads them.

It acts on states, after the backbone; an adapter of a stack acts inside it. One file per head adapter lies in `models/heads`
and is found by its folder. Constructors take plain numbers; a preset names some of them.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from clinstack import discovery
from clinstack.errors import BadInput, did_you_mean

_PACKAGE = "clinstack.models.heads"


class HeadAdapter(nn.Module, ABC):
    """Token states (B, T, H) and mask (B, T) -> states of the same shape.

    A real token's new state is the same whatever padding stands behind it.
    Every constructor takes `width` (H) and `size`, the one number that its number of weights depends on.
    """

    presets: ClassVar[dict[str, dict[str, Any]]]
    """Options of the constructor by name of a published form."""
    reads_sequence: ClassVar[bool] = False
    """Whether tokens are read together, so that one vector alone leaves nothing to do."""

    @classmethod
    @abstractmethod
    def default_size(cls, width: int) -> int:
        """The size where none is given."""

    @classmethod
    @abstractmethod
    def weights(cls, width: int, size: int) -> int:
        """How many weights one of this size has, as its default form is made."""

    @abstractmethod
    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """The new states."""


def head_adapters() -> dict[str, type[HeadAdapter]]:
    """Every head adapter by name."""
    return discovery.members(_PACKAGE, HeadAdapter)  # type: ignore[type-abstract]


def make_head_adapter(form: str, width: int, size: int | None = None) -> HeadAdapter:
    """A head adapter for states of a width. form: its name, alone or with a preset (`grn:small`).

    size: instead of the preset's, or the default.
    Raises BadInput with the nearest name if there is no such head adapter or preset.
    """
    name, _, preset = form.partition(":")
    kind = discovery.member(_PACKAGE, HeadAdapter, name, "head adapter")  # type: ignore[type-abstract]
    if preset and preset not in kind.presets:
        known = did_you_mean(preset, kind.presets)
        raise BadInput(f"Head adapter {name} has no preset {preset!r}. {known}")
    options = {**(kind.presets[preset] if preset else {}), **({"size": size} if size is not None else {})}
    return kind(width=width, **options)


def size_of_weights(name: str, width: int, weights: int) -> int:
    """The size at which a head adapter's number of weights is nearest to a wanted one; at least 1."""
    kind = discovery.member(_PACKAGE, HeadAdapter, name, "head adapter")  # type: ignore[type-abstract]
    above = 1
    while kind.weights(width, above) < weights:
        above += 1
    return min({max(1, above - 1), above}, key=lambda size: (abs(kind.weights(width, size) - weights), size))
