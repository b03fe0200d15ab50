"""Rows of many stacks in one pass: each as if it were alone, and nothing computed twice."""

import random

import pytest
import torch
from model_families import FAMILIES, make_family

from clinstack.models.adapter_files import hash_adapter
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method
from clinstack.models.shared_backbone import Row, SharedBackbone, additive_slots
from clinstack.models.split import path_of_layers
from clinstack.models.stack import Adapter, Slot, Stack

METHODS = {
    "clinical": ("lora", {"rank": 2, "targets": "all"}),
    "narrow": ("lora", {"rank": 1}),
    "wide": ("rslora", {"rank": 5, "alpha": 3.0}),
    "top": ("lora", {"rank": 2, "top_layers": 1}),
}


def trained(base: str, name: str) -> Adapter:
    """An adapter with random weights, as if it had been trained on the bare base."""
    method = make_method(*METHODS[name])
    backbone = load_backbone(base)
    stack = Stack(backbone, (Slot(Adapter(name, method)),))
    torch.manual_seed(sum(map(ord, name)))
    for weight in stack.parameters(name).values():
        torch.nn.init.normal_(weight, std=0.1)
    weights = {key: weight.clone() for key, weight in stack.export(name).items()}
    return Adapter(name, method, weights, backbone.hash, hash_adapter(method, weights, backbone.hash, ()))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    base = str(make_family(tmp_path_factory.mktemp("family") / request.param, request.param))
    return base, {name: trained(base, name) for name in METHODS}


def alone(base: str, adapters: list[Adapter], tokens: tuple[int, ...]) -> torch.Tensor:
    stack = Stack(load_backbone(base), tuple(Slot(adapter, frozen=True) for adapter in adapters))
    with torch.inference_mode():
        return stack.backbone.encode(torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.int64))[0]


STACKS = [(), ("clinical",), ("clinical", "narrow"), ("clinical", "wide"), ("clinical", "top"), ("top",), ("narrow",)]


def test_every_row_of_a_random_mixture_is_as_if_it_were_alone(family):
    base, adapters = family
    shared = SharedBackbone(Stack(load_backbone(base)))
    updates = {name: shared.update(adapter) for name, adapter in adapters.items()}
    shared.admit(updates.values())
    chance = random.Random(3)
    notes = [(1, *(chance.randrange(5, 290) for _ in range(length))) for length in (1, 4, 9, 30, 70)]
    expected = {
        (note, stack): alone(base, [adapters[name] for name in stack], note) for note in notes for stack in STACKS
    }
    for size in (1, 2, 5, 20, 35):
        rows = chance.sample(list(expected), size)
        found = shared.read([Row(note, tuple(updates[name] for name in stack)) for note, stack in rows])
        for row, states in zip(rows, found, strict=True):
            torch.testing.assert_close(states, expected[row], atol=2e-5, rtol=0)


def test_what_stacks_have_in_common_is_computed_once(family):
    base, adapters = family
    shared = SharedBackbone(Stack(load_backbone(base)))
    updates = {name: shared.update(adapter) for name, adapter in adapters.items()}
    shared.admit(updates.values())
    passed: dict[int, int] = {0: 0, 1: 0}
    layers = shared.backbone.model.base_model.get_submodule(path_of_layers(shared.backbone))
    for number, layer in enumerate(layers):

        def count(_layer, inputs, _output, number=number):
            passed[number] += inputs[0].shape[-2]

        layer.register_forward_hook(count)
    note = (1, *range(10, 73))  # 64 tokens: nothing is filled up
    clinical, top, narrow = updates["clinical"], updates["top"], updates["narrow"]
    shared.read([Row(note, (clinical,)), Row(note, (clinical, top)), Row(note, (clinical,))])
    assert passed == {0: 64, 1: 128}
    passed.update({0: 0, 1: 0})
    shared.read([Row(note, (clinical,)), Row(note, (clinical, narrow)), Row(note, (clinical, top)), Row(note)])
    assert passed == {0: 3 * 64, 1: 4 * 64}


def test_a_pass_leaves_nothing_behind(family):
    base, adapters = family
    shared = SharedBackbone(Stack(load_backbone(base)))
    tokens = torch.tensor([[1, 50, 60, 70]])
    mask = torch.ones_like(tokens)
    with torch.inference_mode():
        before = shared.backbone.encode(tokens, mask)
        update = shared.update(adapters["clinical"])
        shared.admit([update])
        shared.read([Row((1, 50, 60, 70), (update,))])
        assert torch.equal(shared.backbone.encode(tokens, mask), before)


def test_only_low_rank_adapters_that_are_not_merged_are_given_to_rows():
    def slot(method, **state):
        return Slot(Adapter(method, make_method(method, {})), frozen=True, **state)

    assert additive_slots([slot("lora"), slot("rslora")]) == 2
    assert additive_slots([slot("prefix"), slot("lora")]) == 1
    assert additive_slots([slot("lora", merged=True), slot("lora")]) == 1
    assert additive_slots([slot("lora"), slot("dora")]) == 0
    assert additive_slots([slot("lora"), slot("ia3"), slot("lora"), slot("lora")]) == 2
    assert additive_slots([slot("full")]) == additive_slots([]) == 0
