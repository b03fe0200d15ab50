"""Reads every note of a study once by every frozen encoder; all heads, sizes and seeds then learn from what is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinstack.config import LimitedDataOptions, TrainOptions
from clinstack.data.task import open_task
from clinstack.errors import BadInput
from clinstack.models.backbone import check_max_tokens
from clinstack.models.base_files import base_name
from clinstack.models.base_loading import load_backbone
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.features import features_used, open_reader
from clinstack.models.head_adapter import head_adapters
from clinstack.models.stack import Stack
from clinstack.models.tokenizer import NoteTokenizer
from clinstack.models.window import Window
from clinstack.runs.array_store import ArrayStore
from clinstack.runs.atomic import read_json, write_json
from clinstack.runs.layout import StudyLayout
from clinstack.training.machine import choose_device, measured
from clinstack.training.running import Witness

_MOST = 0.5
"""Share of unknown tokens above which an encoder reads something else than the notes."""


_NOTHING = {"read": 0, "seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": 0}
"""What an encoder took that has read nothing yet."""


def encode_once(
    options: LimitedDataOptions, folders: Sequence[Path], layout: StudyLayout, witness: Witness
) -> dict[str, dict[str, Any]]:
    """Keeps each encoder's states of every note in these task folders, and notes what that took.

    Returns, by encoder, its hash, how many notes were read and tokens of them, which share of the notes was cut and of the
    tokens is unknown, and the cost. Reading goes on where it stopped. Raises BadInput for an encoder that cannot read them.
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
            whole = backbone.tokenizer.plain(texts)
            unknown = _require_words(name, backbone.tokenizer, whole)
            chunks = [Window(options.max_tokens).cut(backbone.tokenizer, ids)[0] for ids in whole]
            head = Classifier(HeadForm("mean", adapter=next(iter(head_adapters()))), backbone.width, 2)
            with open_reader(Stack(backbone, ()), head, store, chunks) as reader:
                used = features_used(reader)
        before = noted.get(name, _NOTHING)
        anew = name not in noted or (used and used["computed"])
        room = backbone.tokenizer.room(options.max_tokens)
        noted[name] = {
            **(_with(before, used, cost["encode"]) if anew else before),
            "hash": backbone.hash,
            "notes": len(texts),
            "tokens": sum(map(len, chunks)),
            "shortened": sum(len(ids) > room for ids in whole) / len(texts),
            "unknown": unknown,
        }
        write_json(layout.encoding, noted)
        if used is None:
            witness.says(
                f"The states of {name} are more than {layout.features} may hold; each run reads its notes anew"
            )
    return {base_name(encoder): noted[base_name(encoder)] for encoder in options.encoders}


def _with(before: dict[str, Any], used: dict[str, Any] | None, cost: dict[str, Any]) -> dict[str, Any]:
    """What reading took before and this time."""
    return {
        "read": before["read"] + (used["computed"] if used else 0),
        "seconds": before["seconds"] + cost["seconds"],
        "cpu_seconds": before["cpu_seconds"] + cost["cpu_seconds"],
        "peak_bytes": max(before["peak_bytes"], cost["peak_bytes"]),
    }


def _require_words(name: str, tokenizer: NoteTokenizer, notes: Sequence[Sequence[int]]) -> float:
    """The share of the notes' tokens that the encoder does not know. Raises BadInput if it is most of them."""
    unknown = sum(ids.count(tokenizer.unknown) for ids in notes) / max(1, sum(map(len, notes)))
    if unknown > _MOST:
        raise BadInput(
            f"{name} does not know {unknown:.0%} of the notes' tokens: its tokenizer is another model's, or of another "
            "language. Fetch the encoder again, whole, or choose another."
        )
    return unknown


def _texts(folders: Sequence[Path]) -> list[str]:
    """Every different note of these tasks, in their order."""
    found: dict[str, None] = {}
    for folder in folders:
        found |= dict.fromkeys(open_task(folder).read_all().column("text").to_pylist())
    return list(found)
