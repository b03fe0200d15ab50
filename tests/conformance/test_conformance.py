"""Every PEFT method on every model family keeps every promise, or is refused with a reason. `make conformance` prints the matrix.

What a method cannot do is asserted too, by its whole sentence, so that an upgrade of peft or transformers that mends or breaks
something is noticed either way. A cell answers "ok", "refused", or in a word why it does not apply.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from model_families import DECODERS, ENCODERS, FAMILIES
from peft import PeftModel
from pyarrow import parquet
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from clinstack.errors import BadInput
from clinstack.models.adapter_files import load_adapter
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.models.method import make_method, methods
from clinstack.models.note_classifier import load
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.serving.engine import Engine
from clinstack.training.batches import PackedBatch
from clinstack.training.checkpointed_layers import checkpoint_layers
from clinstack.training.objective import objective_of

DECODERS_ONLY = ("adaption-prompt", "p-tuning", "prefix", "prompt")
PEFT_HAS_NO_ADAPTION_PROMPT = ("qwen2", "qwen3")
LONG = torch.tensor([[1, 40, 60, 80, 100, 120, 30, 31, 2]])
SHORT = torch.tensor([[1, 50, 51, 52, 2]])


def step_1(workshop, method: str, family: str) -> str:
    """Step 1 runs to its end, its proof holds, and what it trains on becomes more likely."""
    run = workshop.adapt(method, family)
    result = json.loads((run / "result.json").read_text())
    assert result["objective"] == ("masked" if family in ENCODERS else "next-token")
    assert result["stack_proof"]["clinical"]["logit_change"] > 0
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [event["score"] for event in events if event["event"] == "validation"]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert min(scores[1:]) < scores[0] or sum(losses[-5:]) < sum(losses[:5])
    return "ok"


def resume(workshop, method: str, family: str) -> str:
    """A run that was stopped and gone on with ends with the same bits."""
    whole, stopped = workshop.adapt(method, family), workshop.adapt(method, family, "resumed", stop_after=3)
    first, second = ((run / "adapters/clinical/adapter_model.safetensors").read_bytes() for run in (whole, stopped))
    assert first == second
    return "ok"


def classify(workshop, method: str, family: str) -> str:
    """As a task adapter it runs to its end, and its proof holds."""
    result = json.loads((workshop.train(method, family) / "result.json").read_text())
    assert result["stack_proof"]["task"]["logit_change"] > 0
    assert 0 <= result["metrics"]["test"]["auroc"]["value"] <= 1
    return "ok"


def reload(workshop, method: str, family: str) -> str:
    """The saved run predicts the same bits."""
    return _predicts_what_it_wrote(workshop.train(method, family), workshop.task())


def stacking(workshop, method: str, family: str) -> str:
    """A task LoRA learns on top of it while it stays as it is, and the saved stack predicts the same bits."""
    clinical = workshop.adapt(method, family)
    run = workshop.train(method, family, clinical)
    proof = json.loads((run / "result.json").read_text())["stack_proof"]
    assert proof["clinical"]["frozen"]
    assert proof["clinical"]["logit_change"] > 0
    assert proof["clinical"]["weight_change"] == 0
    assert proof["task"]["weight_change"] > 0
    lineages = [json.loads((one / "adapters/clinical/lineage.json").read_text()) for one in (clinical, run)]
    assert lineages[0]["hash"] == lineages[1]["hash"]
    return _predicts_what_it_wrote(run, workshop.task())


def serving(workshop, method: str, family: str) -> str:
    """Answered in one pass with other stacks on the same base, it has the logits that it has alone."""
    runs = {
        "own": workshop.train(method, family),
        "stacked": workshop.train(method, family, workshop.adapt(method, family)),
        "neighbour": workshop.train("lora", family),
    }
    engine = Engine()
    served = {name: engine.prepare(run) for name, run in runs.items()}
    texts = parquet.read_table(workshop.task() / "test.parquet").column("text").to_pylist()
    for names in (list(runs), ["stacked", "own"]):
        for name, found in zip(names, engine.score(texts, [served[name] for name in names]), strict=True):
            np.testing.assert_allclose(found, load(runs[name]).score_texts(texts), atol=1e-5, rtol=0)
    return "ok"


def goes_on(workshop, method: str, family: str) -> str:
    """Loaded into step 2 as trainable, the clinical adapter learns on, and the saved run predicts the same bits."""
    run = workshop.train(method, family, workshop.adapt(method, family), "trainable")
    proof = json.loads((run / "result.json").read_text())["stack_proof"]
    assert proof["clinical"]["weight_change"] > 0
    return _predicts_what_it_wrote(run, workshop.task())


def padding(workshop, method: str, family: str) -> str:
    """A note's states do not depend on padding on its right, on the id that pads, or on its neighbour."""
    backbone = _with_trained_adapter(workshop, method, family)
    alone = _states(backbone, SHORT)
    for pad in (0, 2):
        tokens = torch.cat([torch.cat([SHORT, torch.full((1, 4), pad)], dim=1), LONG])
        mask = torch.ones_like(tokens)
        mask[0, 5:] = 0
        with torch.inference_mode():
            together = backbone.encode(tokens, mask)
        torch.testing.assert_close(together[:1, :5], alone, atol=2e-5, rtol=0)
    return "ok"


