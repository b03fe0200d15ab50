"""Arrays by key on the disk, memory-mapped, shared by processes, within a budget.

A shelf holds the arrays of one identity (say, one layer of one base) in an LMDB database of its own: readers need no lock,
writers take turns, a process killed at any moment leaves it whole. When the budget is used up, the shelf that was not opened
for the longest time goes, unless some process has it open; if none can go, what is new is not kept.

Each array has a checksum beside it, of its key too, and a database that was cut short is noticed before it is read: LMDB
trusts its file, and a page that is not there would end the process. A store is one machine's: LMDB's locks do not reach over a
network.
"""

import fcntl
import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from clinstack.errors import BadInput
from clinstack.runs.atomic import disk_errors, read_json, wait_for_turn, write_json
from clinstack.runs.layout import ShelfLayout, StoreLayout

Floats = NDArray[np.float32]

_PAGE = 4096
_FORMAT = 3
"""Part of every identity: arrays are kept with a checksum since the second, which holds the key since the third."""
_CHECKSUM = struct.Struct("<I")


class ArrayStore:
    """Shelves below a folder. budget_bytes: of all of them together."""

    def __init__(self, root: Path, budget_bytes: int):
        self.layout, self.budget_bytes = StoreLayout(root), budget_bytes

    @contextmanager
    def shelf(self, identity: Mapping[str, Any]) -> Iterator["Shelf"]:
        """The shelf of an identity, made if there is none, held open for as long as the block lasts.

        Raises BadInput if what lies there is damaged or of another identity.
        """
        about = _about(identity)
        layout = self.layout.shelf(_folder(about))
        with wait_for_turn(self.layout.root):
            with disk_errors(layout.root):
                layout.root.mkdir(parents=True, exist_ok=True)
            if not layout.about.is_file():
                write_json(layout.about, about)
            elif read_json(layout.about) != about:
                raise BadInput(
                    f"{layout.about} says that the features beside it are of something else. Remove {layout.root}; it is made "
                    "again when it is needed."
                )
            os.utime(layout.about)
            held = _hold(layout.held, fcntl.LOCK_SH)
        try:
            environment = self._open(layout)
        except BadInput:
            os.close(held)
            raise
        try:
            yield Shelf(environment, self, layout)
        finally:
            environment.close()
            os.close(held)

    def _open(self, layout: ShelfLayout) -> Any:
        try:
            environment = lmdb.open(str(layout.arrays), map_size=max(self.budget_bytes, 2**20), max_readers=512)
        except lmdb.Error as error:
            raise _damaged(layout, type(error).__name__) from error
        pages = environment.info()["last_pgno"] + 1
        if _database(layout).stat().st_size < pages * environment.stat()["psize"]:
            environment.close()
            raise _damaged(layout, "the file was cut short")
        return environment

    def holds(self, identity: Mapping[str, Any]) -> bool:
        """Whether there is a shelf of an identity."""
        return self.layout.shelf(_folder(_about(identity))).about.is_file()

    def make_room(self, wanted: int) -> bool:
        """Whether there is room for so many more bytes, if need be after others have gone."""
        with wait_for_turn(self.layout.root):
            shelves = sorted(self.layout.shelves(), key=lambda one: one.about.stat().st_mtime_ns)
            while sum(map(_size, shelves)) + wanted > self.budget_bytes:
                gone = next((one for one in shelves if _remove_unless_held(one)), None)
                if gone is None:
                    return False
                shelves.remove(gone)
        return True


class Shelf:
    """Arrays (rows, width) float32 by key."""

    def __init__(self, environment: Any, store: ArrayStore, layout: ShelfLayout):
        self._environment, self._store, self._layout = environment, store, layout
        self.full = False

    @property
    def root(self) -> Path:
        """Its folder."""
        return self._layout.root

    def get(self, keys: Sequence[bytes], width: int) -> list[Floats | None]:
        """A copy of each array, None where there is none. Raises BadInput if one is not what was put."""
        found: list[Floats | None] = []
        with self._environment.begin(buffers=True) as read:
            for key in keys:
                held = read.get(key)
                found.append(None if held is None else self._read(key, held).reshape(-1, width))
        return found

    def _read(self, key: bytes, held: Any) -> Floats:
        (checksum,), content = _CHECKSUM.unpack_from(held), held[_CHECKSUM.size :]
        if _checksum(key, content) != checksum:
            raise _damaged(self._layout, "an array is not what was kept")
        return np.frombuffer(content, np.float32).copy()

    def __contains__(self, key: bytes) -> bool:
        with self._environment.begin(buffers=True) as read:
            return read.get(key) is not None

    @contextmanager
    def turn(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Waits until no other process holds the same keys: what it computes need not be computed here."""
        name = hashlib.sha256(b"".join(sorted(keys))).hexdigest()[:16]
        with wait_for_turn(self._layout.turn(name)):
            yield

    def put(self, arrays: Mapping[bytes, Floats]) -> None:
        """Keeps arrays, whole or not at all; from the first that find no room on, `full` is set and nothing more is kept."""
        wanted = sum(-(-array.nbytes // _PAGE) * _PAGE for array in arrays.values())
        if self.full or not self._store.make_room(wanted):
            self.full = True
            return
        try:
            with disk_errors(self._layout.arrays), self._environment.begin(write=True) as write:
                for key, array in arrays.items():
                    content = np.ascontiguousarray(array, np.float32).tobytes()
                    write.put(key, _CHECKSUM.pack(_checksum(key, content)) + content, overwrite=False)
        except lmdb.MapFullError:
            self.full = True


def _about(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a shelf says of itself, as JSON gives it back."""
    return dict(json.loads(json.dumps({"format": _FORMAT, **identity})))


def _folder(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _checksum(key: bytes, content: Any) -> int:
    return zlib.crc32(content, zlib.crc32(key))


def _damaged(layout: ShelfLayout, why: str) -> BadInput:
    return BadInput(
        f"The features in {layout.arrays} cannot be read ({why}). Remove {layout.root}; it is made again when it is needed."
    )


def _database(layout: ShelfLayout) -> Path:
    return layout.arrays / "data.mdb"


def _hold(file: Path, how: int) -> int:
    """An open handle with a lock on a file. Raises BlockingIOError if another process has it otherwise."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    return handle


def _remove_unless_held(shelf: ShelfLayout) -> bool:
    try:
        handle = _hold(shelf.held, fcntl.LOCK_EX)
    except BlockingIOError:
        return False
    try:
        shutil.rmtree(shelf.root, ignore_errors=True)
    finally:
        os.close(handle)
    return True


def _size(shelf: ShelfLayout) -> int:
    file = _database(shelf)
    return file.stat().st_blocks * 512 if file.exists() else 0
