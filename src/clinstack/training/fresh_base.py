"""The base of a run that begins with none: a small model of `models.from_scratch`, made of the task's training notes.

Made anew when an interrupted run goes on: notes, form and seed decide every weight that it starts with.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from clinstack.config import TrainOptions
from clinstack.data.task import Task
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone, hash_base, load_backbone, quieten
from clinstack.models.from_scratch import make_base
from clinstack.runs.atomic import atomic_folder
from clinstack.training.processes import launched
from clinstack.training.running import Witness

ORIGIN = "scratch"
"""Begins what stands for the hash of a base that does not exist yet."""


def prepare_fresh_base(options: TrainOptions, task: Task, device: str, witness: Witness, place: Path) -> Backbone:
    """The model before its first step, with the random numbers at the seed. place: a folder to write it to.

    Raises BadInput if the options ask for what a model without a past has not.
    """
    if options.clinical is not None or options.task_adapter != "full" or options.quantize:
        raise BadInput(
            f"{options.base} is trained from nothing, every weight of it: leave out --clinical, --task-adapter, options of "
            "methods and --quantize."
        )
    witness.says(f"Making {options.base} and its tokenizer")
    launched().join(device)
    quieten()
    texts: list[str] = task.read("train").column("text").to_pylist()
    folder = place / "base"
    make_base(options.base, texts, options.max_tokens, options.seed, folder)
    backbone = replace(load_backbone(str(folder), device), name=options.base)
    torch.manual_seed(options.seed)
    return backbone


def save_fresh_base(backbone: Backbone, folder: Path) -> str:
    """Writes the model as it is now as a model folder; returns its content hash."""
    with atomic_folder(folder) as partial:
        shutil.copytree(backbone.path, partial, dirs_exist_ok=True)
        backbone.model.save_pretrained(partial)
    return hash_base(folder)
