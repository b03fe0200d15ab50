"""The workshop of the conformance suite: one base of each family, one run of each kind per method and family, and the matrix."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import made_up_note
from model_families import FAMILIES, make_family

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.data.corpus import CorpusWriter
from clinstack.data.task import TaskWriter
from clinstack.errors import Interrupted
from clinstack.training.classification import train
from clinstack.training.language import adapt
from clinstack.training.running import Silent

SMALL = {
    "lora": {"rank": 2, "dropout": 0.1},
    "rslora": {"rank": 2, "dropout": 0.1},
    "dora": {"rank": 2},
    "prompt": {"virtual_tokens": 3},
    "p-tuning": {"virtual_tokens": 3, "encoder_hidden": 8, "encoder": "lstm", "dropout": 0.1},
    "prefix": {"virtual_tokens": 3, "projection": True},
    "adaption-prompt": {"virtual_tokens": 3, "top_layers": 1},
}
"""Options that keep an adapter small and take the less common way through it."""

CELLS = pytest.StashKey[dict[tuple[str, str, str], str]]()


class Stop(Silent):
    """Asks the run to stop after a step, as SIGTERM does."""

    def __init__(self, after: int):
        self.after = after

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        if done == self.after:
            os.kill(os.getpid(), signal.SIGTERM)


class Workshop:
    """Bases, data and runs, each made when it is first asked for."""

    def __init__(self, root: Path):
        self.root = root
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def base(self, family: str) -> Path:
        return self.once(("base", family), lambda: make_family(self.root / "bases" / family, family))

    def corpus(self) -> Path:
        return self.once("corpus", lambda: make_corpus(self.root / "corpus"))

    def task(self) -> Path:
        return self.once("task", lambda: make_task(self.root / "task"))

    def adapt(self, method: str, family: str, name: str = "step-1", stop_after: int | None = None) -> Path:
        """A step-1 run; with `stop_after` it is stopped once and gone on with."""

        def run() -> Path:
            out = self.root / name / family / method
            options = AdaptOptions(
                base=str(self.base(family)),
                corpus=self.corpus(),
                out=out,
                method=method,
                method_options=SMALL.get(method, {}),
                learning_rate=1e-2,
                max_tokens=48,
                batch_size=4,
                epochs=3,
                validations_per_epoch=1,
                device="cpu",
                precision="float32",
            )
            if stop_after is not None:
                with pytest.raises(Interrupted):
                    adapt(options, Stop(stop_after))
            adapt(options)
            return out

        return self.once((name, method, family), run)

    def train(self, method: str, family: str, clinical: Path | None = None, clinical_mode: str = "frozen") -> Path:
        """A step-2 run: with a task adapter of this method, with a task LoRA on a frozen clinical adapter, or with a clinical
        adapter alone that goes on learning.
        """
        what = "step-2" if clinical is None else clinical_mode
        task_adapter = {"step-2": method, "frozen": "lora", "trainable": "none"}[what]

        def run() -> Path:
            out = self.root / what / family / method
            train(
                TrainOptions(
                    base=str(self.base(family)),
                    task=self.task(),
                    out=out,
                    clinical=clinical,
                    clinical_mode=clinical_mode,
                    task_adapter=task_adapter,
                    method_options=SMALL.get(task_adapter, {}),
                    learning_rate=1e-2,
                    max_tokens=32,
                    epochs=1,
                    resamples=100,
                    device="cpu",
                    precision="float32",
                )
            )
            return out

        return self.once((what, method, family), run)


def make_corpus(folder: Path) -> Path:
    """Forty short notes."""
    chance = random.Random(1)
    with CorpusWriter(folder, name="made-up", source="tests") as out:
        for split, notes in {"train": 28, "valid": 6, "test": 6}.items():
            ids = [f"{split}-{i}" for i in range(notes)]
            out.write(split, ids, ids, [made_up_note(chance, "heart") for _ in ids])
    return folder


def make_task(folder: Path) -> Path:
    """Forty short notes of two classes."""
    chance, classes = random.Random(2), ["alive", "dead"]
    with TaskWriter(folder, name="made-up", kind="binary", classes=classes, source="tests") as out:
        for split, notes in {"train": 20, "valid": 10, "test": 10}.items():
            labels = [[classes[i % 2]] for i in range(notes)]
            ids = [f"{split}-{i}" for i in range(notes)]
            out.write(split, ids, ids, [made_up_note(chance, *one) for one in labels], labels)
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("conformance"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the matrix: a row per method and family, a column per promise."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    columns: list[str] = []
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(getattr(report, "user_properties", ()))
            if "cell" not in told:
                continue
            method, family, column = told["cell"]
            columns += [column] if column not in columns else []
            cells.setdefault((method, family), {})[column] = (
                told.get("answer", "ok") if outcome == "passed" else "FAILS"
            )
    if not cells:
        return
    order = [*FAMILIES]
    terminalreporter.section("conformance")
    columns = [c for c in COLUMNS if c in columns]
    terminalreporter.write_line(f"{'method':16} {'family':10} " + " ".join(f"{c:>12}" for c in columns))
    for (method, family), row in sorted(cells.items(), key=lambda one: (one[0][0], order.index(one[0][1]))):
        terminalreporter.write_line(f"{method:16} {family:10} " + " ".join(f"{row.get(c, '-'):>12}" for c in columns))


COLUMNS = (
    "step 1",
    "resume",
    "classify",
    "reload",
    "padding",
    "packing",
    "stacking",
    "serving",
    "goes on",
    "merging",
    "checkpoints",
    "bfloat16",
    "peft",
)
"""The promises of the matrix, in the order of its columns."""
