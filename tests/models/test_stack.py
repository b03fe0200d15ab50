"""The stack: order and freezing are its value, both adapters are at work, and parents are checked."""

from pathlib import Path

import pytest
import torch

from clinstack.errors import BadInput, WrongParents
from clinstack.models.adapter_files import load_adapter
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method
from clinstack.models.methods.lora import LoRA
from clinstack.models.pooling import pool
from clinstack.models.stack import Adapter, Slot, Stack

TOKENS = torch.tensor([[1, 40, 60, 80, 100, 120]])
MASK = torch.ones_like(TOKENS)


def random_adapter(name: str, backbone: Backbone, seed: int, kind: str = "lora", **options) -> Adapter:
    """An adapter whose A and B are both random: it surely changes something."""
    scratch = load_backbone(str(backbone.path))
    method = make_method(kind, options)
    stack = Stack(scratch, (Slot(Adapter(name, method)),))
    draw = torch.Generator().manual_seed(seed)
    weights = {key: torch.randn(p.shape, generator=draw) * 0.2 for key, p in stack.parameters(name).items()}
    return Adapter(name, method, weights)


@pytest.fixture
def backbone(small_base: Path) -> Backbone:
    return load_backbone(str(small_base))


def encode(backbone: Backbone) -> torch.Tensor:
    with torch.inference_mode():
        return backbone.encode(TOKENS, MASK).clone()


def test_two_adapters_add_up_to_the_merged_weights(backbone):
    first = random_adapter("clinical", backbone, 1, rank=4, alpha=8, targets="all")
    second = random_adapter("task", backbone, 2, rank=2, alpha=3)
    merged = load_backbone(str(backbone.path))
    for adapter in (first, second):
        scale = adapter.method.effect()["scale"]
        for key in [key for key in adapter.weights if key.endswith("lora_A.weight")]:
            name = key.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
            delta = adapter.weights[key.replace("lora_A", "lora_B")] @ adapter.weights[key]
            merged.model.get_parameter(name).data += scale * delta
    Stack(backbone, (Slot(first, frozen=True), Slot(second)))
    torch.testing.assert_close(encode(backbone), encode(merged), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
def test_dropout_is_at_work_while_training_and_only_then(method, backbone):
    slots = [Slot(random_adapter("clinical", backbone, 1), frozen=True)]
    slots.append(Slot(random_adapter("task", backbone, 2, method, dropout=0.5)))
    stack = Stack(backbone, tuple(slots))
    without = load_backbone(str(backbone.path))
    Stack(without, (slots[0], Slot(random_adapter("task", backbone, 2, method))))
    assert torch.equal(encode(backbone), encode(without))
    stack.train(True)
    assert not torch.equal(encode(backbone), encode(backbone))
    stack.train(False)
    assert torch.equal(encode(backbone), encode(without))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("q_proj,v_prj", "--targets v_prj: base small has no layer of that name."),
        ("q_proj,embed_tokens", "--targets embed_tokens: it is no linear layer between the tokens and the states"),
        ("lm_head", "--targets lm_head: it is no linear layer between the tokens and the states"),
    ],
)
def test_a_target_that_would_have_no_effect_is_refused(targets, said, backbone):
    with pytest.raises(BadInput) as caught:
        Stack(backbone, (Slot(Adapter("task", make_method("lora", {"targets": targets}))),))
    assert said in str(caught.value)


def test_switching_one_off_is_never_having_had_it(backbone):
    first, second = random_adapter("clinical", backbone, 1), random_adapter("task", backbone, 2)
    stack = Stack(backbone, (Slot(first), Slot(second)))
    both = encode(backbone)
    only_first, untouched = load_backbone(str(backbone.path)), load_backbone(str(backbone.path))
    Stack(only_first, (Slot(first),))
    with stack.without("task"):
        assert torch.equal(encode(backbone), encode(only_first))
    assert torch.equal(encode(backbone), both)
    assert float((both - encode(untouched)).abs().max()) > 0.01


def test_a_frozen_slot_stays_frozen_after_adapters_are_switched(backbone):
    stack = Stack(
        backbone,
        (Slot(random_adapter("clinical", backbone, 1), frozen=True), Slot(random_adapter("task", backbone, 2))),
    )
    with stack.without("task"):
        pass
    assert not any(p.requires_grad for p in stack.parameters("clinical").values())
    assert all(p.requires_grad for p in stack.parameters("task").values())
    assert all(name.startswith("task/") for name in stack.trainable())
    assert [n for n, p in backbone.model.named_parameters() if p.requires_grad and "lora_" not in n] == []


def test_peft_still_makes_every_active_adapter_trainable_when_it_switches(backbone):
    # Pins the fault for which `Stack._activate` sets frozenness again (peft 0.21.2).
    stack = Stack(
        backbone,
        (Slot(random_adapter("clinical", backbone, 1), frozen=True), Slot(random_adapter("task", backbone, 2))),
    )
    LoRA().activate(backbone, ["clinical", "task"])
    assert all(p.requires_grad for p in stack.parameters("clinical").values())


def test_a_second_stack_on_one_backbone_is_refused(backbone):
    Stack(backbone, (Slot(random_adapter("clinical", backbone, 1)),))
    with pytest.raises(BadInput) as caught:
        Stack(backbone, (Slot(random_adapter("task", backbone, 1)),))
    assert str(caught.value) == "This backbone already carries adapters. Load it afresh for another stack."


def test_an_adapter_of_another_base_is_refused_with_both_hashes(clinical_run, small_base, other_base):
    adapter, given = load_adapter(clinical_run / "adapters" / "clinical"), load_backbone(str(other_base))
    with pytest.raises(WrongParents) as caught:
        Stack(given, (Slot(adapter),))
    made_for = load_backbone(str(small_base)).hash
    assert str(caught.value) == (
        f"Adapter 'clinical' was made for the base {made_for} and is given the base {given.hash} (other). "
        "Give the base it was made for."
    )


@pytest.mark.parametrize("how", ["last", "mean", "first"])
def test_a_notes_vector_does_not_depend_on_padding_or_on_its_neighbours(backbone, how):
    long = torch.tensor([[1, *range(50, 70)]])
    tokens, mask = torch.zeros(2, 40, dtype=torch.int64), torch.zeros(2, 40, dtype=torch.int64)
    tokens[0, :6], mask[0, :6], tokens[1, :21], mask[1, :21] = TOKENS, 1, long, 1
    with torch.inference_mode():
        alone = pool(backbone.encode(TOKENS, MASK), MASK, how)
        together = pool(backbone.encode(tokens, mask), mask, how)[:1]
        other_pad = tokens.masked_fill(mask == 0, 2)
        padded_with_the_end_token = pool(backbone.encode(other_pad, mask), mask, how)[:1]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded_with_the_end_token, alone, atol=1e-5, rtol=0)


def test_left_padding_is_refused():
    with pytest.raises(BadInput) as caught:
        pool(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 1]]), "last")
    assert str(caught.value) == "Notes must be padded on the right and hold at least one token."
