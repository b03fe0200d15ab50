"""The stack proof, both ways: what is inert, deaf or secretly changed is caught."""

import random
from pathlib import Path

import pytest
import torch

from clinstack.config import TrainOptions
from clinstack.errors import ProofFailed
from clinstack.models.adapter_files import save_adapter
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.training.classification import train
from clinstack.training.contract import Loss
from clinstack.training.proof import prove

TOKENS = torch.tensor([[1, 40, 60, 80, 100, 120]])


@pytest.fixture
def stack(small_base: Path) -> Stack:
    torch.manual_seed(0)
    made = Stack(
        load_backbone(str(small_base)),
        (
            Slot(Adapter("clinical", make_method("lora", {})), frozen=True),
            Slot(Adapter("task", make_method("lora", {}))),
        ),
    )
    with torch.no_grad():
        for slot in made.slots:
            for parameter in made.parameters(slot.adapter.name).values():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return made


def logits(stack: Stack) -> torch.Tensor:
    return stack.backbone.encode(TOKENS, torch.ones_like(TOKENS)).clone()


def loss(stack: Stack) -> Loss:
    return Loss(logits(stack).square().sum(), 1, TOKENS.numel())


def start(stack: Stack, changed: str = "task") -> dict:
    before = stack.snapshot()
    before[changed] = {name: tensor + 1 for name, tensor in before[changed].items()}
    return before


def test_a_working_stack_is_proved(stack):
    found = prove(stack, lambda: logits(stack), lambda: loss(stack), start(stack))
    assert found["clinical"]["logit_change"] > 0
    assert (found["clinical"]["gradient_norm"], found["clinical"]["weight_change"]) == (0.0, 0.0)
    assert min(found["task"]["logit_change"], found["task"]["gradient_norm"], found["task"]["weight_change"]) > 0


def test_an_inert_adapter_is_caught(stack):
    before = start(stack)
    with torch.no_grad():
        for name, parameter in stack.parameters("task").items():
            if "lora_B" in name:
                parameter.zero_()
    with pytest.raises(ProofFailed) as caught:
        prove(stack, lambda: logits(stack), lambda: loss(stack), before)
    assert str(caught.value) == (
        "The stack is not what it says. Adapter 'task' is inert: switching it off changes no logit."
    )


def test_a_trainable_adapter_that_received_nothing_is_caught(stack):
    with pytest.raises(ProofFailed) as caught, stack.without("task"):
        # The released code for two-step adaptation: added, never active.
        prove(stack, lambda: logits(stack).detach(), lambda: deaf_loss(stack), stack.snapshot())
    assert str(caught.value) == (
        "The stack is not what it says. Adapter 'task' is trainable and never received gradient. "
        "Adapter 'task' is trainable and never changed its weights."
    )


def deaf_loss(stack: Stack) -> Loss:
    with stack.without("task"):
        return Loss(logits(stack).detach().requires_grad_().sum(), 1, 1)


def test_a_frozen_adapter_that_changed_is_caught(stack):
    both = start(stack)
    both["clinical"] = {name: tensor + 1e-6 for name, tensor in both["clinical"].items()}
    with pytest.raises(ProofFailed) as caught:
        prove(stack, lambda: logits(stack), lambda: loss(stack), both)
    assert str(caught.value).startswith(
        "The stack is not what it says. Adapter 'clinical' is frozen and changed its weights ("
    )


def test_an_inert_clinical_adapter_stops_a_run_before_it_trains(small_base, small_task, tmp_path):
    random.seed(0)
    backbone = load_backbone(str(small_base))
    fresh = Stack(backbone, (Slot(Adapter("clinical", make_method("lora", {}))),))
    save_adapter(tmp_path / "inert", fresh.slots[0].adapter, fresh, (), [])
    options = TrainOptions(
        base=str(small_base),
        task=small_task("binary"),
        out=tmp_path / "run",
        clinical=tmp_path / "inert",
        device="cpu",
        max_tokens=64,
    )
    with pytest.raises(ProofFailed) as caught:
        train(options)
    assert str(caught.value) == (
        "The stack is not what it says. Adapter 'clinical' is inert: switching it off changes no logit."
    )
    assert not (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""
