"""Adapters on the disk: peft reads them, and a changed file is noticed."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from clinstack.config import TrainOptions
from clinstack.errors import WrongParents
from clinstack.models.adapter_files import load_adapter
from clinstack.models.note_classifier import load
from clinstack.training.classification import train

TOKENS = torch.tensor([[1, 40, 60, 80, 100, 120, 30, 31, 32]])


def hidden(model) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model(input_ids=TOKENS, output_hidden_states=True, use_cache=False).hidden_states[-1]


def test_plain_peft_gives_a_clinical_adapters_hidden_states(clinical_run, small_base):
    from clinstack.models.base_loading import load_backbone
    from clinstack.models.stack import Slot, Stack

    folder = clinical_run / "adapters" / "clinical"
    backbone = load_backbone(str(small_base))
    Stack(backbone, (Slot(load_adapter(folder)),))
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(small_base), folder)
    with torch.inference_mode():
        ours = backbone.encode(TOKENS, torch.ones_like(TOKENS))
    torch.testing.assert_close(hidden(plain), ours, atol=1e-5, rtol=0)


@pytest.mark.parametrize("clinical_mode", ["frozen", "trainable"])
def test_plain_peft_gives_a_whole_stacks_hidden_states(clinical_mode, clinical_run, small_base, small_task, tmp_path):
    run = tmp_path / "run"
    train(
        TrainOptions(
            base=str(small_base),
            task=small_task("binary"),
            out=run,
            clinical=clinical_run,
            clinical_mode=clinical_mode,
            epochs=1,
            max_tokens=64,
            learning_rate=5e-3,
            device="cpu",
            resamples=100,
            method_options={"rank": 2},
        )
    )
    ours = load(run).stack.backbone
    plain = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(small_base), run / "adapters" / "clinical", adapter_name="clinical"
    )
    loaded = plain.load_adapter(run / "adapters" / "task", adapter_name="task")
    assert [key for key in (*loaded.missing_keys, *loaded.unexpected_keys) if "lora_" in key] == []
    plain.base_model.set_adapter(["clinical", "task"])
    with torch.inference_mode():
        expected = ours.encode(TOKENS, torch.ones_like(TOKENS))
    torch.testing.assert_close(hidden(plain), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["weights", "alpha"])
def test_a_changed_adapter_is_refused(clinical_run, tmp_path, part):
    folder = tmp_path / "clinical"
    shutil.copytree(clinical_run / "adapters" / "clinical", folder)
    recorded = json.loads((folder / "lineage.json").read_text())["hash"]
    if part == "weights":
        weights = load_file(folder / "adapter_model.safetensors")
        next(iter(weights.values()))[0, 0] += 1e-3
        save_file(weights, folder / "adapter_model.safetensors")
    else:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1000}))
    with pytest.raises(WrongParents) as caught:
        load_adapter(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder} has been changed: its content is sha256:")
    assert message.endswith(f"and its lineage says {recorded}. Restore it, or train it again.")
