"""A run that several processes share, started as users start it: equal to a run of one, killed, stopped, refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.runs.layout import AdapterLayout, RunLayout
from clinstack.training.classification import train
from clinstack.training.language import adapt

QUICK = {"epochs": 2, "max_tokens": 48, "device": "cpu", "precision": "float32", "learning_rate": 3e-3}


def start(count: int, words: list[str], program=("-m", "clinstack.cli"), **how) -> subprocess.Popen:
    """Starts so many processes as a user does. `--multi_gpu` is what has accelerate start several; without one it is gloo."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count)]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", str(port), *map(str, program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*launcher, *words], env=environment, text=True, start_new_session=True, **how)


def launch(count: int, words: list[str], program=("-m", "clinstack.cli")) -> subprocess.CompletedProcess:
    process = start(count, words, program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.terminate()  # the launcher ends what it started
        process.wait(timeout=60)
        raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def words_of(command: str, given: dict) -> list[str]:
    return [command, *(word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value)))]


@pytest.fixture
def task_options(small_base, small_task, clinical_run, tmp_path):
    def make(out: str, **changed) -> dict:
        given = {
            "base": small_base,
            "task": small_task("multiclass"),
            "clinical": clinical_run,
            "clinical_mode": "trainable",
            "out": tmp_path / out,
            "class_weights": "balanced",
            "batch_size": 7,
            "accumulation": 2,
            "resamples": 100,
            **QUICK,
        }
        return {**given, **changed}

    return make


def train_alone(given: dict) -> dict:
    return train(TrainOptions(**{**given, "base": str(given["base"])}))


def weights_of(run: Path, adapter: str) -> dict[str, np.ndarray]:
    return load_file(AdapterLayout(RunLayout(run).adapter(adapter)).weights)


def assert_same_run(one: Path, other: Path, adapters: tuple[str, ...]) -> None:
    first, second = (json.loads(RunLayout(run).result.read_text()) for run in (one, other))
    assert first["best_epoch"] == second["best_epoch"]
    assert first["validation"]["value"] == pytest.approx(second["validation"]["value"], rel=1e-5)
    assert first["cost"]["train"]["tokens"] == second["cost"]["train"]["tokens"]
    for name in adapters:
        alone, shared = weights_of(one, name), weights_of(other, name)
        for key, weight in alone.items():
            np.testing.assert_allclose(weight, shared[key], rtol=0, atol=2e-5)
            assert np.abs(weight).max() > 1e-3


def test_two_processes_train_a_task_as_one_does(task_options, tmp_path):
    alone, shared = task_options("alone"), task_options("shared")
    expected = train_alone(alone)
    done = launch(2, [*words_of("train", shared), "--json"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # one of the two speaks
    assert found["cost"]["train"]["processes"] == 2
    assert_same_run(alone["out"], shared["out"], ("clinical", "task"))
    for metric, value in expected["metrics"]["test"].items():
        assert found["metrics"]["test"][metric]["value"] == pytest.approx(value["value"], abs=1e-4), metric
    losses = [
        [json.loads(line)["loss"] for line in RunLayout(run["out"]).events.read_text().splitlines() if '"loss"' in line]
        for run in (alone, shared)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_processes_adapt_as_one_does(small_base, small_corpus, tmp_path):
    given = {"base": small_base, "corpus": small_corpus, "batch_size": 3, "validation_tokens": 500, **QUICK}
    expected = adapt(AdaptOptions(**{**given, "base": str(small_base), "out": tmp_path / "alone"}))
    done = launch(2, [*words_of("adapt", {**given, "out": tmp_path / "shared"}), "--json"])
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "alone", tmp_path / "shared", ("clinical",))
    found = json.loads(done.stdout)
    for split in ("train", "valid", "test"):
        one, other = (run["bits_per_byte"][split]["after"] for run in (expected, found))
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("changed", [{"task_adapter": "none", "clinical_mode": "frozen"}, {"batch_size": 1}])
def test_what_leaves_a_process_without_work_is_the_same_run(changed, task_options):
    alone, shared = (task_options(out, epochs=1, **changed) for out in ("alone", "shared"))
    train_alone(alone)
    done = launch(3, words_of("train", shared))
    assert done.returncode == 0, done.stderr
    assert_same_run(alone["out"], shared["out"], ("clinical",))


def test_a_finished_run_and_a_baseline_need_one_process_only(small_task, tmp_path):
    words = ["train", "--base", "tf-idf", "--task", str(small_task("binary")), "--out", str(tmp_path / "run")]
    done = launch(2, words)
    assert done.returncode == 0, done.stderr
    again = launch(2, [*words, "--json"])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["variant"] == "baseline"
    assert " ".join(again.stderr.split()).count("is finished already") == 1


def test_a_run_of_which_a_process_is_killed_goes_on_with_any_number(task_options):
    alone, killed = task_options("alone", epochs=6), task_options("killed", epochs=6, checkpoint_seconds=0)
    train_alone(alone)
    events = RunLayout(killed["out"]).events
    process = start(2, words_of("train", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if events.is_file() and events.read_text().count('"step"') > 12:
            break
        time.sleep(0.01)
    assert process.poll() is None
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(children) == 2
    os.kill(int(children[-1]), signal.SIGKILL)  # not the one that writes: it must not wait for ever
    assert process.wait(timeout=60) != 0
    assert not RunLayout(killed["out"]).result.exists()
    for count in (2, 1):  # the second finds it finished
        if count == 2:
            done = launch(2, words_of("train", killed))
            assert done.returncode == 0, done.stderr
            assert "Going on after step" in done.stderr
    assert_same_run(alone["out"], killed["out"], ("clinical", "task"))


def test_a_request_to_stop_is_heard_by_all(task_options):
    asked = task_options("asked", epochs=60, checkpoint_seconds=3600)
    process = start(2, words_of("train", asked), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    events = RunLayout(asked["out"]).events
    until = time.monotonic() + 60
    while time.monotonic() < until and not (events.is_file() and events.read_text().count('"step"') > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert told.count("Interrupted; the same command goes on from here.") == 1
    assert list(RunLayout(asked["out"]).checkpoints.glob("step-*"))


def test_a_training_that_diverges_says_so_once(task_options):
    done = launch(2, words_of("train", task_options("diverges", learning_rate=1e30, clip_norm=0)))
    assert done.returncode != 0
    assert done.stderr.count("The last good checkpoint") + done.stderr.count("No checkpoint was written yet") == 1


UNLIKE = """
import os, sys, time
from clinstack.cli import main
from clinstack.training import processes

first = os.environ["RANK"] == "0"
{unlike}
main()
"""


def test_other_commands_are_refused_where_several_processes_were_launched(clinical_run, tmp_path):
    late = tmp_path / "late.py"
    late.write_text(UNLIKE.format(unlike="time.sleep(3 if first else 0)"))
    done = launch(2, ["evaluate", str(clinical_run)], [late])
    assert done.returncode != 0
    sentence = "clinstack: 2 processes were launched, which adapt and train alone share. Start it by itself."
    assert done.stderr.count(sentence) == 1  # though the first is the last to know


def test_what_only_one_process_knows_is_said_by_it(task_options, tmp_path):
    alone = tmp_path / "alone.py"
    alone.write_text(
        UNLIKE.format(
            unlike="""
processes._FIRST_SPEAKS_WITHIN = 1.0
if not first:
    sys.argv[sys.argv.index("--task") + 1] = "nowhere"
"""
        )
    )
    done = launch(2, words_of("train", task_options("one")), [alone])
    assert done.returncode != 0
    assert done.stderr.count("clinstack: ") == 1
    assert "nowhere" in done.stderr
