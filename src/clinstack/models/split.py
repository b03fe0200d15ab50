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
        own = list(self._own())
        view = self._view([*own[: self.layers], _End(), *own[self.layers + 1 :]])
        try:
            view(input_ids=tokens, attention_mask=mask, use_cache=False)
        except _ReachedError as reached:
            return reached.states
        raise AssertionError("the model did not come to the end of its trunk")

    def top(self, states: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states (B, T, H) from those of the trunk."""
        begin = _Begin()
        begin.states = states
        own = list(self._own())
        view = self._view([*[_Pass() for _ in range(self.layers - 1)], begin, *own[self.layers :]])
        tokens = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
        return view(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    def _own(self) -> nn.ModuleList:
        return self.backbone.model.base_model.get_submodule(_path_of_layers(self.backbone))  # type: ignore[no-any-return]

    def _view(self, layers: list[nn.Module]) -> Any:
        """The base model with other layers: the modules on the way to them are copied, all others shared."""
        return _with(self.backbone.model.base_model, _path_of_layers(self.backbone).split("."), nn.ModuleList(layers))


def _with(module: nn.Module, path: list[str], layers: nn.ModuleList) -> nn.Module:
    view = copy.copy(module)
    view._modules = dict(module._modules)
    view._modules[path[0]] = layers if len(path) == 1 else _with(module.get_submodule(path[0]), path[1:], layers)
    return view


def _path_of_layers(backbone: Backbone) -> str:
    """Where the base model keeps its layers."""
    for path, module in backbone.model.base_model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == backbone.layers:
            return str(path)
    raise BadInput(f"Base {backbone.name} keeps its layers in no list, so it cannot be cut between two.")


def frozen_layers(backbone: Backbone) -> int:
    """How many layers, from the lowest, neither train nor lie above something that trains; 0 with virtual tokens."""
    if backbone.virtual.active:
        return 0
    path = _path_of_layers(backbone)
    layers: Any = backbone.model.base_model.get_submodule(path)
    inside = {id(weight) for weight in layers.parameters()}
    before = [w for w in backbone.model.base_model.parameters() if id(w) not in inside and w.requires_grad]
    if before:  # embeddings, or a final norm: of the two only full fine-tuning trains any
        return 0
    trains = [any(weight.requires_grad for weight in layer.parameters()) for layer in layers]
    return trains.index(True) if True in trains else len(trains)
