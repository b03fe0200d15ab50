"""The files of a pretrained model: where they lie, what it is called, and its identity by content.

The hash covers the bytes of weights, configuration and tokenizer, so two folders with the same content are the same base and a
changed weight is another one; adapters are bound to it by that hash. A tokenizer's settings are part of it: without them
transformers reads a cased BERT's notes in lower case, and says nothing.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

from clinstack.errors import BadInput
from clinstack.models.from_scratch import is_from_scratch
from clinstack.models.quantized import Quantize, hash_of_rounded
from clinstack.models.sentence_encoder import encoder_of

TINY_BASE = "tiny-base"
"""The name of the small model that comes with clinstack."""

_IDENTITY = (
    "*.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)


def find_base(base: str, *, weights: bool = True) -> Path:
    """The local folder of a base. A hub id is fetched through the hub's own cache, which also answers offline.

    base: may end in `@` and a revision of the hub, such as a commit.
    weights: whether they are needed; without them a hub id costs kilobytes.
    """
    if base == TINY_BASE:
        return Path(str(files("clinstack") / "demo" / "tiny_base"))
    if is_from_scratch(base):
        raise BadInput(
            f"{base} is trained from nothing by `clinstack train`, so there is no base of that name to adapt."
        )
    if encoder := encoder_of(base):
        raise BadInput(f"{base} is what `clinstack train` makes of {encoder}. Give {encoder} itself.")
    path = Path(base)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BadInput(f"Base {base} holds no config.json, so it is not a model folder.")
        return path
    name, _, revision = base.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BadInput(f"Base {base} does not exist. Give a model folder, a hub id such as owner/name, or {TINY_BASE}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.model", "*.txt", *(["*.safetensors"] if weights else [])]
        path = Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise BadInput(
            f"Base {base} is neither a folder here nor to be had from the hub. Give a model folder, or {TINY_BASE}."
        ) from error
    if weights:
        _require_weights(path, base)
    return path


def _require_weights(path: Path, base: str) -> None:
    if not any(path.glob("*.safetensors")):
        raise BadInput(
            f"Base {base} holds no .safetensors weights. Pickled weights are not loaded: convert them with "
            "scripts/to_safetensors.py, or give a revision of the hub that has them."
        )


def base_name(base: str) -> str:
    """The short name of a base: a folder's last part, or the hub id as it is."""
    return Path(base).resolve().name if Path(base).is_dir() else base


def brief_name(base: str) -> str:
    """What a base is called where there is little room: a folder's last part, a hub id's name with its revision."""
    if Path(base).is_dir():
        return Path(base).name
    name, at, revision = base.partition("@")
    return f"{Path(name).name}{at}{revision}"


def hash_base(path: Path, quantize: Quantize | None = None) -> str:
    """The content hash of a model folder, as it is loaded: names and bytes of weights, configuration and tokenizer."""
    whole = hashlib.sha256()
    found = sorted({file for pattern in _IDENTITY for file in path.glob(pattern)})
    _require_weights(path, str(path))
    for file in found:
        with file.open("rb") as content:
            whole.update(f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return hash_of_rounded("sha256:" + whole.hexdigest(), quantize)
