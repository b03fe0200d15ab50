"""Table 2 of Gema et al. 2023: every method has the published number of trainable parameters on the shape of LLaMA-7B.

The model is built on the meta device: a shape without weights.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from clinstack.models.backbone import Backbone
from clinstack.models.method import make_method
from clinstack.models.stack import Adapter, Slot, Stack

PUBLISHED = [
    ("lora", {"rank": 16, "alpha": 32}, 8_388_608),
    ("adaption-prompt", {"virtual_tokens": 10, "top_layers": 30}, 1_228_830),
    ("prefix", {"virtual_tokens": 20}, 5_242_880),
    ("prompt", {"virtual_tokens": 15}, 61_440),
    ("p-tuning", {"encoder": "lstm", "virtual_tokens": 20, "encoder_hidden": 256, "encoder_layers": 4}, 16_093_696),
    ("lora", {"rank": 4, "alpha": 4, "dropout": 0.2}, 2_097_152),
    ("prefix", {"virtual_tokens": 10}, 2_621_440),
    ("prompt", {"virtual_tokens": 10}, 40_960),
    ("p-tuning", {"encoder": "mlp", "virtual_tokens": 1, "encoder_hidden": 256}, 2_171_392),
]


@pytest.fixture
def llama_7b() -> Backbone:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig())
    tokenizer = SimpleNamespace(encode_plain=lambda text: [1, 2, 3])
    return Backbone("llama-7b", Path("none"), "none", model, tokenizer)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "options", "count"), PUBLISHED, ids=[f"{m}-{c}" for m, _, c in PUBLISHED])
def test_a_method_has_the_published_number_of_parameters(llama_7b, method, options, count):
    with torch.device("meta"):
        stack = Stack(llama_7b, (Slot(Adapter("clinical", make_method(method, options))),))
    assert stack.weights_trainable == count
    assert stack.weights_total == 6_738_415_616 + count


def test_full_fine_tuning_trains_every_parameter(llama_7b):
    stack = Stack(llama_7b, (Slot(Adapter("clinical", make_method("full", {}))),))
    assert stack.weights_trainable == stack.weights_total == 6_738_415_616
