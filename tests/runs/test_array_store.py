"""Arrays on the disk: what was put is got, by whoever and after whatever, and never more than the budget."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.errors import BadInput
from clinstack.runs.array_store import ArrayStore

MEGABYTE = 2**20


@pytest.fixture
def store(tmp_path):
    return ArrayStore(tmp_path / "store", 64 * MEGABYTE)


def array(seed: int, rows: int = 3, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@settings(max_examples=30)
@given(st.dictionaries(st.binary(min_size=1, max_size=32), st.integers(1, 9), min_size=1, max_size=12))
def test_what_was_put_is_got_bit_for_bit(tmp_path_factory, rows):
    store = ArrayStore(tmp_path_factory.mktemp("store"), 64 * MEGABYTE)
    arrays = {key: array(number, many) for number, (key, many) in enumerate(rows.items())}
    with store.shelf({"layer": 1}) as shelf:
        shelf.put(arrays)
    with store.shelf({"layer": 1}) as shelf:
        found = shelf.get([*arrays, b"never put before, and longer than any"], width=4)
        assert found[-1] is None
        for put, got in zip(arrays.values(), found[:-1], strict=True):
            assert np.array_equal(put, got)
        assert all(key in shelf for key in arrays)
    with store.shelf({"layer": 2}) as other:
        assert not any(key in other for key in arrays)


def test_an_array_under_anothers_key_is_not_taken_for_its_own(store):
    """As two machines would mix them up that write to one database."""
    with store.shelf({}) as shelf:
        shelf.put({b"a": array(1), b"b": array(2)})
        arrays = shelf.root / "arrays"
    with lmdb.open(str(arrays), map_size=64 * MEGABYTE) as database, database.begin(write=True) as write:
        of_a, of_b = bytes(write.get(b"a")), bytes(write.get(b"b"))
        write.put(b"a", of_b)
        write.put(b"b", of_a)
    with store.shelf({}) as shelf, pytest.raises(BadInput, match="an array is not what was kept"):
        shelf.get([b"a"], 4)


def test_the_first_that_was_put_stays(store):
    with store.shelf({}) as shelf:
        shelf.put({b"a": array(1)})
        shelf.put({b"a": array(2)})
        assert np.array_equal(shelf.get([b"a"], 4)[0], array(1))


def test_the_shelf_that_was_not_used_for_longest_goes_when_there_is_no_room(tmp_path):
    store = ArrayStore(tmp_path, 8 * MEGABYTE)
    large = {bytes([n]): array(n, rows=256, width=1024) for n in range(3)}  # 3 MB
    for name in ("first", "second"):
        with store.shelf({"name": name}) as shelf:
            shelf.put(large)
    with store.shelf({"name": "first"}) as shelf:  # used again
        assert bytes([0]) in shelf
    with store.shelf({"name": "third"}) as shelf:
        shelf.put(large)
        assert not shelf.full
    for name, there in (("second", False), ("first", True), ("third", True)):
        with store.shelf({"name": name}) as shelf:
            assert (bytes([0]) in shelf) is there


def test_a_shelf_in_use_does_not_go_and_what_finds_no_room_is_not_kept(tmp_path):
    store = ArrayStore(tmp_path, 4 * MEGABYTE)
    large = {b"x": array(1, rows=768, width=1024)}  # 3 MB
    with store.shelf({"name": "held"}) as held, store.shelf({"name": "new"}) as new:
        held.put(large)
        new.put(large)
        assert new.full
        assert b"x" not in new
        assert np.array_equal(held.get([b"x"], 1024)[0], large[b"x"])
        assert sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("*")) <= 4.5 * MEGABYTE


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    from clinstack.runs.array_store import ArrayStore
    first, step = int(sys.argv[2]), int(sys.argv[3])
    with ArrayStore(Path(sys.argv[1]), 2**26).shelf({"shared": True}) as shelf:
        print("open", flush=True)
        for number in range(first, 10_000, step):
            shelf.put({str(number).encode(): np.full((2, 4), number, np.float32)})
    """
)


