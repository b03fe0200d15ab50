"""What was asked, by whom, when, and which version answered: a log that can only grow, without a word of any note.

Of a note and its id the log holds keyed hashes (HMAC-SHA256): whoever has the secret and the note can show that it was asked,
and nobody can get it back. Each line holds the hash of the line before it, keyed likewise, so that a line that was changed,
moved or taken out is found (`verify`); what was cut off at the end is found by comparing with a copy. Lines reach the disk
before their answer is sent.
"""

import errno
import fcntl
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clinstack.errors import BadInput, CannotWrite
from clinstack.runs.atomic import disk_errors
from clinstack.serving.keyed_hash import hash_text, make_secret, read_secret

_BEGINNING = "0" * 64


class AuditLog:
    """A log in a file, opened for appending; made, with its secret beside it, if there is none.

    file: JSON lines.   Only one process at a time writes to it; another is refused.
    Raises BadInput if the file does not end as a log does, CannotWrite if the disk does not let it be written.
    """

    def __init__(self, file: Path):
        self.file = file
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._secret = _secret(file)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        _hold(self._handle, file)
        self._last = _last_mac(file)
        self._lock = threading.Lock()

    def write(self, request_id: str, caller: str | None, what: str, **about: Any) -> None:
        """Appends a line and has it on the disk. about: plain values; no text of a caller's."""
        with self._lock, disk_errors(self.file):
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request": request_id,
                "caller": caller,
                "what": what,
                **about,
                "previous": self._last,
            }
            mac = _mac(self._secret, line)
            before, content = os.fstat(self._handle).st_size, _written({**line, "mac": mac})
            try:
                if os.write(self._handle, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(self._handle)
            except OSError:
                os.ftruncate(self._handle, before)
                raise
            self._last = mac

    def note(self, note_id: str, text: str) -> dict[str, str]:
        """What the log holds of a note."""
        return {"id": hash_text(self._secret, note_id), "text": hash_text(self._secret, text)}

    def close(self) -> None:
        """Lets another process write."""
        os.close(self._handle)


def verify(file: Path) -> int:
    """How many lines a log has. Raises BadInput naming the first line that is not as it was written."""
    secret, previous, count = read_secret(_secret_file(file)), _BEGINNING, 0
    for number, line, content in _lines(file):
        whole = _written(line)  # before its hash is taken off
        mac = str(line.pop("mac", ""))
        ours = hmac.compare_digest(mac.encode(), _mac(secret, line).encode())
        if line.get("previous") != previous or not ours or content != whole:
            raise BadInput(
                f"{file}, line {number}: it is not as it was written, or one before it is missing. Compare with a backup."
            )
        previous, count = mac, count + 1
    return count


def find(file: Path, texts: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The lines in which one of these texts was asked: the text's number and the line."""
    secret = read_secret(_secret_file(file))
    wanted = {hash_text(secret, text): number for number, text in enumerate(texts)}
    for _, line, _ in _lines(file):
        for note in line.get("notes", []):
            if note["text"] in wanted:
                yield wanted[note["text"]], line


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """Each line's number, what it says, and its bytes."""
    try:
        with file.open("rb") as log:
            for number, content in enumerate(log, 1):
                try:
                    yield number, dict(json.loads(content.decode())), content
                except (ValueError, TypeError):
                    raise BadInput(
                        f"{file}, line {number} is not one of an audit log. Compare with a backup."
                    ) from None
    except FileNotFoundError:
        raise BadInput(f"{file} does not exist.") from None


def _written(line: Mapping[str, Any]) -> bytes:
    return (json.dumps(line) + "\n").encode()


def _mac(secret: bytes, line: Mapping[str, Any]) -> str:
    return hmac.new(secret, json.dumps(line, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _secret_file(file: Path) -> Path:
    return file.with_name(file.name + ".secret")


def _secret(file: Path) -> bytes:
    place = _secret_file(file)
    if not place.exists():
        if file.exists() and file.stat().st_size:
            raise BadInput(f"{place} is missing, and {file} was written with it. Restore it, or begin another log.")
        make_secret(place)
    return read_secret(place)


def _last_mac(file: Path) -> str:
    """The hash at the log's end. A last line that a lost machine left half written is taken off: its answer was never sent."""
    with file.open("rb+") as content:
        size = content.seek(0, os.SEEK_END)
        if not size:
            return _BEGINNING
        content.seek(max(0, size - 2**20))
        tail = content.read()
        whole = tail.rfind(b"\n") + 1
        if not whole and size > 2**20:
            raise BadInput(f"{file} does not end as an audit log does. Begin another one with --audit.")
        content.truncate(size - len(tail) + whole)
    last = tail[:whole].splitlines()
    if not last:
        return _BEGINNING
    try:
        return str(json.loads(last[-1])["mac"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{file} does not end as an audit log does. Begin another one with --audit.") from None


def _hold(handle: int, file: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise CannotWrite(
            f"{file} is written by another server. Give this one a log of its own with --audit."
        ) from error
