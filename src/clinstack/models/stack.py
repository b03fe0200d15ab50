"""A backbone and an ordered list of slots, each holding an adapter, frozen or trainable.

Order and freezing are the value: a `Stack` is complete once it is built, every adapter in it takes part in every forward pass,
and what is frozen stays frozen. That is the point of the project: in released code for two-step adaptation the second adapter
was added and never switched on. One adapter can be switched off for a moment (`without`), which is how a run proves that each
of them is at work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from clinstack.errors import BadInput, WrongParents
from clinstack.models.backbone import Backbone, Replaced
from clinstack.models.method import Method, method_name, methods
from clinstack.models.quantized import count


@dataclass(frozen=True)
class Adapter:
    """One parameter-efficient delta.

    weights: tensors by peft's names, or None for a fresh adapter.
    base:    hash of the backbone it was made on, None for a fresh adapter.
    parents: hashes of the adapters below it when it was trained, outermost last.
    """

    name: str
    method: Method
    weights: dict[str, Tensor] | None = None
    base: str | None = None
    hash: str | None = None
    parents: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slot:
    """An adapter's place in a stack.

    merged: its effect is folded into the base's weights, at no cost in time; what is merged is frozen and lies below the rest.
    inert:  it is attached and never switched on, as in the released code for two-step adaptation; only to compare with that.
    """

    adapter: Adapter
    frozen: bool = False
    merged: bool = False
    inert: bool = False

    def __post_init__(self) -> None:
        assert self.frozen or not self.merged, "what is merged is frozen"


@dataclass(frozen=True)
class Stack:
    """A backbone with its slots in order, outermost last. Building it attaches the adapters to the backbone's model.

    Raises WrongParents if an adapter was made for another base or lacks its parents below it; BadInput if the backbone already
    carries adapters, two have one name, or one is to be merged that cannot be.
    """

    backbone: Backbone
    slots: tuple[Slot, ...] = ()
    _parameters: dict[str, dict[str, Parameter]] = field(default_factory=dict, init=False, repr=False)
    _merged_configs: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.backbone.occupied:
            raise BadInput("This backbone already carries adapters. Load it afresh for another stack.")
        names = [slot.adapter.name for slot in self.slots]
        if len(set(names)) < len(names):
            raise BadInput(f"Two adapters of one stack have the same name: {', '.join(names)}.")
        self.backbone.occupied.extend(names)
        below: list[str] = []
        for slot in self.slots:
            check_parents(slot.adapter, self.backbone, below)
            below += [slot.adapter.hash] if slot.adapter.hash else []
        for slot in self.slots:
            adapter = slot.adapter
            _require_decoder(adapter.method, self.backbone)
            _require_whole_weights(slot, self.backbone)
            adapter.method.attach(self.backbone, adapter.name, fresh=adapter.weights is None)
            self._parameters[adapter.name] = adapter.method.parameters(self.backbone, adapter.name)
            if adapter.weights is not None:
                _load(adapter, self._parameters[adapter.name])
            if slot.merged:
                self._merged_configs[adapter.name] = adapter.method.peft_config(self.backbone, adapter.name)
                self._parameters[adapter.name] = self._merge(slot)
        self.backbone.model.to(self.backbone.device)
        self._activate(self._switched_on)
        self.train(False)

    def parameters(self, adapter: str) -> dict[str, Parameter]:
        """What an adapter consists of in this stack, by name; what is saved of it is `export`."""
        return self._parameters[adapter]

    def export(self, adapter: str) -> dict[str, Tensor]:
        """An adapter's weights as they are now, by the names of peft's file format."""
        slot = next(slot for slot in self.slots if slot.adapter.name == adapter)
        if slot.merged:
            assert slot.adapter.weights is not None
            return slot.adapter.weights
        return slot.adapter.method.export(self.backbone, adapter)

    def peft_config(self, adapter: str) -> dict[str, Any]:
        """The content of peft's `adapter_config.json` for an adapter."""
        slot = next(slot for slot in self.slots if slot.adapter.name == adapter)
        return self._merged_configs[adapter] if slot.merged else slot.adapter.method.peft_config(self.backbone, adapter)

    @property
    def weights_total(self) -> int:
        """How many weights base and adapters have; those of a full adapter are the base's."""
        every = [*self.backbone.own.values(), *(p for some in self._parameters.values() for p in some.values())]
        return sum(count(p) for p in {id(p): p for p in every}.values())

    @property
    def weights_trainable(self) -> int:
        """How many weights of the stack train."""
        return sum(p.numel() for p in self.trainable().values())

    @property
    def weights_per_token(self) -> tuple[int, int]:
        """Frozen and trainable weights that every token is multiplied with, for estimates of operations."""
        trained = {
            id(p): p.numel()
            for slot in self.slots
            if not slot.frozen and slot.adapter.method.every_token
            for p in self._parameters[slot.adapter.name].values()
        }
        own = {id(p): count(p) for p in self.backbone.own.values()}
        added = {
            id(p): p.numel()
            for slot in self.slots
            if slot.frozen and slot.adapter.method.every_token
            for p in self._parameters[slot.adapter.name].values()
        }
        frozen = sum(count for key, count in (own | added).items() if key not in trained)
        return frozen, sum(trained.values())

    @property
    def _switched_on(self) -> list[str]:
        return [slot.adapter.name for slot in self.slots if not slot.inert]

    def trainable(self) -> dict[str, Parameter]:
        """Every weight of the slots that are neither frozen nor inert, as `<adapter>/<name>`."""
        return {
            f"{slot.adapter.name}/{name}": parameter
            for slot in self.slots
            if not slot.frozen and not slot.inert
            for name, parameter in self._parameters[slot.adapter.name].items()
        }

    def train(self, training: bool) -> None:
        """Switches the dropout of the trainable adapters and, where kept, the base's bfloat16 copies.

        The base and frozen adapters have no dropout in either case.
        """
        self.backbone.model.eval()
        self.backbone.use_halves(training)
        for slot in self.slots:
            if not slot.merged:
                slot.adapter.method.train(self.backbone, slot.adapter.name, training and not slot.frozen)

    @contextmanager
    def without(self, adapter: str) -> Iterator[None]:
        """Switches one adapter off, and on again at the end."""
        names = [slot.adapter.name for slot in self.slots]
        if adapter not in names:
            raise BadInput(f"No adapter {adapter!r} in this stack; it has {', '.join(names) or 'none'}.")
        self._activate([name for name in self._switched_on if name != adapter])
        try:
            yield
        finally:
            self._activate(self._switched_on)

    def snapshot(self) -> dict[str, dict[str, Tensor]]:
        """A copy of every adapter's weights as they are now."""
        return {
            adapter: {name: parameter.detach().clone().cpu() for name, parameter in parameters.items()}
            for adapter, parameters in self._parameters.items()
        }

    def fold(self) -> Backbone:
        """Folds every adapter into the base, which then computes alone what the stack did; the stack is of no use afterwards.

        Raises BadInput if an adapter changes no weights, or if a DoRA lies on an adapter of another peft type: its norm is that
        of the weights below both.
        """
        together: dict[str, list[Adapter]] = {}
        for slot in self.slots:
            if slot.merged:
                continue
            adapter = slot.adapter
            _require_mergeable(adapter.method)
            below = [one for some in together.values() for one in some if not one.method.trains_base]
            other = next((one for one in below if one.method.peft_type != adapter.method.peft_type), None)
            if other is not None and "normed" in adapter.method.effect():
                raise BadInput(
                    f"Adapter {adapter.name!r} ({method_name(adapter.method)}) norms the weights without adapter "
                    f"{other.name!r} ({method_name(other.method)}), below it, so the two cannot be merged. Serve them with "
                    "clinstack."
                )
            together.setdefault(adapter.method.peft_type, []).append(adapter)
        for adapters in together.values():
            adapters[0].method.merge(self.backbone, [one.name for one in adapters])
        return replace(self.backbone)

    def _merge(self, slot: Slot) -> dict[str, Parameter]:
        """Folds an adapter that has just been attached into the base; returns the base's weights that it changed."""
        adapter, own = slot.adapter, self.backbone.own
        _require_mergeable(adapter.method)
        if adapter.weights is None:
            raise BadInput(f"Adapter {adapter.name!r} has not been trained, so there is nothing to merge.")
        below = self.slots[: self.slots.index(slot)]
        if kept := next((one.adapter for one in below if one.adapter.method.mergeable and not one.merged), None):
            raise BadInput(
                f"Adapter {adapter.name!r} cannot be merged while adapter {kept.name!r}, below it, is not. Merge that one too."
            )
        before = adapter.method.merge(self.backbone, [adapter.name])
        self.backbone.replaced[adapter.name] = Replaced(before)
        return {name: own[name] for name in before}

    def _activate(self, names: list[str]) -> None:
        """Makes these adapters active, then sets frozenness again: peft 0.21.2 makes all active ones trainable."""
        for adapter, replaced in self.backbone.replaced.items():
            if (adapter in names) == replaced.back:
                replaced.exchange(self.backbone.own)
        for method in {type(slot.adapter.method): slot.adapter.method for slot in self.slots}.values():
            method.activate(self.backbone, names)
        for slot in self.slots:
            for parameter in self._parameters[slot.adapter.name].values():
                parameter.requires_grad_(not slot.frozen and not slot.inert)


