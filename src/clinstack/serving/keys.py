"""Who may ask what, how often: API keys in a TOML file that holds their hashes alone.

    [ward-3]
    hash = "sha256:…"
    tasks = ["mortality"]     # every task without it
    notes-per-minute = 600    # 600 without it

A key is 32 random bytes, so its SHA-256 needs no salt and no slowness: nobody guesses it. The file is read again every second:
a key that is taken out stops, and while the file is gone or unreadable no key is taken. A minute's notes are a bucket that
fills up steadily (token bucket), so a caller may ask for a minute's worth at once.
"""

import hashlib
import os
import secrets
import stat
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from clinstack.errors import BadInput, did_you_mean
from clinstack.runs.atomic import atomic_file, read_errors, wait_for_turn
from clinstack.serving.entry_names import is_task_name
from clinstack.serving.log import LOG

PREFIX = "clinstack_"
NOTES_PER_MINUTE = 600
_FIELDS = ("hash", "tasks", "notes-per-minute")
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Key:
    """What one caller may do. name: as logs know the caller.   tasks: those that may be asked, all if None."""

    name: str
    hash: str
    tasks: frozenset[str] | None = None
    notes_per_minute: int = NOTES_PER_MINUTE


@dataclass
class _Bucket:
    notes: float
    at: float


@dataclass
class Keys:
    """The keys of a file, as it is now. Raises BadInput if it cannot be used.

    Later, no key is found while the file cannot be read; of one that went bad the keys of before go on. `problem` tells both.
    """

    file: Path
    _keys: dict[str, Key] = field(default_factory=dict, init=False, repr=False)
    _buckets: dict[str, _Bucket] = field(default_factory=dict, init=False, repr=False)
    _content: bytes = field(default=b"", init=False, repr=False)
    _problem: str | None = field(default=None, init=False, repr=False)
    _looked: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._content, self._looked = _bytes(self.file), time.monotonic()
        self._keys = _by_hash(self.file, self._content)
        if not self._keys:
            raise BadInput(f"{self.file} holds no key, so nobody could ask. Make one with `clinstack keys add`.")

    def find(self, key: str) -> Key | None:
        """Whose key it is."""
        with self._lock:
            self._look()
            return self._keys.get(hash_key(key))

    @property
    def problem(self) -> str | None:
        """Why the file cannot be used now."""
        with self._lock:
            self._look()
            return self._problem

    def spend(self, key: Key, notes: int) -> float:
        """Takes so many notes out of the caller's bucket: 0, or the seconds after which there are enough."""
        with self._lock:
            now, rate = time.monotonic(), key.notes_per_minute / 60
            bucket = self._buckets.setdefault(key.name, _Bucket(key.notes_per_minute, now))
            bucket.notes = min(key.notes_per_minute, bucket.notes + (now - bucket.at) * rate)
            bucket.at = now
            if bucket.notes < min(notes, key.notes_per_minute):
                return (min(notes, key.notes_per_minute) - bucket.notes) / rate
            bucket.notes -= notes
            return 0.0

    def give_back(self, key: Key, notes: int) -> None:
        """Puts notes back into the caller's bucket that were taken out and not answered."""
        with self._lock:
            if bucket := self._buckets.get(key.name):
                bucket.notes = min(key.notes_per_minute, bucket.notes + notes)

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        problem = None
        try:
            content = self.file.read_bytes()
            if content != self._content:
                self._keys, self._content = _by_hash(self.file, content), content
        except OSError as error:  # a key may have been taken out, and nobody can tell
            self._keys, self._content = {}, b""
            problem = f"{self.file} cannot be read, so no key is taken: {error.strerror}."
        except BadInput as error:  # half an edit must not lock everybody out
            problem = f"The keys of before go on: {error}"
        if problem and problem != self._problem:
            LOG.error("%s", problem)
        self._problem = problem


def hash_key(key: str) -> str:
    """What the file holds of a key."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def read_keys(file: Path) -> list[Key]:
    """The keys of a file. Raises BadInput naming the file and the key that cannot be used."""
    return [_key(file, name, about) for name, about in _parse(file, _bytes(file)).items()]


def _by_hash(file: Path, content: bytes) -> dict[str, Key]:
    return {key.hash: key for key in (_key(file, name, about) for name, about in _parse(file, content).items())}


def add_key(file: Path, name: str, tasks: list[str] | None, notes_per_minute: int) -> str:
    """Adds a key and returns it: it is not kept, and cannot be shown again. Raises BadInput if the name is taken."""
    if not is_task_name(name):
        raise BadInput(f"{name!r} is no name for a key. Use lower-case letters, digits, and - _ . between them.")
    with wait_for_turn(file.parent):
        found = _parse(file, _bytes(file)) if file.exists() else {}
        if name in found:
            raise BadInput(f"{file} has a key {name!r} already. Choose another name, or remove that one.")
        key = PREFIX + secrets.token_urlsafe(32)
        about: dict[str, Any] = {"hash": hash_key(key), "notes-per-minute": notes_per_minute}
        if tasks is not None:
            about["tasks"] = tasks
        _write(file, {**found, name: about})
    return key


def remove_key(file: Path, name: str) -> None:
    """Takes a key out. Raises BadInput if there is none of that name."""
    with wait_for_turn(file.parent):
        found = _parse(file, _bytes(file))
        if name not in found:
            raise BadInput(f"{file} has no key {name!r}. {did_you_mean(name, found)}")
        _write(file, {other: about for other, about in found.items() if other != name})


def _key(file: Path, name: str, about: Any) -> Key:
    place = f"{file}, key {name}"
    if not isinstance(about, dict) or not str(about.get("hash", "")).startswith("sha256:"):
        raise BadInput(f"{place}: there is no hash. Make keys with `clinstack keys add`.")
    if odd := sorted(set(about) - set(_FIELDS)):
        raise BadInput(f"{place}: unknown field {odd[0]!r}. {did_you_mean(odd[0], _FIELDS)}")
    tasks, rate = about.get("tasks"), about.get("notes-per-minute", NOTES_PER_MINUTE)
    if not isinstance(rate, int) or rate < 1:
        raise BadInput(f"{place}: notes-per-minute must be a whole number of at least 1.")
    if tasks is not None and not (isinstance(tasks, list) and all(isinstance(one, str) for one in tasks)):
        raise BadInput(f"{place}: tasks must be a list of names.")
    return Key(name, about["hash"], None if tasks is None else frozenset(tasks), rate)


def _bytes(file: Path) -> bytes:
    with read_errors(file):
        if not file.exists():
            raise BadInput(f"{file} does not exist. Make a key with `clinstack keys add`.")
        return file.read_bytes()


def _parse(file: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not valid TOML ({error}).") from error


def _write(file: Path, keys: dict[str, Any]) -> None:
    """Owner and mode stay: a server of another user may read the file. A new one is its owner's alone."""
    before = file.stat() if file.exists() else None
    with atomic_file(file) as partial:
        partial.touch(0o600)
        partial.write_text(tomli_w.dumps(keys), encoding="utf-8")
        if before is not None:
            os.chown(partial, before.st_uid, before.st_gid)
            partial.chmod(stat.S_IMODE(before.st_mode))
