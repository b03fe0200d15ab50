"""Keys: the file holds hashes alone, edits are heard, and a minute's notes are a bucket that fills up."""

import json
import os
import stat
import subprocess
import sys
import tomllib

import pytest

from clinstack.errors import BadInput
from clinstack.serving.keys import Key, Keys, add_key, hash_key, read_keys, remove_key


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.toml"


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("clinstack.serving.keys.time.monotonic", lambda: now[0])
    return now


def test_the_file_holds_hashes_and_not_keys_and_only_its_owner_reads_it(file):
    key = add_key(file, "ward-3", ["mortality"], 60)
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file) == [Key("ward-3", hash_key(key), frozenset(["mortality"]), 60)]
    assert Keys(file).find(key).name == "ward-3"
    for wrong in (key[:-1], key + "x", "", hash_key(key)):
        assert Keys(file).find(wrong) is None


def test_a_running_server_hears_of_new_and_removed_keys_and_outlives_a_bad_edit(file, clock, caplog):
    first = add_key(file, "first", None, 60)
    keys = Keys(file)
    second = add_key(file, "second", None, 60)
    assert keys.find(second) is None  # looked at less than a second ago
    clock[0] += 2
    assert keys.find(second).name == "second"
    remove_key(file, "first")
    clock[0] += 2
    assert keys.find(first) is None
    whole = file.read_text()
    file.write_text("[second\n")
    for _ in range(3):
        clock[0] += 2
        assert keys.find(second).name == "second"
    (told,) = caplog.messages
    assert told.startswith(f"The keys of before go on: {file} is not valid TOML (")
    assert keys.problem == told
    file.write_text(whole)
    clock[0] += 2
    assert keys.problem is None


def test_no_key_is_taken_while_the_file_cannot_be_read(file, clock, caplog):
    key = add_key(file, "ward", None, 60)
    keys = Keys(file)
    aside = file.with_name("aside")
    file.rename(aside)
    for _ in range(3):
        clock[0] += 2
        assert keys.find(key) is None
    assert caplog.messages == [f"{file} cannot be read, so no key is taken: No such file or directory."]
    file.mkdir()
    clock[0] += 2
    assert keys.find(key) is None
    assert keys.problem == f"{file} cannot be read, so no key is taken: Is a directory."
    file.rmdir()
    aside.rename(file)
    clock[0] += 2
    assert keys.find(key).name == "ward"
    assert keys.problem is None


def test_owner_and_mode_stay_when_keys_are_added_and_removed(file):
    add_key(file, "first", None, 60)
    group = 12345 if os.geteuid() == 0 else file.stat().st_gid
    os.chown(file, -1, group)
    file.chmod(0o640)
    add_key(file, "second", None, 60)
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_gid) == (0o640, group)
    remove_key(file, "first")
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_gid) == (0o640, group)


def test_a_minutes_notes_may_be_asked_at_once_and_come_back_steadily(file, clock):
    add_key(file, "ward", None, 60)
    keys = Keys(file)
    (key,) = read_keys(file)
    assert keys.spend(key, 50) == 0
    assert keys.spend(key, 20) == 10
    clock[0] += 9.5
    assert keys.spend(key, 20) == pytest.approx(0.5)
    clock[0] += 0.5
    assert keys.spend(key, 20) == 0
    clock[0] += 3600
    assert keys.spend(key, 500) == 0  # more than a minute's worth, from a full bucket
    assert keys.spend(key, 1) > 400


def test_what_is_given_back_may_be_asked_again_and_no_more(file, clock):
    keys = Keys(file) if add_key(file, "one", None, 60) else None
    (key,) = read_keys(file)
    assert keys.spend(key, 60) == 0
    keys.give_back(key, 20)
    assert keys.spend(key, 20) == 0
    assert keys.spend(key, 1) == pytest.approx(1.0)
    keys.give_back(key, 500)
    assert keys.spend(key, 60) == 0
    assert keys.spend(key, 1) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{file} holds no key, so nobody could ask. Make one with `clinstack keys add`."),
        ("[ward]\ntasks = []\n", "{file}, key ward: there is no hash. Make keys with `clinstack keys add`."),
        ("ward = 3\n", "{file}, key ward: there is no hash. Make keys with `clinstack keys add`."),
        ("[ward]\nhash = 'sha256:a'\ntask = []\n", "{file}, key ward: unknown field 'task'. Did you mean 'tasks'? Known: hash, notes-per-minute, tasks."),
        ("[ward]\nhash = 'sha256:a'\ntasks = 'mor'\n", "{file}, key ward: tasks must be a list of names."),
        ("[ward]\nhash = 'sha256:a'\nnotes-per-minute = 0\n", "{file}, key ward: notes-per-minute must be a whole number of at least 1."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused(file, text, message):
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        Keys(file)
    assert str(caught.value) == message.format(file=file)


def test_keys_are_made_listed_and_removed_at_the_command_line(file):
    def run(*words):
        command = [sys.executable, "-m", "clinstack.cli", "keys", *words, "--keys", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    made = json.loads(run("add", "ward-3", "--tasks", "mortality,labels", "--json").stdout)
    assert tomllib.loads(file.read_text())["ward-3"]["hash"] == hash_key(made["key"])
    assert run("add", "ward-3").stderr.strip() == (
        f"clinstack: {file} has a key 'ward-3' already. Choose another name, or remove that one."
    )
    assert run("list").stdout.strip() == "ward-3: labels, mortality, 600 notes a minute"
    assert run("remove", "ward-4").stderr.strip().startswith(f"clinstack: {file} has no key 'ward-4'. Did you mean")
    assert run("remove", "ward-3").returncode == 0
    assert run("list").stdout.strip() == "no keys"
