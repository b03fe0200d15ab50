"""A backbone cut between two layers: the trunk below, whose states can be kept, and the top, which is computed anew.

Each half is a view of the same modules, so nothing is copied and adapters in the layers stay where they are. In the top every
layer of the trunk is replaced by one that passes states on, and in the trunk the first layer of the top by one that ends the
pass: so embeddings, masks and positions are the model's own, for every family, and no layer changes its number.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone


class _ReachedError(Exception):
    """The trunk's states, on their way out."""

    def __init__(self, states: Tensor):
        self.states = states


class _End(nn.Module):
    def forward(self, states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        raise _ReachedError(states)


class _Pass(nn.Module):
    def forward(self, states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return states


class _Begin(nn.Module):
    """Gives the kept states in place of what the embeddings made."""

    states: Tensor

    def forward(self, states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.states


@dataclass(frozen=True)
class SplitBackbone:
    """layers: how many belong to the trunk, one or more."""

    backbone: Backbone
    layers: int

    def __post_init__(self) -> None:
        if not 0 < self.layers < self.backbone.layers:
            raise BadInput(f"A trunk of {self.layers} of {self.backbone.layers} layers leaves no trunk or no top.")

    def trunk(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """What the first layer of the top is given: (B, T, H) of tokens and mask (B, T)."""
        return pass_layers(self.backbone, range(self.layers), input_ids=tokens, attention_mask=mask)

    def top(self, states: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states (B, T, H) from those of the trunk."""
        tokens = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
        above = range(self.layers, self.backbone.layers)
        return pass_layers(self.backbone, above, states, input_ids=tokens, attention_mask=mask)


def pass_layers(backbone: Backbone, layers: range, states: Tensor | None = None, **inputs: Any) -> Tensor:
    """What the last of these layers gives (B, T, H); of the uppermost layer, behind the final norm.

    layers: one or more, counted from 0.   states: what the first of them is given; what the embeddings make if None.
    inputs: as the base model takes them; where there are states, of the tokens only their shape matters.
    """
    assert (states is None) == (layers.start == 0), "only the lowest layer reads embeddings"
    path = path_of_layers(backbone)
    own = list(backbone.model.base_model.get_submodule(path))
    below: list[nn.Module] = [_Pass() for _ in range(layers.start)]
    if states is not None:
        begin = _Begin()
        begin.states = states
        below[-1] = begin
    above = [_End(), *own[layers.stop + 1 :]] if layers.stop < len(own) else []
    within = nn.ModuleList([*below, *own[layers.start : layers.stop], *above])
    view: Any = _with(backbone.model.base_model, path.split("."), within)
    try:
        last: Tensor = view(use_cache=False, **inputs).last_hidden_state
    except _ReachedError as reached:
        return reached.states
    assert not above, "the model did not come to the end of its trunk"
    return last


def _with(module: nn.Module, path: list[str], layers: nn.ModuleList) -> nn.Module:
    """The module with other layers: the modules on the way to them are copied, all others shared."""
    view = copy.copy(module)
    view._modules = dict(module._modules)
    view._modules[path[0]] = layers if len(path) == 1 else _with(module.get_submodule(path[0]), path[1:], layers)
    return view


def path_of_layers(backbone: Backbone) -> str:
    """Where the base model keeps its layers. Raises BadInput if there is no such place."""
    for path, module in backbone.model.base_model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == backbone.layers:
            return str(path)
    raise BadInput(f"Base {backbone.name} keeps its layers in no list, so it cannot be cut between two.")


def uppermost(backbone: Backbone, count: int) -> range:
    """The numbers of so many layers from the top. Raises BadInput if there are not so many."""
    if count > backbone.layers:
        raise BadInput(f"--top-layers {count}: base {backbone.name} has {backbone.layers} layers. Choose at most that.")
    return range(backbone.layers - count, backbone.layers)


def frozen_layers(backbone: Backbone) -> int:
    """How many layers, from the lowest, neither train nor lie above something that trains; 0 with virtual tokens."""
    if backbone.virtual.active:
        return 0
    path = path_of_layers(backbone)
    layers: Any = backbone.model.base_model.get_submodule(path)
    inside = {id(weight) for weight in layers.parameters()}
    before = [w for w in backbone.model.base_model.parameters() if id(w) not in inside and w.requires_grad]
    if before:  # embeddings, or a final norm: of the two only full fine-tuning trains any
        return 0
    trains = [any(weight.requires_grad for weight in layer.parameters()) for layer in layers]
    return trains.index(True) if True in trains else len(trains)