def _require_mergeable(method: Method) -> None:
    if not method.mergeable:
        raise BadInput(
            f"Method {method_name(method)} changes what the base's layers read, not their weights, so it cannot be "
            "merged. Leave it frozen."
        )


def _require_decoder(method: Method, backbone: Backbone) -> None:
    if method.decoders_only and backbone.masked:
        able = ", ".join(name for name, kind in methods().items() if not kind.decoders_only)
        raise BadInput(
            f"Method {method_name(method)} is for decoders, and base {backbone.name} is an encoder. Choose one of {able}."
        )


def _require_whole_weights(slot: Slot, backbone: Backbone) -> None:
    if backbone.quantize and (slot.merged or slot.adapter.method.trains_base):
        what = "be merged into" if slot.merged else "train"
        raise BadInput(
            f"Adapter {slot.adapter.name!r} is to {what} the weights of base {backbone.name}, which are rounded to four bits. "
            "Leave out --quantize, or choose another adapter or mode."
        )


def check_parents(adapter: Adapter, backbone: Backbone, below: list[str]) -> None:
    """Raises WrongParents if an adapter was made for another base, or what it was trained on is not among those below it."""
    if adapter.base is not None and adapter.base != backbone.hash:
        raise WrongParents(
            f"Adapter {adapter.name!r} was made for the base {adapter.base} and is given the base {backbone.hash} "
            f"({backbone.name}). Give the base it was made for."
        )
    missing = [parent for parent in adapter.parents if parent not in below]
    if missing:
        given = ", ".join(below) or "no adapter"
        raise WrongParents(
            f"Adapter {adapter.name!r} was trained on top of adapter {missing[0]}, and the stack below it holds {given}. "
            "Put its parent below it; without it every logit would be shifted."
        )


def _load(adapter: Adapter, parameters: dict[str, Parameter]) -> None:
    assert adapter.weights is not None
    if adapter.weights.keys() != parameters.keys():
        odd = sorted(adapter.weights.keys() ^ parameters.keys())
        raise WrongParents(
            f"Adapter {adapter.name!r} does not fit the base: {len(odd)} weights differ, first {odd[0]}."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            stored = adapter.weights[name]
            if stored.shape != parameter.shape:
                raise WrongParents(
                    f"Adapter {adapter.name!r} does not fit the base: {name} is {tuple(stored.shape)} in the file and "
                    f"{tuple(parameter.shape)} in the model."
                )
            parameter.copy_(stored)