def test_two_processes_write_and_ones_that_are_killed_leave_whole_arrays(tmp_path):
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*words, str(n), "2"], stdout=subprocess.PIPE) for n in range(2)]
    for writer in writers:
        writer.stdout.readline()
    time.sleep(random.Random(1).uniform(0.3, 0.8))
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    with ArrayStore(tmp_path, 2**26).shelf({"shared": True}) as shelf:
        found = [shelf.get([str(number).encode()], 4)[0] for number in range(10_000)]
        kept = [number for number, one in enumerate(found) if one is not None]
        assert {number % 2 for number in kept} == {0, 1}
        for parity in (0, 1):
            mine = [number for number in kept if number % 2 == parity]
            assert mine == list(range(parity, mine[-1] + 1, 2))  # no gap
        assert all(np.array_equal(found[number], np.full((2, 4), number, np.float32)) for number in kept)
        shelf.put({b"after": array(1)})
        assert b"after" in shelf


def test_a_shelf_of_something_else_and_a_damaged_one_are_refused(store):
    with store.shelf({"tokenizer": "a"}) as shelf:
        shelf.put({b"a": array(1)})
        root = shelf.root
    about = (root / "about.json").read_text()
    (root / "about.json").write_text(about.replace('"a"', '"b"'))
    with pytest.raises(BadInput) as caught, store.shelf({"tokenizer": "a"}):
        pass
    assert str(caught.value) == (
        f"{root / 'about.json'} says that the features beside it are of something else. Remove {root}; it is made again when "
        "it is needed."
    )
    (root / "about.json").write_text(about)
    (root / "arrays" / "data.mdb").write_bytes(b"damaged" * 4096)
    with pytest.raises(BadInput) as caught, store.shelf({"tokenizer": "a"}):
        pass
    assert str(caught.value) == (
        f"The features in {root / 'arrays'} cannot be read (InvalidError). Remove {root}; it is made again when it is needed."
    )


def test_an_array_that_is_not_what_was_put_is_refused(store, tmp_path):
    with store.shelf({}) as shelf:
        shelf.put({b"a": array(1, rows=2000)})
        file, root = shelf.root / "arrays" / "data.mdb", shelf.root
    content = bytearray(file.read_bytes())
    place = content.find(array(1, rows=2000).tobytes()[:64])
    content[place + 100] ^= 1
    file.write_bytes(content)
    with store.shelf({}) as shelf, pytest.raises(BadInput) as caught:
        shelf.get([b"a"], 4)
    assert str(caught.value) == (
        f"The features in {root / 'arrays'} cannot be read (an array is not what was kept). Remove {root}; it is made again "
        "when it is needed."
    )


def test_a_database_that_was_cut_short_is_refused_before_it_is_read(store):
    with store.shelf({}) as shelf:
        shelf.put({bytes([n]): array(n, rows=2000) for n in range(20)})
        file, root = shelf.root / "arrays" / "data.mdb", shelf.root
    os.truncate(file, file.stat().st_size // 2 // 4096 * 4096)
    with pytest.raises(BadInput) as caught, store.shelf({}):
        pass
    assert str(caught.value).endswith(f"(the file was cut short). Remove {root}; it is made again when it is needed.")


def test_a_whole_database_is_never_taken_for_one_that_was_cut_short(store):
    """LMDB may hand out pages at the end that it then does not write; many small and large puts find none."""
    chance = random.Random(0)
    for turn in range(40):
        with store.shelf({}) as shelf:
            for _ in range(chance.randint(1, 6)):
                shelf.put(
                    {
                        chance.randbytes(32): array(turn, chance.choice([1, 7, 300, 2000]))
                        for _ in range(chance.randint(1, 9))
                    }
                )
