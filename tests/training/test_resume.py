"""Killed at any moment and started again: the same weights, bit for bit. Real processes, real SIGKILL.

The processes that are killed are forked from a server that has torch imported already; importing it a dozen times would take
longer than all that is tested here. The processes that are asked to stop are started as people start them.
"""

import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import tomli_w

from clinstack import cli
from clinstack.config import AdaptOptions
from clinstack.errors import CannotWrite
from clinstack.models.methods.lora import LoRA
from clinstack.runs.lineage import hash_files, short
from clinstack.training.language import adapt

PRELOADED = multiprocessing.get_context("forkserver")
PRELOADED.set_forkserver_preload(
    [
        "clinstack.training.language",
        "clinstack.training.classification",
        "transformers.models.llama.modeling_llama",
        "peft",
    ]
)


def start(words: list[str]) -> BaseProcess:
    """A command as a process of its own."""
    process = PRELOADED.Process(target=cli.main, args=(words,))
    process.start()
    return process


def finish(words: list[str]) -> None:
    process = start(words)
    process.join(240)
    assert process.exitcode == 0


def outcome(folder: Path) -> tuple[dict[str, str], list[dict], dict]:
    """Everything a run leaves that does not tell the time."""
    files = {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*.safetensors"))
        if "checkpoints" not in f.parts
    }
    timeless = ("seconds", "tokens_per_second")
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    result.pop("cost")
    return files, [{k: v for k, v in e.items() if k not in timeless} for e in events], result


def kill_at_random(words: list[str], folder: Path, times: int, chance: random.Random) -> int:
    """Starts the command and kills it at a random moment after it has gone on; returns how often that worked."""
    killed = 0
    for _ in range(times):
        seen, process = _lines(folder), start(words)
        while process.is_alive() and _lines(folder) <= seen:
            time.sleep(0.002)
        process.join(chance.uniform(0, 0.3))
        killed += process.is_alive()
        process.kill()
        process.join()
    return killed


def _lines(folder: Path) -> int:
    file = folder / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


