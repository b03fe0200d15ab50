"""Reads every note of a study once by every frozen encoder; all heads, sizes and seeds then learn from what is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinstack.config import LimitedDataOptions, TrainOptions
from clinstack.data.task import open_task
from clinstack.models.backbone import base_name, check_max_tokens, load_backbone
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.features import features_used, open_reader
from clinstack.models.head_adapter import head_adapters
from clinstack.models.stack import Stack
from clinstack.models.window import Window
from clinstack.runs.array_store import ArrayStore
from clinstack.runs.atomic import read_json, write_json
from clinstack.runs.layout import StudyLayout
from clinstack.training.machine import choose_device, measured
from clinstack.training.running import Witness


def encode_once(
    options: LimitedDataOptions, folders: Sequence[Path], layout: StudyLayout, witness: Witness
) -> dict[str, dict[str, Any]]:
    """Keeps each encoder's states of every note in these task folders, and notes what that took.

    Returns, by encoder, how many notes were read, how many tokens, and the cost. Reading goes on where it stopped.
    """
    noted: dict[str, dict[str, Any]] = read_json(layout.encoding) if layout.encoding.is_file() else {}
    store = ArrayStore(layout.features, int(TrainOptions.model_fields["feature_gigabytes"].default * 2**30))
    texts = _texts(folders) if options.encoders else []
    for encoder in options.encoders:
        name = base_name(encoder)
        witness.says(f"Reading {len(texts):,} notes by {name}")
        device = choose_device(options.device)
        cost: dict[str, Any] = {}
        with measured(cost, "encode", device):
            backbone = load_backbone(encoder, device)
            check_max_tokens(backbone, options.max_tokens)
            chunks = [note[0] for note in Window(options.max_tokens).read(backbone.tokenizer, texts)]
            head = Classifier(HeadForm("mean", adapter=next(iter(head_adapters()))), backbone.width, 2)
            with open_reader(Stack(backbone, ()), head, store, chunks) as reader:
                used = features_used(reader)
        if name not in noted or (used and used["computed"]):
            before = noted.get(name, {"read": 0, "seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": 0})
            noted[name] = {
                "notes": len(texts),
                "tokens": sum(map(len, chunks)),
                "read": before["read"] + (used["computed"] if used else 0),
                "seconds": before["seconds"] + cost["encode"]["seconds"],
                "cpu_seconds": before["cpu_seconds"] + cost["encode"]["cpu_seconds"],
                "peak_bytes": max(before["peak_bytes"], cost["encode"]["peak_bytes"]),
            }
            write_json(layout.encoding, noted)
        if used is None:
            witness.says(
                f"The states of {name} are more than {layout.features} may hold; each run reads its notes anew"
            )
    return {base_name(encoder): noted[base_name(encoder)] for encoder in options.encoders}


def _texts(folders: Sequence[Path]) -> list[str]:
    """Every different note of these tasks, in their order."""
    found: dict[str, None] = {}
    for folder in folders:
        found |= dict.fromkeys(open_task(folder).read_all().column("text").to_pylist())
    return list(found)
