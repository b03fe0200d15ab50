"""An export answers as the run does, in a program that knows peft and transformers and nothing of clinstack."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.errors import BadInput
from clinstack.models.export import export_run
from clinstack.models.note_classifier import load
from clinstack.models.pooling import POOLINGS
from clinstack.training.classification import train
from clinstack.training.language import adapt

ADAPTERS = {
    "lora": {"method": "lora", "method_options": {"rank": 4, "targets": "all"}},
    "rslora": {"method": "rslora", "method_options": {"rank": 4, "alpha": 3.0}},
    "ia3": {"method": "ia3"},
    "dora": {"method": "dora", "method_options": {"rank": 2}},
    "prefix": {"method": "prefix", "method_options": {"virtual_tokens": 3}},
    "adaption-prompt": {"method": "adaption-prompt", "method_options": {"virtual_tokens": 3, "top_layers": 1}},
}


@pytest.fixture(scope="module")
def stacked(small_base, small_corpus, small_task, tmp_path_factory):
    """clinical method, options of step 2 -> a run of step 2 on such a clinical adapter, made once."""
    root, made = tmp_path_factory.mktemp("stacked"), {}

    def run(clinical: str | None, **options):
        key = json.dumps([clinical, options], sort_keys=True)
        if key not in made:
            below = None
            if clinical:
                below = root / f"clinical-{clinical}"
                adapt(
                    AdaptOptions(
                        base=str(small_base), corpus=small_corpus, out=below, learning_rate=2e-2, max_tokens=64,
                        device="cpu", precision="float32", **ADAPTERS[clinical],
                    )
                )  # fmt: skip
            out = root / f"run-{len(made)}"
            given = {"max_tokens": 48, "learning_rate": 2e-2, "epochs": 2, "resamples": 100, **options}
            train(
                TrainOptions(
                    base=str(small_base), task=small_task("multiclass"), out=out, clinical=below,
                    device="cpu", precision="float32", **given,
                )
            )  # fmt: skip
            made[key] = out
        return made[key]

    return run


def printed(folder, base) -> np.ndarray:
    """What the program in an export's README prints, run in the export's folder."""
    program = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    program = re.sub(r'^BASE = "(?!model")[^"]*"$', f"BASE = {str(base)!r}", program, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return np.array([json.loads(line) for line in done.stdout.splitlines()])


def check(run, form, folder, base) -> dict:
    about = export_run(run, folder, form)
    examples = [one["text"] for one in about["examples"]]
    expected = load(run).score_texts(examples)
    assert np.array_equal(np.array([one["logits"] for one in about["examples"]], np.float32), expected)
    np.testing.assert_allclose(printed(folder, base), expected, atol=2e-5)
    return about


@pytest.mark.parametrize("options", [{}, {"method_options": {"top_layers": 1, "rank": 2}}])
@pytest.mark.parametrize("clinical", ["lora", "rslora"])
def test_a_fused_stack_is_one_lora(clinical, options, stacked, small_base, tmp_path):
    check(stacked(clinical, **options), "fused", tmp_path / "export", small_base)
    config = json.loads((tmp_path / "export" / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == 4 + options.get("method_options", {}).get("rank", 8)
    assert not (tmp_path / "export" / "model").exists()


@pytest.mark.parametrize("clinical", [None, *ADAPTERS])
def test_a_merged_stack_is_a_base_with_at_most_one_adapter_beside_it(clinical, stacked, small_base, tmp_path):
    check(stacked(clinical), "merged", tmp_path / "export", small_base)
    assert (tmp_path / "export" / "adapter").exists() == (clinical in ("prefix", "adaption-prompt"))


@pytest.mark.parametrize("form", ["fused", "merged"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_exports_in_both_forms(pooling, form, stacked, small_base, tmp_path):
    check(stacked("lora", pooling=pooling), form, tmp_path / "export", small_base)


@pytest.mark.parametrize(
    ("clinical", "mode"),
    [("lora", "frozen"), ("lora", "trainable"), ("dora", "frozen"), ("ia3", "frozen"), ("prefix", "frozen")],
)
def test_full_fine_tuning_beside_a_clinical_adapter_exports_merged(clinical, mode, stacked, small_base, tmp_path):
    run = stacked(clinical, clinical_mode=mode, task_adapter="full", learning_rate=1e-3)
    check(run, "merged", tmp_path / "export", small_base)


@pytest.mark.parametrize("mode", ["merged", "trainable", "continued"])
def test_every_way_of_using_a_clinical_adapter_exports(mode, stacked, small_base, tmp_path):
    options = {"clinical_mode": mode} if mode != "continued" else {"clinical_mode": mode, "task_adapter": "lora"}
    check(stacked("lora", **options), "merged", tmp_path / "export", small_base)


@pytest.mark.parametrize(
    ("clinical", "mode", "task"),
    [("lora", "frozen", "dora"), ("lora", "merged", "dora"), ("dora", "trainable", "dora"), ("dora", "frozen", "ia3")],
)
def test_adapters_that_act_on_each_other_merge_to_what_they_did(clinical, mode, task, stacked, small_base, tmp_path):
    run = stacked(clinical, clinical_mode=mode, task_adapter=task, learning_rate=5e-2)
    check(run, "merged", tmp_path / "export", small_base)


def test_full_fine_tuning_and_a_head_alone_export(stacked, small_base, tmp_path):
    check(stacked(None, task_adapter="full", learning_rate=1e-3), "merged", tmp_path / "full", small_base)
    upper = stacked(None, task_adapter="full", method_options={"top_layers": 1}, learning_rate=1e-3)
    check(upper, "merged", tmp_path / "upper", small_base)
    names = load_file(upper / "adapters" / "task" / "adapter_model.safetensors")
    assert all(".layers.1." in name for name in names), names.keys()
    assert len(names) == 9
    check(stacked(None, task_adapter="none"), "fused", tmp_path / "head", small_base)
    check(stacked(None, truncation="head+tail", max_tokens=8), "fused", tmp_path / "cut", small_base)


@pytest.mark.parametrize(
    ("clinical", "options", "form", "expected"),
    [
        ("dora", {}, "fused", "Adapter 'clinical' (dora) cannot be fused with another; only lora and rslora beside the base can."),
        ("prefix", {}, "fused", "Adapter 'clinical' (prefix) cannot be fused with another"),
        ("ia3", {"task_adapter": "dora"}, "merged", "Adapter 'task' (dora) norms the weights without adapter 'clinical' (ia3)"),
        ("prefix", {"task_adapter": "prompt"}, "merged", "Adapters 'clinical' and 'task' change no weights"),
        (None, {"chunks": 2}, "merged", "reads notes in several chunks, which an export cannot say."),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(clinical, options, form, expected, stacked, tmp_path):
    with pytest.raises(BadInput) as caught:
        export_run(stacked(clinical, **options), tmp_path / "export", form)
    assert expected in str(caught.value)
    assert not (tmp_path / "export").exists()
