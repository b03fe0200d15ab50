"""The audit log: it grows, holds no text, finds what was asked, and shows what was changed."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from clinstack.errors import BadInput, CannotWrite
from clinstack.serving.audit import AuditLog, find, verify
from clinstack.serving.keyed_hash import make_secret, read_secret

TEXT = "Xylophia Quarterbane fell off her zeppelin"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def filled(file):
    log = AuditLog(file)
    for number in range(5):
        notes = [log.note(f"id-{number}", f"{TEXT} {number}")]
        log.write(f"request-{number}", "ward", "predict", versions=["mortality@1"], notes=notes)
    log.close()
    return file


def test_a_log_holds_no_text_and_finds_the_note(filled):
    assert "Xylophia" not in filled.read_text()
    assert "id-3" not in filled.read_text()
    found = list(find(filled, ["something else", f"{TEXT} 3"]))
    assert [(number, line["request"]) for number, line in found] == [(1, "request-3")]
    assert verify(filled) == 5
    for one in (filled, filled.with_name("audit.jsonl.secret")):
        assert stat.S_IMODE(one.stat().st_mode) == 0o600


def test_two_logs_hash_a_note_differently(tmp_path):
    first, second = AuditLog(tmp_path / "a"), AuditLog(tmp_path / "b")
    assert first.note("id", TEXT) != second.note("id", TEXT)
    assert first.note("id", TEXT) == first.note("id", TEXT)


@pytest.mark.parametrize(
    "change", ["caller", "swap", "remove", "forge", "garble", "foreign", "accent", "twice", "spaces"]
)
def test_a_line_that_was_changed_moved_or_taken_out_is_found(filled, change):
    lines = filled.read_text().splitlines()
    if change == "foreign":
        lines[2] = lines[2].replace("predict", "predi\udcfft")  # a byte that is no UTF-8
    elif change == "accent":
        lines[2] = json.dumps({**json.loads(lines[2]), "mac": "é"}, ensure_ascii=False)
    elif change == "twice":
        lines[2] = lines[2].replace('"caller":', '"caller": "intruder", "caller":')
    elif change == "spaces":
        lines[2] = lines[2].replace(": ", ":  ", 1)
    elif change == "caller":
        lines[2] = lines[2].replace('"ward"', '"lawn"')
    elif change == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    elif change == "remove":
        del lines[2]
    elif change == "forge":
        lines[2] = json.dumps({**json.loads(lines[2]), "mac": "0" * 64})
    else:
        lines[2] = lines[2][:40]
    filled.write_text("\n".join(lines) + "\n", errors="surrogateescape")
    with pytest.raises(BadInput) as caught:
        verify(filled)
    assert str(caught.value).startswith(f"{filled}, line 3")
    assert str(caught.value).endswith("Compare with a backup.")


@pytest.mark.parametrize("content", ["", "ab" * 15, "no hexadecimal"])
def test_a_secret_that_is_cut_short_is_refused_and_never_used(filled, content):
    secret = filled.with_name("audit.jsonl.secret")
    secret.write_text(content)
    for use in (AuditLog, verify):
        with pytest.raises(BadInput) as caught:
            use(filled)
        assert str(caught.value).startswith(f"{secret} is missing or damaged")


def test_a_secret_that_several_make_at_once_is_one(tmp_path):
    file = tmp_path / "secret"

    def make(_: int) -> bytes:
        make_secret(file)
        return read_secret(file)

    with ThreadPoolExecutor(8) as several:
        assert len(set(several.map(make, range(8)))) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_log_goes_on_where_it_ended_and_a_half_written_line_is_taken_off(filled):
    with filled.open("a") as out:
        out.write('{"time": "2026-')
    log = AuditLog(filled)
    log.write("later", None, "refused", code="busy")
    log.close()
    assert verify(filled) == 6


def test_one_process_writes_at_a_time(filled):
    held = AuditLog(filled)
    with pytest.raises(CannotWrite) as caught:
        AuditLog(filled)
    assert str(caught.value) == (f"{filled} is written by another server. Give this one a log of its own with --audit.")
    held.close()


def test_a_lost_secret_and_a_foreign_file_are_refused(filled, tmp_path):
    filled.with_name("audit.jsonl.secret").unlink()
    for use in (AuditLog, verify):
        with pytest.raises(BadInput):
            use(filled)
    foreign = tmp_path / "notes.csv"
    foreign.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput):
        AuditLog(foreign)
    assert foreign.read_text() == "a,b\n1,2\n"


def test_a_killed_writer_leaves_a_whole_log(file):
    program = textwrap.dedent(f"""
        from pathlib import Path
        from clinstack.serving.audit import AuditLog
        log = AuditLog(Path({str(file)!r}))
        number = 0
        while True:
            log.write(str(number), "ward", "predict", notes=[log.note("a", "b" * 1000)] * 20)
            print(number, flush=True)
            number += 1
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 20:
                os.kill(process.pid, signal.SIGKILL)
                break
    AuditLog(file).close()
    assert verify(file) >= 21


def test_a_full_disk_refuses_the_line_and_keeps_the_log_whole(tiny_disk):
    log = AuditLog(tiny_disk / "audit.jsonl")

    def fill() -> None:
        for number in range(10_000):
            log.write(str(number), "ward", "predict", notes=[log.note("a", "b")] * 10)

    with pytest.raises(CannotWrite):
        fill()
    log.close()
    assert verify(tiny_disk / "audit.jsonl") > 100


def test_a_note_is_found_with_the_line_breaks_it_was_asked_with(file, tmp_path):
    log = AuditLog(file)
    for number, text in enumerate(["one\r\ntwo\r", "one\ntwo\n"]):
        log.write(str(number), "ward", "predict", versions=["mortality@1"], notes=[log.note("id", text)])
    log.close()
    for number, text in enumerate([b"one\r\ntwo\r", b"one\ntwo\n"]):
        note = tmp_path / "note.txt"
        note.write_bytes(text)
        command = [sys.executable, "-m", "clinstack.cli", "audit-log", "find", str(file), "--note", str(note), "--json"]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["found"]
        assert [one["request"] for one in found] == [str(number)]


def test_the_command_line_checks_and_finds(filled, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text(f"{TEXT} 2")

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "clinstack.cli", "audit-log", *words], capture_output=True, text=True, check=False
        )

    assert run("check", str(filled)).stdout.strip() == f"{filled}: 5 lines, each as it was written"
    found = json.loads(run("find", str(filled), "--note", str(note), "--json").stdout)["found"]
    assert [(one["request"], one["caller"], one["versions"]) for one in found] == [
        ("request-2", "ward", ["mortality@1"])
    ]
    assert run("check", str(note)).returncode == 2