def packing(workshop, method: str, family: str) -> str:
    """Notes packed in one row have the states that they have alone."""
    backbone = _with_trained_adapter(workshop, method, family)
    batch = _packed()
    with torch.inference_mode():
        packed = backbone.encode_packed(batch.inputs, batch.positions)
    torch.testing.assert_close(packed[:, :9], _states(backbone, LONG), atol=2e-5, rtol=0)
    torch.testing.assert_close(packed[:, 9:], _states(backbone, SHORT), atol=2e-5, rtol=0)
    return "ok"


def merging(workshop, method: str, family: str) -> str:
    """Merged into the base it gives the states that it gives beside it, as plain peft merges it, and can be switched off."""
    adapter = load_adapter(workshop.adapt(method, family) / "adapters" / "clinical")
    backbone = load_backbone(str(workshop.base(family)))
    without = _states(backbone, LONG)
    if not adapter.method.mergeable:
        with pytest.raises(BadInput) as caught:
            Stack(backbone, (Slot(adapter, frozen=True, merged=True),))
        assert str(caught.value) == (
            f"Method {method} changes what the base's layers read, not their weights, so it cannot be merged. Leave it frozen."
        )
        return "refused"
    stack = Stack(backbone, (Slot(adapter, frozen=True, merged=True),))
    merged, beside = _states(backbone, LONG), _states(_with_trained_adapter(workshop, method, family), LONG)
    torch.testing.assert_close(merged, beside, atol=2e-5, rtol=0)
    assert not any(".lora_" in name or ".ia3_" in name for name, _ in backbone.model.named_parameters())
    with stack.without("clinical"):
        assert torch.equal(_states(backbone, LONG), without)
    assert torch.equal(_states(backbone, LONG), merged)
    if method != "full":
        kind = AutoModelForMaskedLM if family in ENCODERS else AutoModelForCausalLM
        folder = workshop.adapt(method, family) / "adapters" / "clinical"
        model = PeftModel.from_pretrained(kind.from_pretrained(workshop.base(family)), folder).merge_and_unload().eval()
        for name, weight in model.named_parameters():
            assert torch.equal(weight, backbone.own[name])
    return "ok"


