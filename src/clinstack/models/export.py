"""A saved run for programs that know nothing of clinstack: plain peft and transformers, with equal logits.

fused:  the low-rank adapters of a stack become one of the sum of their ranks, exactly: their updates stand side by side.
merged: adapters that change weights are folded into a copy of the base; one that does not (a prefix, a prompt) stays beside it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from clinstack.errors import BadInput, ProofFailed
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.models.injection import plain_config
from clinstack.models.low_rank import LowRank
from clinstack.models.method import method_name
from clinstack.models.note_classifier import NoteClassifier, load
from clinstack.models.stack import Slot, Stack
from clinstack.runs.atomic import atomic_folder, write_json, write_text
from clinstack.runs.layout import AdapterLayout, ExportLayout
from clinstack.runs.lineage import short

Form = Literal["fused", "merged"]

EXAMPLES = (
    "Patient seen and examined. Afebrile, comfortable, no chest pain.",
    "Admitted with shortness of breath and fever; intubated on the second day.",
)
"""Made-up lines whose logits lie beside the export, to check a use of it against."""

_TOLERANCE = 1e-3
"""By how much a logit may differ once weights are folded: rounding is far below in float32, what matters to a patient above."""

_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def export_run(run: Path, out: Path, form: Form, base: str | None = None) -> dict[str, Any]:
    """Writes a finished step-2 run to a new folder in one of the two forms; returns what `export.json` says.

    base: where the base is now, if not where it was.
    Raises BadInput if the run has no such form, CannotWrite if the folder is taken.
    """
    classifier = load(run, base)
    if not isinstance(classifier, NoteClassifier):
        raise BadInput(f"{run} is a baseline; there is no adapter to export. Its files are plain already.")
    if classifier.head.adapter is not None or classifier.head.hidden is not None:
        raise BadInput(
            f"{run} has more than a linear layer in its head, which an export cannot say. Serve it with clinstack."
        )
    if classifier.window.chunks > 1 or classifier.head.form.chunk_pooling == "attention":
        raise BadInput(f"{run} reads notes in several chunks, which an export cannot say. Serve it with clinstack.")
    if classifier.stack.backbone.quantize:
        raise BadInput(
            f"{run} was trained on a base rounded to four bits, which an export cannot say. Serve it with clinstack."
        )
    if classifier.stack.backbone.made_here:
        raise BadInput(
            f"{run} has a base of clinstack's own kind, which plain transformers does not read. Serve it with clinstack."
        )
    logits = classifier.score_texts(EXAMPLES)
    with atomic_folder(out) as partial:
        layout = ExportLayout(partial)
        write = _write_fused if form == "fused" else _write_merged
        kind = write(classifier, layout, base)
        save_file(
            {name: getattr(classifier.head.linear, name).detach().contiguous() for name in ("weight", "bias")},
            layout.head,
        )
        about = _about(classifier, form, kind, logits)
        write_json(layout.about, about)
        write_text(layout.card, _card(classifier, form, kind))
    return about


def fuse(slots: Sequence[Slot], backbone: Backbone) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """One LoRA that does what several do: weights by peft's names, and peft's configuration.

    Raises BadInput if an adapter is none of LoRA's plain relatives, or is merged or inert.
    """
    from peft import LoraConfig

    places: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for slot in slots:
        method = slot.adapter.method
        if not isinstance(method, LowRank) or "normed" in method.effect() or slot.merged or slot.inert:
            raise BadInput(
                f"Adapter {slot.adapter.name!r} ({method_name(method)}{', merged' if slot.merged else ''}) cannot be fused "
                "with another; only lora and rslora beside the base can. Choose --form merged."
            )
        assert slot.adapter.weights is not None
        for name, down in slot.adapter.weights.items():
            if name.endswith(_A):
                place = name.removeprefix(_PREFIX).removesuffix(_A)
                up = slot.adapter.weights[name.removesuffix(_A) + _B]
                places.setdefault(place, []).append((down, method.scale() * up))
    ranks = {place: sum(len(down) for down, _ in parts) for place, parts in places.items()}
    largest = max(ranks.values())
    others = {place: rank for place, rank in ranks.items() if rank != largest}
    config = LoraConfig(
        r=largest,
        lora_alpha=largest,
        target_modules=list(places),
        rank_pattern=others,
        alpha_pattern=others,
        task_type=None,
        base_model_name_or_path=backbone.name,
        inference_mode=True,
    )
    weights = {}
    for place, parts in places.items():
        weights[f"{_PREFIX}{place}{_A}"] = torch.cat([down for down, _ in parts]).contiguous()
        weights[f"{_PREFIX}{place}{_B}"] = torch.cat([up for _, up in parts], dim=1).contiguous()
    return weights, plain_config(config.to_dict())


def _write_fused(classifier: NoteClassifier, layout: ExportLayout, base: str | None) -> str:
    """Writes one adapter; returns the class that reads the base."""
    stack = classifier.stack
    if stack.slots:
        weights, config = fuse(stack.slots, stack.backbone)
        _write_adapter(layout, weights, config)
    return _auto_class(stack.backbone)


def _write_merged(classifier: NoteClassifier, layout: ExportLayout, base: str | None) -> str:
    """Writes a base, and an adapter if one is left; returns the class that reads the base."""
    slots = classifier.stack.slots
    left = [slot for slot in slots if not slot.adapter.method.mergeable and not slot.inert]
    if len(left) > 1:
        names = " and ".join(repr(slot.adapter.name) for slot in left)
        raise BadInput(
            f"Adapters {names} change no weights, and plain peft cannot use both at once. Serve with clinstack."
        )
    backbone = load_backbone(base or str(classifier.stack.backbone.path))
    folded = [slot for slot in slots if slot.adapter.method.mergeable and not slot.inert]
    # Built as the run's own stack is and then folded at once: how an adapter acts depends on what it was laid on.
    backbone = Stack(backbone, _apart(folded)).fold()
    backbone.model.save_pretrained(layout.model)
    for pattern in _TOKENIZER:
        for file in backbone.path.glob(pattern):
            shutil.copyfile(file, layout.model / file.name)
    for slot in left:
        name = slot.adapter.name
        _write_adapter(layout, classifier.stack.export(name), classifier.stack.peft_config(name))
    _require_equal(classifier, Stack(backbone, _apart(left)))
    # peft puts virtual tokens before what a bare model reads.
    return "AutoModel" if classifier.stack.backbone.virtual.active else _auto_class(backbone)


def _apart(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Some slots of a stack, without the others: what their parents do is done by the base or by the adapter beside it."""
    return tuple(Slot(replace(slot.adapter, parents=()), frozen=True, merged=slot.merged) for slot in slots)


