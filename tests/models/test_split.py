"""A backbone in two halves gives what it gives whole, in every family, and knows what of it is frozen."""

import pytest
import torch
from model_families import FAMILIES, make_family

from clinstack.errors import BadInput
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method
from clinstack.models.split import SplitBackbone, frozen_layers
from clinstack.models.stack import Adapter, Slot, Stack

TOKENS = torch.tensor([[1, 40, 60, 80, 100, 120], [1, 50, 51, 52, 2, 2]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {family: make_family(root / family, family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_trunk_and_top_together_are_the_whole_to_the_bit_forward_and_back(bases, family):
    backbone = load_backbone(str(bases[family]))
    stack = Stack(backbone, (Slot(Adapter("task", make_method("lora", {"rank": 2, "top_layers": 1}))),))
    for weight in stack.trainable().values():
        torch.nn.init.normal_(weight)
    split = SplitBackbone(backbone, 1)
    found = []
    for states in (backbone.encode(TOKENS, MASK), split.top(split.trunk(TOKENS, MASK), MASK)):
        (states * MASK.unsqueeze(-1)).sin().sum().backward()
        found.append((states, {name: weight.grad.clone() for name, weight in stack.trainable().items()}))
        for weight in stack.trainable().values():
            weight.grad = None
    assert torch.equal(found[0][0] * MASK.unsqueeze(-1), found[1][0] * MASK.unsqueeze(-1))
    for name, gradient in found[0][1].items():
        assert torch.equal(gradient, found[1][1][name])
    assert torch.equal(backbone.encode(TOKENS, MASK), found[0][0])  # the split left nothing behind


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_below_the_first_that_trains_are_frozen(bases, family):
    def frozen(method: str, options: dict, **slot) -> int:
        backbone = load_backbone(str(bases[family]))
        Stack(backbone, (Slot(Adapter("task", make_method(method, options)), **slot),))
        return frozen_layers(backbone)

    assert frozen("lora", {"top_layers": 1}) == 1
    assert frozen("lora", {"top_layers": 2}) == frozen("lora", {}) == frozen("full", {}) == 0
    assert frozen("full", {"top_layers": 1}) == 1
    assert frozen("ia3", {}, frozen=True) == 2
    if family in ("llama", "gpt2"):
        assert frozen("adaption-prompt", {"top_layers": 1}) == 1
        assert frozen("prefix", {}) == frozen("prompt", {}, frozen=True) == 0


def test_a_cut_outside_is_refused(bases):
    backbone = load_backbone(str(bases["llama"]))
    for layers in (0, 2):
        with pytest.raises(BadInput) as caught:
            SplitBackbone(backbone, layers)
        assert str(caught.value) == f"A trunk of {layers} of 2 layers leaves no trunk or no top."