def checkpoints(workshop, method: str, family: str) -> str:
    """Gradient checkpointing changes no bit of the loss and of any gradient."""
    found = []
    for again in (False, True):
        backbone = load_backbone(str(workshop.base(family)))
        torch.manual_seed(5)
        stack = Stack(backbone, (Slot(Adapter("clinical", make_method(method, {}))),))
        if again:
            checkpoint_layers(backbone)
        torch.manual_seed(6)
        loss = objective_of(backbone).loss(backbone, _packed(rows=8))
        loss.total.backward()
        gradients = {name: p.grad for name, p in stack.parameters("clinical").items()}
        assert any(g is not None and g.abs().sum() > 0 for g in gradients.values())
        found.append((loss.total, gradients))
    assert torch.equal(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        assert (gradient is None and found[1][1][name] is None) or torch.equal(gradient, found[1][1][name])
    return "ok"


def bfloat16(workshop, method: str, family: str) -> str:
    """In bfloat16 the loss is that of float32 but for rounding, every gradient is a number, and evaluation is as before."""
    backbone = load_backbone(str(workshop.base(family)))
    adapter = load_adapter(workshop.adapt(method, family) / "adapters" / "clinical")
    stack = Stack(backbone, (Slot(adapter),))
    batch, before = _packed(rows=8), _states(backbone, LONG)
    torch.manual_seed(6)
    exact = float(objective_of(backbone).loss(backbone, batch).total.detach())
    backbone.keep_half_copies()
    stack.train(True)
    torch.manual_seed(6)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective_of(backbone).loss(backbone, batch)
    loss.total.backward()
    stack.train(False)
    assert float(loss.total.detach()) == pytest.approx(exact, rel=0.05)
    for parameter in stack.trainable().values():
        assert parameter.dtype == torch.float32
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
    assert torch.equal(_states(backbone, LONG), before)
    return "ok"


def peft(workshop, method: str, family: str) -> str:
    """Plain peft reads the saved adapter and gives the same hidden states."""
    folder = workshop.adapt(method, family) / "adapters" / "clinical"
    base = workshop.base(family)
    if method == "full":  # no PEFT method: transformers reads its weights into the base
        plain = AutoModelForMaskedLM if family in ENCODERS else AutoModelForCausalLM
        from safetensors.torch import load_file

        model = plain.from_pretrained(base)
        assert model.load_state_dict(load_file(folder / "adapter_model.safetensors"), strict=False)[1] == []
        expected = model.eval()(LONG, output_hidden_states=True).hidden_states[-1]
    elif method in ("prompt", "p-tuning", "prefix"):
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder).eval()
        expected = model(input_ids=LONG, attention_mask=torch.ones_like(LONG)).last_hidden_state[:, -LONG.shape[1] :]
    else:
        kind = AutoModelForMaskedLM if family in ENCODERS else AutoModelForCausalLM
        if method == "adaption-prompt" and family in PEFT_HAS_NO_ADAPTION_PROMPT:
            with pytest.raises(ValueError, match="Unsupported model type for adaption prompt"):
                PeftModel.from_pretrained(kind.from_pretrained(base), folder)
            return "not in peft"
        model = PeftModel.from_pretrained(kind.from_pretrained(base), folder).eval()
        expected = model(input_ids=LONG, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(
        _states(_with_trained_adapter(workshop, method, family), LONG), expected, atol=1e-5, rtol=0
    )
    return "ok"


CHECKS: dict[str, Callable[..., str]] = {
    "step 1": step_1,
    "resume": resume,
    "classify": classify,
    "reload": reload,
    "padding": padding,
    "packing": packing,
    "stacking": stacking,
    "serving": serving,
    "goes on": goes_on,
    "merging": merging,
    "checkpoints": checkpoints,
    "bfloat16": bfloat16,
    "peft": peft,
}


@pytest.mark.parametrize("column", CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", methods())
def test_conformance(method: str, family: str, column: str, workshop, record_property):
    record_property("cell", (method, family, column))
    if method in DECODERS_ONLY and family in ENCODERS:
        _is_refused(workshop.base(family), method, family)
        record_property("answer", "refused")
    else:
        record_property("answer", CHECKS[column](workshop, method, family))


def _is_refused(base: Path, method: str, family: str) -> None:
    with pytest.raises(BadInput) as caught:
        Stack(load_backbone(str(base)), (Slot(Adapter("clinical", make_method(method, {}))),))
    able = ", ".join(name for name in methods() if name not in DECODERS_ONLY)
    assert str(caught.value) == (
        f"Method {method} is for decoders, and base {family} is an encoder. Choose one of {able}."
    )


def test_the_matrix_knows_every_method_and_family():
    assert set(DECODERS_ONLY) == {name for name, kind in methods().items() if kind.decoders_only}
    assert {*DECODERS, *ENCODERS} == set(FAMILIES)


def _with_trained_adapter(workshop, method: str, family: str) -> Backbone:
    backbone = load_backbone(str(workshop.base(family)))
    Stack(backbone, (Slot(load_adapter(workshop.adapt(method, family) / "adapters" / "clinical")),))
    return backbone


def _states(backbone: Backbone, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return backbone.encode(tokens, torch.ones_like(tokens))


def _packed(rows: int = 1) -> PackedBatch:
    tokens = torch.cat([LONG, SHORT], dim=1).repeat(rows, 1)
    positions = torch.tensor([[*range(9), *range(5)]]).repeat(rows, 1)
    targets = torch.roll(tokens, -1, dims=1)
    targets[:, [8, 13]] = -100
    return PackedBatch(tokens, targets, positions, torch.ones_like(tokens, dtype=torch.bool))


def _predicts_what_it_wrote(run: Path, task: Path) -> str:
    texts = {split: parquet.read_table(task / f"{split}.parquet") for split in ("valid", "test")}
    written = {row["note_id"]: row["logits"] for row in parquet.read_table(run / "predictions.parquet").to_pylist()}
    classifier = load(run)
    for table in texts.values():
        logits = classifier.logits(classifier.encode(table.column("text").to_pylist()))
        for note_id, row in zip(table.column("note_id").to_pylist(), logits.tolist(), strict=True):
            assert written[note_id] == row
    return "ok"
