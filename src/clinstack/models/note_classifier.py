"""Notes -> logits: a stack with its head, as one thing that predicts the same before and after it is saved.

Notes are read in float32. On a processor a note's logits do not depend on the others at all, on an accelerator up to rounding
(1e-5), and predicting the same notes twice gives the same bits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from clinstack.errors import BadInput, WrongParents
from clinstack.metrics.scorecard import probabilities
from clinstack.models.adapter_files import load_adapter, whole_weights
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.models.baseline import BaselineClassifier, load_baseline
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.quantized import Quantize
from clinstack.models.reading import Reader, WholeReader
from clinstack.models.stack import Slot, Stack
from clinstack.models.text_classifier import TextClassifier
from clinstack.models.window import Encoded, Window
from clinstack.runs.atomic import atomic_file, read_json
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import hash_arrays
from clinstack.runs.seal import check_seal


@dataclass(frozen=True)
class Pooled:
    """Notes as the head reads them: a vector per chunk (M, H), whose each is (M,) in rising order, and how many notes."""

    chunks: Tensor
    note: Tensor
    notes: int

    def take(self, rows: Sequence[int]) -> "Pooled":
        """The notes of these numbers, in this order."""
        first, last = self._bounds(rows)
        note = torch.arange(len(first), device=self.note.device).repeat_interleave(last - first)
        return Pooled(self.chunks[self.places(rows)], note, len(first))

    def places(self, rows: Sequence[int]) -> Tensor:
        """Where the chunks of the notes of these numbers are, in this order."""
        bounds = torch.stack(self._bounds(rows)).T.tolist()
        return torch.cat([torch.arange(start, end) for start, end in bounds]).to(self.note.device)

    def _bounds(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Where each note's chunks begin and end."""
        wanted = torch.as_tensor(list(rows), device=self.note.device)
        return torch.searchsorted(self.note, wanted), torch.searchsorted(self.note, wanted, right=True)