def _require_equal(classifier: NoteClassifier, merged: Stack) -> None:
    found = replace(classifier, stack=merged, reader=None).score_texts(EXAMPLES)
    off = float(np.abs(found - classifier.score_texts(EXAMPLES)).max())
    if not off < _TOLERANCE:
        raise ProofFailed(
            f"What is merged answers otherwise than the run: logits of made-up lines differ by {off:.2g}. This is a fault of "
            "clinstack; nothing was written. Serve the run with clinstack."
        )


def _write_adapter(layout: ExportLayout, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    layout.adapter.mkdir()
    files = AdapterLayout(layout.adapter)
    save_file({name: weight.cpu().contiguous() for name, weight in weights.items()}, files.weights)
    write_json(files.config, config)


def _auto_class(backbone: Backbone) -> str:
    return "AutoModelForMaskedLM" if backbone.masked else "AutoModelForCausalLM"


def _about(classifier: NoteClassifier, form: Form, kind: str, logits: "np.ndarray[Any, Any]") -> dict[str, Any]:
    backbone, tokenizer = classifier.stack.backbone, classifier.stack.backbone.tokenizer
    return {
        "form": form,
        "task": classifier.task,
        "kind": classifier.kind,
        "classes": list(classifier.classes),
        "base": {"name": backbone.name, "hash": backbone.hash, "class": kind},
        "pooling": classifier.head.form.pooling,
        "max_tokens": classifier.window.max_tokens,
        "truncation": classifier.window.truncation,
        "first_token": tokenizer.start,
        "last_tokens": list(tokenizer.end),
        "examples": [{"text": text, "logits": row.tolist()} for text, row in zip(EXAMPLES, logits, strict=True)],
    }


def _card(classifier: NoteClassifier, form: Form, kind: str) -> str:
    """How to use it, as a program that runs in its folder."""
    backbone = classifier.stack.backbone
    base = json.dumps("model" if form == "merged" else backbone.name)
    states = "outputs.last_hidden_state[:, -len(ids):]" if kind == "AutoModel" else "outputs.hidden_states[-1]"
    asked = "" if kind == "AutoModel" else ", output_hidden_states=True"
    pooled = {
        "last": "states[0, -1]",
        "mean": "states[0].mean(dim=0)",
        "first": "states[0, 0]",
        "max": "states[0].amax(dim=0)",
    }[classifier.head.form.pooling]
    kept = {
        "head": "ids[:room]",
        "tail": "ids[max(0, len(ids) - room):]",
        "head+tail": "ids if len(ids) <= room else ids[: room // 4] + ids[len(ids) - (room - room // 4) :]",
    }[classifier.window.truncation]
    of_base = (
        ""
        if form == "merged"
        else f"The base is {backbone.name} ({short(backbone.hash)}); BASE is where you keep it.\n"
    )
    return f"""# {classifier.task}: an export of a clinstack run

Logits of a note, by transformers and peft alone. {of_base}
```python
import json
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import {kind}, AutoTokenizer

BASE = {base}
about = json.loads(Path("export.json").read_text())
tokenizer = AutoTokenizer.from_pretrained(BASE)
model = {kind}.from_pretrained(BASE, dtype=torch.float32)
if Path("adapter").is_dir():
    model = PeftModel.from_pretrained(model, "adapter")
model.eval()
head = load_file("head.safetensors")


@torch.inference_mode()
def logits(text):
    room = about["max_tokens"] - 1 - len(about["last_tokens"])
    ids = tokenizer(text, add_special_tokens=False).input_ids
    ids = [about["first_token"], *({kept}), *about["last_tokens"]]
    tokens = torch.tensor([ids])
    outputs = model(input_ids=tokens, attention_mask=torch.ones_like(tokens){asked})
    states = {states}
    return head["weight"] @ {pooled} + head["bias"]


for example in about["examples"]:
    print(json.dumps(logits(example["text"]).tolist()))
```

It prints the logits that `export.json` has for its examples, to about 1e-5. Classes are named there, in the logits' order.
"""
