"""Hashes of texts under a secret in a file (HMAC-SHA256): who has both can recognise a text, and nobody can get it back."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from clinstack.errors import BadInput
from clinstack.runs.atomic import atomic_file, wait_for_turn

_LEAST_BYTES = 16


def make_secret(file: Path) -> None:
    """Writes a new secret that its owner alone can read, whole or not at all; one that another process has made stays."""
    with wait_for_turn(file.parent):
        if file.exists():
            return
        with atomic_file(file) as partial, os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(secrets.token_hex(32))


def read_secret(file: Path) -> bytes:
    """The secret in a file. Raises BadInput if it is missing or damaged; one that is cut short could be guessed."""
    try:
        secret = bytes.fromhex(file.read_text().strip())
        if len(secret) < _LEAST_BYTES:
            raise ValueError("too short")
        return secret
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} is missing or damaged; what was hashed with it cannot be found without it.") from error


def hash_text(secret: bytes, text: str) -> str:
    """128 bits of a text's keyed hash, in hexadecimal."""
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