@dataclass(frozen=True)
class NoteClassifier:
    """A stack and a head for one task.

    classes: names in the order of the logits; of a binary task the second is the positive.
    window:  how much of a note is read.
    reader:  what turns chunks into states; the stack, every layer of it, if None.
    """

    stack: Stack
    head: Classifier
    task: str
    kind: str
    classes: tuple[str, ...]
    window: Window
    reader: Reader | None = None

    def predict_proba(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float64]:
        """Probabilities (N, C) of texts, in the order of `classes`."""
        return probabilities(self.kind, self.score_texts(texts, batch_size))

    def score_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Logits (N, C) of texts."""
        return self.logits(self.encode(texts), batch_size)

    def encode(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """The chunks of token ids of each text."""
        return self.window.read(self.stack.backbone.tokenizer, texts)

    def logits(self, encoded: Encoded, batch_size: int = 32) -> NDArray[np.float32]:
        """Logits (N, C) of encoded notes."""
        return self.score(self.pooled(encoded, batch_size))

    def score(self, pooled: Pooled) -> NDArray[np.float32]:
        """Logits (N, C) of notes that have been read."""
        self.head.eval()
        with torch.inference_mode():
            return self.head(pooled.chunks, pooled.note, pooled.notes).cpu().numpy()  # type: ignore[no-any-return]

    def pooled(self, encoded: Encoded, batch_size: int = 32) -> Pooled:
        """Reads encoded notes, without gradient."""
        chunks, note = flat(encoded)
        self.stack.train(False)
        self.head.eval()
        reader = self.reader or WholeReader(self.stack.backbone)
        vectors = reader.pooled(chunks, self.head, batch_size)
        return Pooled(vectors, torch.tensor(note, device=vectors.device), len(encoded))


def flat(encoded: Encoded) -> tuple[list[list[int]], list[int]]:
    """All chunks one after the other, and whose each is."""
    chunks = [chunk for note in encoded for chunk in note]
    return chunks, [number for number, note in enumerate(encoded) for _ in note]


def save_head(file: Path, head: Classifier, stack: str) -> str:
    """Writes the head with what it needs to be read again, the hash of its stack included; returns its own hash."""
    weights = {name: weight.detach().cpu() for name, weight in head.state_dict().items()}
    about = {**head.form.about, "stack": stack}
    with atomic_file(file) as partial:
        # One entry only: safetensors writes several in no fixed order, and equal heads must be equal files.
        save_file(weights, partial, metadata={"head": json.dumps(about)})
    return _hash_head(weights, about)


def _hash_head(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    return hash_arrays({name: tensor.numpy() for name, tensor in weights.items()}, about)


def load(run: str | Path, base: str | None = None, device: str = "cpu") -> TextClassifier:
    """The finished step-2 run in a folder, ready to predict; every hash is checked.

    base: where the base is now, if not where it was when the run was made.
    Raises BadInput if the folder is no finished step-2 run; WrongParents if a piece is missing, changed, or of another base.
    """
    saved = open_saved(Path(run), base)
    if isinstance(saved, BaselineClassifier):
        return saved
    stack = Stack(saved.load_backbone(device), saved.slots)
    return NoteClassifier(stack, saved.load_head(stack.backbone), saved.task, saved.kind, saved.classes, saved.window)


@dataclass(frozen=True)
class SavedClassifier:
    """A finished step-2 run whose base is not loaded yet. base: where that is; base_hash: what it must be.

    slots: frozen, as they predict.   window: how much of a note is read.
    """

    run: Path
    task: str
    kind: str
    classes: tuple[str, ...]
    base: str
    base_hash: str
    quantize: Quantize | None
    slots: tuple[Slot, ...]
    window: Window
    _lineage: dict[str, Any]

    def load_backbone(self, device: str) -> Backbone:
        """Its base, without adapters. Raises WrongParents if what lies where it should is another one."""
        backbone = load_backbone(self.base, device, self.quantize)
        if backbone.hash != self.base_hash:
            raise WrongParents(
                f"{self.run} was made on the base {self.base_hash} and is given {backbone.hash} ({backbone.name}). "
                "Give the base it was made on with --base."
            )
        return backbone

    def load_head(self, backbone: Backbone) -> Classifier:
        """Its head, where the backbone is. Raises WrongParents if it is not the one that was saved."""
        head = _load_head(RunLayout(self.run).head, self._lineage, backbone.width, len(self.classes))
        return head.to(backbone.device)


def open_saved(run: Path, base: str | None = None) -> SavedClassifier | BaselineClassifier:
    """What a finished step-2 run consists of, adapters checked; a baseline is ready. Arguments and errors as `load`."""
    layout, result, lineage = finished_step_2(run)
    task, kind, classes = result["task"], result["kind"], tuple(result["classes"])
    if lineage["stack"] is None:
        return BaselineClassifier(load_baseline(layout, lineage["head"]), task, kind, classes)
    path, wanted = base_of_run(layout, lineage, base)
    slots = tuple(_saved_slot(layout, one) for one in lineage["adapters"])
    window = Window(result["max_tokens"], result["truncation"], result["chunks"])
    return SavedClassifier(
        run, task, kind, classes, path, wanted, lineage["base"].get("quantize"), slots, window, lineage
    )


def base_of_run(layout: RunLayout, lineage: dict[str, Any], base: str | None) -> tuple[str, str]:
    """Where the base of a run is, and its hash: in the run itself, if it was trained from nothing there.

    base: where it is now, if not where it was.   Raises BadInput if one is given and the run has its own.
    """
    own = lineage.get("own_base")
    if own is None:
        return base or lineage["base"]["path"], lineage["base"]["hash"]
    if base is not None:
        raise BadInput(f"{layout.root} was trained from nothing and holds its own base. Leave out --base.")
    return str(layout.base), own


def finished_step_2(run: Path) -> tuple[RunLayout, dict[str, Any], dict[str, Any]]:
    """Where the files of a finished step-2 run lie, its result and its lineage.

    Raises BadInput if the folder holds none, WrongParents if one of the two is not what the run's seal says.
    """
    layout = RunLayout(run)
    check_seal(layout, layout.result, layout.lineage)
    if not layout.result.is_file():
        what = "is not finished: run its command again" if layout.config.is_file() else "is not a run folder"
        raise BadInput(f"{run} {what}.")
    result = read_json(layout.result)
    if result["step"] != 2:
        raise BadInput(f"{run} is a step-1 run, which has no head. Give it to `clinstack train --clinical`.")
    return layout, result, read_json(layout.lineage)


def _saved_slot(layout: RunLayout, recorded: dict[str, Any]) -> Slot:
    folder = layout.adapter(recorded["name"])
    if not folder.is_dir():
        raise WrongParents(
            f"{layout.root} needs adapter {recorded['name']!r} ({recorded['hash']}), and {folder} is missing. "
            "Restore it; without it every logit would be shifted."
        )
    adapter = load_adapter(folder)
    if adapter.hash != recorded["hash"]:
        raise WrongParents(
            f"{folder} holds adapter {adapter.hash}, and the run was made with {recorded['hash']}. Restore that one."
        )
    return Slot(adapter, frozen=True, merged=recorded["merged"], inert=recorded["inert"])


def hash_of_head(file: Path) -> str:
    """The content hash of a saved head. Raises BadInput if the file is missing or cut."""
    return _hash_head(*_read_head(file))


def _read_head(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not file.is_file():
        raise BadInput(f"{file} is missing, so the run cannot predict. Restore it, or train again.")
    with whole_weights(file), safe_open(file, "pt") as content:
        weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (the file is no mapping)
        return weights, json.loads(content.metadata()["head"])


def _load_head(file: Path, lineage: dict[str, str], width: int, classes: int) -> Classifier:
    weights, about = _read_head(file)
    if about["stack"] != lineage["stack"]:
        raise WrongParents(f"{file} belongs to the stack {about['stack']}, and the run holds {lineage['stack']}.")
    if (content_hash := _hash_head(weights, about)) != lineage["head"]:
        raise WrongParents(
            f"{file} has been changed: its content is {content_hash}, and the run's lineage says {lineage['head']}. "
            "Restore it, or train again."
        )
    head = Classifier(HeadForm.of_about(about), width, classes)
    head.load_state_dict(weights)
    return head.requires_grad_(False).eval()
