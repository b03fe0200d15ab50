"""Adapters on the disk: peft's own format, with our lineage beside it.

`adapter_config.json` and `adapter_model.safetensors` are what peft writes, so peft, vLLM and others load them; `lineage.json`
names the base, the adapters below and the content hash, and is checked at every load: an edited file, another base or a
missing parent is an error, never a silent shift.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinstack.errors import BadInput, WrongParents
from clinstack.models.method import Method, method_name, method_of_peft
from clinstack.models.stack import Adapter, Stack
from clinstack.runs.atomic import atomic_folder, read_json, write_json
from clinstack.runs.layout import AdapterLayout
from clinstack.runs.lineage import hash_arrays


def hash_adapter(method: Method, weights: Mapping[str, Tensor], base: str, parents: tuple[str, ...]) -> str:
    """The content hash of an adapter: weights, what scales them, the base and the parents."""
    about = {"method": method_name(method), **method.effect(), "base": base, "parents": list(parents)}
    return hash_arrays({name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}, about)


def save_adapter(
    folder: Path, adapter: Adapter, stack: Stack, parents: tuple[str, ...], terms: list[str]
) -> dict[str, Any]:
    """Writes an adapter of a stack as it is now, in place of an older one; returns its lineage."""
    backbone = stack.backbone
    tensors = {name: tensor.cpu().contiguous() for name, tensor in stack.export(adapter.name).items()}
    lineage = {
        "name": adapter.name,
        "method": method_name(adapter.method),
        "hash": hash_adapter(adapter.method, tensors, backbone.hash, parents),
        "base": {"name": backbone.name, "hash": backbone.hash},
        "parents": list(parents),
        "terms": terms,
    }
    if folder.is_dir():
        shutil.rmtree(folder)
    with atomic_folder(folder) as partial:
        layout = AdapterLayout(partial)
        save_file(tensors, layout.weights, metadata={"format": "pt"})
        write_json(layout.config, stack.peft_config(adapter.name))
        write_json(layout.lineage, lineage)
    return lineage


@contextmanager
def whole_weights(file: Path) -> Iterator[None]:
    """Turns safetensors' complaint about a cut or foreign file into BadInput."""
    try:
        yield
    except SafetensorError as error:
        raise BadInput(f"{file} is not a whole safetensors file. Restore it, or train again.") from error


def load_adapter(folder: Path, name: str | None = None) -> Adapter:
    """The adapter in a folder, verified against its lineage.

    name: what to call it in a stack; its own name if None.
    Raises BadInput if it is not a whole adapter of clinstack; WrongParents if its content is not what its lineage says.
    """
    layout = AdapterLayout(folder)
    for file in layout.files:
        if not file.is_file():
            raise BadInput(f"{folder} is not an adapter made by clinstack: {file.name} is missing.")
    lineage = read_json(layout.lineage)
    method = method_of_peft(read_json(layout.config))
    with whole_weights(layout.weights):
        weights = load_file(layout.weights)
    parents = tuple(lineage["parents"])
    content = hash_adapter(method, weights, lineage["base"]["hash"], parents)
    if content != lineage["hash"]:
        raise WrongParents(
            f"{folder} has been changed: its content is {content}, and its lineage says {lineage['hash']}. "
            "Restore it, or train it again."
        )
    return Adapter(
        name=name or lineage["name"],
        method=method,
        weights=weights,
        base=lineage["base"]["hash"],
        hash=content,
        parents=parents,
        terms=tuple(lineage["terms"]),
    )
