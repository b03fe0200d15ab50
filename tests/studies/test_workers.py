"""A call in a process of its own: its answer whatever the size, its errors, and its end."""

import os

import pytest

from clinstack.data.task import open_task
from clinstack.errors import BadInput, ClinstackError
from clinstack.studies.workers import run_apart


def test_an_answer_comes_back_whatever_its_size():
    assert run_apart(bytes, 1_000_000) == bytes(1_000_000)


def test_an_error_comes_back_in_its_words(tmp_path):
    with pytest.raises(BadInput) as here:
        open_task(tmp_path)
    with pytest.raises(BadInput) as apart:
        run_apart(open_task, tmp_path)
    assert str(apart.value) == str(here.value)


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("1000", None), ("nonsense", None), (None, None)])
def test_a_worker_has_as_many_threads_as_there_are_processors_for_it_and_no_more_than_given(
    given, expected, monkeypatch
):
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert int(run_apart(os.getenv, "OMP_NUM_THREADS")) == (expected or len(os.sched_getaffinity(0)))
    assert os.environ.get("OMP_NUM_THREADS") == given


def test_a_process_that_ends_early_is_said_to():
    with pytest.raises(ClinstackError) as ended:
        run_apart(os._exit, 9)
    assert str(ended.value) == "A process that trained ended early, as where memory runs out. The same command goes on."
