"""Attributions add up to what they explain, in every family, and are those of a brute-force integral."""

import numpy as np
import pytest
import torch
from model_families import FAMILIES, make_family

from clinstack.models.attribution import log_odds, token_attributions
from clinstack.models.base_loading import load_backbone
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.method import make_method
from clinstack.models.stack import Adapter, Slot, Stack

NOTE = [[1, 40, 60, 80, 100, 120, 33], [1, 50, 51, 52]]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {family: make_family(root / family, family) for family in FAMILIES}


def head_of(width: int, classes: int, pooling="mean") -> Classifier:
    torch.manual_seed(4)
    head = Classifier(HeadForm(pooling=pooling, hidden=8), width, classes).requires_grad_(False).eval()
    for layer in (head.hidden, head.linear):
        torch.nn.init.normal_(layer.weight, std=0.5)
    return head


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_shares_add_up_to_the_rise_of_the_log_odds(bases, family, kind, classes):
    backbone = load_backbone(str(bases[family]))
    head = head_of(backbone.width, classes)
    found, missed = token_attributions(backbone, head, NOTE, kind, 1, steps=64)
    assert [len(one) for one in found] == [7, 4]
    total = sum(abs(one).sum() for one in found)
    assert abs(missed) < 0.02 * total
    assert total > 0.01


def test_virtual_tokens_and_adapters_take_part(bases):
    backbone = load_backbone(str(bases["llama"]))
    head = head_of(backbone.width, 2)
    plain, _ = token_attributions(backbone, head, NOTE, "binary", 1, steps=8)
    stack = Stack(
        backbone,
        (
            Slot(Adapter("prompt", make_method("prompt", {"virtual_tokens": 3, "initialisation": "random"}))),
            Slot(Adapter("task", make_method("lora", {"rank": 2}))),
        ),
    )
    for weight in stack.trainable().values():
        torch.nn.init.normal_(weight, std=0.3)
        weight.requires_grad_(False)
    other, missed = token_attributions(backbone, head, NOTE, "binary", 1, steps=64)
    assert max(np.abs(a - b).max() for a, b in zip(plain, other, strict=True)) > 1e-3
    assert abs(missed) < 0.02 * sum(abs(one).sum() for one in other)


def test_a_share_is_the_integral_of_the_gradient_by_finite_differences(bases):
    backbone = load_backbone(str(bases["llama"])).model.double()
    embed, head = backbone.get_input_embeddings(), head_of(32, 2).double()
    tokens = torch.tensor([[1, 40, 60, 80]])
    own = embed(tokens).detach()
    empty = embed(torch.tensor([1])).detach()

    def odds(embedded: torch.Tensor) -> float:
        with torch.no_grad():
            states = backbone.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
            vectors = states.mean(1)
            logits = head.linear(torch.nn.functional.gelu(head.hidden(vectors)))
        return float(log_odds(logits, "binary", 1))

    place, expected, points, tiny = 2, 0.0, 400, 1e-5
    for step in range(points):
        share = (step + 0.5) / points
        up, down = (empty + share * (own - empty) for _ in range(2))
        up[0, place] += tiny * (own[0, place] - empty[0])
        down[0, place] -= tiny * (own[0, place] - empty[0])
        expected += (odds(up) - odds(down)) / (2 * tiny) / points
    single = load_backbone(str(bases["llama"]))
    found, _ = token_attributions(single, head_of(32, 2), [[1, 40, 60, 80]], "binary", 1, steps=64)
    assert found[0][place] == pytest.approx(expected, abs=2e-3)


def test_log_odds_of_a_class_are_those_of_its_probability():
    logits = torch.tensor([[0.3, -1.0, 2.0]])
    p = torch.softmax(logits, 1)[0, 2]
    assert log_odds(logits, "multiclass", 2)[0] == pytest.approx(float(torch.logit(p)), abs=1e-6)
    assert log_odds(logits, "multilabel", 1)[0] == -1.0
