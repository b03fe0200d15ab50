"""Who comes from whom: content hashes, parents, versions, terms.

A hash covers content, never a path or a date, so the same weights have the same name everywhere.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIBRARIES = ("clinstack", "torch", "transformers", "peft", "tokenizers", "numpy", "pyarrow")


def hash_files(files: Iterable[Path]) -> str:
    """The content hash of some files: their names and bytes, in the order of names."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        with file.open("rb") as content:
            whole.update(f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return "sha256:" + whole.hexdigest()


def hash_arrays(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    """The content hash of named arrays and of what else decides their effect (`about`, as JSON)."""
    whole = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{name}:{array.dtype.str}:{array.shape}\n".encode())
        whole.update(array.tobytes())
    return "sha256:" + whole.hexdigest()


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that decide the numbers."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def short(content_hash: str) -> str:
    """The first 12 digits of a hash, for people."""
    return content_hash.removeprefix("sha256:")[:12]
