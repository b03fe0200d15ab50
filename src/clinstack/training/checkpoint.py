"""Saving a training so that it goes on bit for bit.

A checkpoint is a folder of two safetensors files (trainable weights; optimizer moments and random states) and one JSON file
(where the loop stood). It is written under a temporary name and renamed, then older ones are removed, so at any moment at
least one is whole. Nothing is pickled.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from clinstack.runs.atomic import atomic_file, atomic_folder, disk_errors, read_json, write_json
from clinstack.runs.layout import CheckpointLayout

_RANDOM = "random_state."


@dataclass(frozen=True)
class Checkpoint:
    """What a loop goes on from: its position and scores (`state`), weights, and optimizer with random states."""

    state: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes tensors as safetensors, whole or not at all."""
    with atomic_file(path) as partial, disk_errors(path):
        _save(tensors, partial)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, path)
    except Exception as error:  # safetensors wraps the disk's errors in a class of its own
        raise OSError(*_disk_error(error)) from error


def _disk_error(error: Exception) -> tuple[int | None, str]:
    text = str(error)
    number = text.rpartition("os error ")[2].rstrip(")") if "os error " in text else ""
    return (int(number) if number.isdigit() else None), text


def save_checkpoint(
    folder: Path, state: dict[str, Any], parameters: dict[str, Parameter], optimizer: Optimizer
) -> None:
    """Writes the checkpoint of `state["step"]` into `folder` and removes the older ones."""
    place = folder / f"step-{state['step']:09d}"
    if place.exists():
        return
    with atomic_folder(place) as partial:
        layout = CheckpointLayout(partial)
        _save(dict(parameters), layout.weights)
        _save(_optimizer_tensors(parameters, optimizer) | _random_states(), layout.optimizer)
        write_json(layout.state, state)
    for old in _whole(folder):
        if old != place:
            shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint_folder(folder: Path) -> Path | None:
    """Where the newest whole checkpoint in `folder` lies, or None."""
    found = _whole(folder)
    return found[-1] if found else None


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`, or None."""
    found = latest_checkpoint_folder(folder)
    if found is None:
        return None
    layout = CheckpointLayout(found)
    return Checkpoint(read_json(layout.state), load_file(layout.weights), load_file(layout.optimizer))


def restore(checkpoint: Checkpoint, parameters: dict[str, Parameter], optimizer: Optimizer) -> None:
    """Puts weights, moments and random states back."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(checkpoint.weights[name])
    moments = {
        index: {
            key: checkpoint.optimizer[f"{name}.{key}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}.{key}" in checkpoint.optimizer
        }
        for index, name in enumerate(parameters)
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(checkpoint.optimizer[f"{_RANDOM}cpu"])
    for index in range(torch.cuda.device_count()):
        if (state := checkpoint.optimizer.get(f"{_RANDOM}cuda{index}")) is not None:  # it may have had fewer devices
            torch.cuda.set_rng_state(state, index)


def _whole(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def _optimizer_tensors(parameters: dict[str, Parameter], optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _random_states() -> dict[str, Tensor]:
    states = {f"{_RANDOM}cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        states[f"{_RANDOM}cuda{index}"] = torch.cuda.get_rng_state(index)
    return states