@pytest.mark.parametrize("step", ["adapt", "train"])
def test_a_killed_run_ends_as_an_uninterrupted_one(step, small_base, small_corpus, small_task, clinical_run, tmp_path):
    shared = [
        "--base",
        str(small_base),
        "--checkpoint-seconds",
        "0",
        "--device",
        "cpu",
        "--dropout",
        "0.2",
        "--accumulation",
        "2",
        "--batch-size",
        "2",
        "--learning-rate",
        "0.003",
    ]
    if step == "adapt":
        words = ["adapt", "--corpus", str(small_corpus), "--max-tokens", "32", "--epochs", "3", *shared]
    else:
        words = [
            "train",
            "--task",
            str(small_task("binary")),
            "--clinical",
            str(clinical_run),
            "--clinical-mode",
            "trainable",
            "--max-tokens",
            "48",
            "--epochs",
            "4",
            "--resamples",
            "100",
            *shared,
        ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish([*words, "--out", str(whole)])
    assert kill_at_random([*words, "--out", str(killed)], killed, 5, random.Random(7)) >= 2
    finish([*words, "--out", str(killed)])
    for found, expected in zip(outcome(killed), outcome(whole), strict=True):
        assert found == expected
    assert not list(killed.rglob("*.partial-*"))


def stop(small_base: Path, small_corpus: Path, out: Path, moment: Callable[[], bool]) -> str:
    """Starts a long step 1, sends SIGTERM at a moment, and returns the last thing that was said."""
    words = ["adapt", "--base", str(small_base), "--corpus", str(small_corpus), "--out", str(out), "--max-tokens", "32"]
    words += ["--epochs", "30", "--batch-size", "1", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not moment():
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert not list(out.rglob(".*partial*"))
    return told.splitlines()[-1]


def test_asked_to_stop_while_it_trains_a_run_keeps_its_place(small_base, small_corpus, tmp_path):
    told = stop(small_base, small_corpus, tmp_path / "run", lambda: _lines(tmp_path / "run") >= 3)
    assert told == "clinstack: Interrupted; the same command goes on from here."
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*"))) == 1


def test_asked_to_stop_before_it_trains_a_run_leaves_nothing_half_written(small_base, small_corpus, tmp_path):
    told = stop(small_base, small_corpus, tmp_path / "run", (tmp_path / "run" / ".lock").exists)
    assert told.lower().startswith("clinstack: interrupted")  # a quick machine may have begun to train
    assert not (tmp_path / "run" / "result.json").exists()


def test_the_same_command_on_a_finished_run_changes_nothing_and_another_is_refused(
    clinical_run, small_base, small_corpus
):
    before = {file: file.read_bytes() for file in clinical_run.rglob("*") if file.is_file()}
    options = AdaptOptions(
        base=str(small_base),
        corpus=small_corpus,
        out=clinical_run,
        learning_rate=5e-3,
        max_tokens=64,
        device="cpu",
        precision="float32",
        method_options={"rank": 4, "targets": "all"},
    )
    assert adapt(options) == json.loads((clinical_run / "result.json").read_text())
    with pytest.raises(CannotWrite) as caught:
        adapt(options.model_copy(update={"learning_rate": 1e-4}))
    first, second = re.findall(r"[0-9a-f]{12}", str(caught.value).partition("configuration")[2])
    assert first != second
    assert str(caught.value) == (
        f"{clinical_run} holds another run: its learning_rate is 0.005, and 0.0001 is asked for "
        f"(configuration {first} and {second}). Choose another --out, or remove that folder."
    )
    assert {file: file.read_bytes() for file in clinical_run.rglob("*") if file.is_file()} == before


def test_a_run_does_not_go_on_with_another_corpus(small_base, small_corpus, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus, ignore=shutil.ignore_patterns("tokens"))
    options = AdaptOptions(
        base=str(small_base), corpus=corpus, out=tmp_path / "run", max_tokens=64, device="cpu", precision="float32"
    )
    adapt(options)
    (tmp_path / "run" / "result.json").unlink()
    begun = json.loads((tmp_path / "run" / "lineage.json").read_text())["data"]["hash"]
    shutil.copy(corpus / "valid.parquet", corpus / "test.parquet")
    now = hash_files(corpus / f"{split}.parquet" for split in ("train", "valid", "test"))
    with pytest.raises(CannotWrite) as caught:
        adapt(options)
    assert str(caught.value) == (
        f"{tmp_path / 'run'} was begun with another data than is there now: {short(begun)} then, {short(now)} now. "
        "Restore it, or choose another --out."
    )


@pytest.fixture
def moment(small_base, small_corpus, tmp_path) -> Callable[..., AdaptOptions]:
    """Options of a step 1 of a moment. asked: options of its method."""

    def make(method: str = "lora", **asked) -> AdaptOptions:
        given = {"base": str(small_base), "corpus": small_corpus, "out": tmp_path / "run", "max_tokens": 64}
        quick = {"train_tokens": 200, "validation_tokens": 64, "device": "cpu", "precision": "float32"}
        return AdaptOptions(**given, **quick, method=method, method_options=asked)

    return make


def test_a_default_that_is_asked_for_is_the_same_run(moment):
    first = adapt(moment())
    assert tomllib.loads((moment().out / "config.toml").read_text()).items() >= {
        "rank": 8, "alpha": 16.0, "dropout": 0.0, "targets": "qv"
    }.items()  # fmt: skip
    assert adapt(moment(rank=8, alpha=16.0)) == first
    with pytest.raises(CannotWrite) as caught:
        adapt(moment(rank=4))
    assert str(caught.value).startswith(f"{moment().out} holds another run: its rank is 8, and 4 is asked for (")
    with pytest.raises(CannotWrite) as caught:
        adapt(moment("prompt"))
    assert str(caught.value).startswith(
        f"{moment().out} holds another run: its method is 'lora', and 'prompt' is asked for ("
    )


def test_a_run_that_says_only_what_was_asked_for_goes_on_with_the_defaults(moment):
    """Runs of before kept nothing of what was not asked for."""
    first = adapt(moment())
    config = moment().out / "config.toml"
    before = {key: value for key, value in tomllib.loads(config.read_text()).items() if key not in LoRA.model_fields}
    config.write_text(tomli_w.dumps(before))
    assert adapt(moment()) == first
    assert adapt(moment(rank=8)) == first
    with pytest.raises(CannotWrite, match="its rank is 8, and 4 is asked for"):
        adapt(moment(rank=4))


def test_a_run_of_other_defaults_than_todays_is_noticed(moment):
    adapt(moment())
    config = moment().out / "config.toml"
    config.write_text(config.read_text().replace("alpha = 16.0", "alpha = 32.0"))
    with pytest.raises(CannotWrite, match=r"its alpha is 32\.0, and 16\.0 is asked for"):
        adapt(moment())
