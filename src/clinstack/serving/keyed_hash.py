"""Hashes of texts under a secret in a file (HMAC-SHA256): who has both can recognise a text, and nobody can get it back."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from clinstack.errors import BadInput
from clinstack.runs.atomic import disk_errors


def make_secret(file: Path) -> None:
    """Writes a new secret that its owner alone can read."""
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_hex(32))


def read_secret(file: Path) -> bytes:
    """The secret in a file. Raises BadInput if it is missing or damaged."""
    try:
        return bytes.fromhex(file.read_text().strip())
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} is missing or damaged; what was hashed with it cannot be found without it.") from error


def hash_text(secret: bytes, text: str) -> str:
    """128 bits of a text's keyed hash, in hexadecimal."""
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
