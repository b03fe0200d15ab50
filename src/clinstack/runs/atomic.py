"""Writing that is either whole or absent.

A file or folder is built under a temporary name beside its place, flushed to the disk, and renamed. A process killed at any
moment leaves at worst a hidden `.name.partial-…`, which the next write to the same place removes. Errors of the disk
(full, read-only, no permission) become one sentence for the user.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinstack.errors import BadInput, CannotWrite

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a part of the path is a file",
    errno.EISDIR: "it is a folder",
    errno.ENOTEMPTY: "another process has filled it meanwhile",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the disk's own errors into CannotWrite with a sentence about `path`."""
    try:
        yield
    except OSError as error:
        # Writers such as safetensors and pyarrow report a full disk with the number in the text only.
        number = error.errno or next((n for n in _REASONS if f"os error {n}" in str(error)), None)
        if number not in _REASONS:
            raise
        raise CannotWrite(
            f"{path}: {_REASONS[number]}. Nothing was left there; make room or choose another place and start again."
        ) from error


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns the disk's own errors while something is read into BadInput about the file at fault, `path` if none is named."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or type(error).__name__
        named = error.filename if isinstance(error.filename, str | os.PathLike) else path
        raise BadInput(
            f"{os.fspath(named)} cannot be read: {reason}. Restore it, or let the user who runs this read it."
        ) from error


def _sync(path: Path) -> None:
    """Asks the disk to keep what was written to a file or folder, also through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _partial(path: Path) -> Path:
    """The temporary name beside `path`; what a killed process left under it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{path.name}.partial-*"):
        owner = old.name.rpartition("-")[2]
        if not owner.isdigit() or not _alive(int(owner)):
            _remove(old)
    return path.parent / f".{path.name}.partial-{os.getpid()}"


def is_partial(path: Path) -> bool:
    """Whether it is the temporary name of something that is being written, or that a killed process left."""
    return path.name.startswith(".") and ".partial-" in path.name


def _alive(process: int) -> bool:
    """Whether a process of that number runs; our own counts as not, since its earlier write has ended."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to; it becomes `path` when the block ends well and is removed when it does not."""
    with disk_errors(path):
        partial = _partial(path)
        try:
            yield partial
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
        except BaseException:
            _remove(partial)
            raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill; it becomes `path` when the block ends well and is removed when it does not.

    Raises CannotWrite if `path` exists and is not an empty folder.
    """
    refuse_occupied(path)
    with disk_errors(path):
        partial = _partial(path)
        try:
            partial.mkdir()
            yield partial
            for file in partial.rglob("*"):
                _sync(file)
            _sync(partial)
            if path.exists():
                path.rmdir()
            os.replace(partial, path)
            _sync(path.parent)
        except BaseException:
            _remove(partial)
            raise


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Gives an empty folder on the disk of `path` for what is needed meanwhile; it is removed in any case.

    What a killed process left is removed by the next one that writes to `path`.
    """
    with disk_errors(path):
        folder = _partial(path.with_name(f"{path.name}.scratch"))
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


def refuse_occupied(path: Path) -> None:
    """Raises CannotWrite if `path` is a file or a folder that holds something."""
    if path.is_file():
        raise CannotWrite(f"{path} is a file, and a folder is to be written there. Choose another place.")
    with disk_errors(path):
        occupied = path.is_dir() and any(path.iterdir())
    if occupied:
        raise CannotWrite(f"{path} exists and is not empty. Choose another place, or remove it first.")


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Holds a folder for one process at a time; the hold ends with the process, however it ends.

    Raises CannotWrite if another process holds it.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotWrite(
                f"{folder} is being written by another process. Wait for it, or choose another place."
            ) from None
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether a process holds a folder as its only writer."""
    if not (folder / ".lock").is_file():
        return False
    try:
        with only_writer(folder):
            return False
    except CannotWrite:
        return True


@contextmanager
def wait_for_turn(folder: Path) -> Iterator[None]:
    """Holds a folder for one process at a time and waits until it is free; the hold ends with the process, however it ends."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all. NaN is refused: a number that does not exist is null."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises BadInput if it is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid JSON ({error}). It may have been edited; restore it.") from error
