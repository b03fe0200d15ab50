"""What is kept of a file that was read: its size and hash, and whether an archive is whole."""

import gzip
import hashlib
from pathlib import Path

import pytest

from clinstack.data.raw_tables import fingerprint
from clinstack.errors import BadInput

TEXT = b"note_id,text\n" + b"".join(b"%d,some words of a note\n" % number for number in range(3000))


def written(folder: Path, content: bytes, name: str = "notes.csv.gz") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.csv", TEXT),
        ("notes.csv.gz", gzip.compress(TEXT)),
        ("notes.csv.gz", gzip.compress(TEXT) + gzip.compress(TEXT)),
        ("notes.csv.gz", gzip.compress(TEXT) + b"\0" * 512),
    ],
    ids=["plain", "gzip", "two members", "padded with zeros"],
)
def test_a_whole_file_has_its_size_and_hash(tmp_path, name, content):
    assert fingerprint(written(tmp_path, content, name)) == {
        "name": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def wrong_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT)[:-2000],
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT) + gzip.compress(TEXT)[:-4],
        wrong_checksum(gzip.compress(TEXT)),
        b"not an archive",
    ],
    ids=["cut", "cut within its checksum", "second member cut", "wrong checksum", "no gzip"],
)
def test_a_damaged_archive_is_refused(tmp_path, content):
    file = written(tmp_path, content)
    with pytest.raises(BadInput, match=r"the gzip file is damaged or cut short\. Copy"):
        fingerprint(file)
