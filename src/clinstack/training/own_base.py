"""The base that a run makes for itself of the task's training notes, and keeps: a small model from nothing, or an encoder that
SetFit tunes.

Made anew when an interrupted run goes on: notes, form and seed decide every weight that it starts with.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from clinstack.config import TrainOptions
from clinstack.data.task import Task
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.base_files import hash_base
from clinstack.models.base_loading import load_backbone, quieten
from clinstack.models.from_scratch import is_from_scratch, make_base
from clinstack.models.sentence_encoder import encoder_of, tune_on_pairs
from clinstack.runs.atomic import atomic_folder
from clinstack.training.processes import launched
from clinstack.training.running import Witness

_SCRATCH = "scratch"
"""Begins what stands for the hash of a base that does not exist yet."""


def makes_own_base(options: TrainOptions) -> bool:
    """Whether a run's base is of its own making."""
    return is_from_scratch(options.base) or encoder_of(options.base) is not None


def prepare_own_base(
    options: TrainOptions, task: Task, device: str, witness: Witness, place: Path
) -> tuple[Backbone, dict[str, str]]:
    """The base, with the random numbers at the seed, and the origin of a run on it. place: a folder to write it to.

    Raises BadInput if the options ask for what such a base has not.
    """
    launched().join(device)
    quieten()
    folder = place / "base"
    if is_from_scratch(options.base):
        origin = _make(options, task, witness, folder)
    else:
        origin = _tune(options, task, device, witness, folder)
    backbone = replace(load_backbone(str(folder), device), name=options.base)
    torch.manual_seed(options.seed)
    return backbone, {"name": options.base, "hash": origin, "path": options.base}


def save_own_base(backbone: Backbone, folder: Path) -> str:
    """Writes the model as it is now as a model folder, in place of an older one; returns its content hash."""
    if folder.is_dir():
        shutil.rmtree(folder)
    with atomic_folder(folder) as partial:
        shutil.copytree(backbone.path, partial, dirs_exist_ok=True)
        backbone.model.save_pretrained(partial)
    return hash_base(folder)


def _make(options: TrainOptions, task: Task, witness: Witness, folder: Path) -> str:
    """A model from nothing; what stands for its origin."""
    if options.clinical is not None or options.task_adapter != "full" or options.method_options or options.quantize:
        raise BadInput(
            f"{options.base} is trained from nothing, every weight of it: leave out --clinical, --task-adapter, options of "
            "methods and --quantize."
        )
    witness.says(f"Making {options.base} and its tokenizer")
    texts: list[str] = task.read("train").column("text").to_pylist()
    make_base(options.base, texts, options.max_tokens, options.seed, folder)
    return f"{_SCRATCH}:{options.base}"


def _tune(options: TrainOptions, task: Task, device: str, witness: Witness, folder: Path) -> str:
    """An encoder tuned by SetFit; what stands for its origin."""
    if options.clinical is not None or options.task_adapter != "none" or options.quantize:
        raise BadInput(
            f"{options.base} is tuned as a whole, and a head is trained on it: leave out --clinical, --task-adapter, options "
            "of methods and --quantize."
        )
    encoder = encoder_of(options.base)
    assert encoder is not None, "asked of a base that SetFit tunes"
    backbone = load_backbone(encoder, device)
    origin = backbone.hash
    notes = task.read("train")
    witness.says(f"Tuning {backbone.name} on pairs of notes")
    tuned = tune_on_pairs(
        backbone.path,
        notes.column("text").to_pylist(),
        task.label_matrix(notes),
        several=task.kind == "multilabel",
        max_tokens=options.max_tokens,
        seed=options.seed,
        device=device,
    )
    network = backbone.model.base_model.state_dict()
    backbone.model.base_model.load_state_dict({name: tuned[name] for name in network})
    save_own_base(backbone, folder)
    return f"{options.base.partition(':')[0]}:{origin}"
