"""Every adapter changed the logits and, unless frozen, learned. A run measures this and fails if it does not hold.

An adapter that was added but never switched on changes nothing, receives no gradient and raises no error; so each run measures,
for each adapter in its stack: how much the logits move when it alone is switched off, the norm of its gradient, and how far its
weights have moved since the start of the run. What must be zero must be exactly zero, and what must not be must be more. A slot
that is declared inert, to compare with released code, must be just that.
"""

from collections.abc import Callable
from typing import TypedDict

import torch
from torch import Tensor

from clinstack.errors import ProofFailed
from clinstack.models.stack import Stack
from clinstack.training.contract import Loss

Snapshot = dict[str, dict[str, Tensor]]


class AdapterProof(TypedDict):
    """What was measured of one adapter.

    logit_change:  largest absolute change of a logit when this adapter alone is switched off.
    gradient_norm: Euclidean norm of its mean-loss gradient over a few training notes.
    weight_change: Euclidean distance of its weights from where they started.
    """

    frozen: bool
    logit_change: float
    gradient_norm: float
    weight_change: float


def prove(
    stack: Stack, logits: Callable[[], Tensor], loss: Callable[[], Loss], start: Snapshot
) -> dict[str, AdapterProof]:
    """Measures every adapter of a trained stack.

    logits: the logits of some notes with the stack as it is switched.   loss: the training loss of some notes.
    start:  the stack's weights before training.
    Raises ProofFailed naming every adapter that is inert, did not learn, or was frozen and changed.
    """
    stack.train(False)
    gradients = _gradient_norms(stack, loss)
    found = {
        slot.adapter.name: AdapterProof(
            frozen=slot.frozen,
            logit_change=_logit_change(stack, slot.adapter.name, logits),
            gradient_norm=gradients[slot.adapter.name],
            weight_change=_distance(stack, slot.adapter.name, start),
        )
        for slot in stack.slots
    }
    inert = {slot.adapter.name for slot in stack.slots if slot.inert}
    faults = [fault for name, measured in found.items() for fault in _faults(name, measured, name in inert)]
    if faults:
        raise ProofFailed("The stack is not what it says. " + " ".join(faults))
    return found


def prove_loaded(stack: Stack, logits: Callable[[], Tensor]) -> None:
    """Before training: every adapter that comes with weights must change the logits. Spares a training that would fail."""
    stack.train(False)
    for slot in stack.slots:
        name = slot.adapter.name
        if slot.adapter.weights is not None and not slot.inert and _logit_change(stack, name, logits) == 0:
            raise ProofFailed(f"The stack is not what it says. {_INERT.format(name=name)}")


_INERT = "Adapter {name!r} is inert: switching it off changes no logit."


def _faults(name: str, measured: AdapterProof, inert: bool) -> list[str]:
    if inert:
        moved = measured["logit_change"] or measured["gradient_norm"] or measured["weight_change"]
        return [f"Adapter {name!r} is to be inert and is at work."] if moved else []
    faults = []
    if not measured["logit_change"] > 0:
        faults.append(_INERT.format(name=name))
    for key, word in (("gradient_norm", "received gradient"), ("weight_change", "changed its weights")):
        value: float = measured[key]  # type: ignore[literal-required]
        if measured["frozen"] and value != 0:
            faults.append(f"Adapter {name!r} is frozen and {word} ({value:.3g}).")
        if not measured["frozen"] and not value > 0:
            faults.append(f"Adapter {name!r} is trainable and never {word}.")
    return faults


def _logit_change(stack: Stack, adapter: str, logits: Callable[[], Tensor]) -> float:
    with torch.inference_mode():
        whole = logits()
        with stack.without(adapter):
            return float((whole - logits()).abs().max())


def _gradient_norms(stack: Stack, loss: Callable[[], Loss]) -> dict[str, float]:
    parameters = {slot.adapter.name: list(stack.parameters(slot.adapter.name).values()) for slot in stack.slots}
    if stack.trainable():
        measured = loss()
        (measured.total / measured.weight).backward()  # type: ignore[no-untyped-call]
    norms = {
        name: float(
            torch.sqrt(sum((p.grad.double().square().sum() for p in some if p.grad is not None), torch.zeros(())))
        )
        for name, some in parameters.items()
    }
    for some in parameters.values():
        for parameter in some:
            parameter.grad = None
    return norms


def _distance(stack: Stack, adapter: str, start: Snapshot) -> float:
    now = stack.parameters(adapter)
    squares = [
        (now[name].detach().cpu().double() - before.double()).square().sum() for name, before in start[adapter].items()
    ]
    return float(torch.sqrt(torch.stack(squares).sum()))
