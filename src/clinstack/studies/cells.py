"""Trains the cells of a grid: each once, in any order that respects what lies below it, and none at the cost of the others.

A cell is a run folder, so one that was interrupted goes on, and a finished one is never done again. What fails leaves its
reason in its folder and is tried again by the next command. A cell whose process is killed, as by a system out of memory, has
failed: it might take the next process with it. Who meets it first says so, another worker or the command that sent them.
"""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.data.corpus import Corpus, open_corpus
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput, CannotWrite, ClinstackError, Interrupted
from clinstack.models.base_files import brief_name, find_base, hash_base
from clinstack.models.quantized import Quantize
from clinstack.models.sentence_encoder import PREFIX, encoder_of
from clinstack.runs.atomic import only_writer, read_json, write_json
from clinstack.runs.layout import RunLayout, StudyLayout
from clinstack.runs.lineage import short
from clinstack.studies.grid import Cell, Grid
from clinstack.studies.workers import Voice, work_together
from clinstack.training.classification import train
from clinstack.training.gradients import out_of_memory
from clinstack.training.language import adapt
from clinstack.training.machine import choose_device, cores, free_memory
from clinstack.training.running import Silent, Witness, asked_config
from clinstack.training.variants import hash_of_clinical

_PATIENCE = 0.2
"""Seconds between two looks whether what a cell waits for is finished."""


@dataclass(frozen=True)
class Worker:
    """A process that trains cells beside others of its command."""

    command: str
    number: int
    process: int


@dataclass(frozen=True)
class Work:
    """A grid in its folder. shares_states: whether cells keep states for each other, see `run_cell`."""

    grid: Grid
    layout: StudyLayout
    shares_states: bool = True

    def finished(self, key: str) -> bool:
        """Whether a cell's run is whole."""
        return RunLayout(self.layout.run(key)).result.is_file()

    def require_data(self) -> None:
        """Raises BadInput if what is to be trained has no notes, and CannotWrite if finished cells were trained on other notes
        than lie in their task or corpus now.

        A cell is known by its folder of notes and not by what is in it; each folder is read once. Notes of finished cells that
        are gone cannot be mixed with others, and do no harm.
        """
        now: dict[Path, str | None] = {}
        found: set[Path] = set()
        for cell in self.grid.cells:
            what, folder, opened = _notes_of(cell)
            if not self.finished(cell.key):
                if folder not in found:
                    opened(folder)
                found.add(folder)
                continue
            if folder not in now:
                now[folder] = _content_hash(folder, opened)
            _require_same(self.layout, cell.name, what, folder, self._lineage(cell)["data"]["hash"], now[folder])

    def require_same_adapters(self) -> None:
        """Raises CannotWrite if finished cells were trained on another clinical adapter than lies in its place now."""
        for cell in self.grid.cells:
            options = cell.options
            if isinstance(options, TrainOptions) and options.clinical is not None and self.finished(cell.key):
                there = hash_of_clinical(options.clinical)
                then = self._lineage(cell)["clinical"]
                _require_same(self.layout, cell.name, "clinical adapter", options.clinical, then, there)

    def _lineage(self, cell: Cell) -> dict[str, Any]:
        return dict(read_json(RunLayout(self.layout.run(cell.key)).lineage))

    def reason(self, key: str) -> str | None:
        """Why a cell failed, if it did."""
        file = RunLayout(self.layout.run(key)).failure
        return str(read_json(file)["reason"]) if file.is_file() else None

    def settled(self, cell: Cell) -> bool:
        """Whether a cell has come to its end, well or not."""
        return self.finished(cell.key) or self.reason(cell.key) is not None

    def left(self) -> list[Cell]:
        """The cells that have not come to their end; those fail here whose clinical adapter did."""
        for cell in self.grid.cells:
            if cell.after is not None and self.reason(cell.after) is not None and not self.settled(cell):
                self.fail(cell, "Its clinical adapter failed.")
        return [cell for cell in self.grid.cells if not self.settled(cell)]

    def blocked(self, cell: Cell) -> bool:
        """Whether a cell must wait for the one below it."""
        return cell.after is not None and not self.finished(cell.after)

    def fail(self, cell: Cell, reason: str) -> None:
        """Notes why a cell failed, and which one it is: a run that never began says nothing else."""
        task = cell.options.task.name if isinstance(cell.options, TrainOptions) else None
        about = {
            "variant": cell.variant,
            "base": brief_name(cell.options.base),
            "task": task,
            "seed": cell.options.seed,
        }
        write_json(RunLayout(self.layout.run(cell.key)).failure, {"reason": reason, "cell": about})

    def worker(self, key: str) -> Worker | None:
        """Who trains a cell, or was killed while it did."""
        file = self.layout.worker(key)
        return Worker(**read_json(file)) if file.is_file() else None

    @contextmanager
    def trained_by(self, key: str, worker: Worker) -> Iterator[None]:
        """Shows who trains a cell while it does."""
        write_json(self.layout.worker(key), asdict(worker))
        yield
        self.layout.worker(key).unlink()

    def fail_killed(self, cell: Cell) -> None:
        """Notes that whoever trained a cell was killed, unless its run is whole."""
        if not self.finished(cell.key):
            self.fail(
                cell,
                "Its process was killed, as where memory runs out. Use fewer --workers, or lower --batch-size or --max-tokens.",
            )

    def forget_failures(self) -> None:
        """Lets what failed be tried again."""
        for cell in self.grid.cells:
            self.forget_failure(cell.key)

    def forget_failure(self, key: str) -> None:
        """Takes away why a cell failed, and its folder if it holds nothing else."""
        RunLayout(self.layout.run(key)).failure.unlink(missing_ok=True)
        with suppress(OSError):
            self.layout.run(key).rmdir()


def require_same_bases(layout: StudyLayout) -> None:
    """Raises CannotWrite if finished cells of a folder were trained on another base than lies in its place now.

    A cell is known by where its base lies and not by what is in it; each base is read once, those that SetFit tunes among them,
    and a hub may have moved on. What is gone cannot be mixed with anything.
    """
    now: dict[tuple[str, Quantize | None], str | None] = {}
    for key, name in read_json(layout.cells).items() if layout.cells.is_file() else ():
        run = RunLayout(layout.run(key))
        if not run.result.is_file():
            continue
        base = read_json(run.lineage)["base"]
        place = base["path"], base.get("quantize")
        if place not in now:
            now[place] = _base_hash(*place)
        _require_same(layout, name, "base", base["path"], base["hash"], now[place])


def _require_same(layout: StudyLayout, name: str, what: str, place: str | Path, then: str, now: str | None) -> None:
    """Raises CannotWrite if what a finished cell was trained on is not what lies there now; None for what is gone."""
    if now not in (None, then):
        raise CannotWrite(
            f"{place} holds another {what} than finished cells of {layout.root} were trained on, such as {name}: "
            f"{short(then)} then, {short(str(now))} now. Choose another --out, or put the {what} back."
        )


def _base_hash(path: str, quantize: Quantize | None) -> str | None:
    """The hash of the base of that name, as lineage has it; None if it is not to be had."""
    encoder = encoder_of(path)
    with suppress(BadInput):
        return f"{PREFIX if encoder else ''}{hash_base(find_base(encoder or path), quantize)}"
    return None


def _notes_of(cell: Cell) -> tuple[str, Path, Callable[[Path], Task | Corpus]]:
    """What a cell is trained on, where it lies, and how it is opened."""
    options = cell.options
    if isinstance(options, AdaptOptions):
        return "corpus", options.corpus, open_corpus
    return "task", options.task, open_task


def _content_hash(folder: Path, opened: Callable[[Path], Task | Corpus]) -> str | None:
    """The hash of the notes in a folder; None if they are not there."""
    try:
        return opened(folder).content_hash()
    except (BadInput, FileNotFoundError):
        return None


def work_local(work: Work, workers: int, witness: Witness, *, apart: bool = False) -> None:
    """Trains all cells in processes of this machine, or in this one if one is enough. Raises Interrupted.

    apart: one is not enough, since the system may end it: where memory is scarce, a cell must not take the study with it.
    """
    if workers == 1 and not apart:
        work_through(work, witness)
        return

    command = uuid.uuid4().hex

    def lost(number: int, code: int) -> bool:
        witness.says(f"Worker {number} ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")
        for cell in work.grid.cells:
            was = work.worker(cell.key)
            if was is not None and (was.command, was.number) == (command, number):
                work.fail_killed(cell)
                work.layout.worker(cell.key).unlink()
                return True
        return False  # it never came to a cell, and neither would the next

    work_together(_work, (work, command), workers, lost)


def _work(work: Work, command: str, number: int) -> None:
    """A worker's part of a study."""
    work_through(work, Voice(number), Worker(command, number, os.getpid()))


def work_through(work: Work, witness: Witness, worker: Worker | None = None) -> None:
    """Trains cells that nobody else trains, until none is left. worker: who does, where several do."""
    while left := work.left():
        if not any(claim_cell(work, cell, witness, worker) for cell in left if not work.blocked(cell)):
            time.sleep(_PATIENCE)  # what is left waits for, or is held by, another worker


def claim_cell(work: Work, cell: Cell, witness: Witness, worker: Worker | None = None) -> bool:
    """Trains a cell unless another process does; whether it is settled now. worker: who does, where several of a command do."""
    with ExitStack() as held:
        try:
            held.enter_context(only_writer(work.layout.claim(cell.key)))
        except CannotWrite:  # another worker has it
            return False
        if worker is not None:
            was = work.worker(cell.key)
            if was is not None and was.command == worker.command:  # and yet the cell was free
                work.fail_killed(cell)
        if not work.settled(cell):
            if worker is not None:
                held.enter_context(work.trained_by(cell.key, worker))
            run_cell(work, cell, witness)
        return True


def run_cell(work: Work, cell: Cell, witness: Witness) -> None:
    """Trains one cell; whatever stops it but a request to stop is noted as its failure."""
    done = sum(work.finished(one.key) for one in work.grid.cells)
    witness.says(f"{done + 1} of {len(work.grid.cells)}: {cell.name}")
    try:
        if isinstance(cell.options, AdaptOptions):
            adapt(cell.options, _Quiet(witness))
        else:
            kept = cell.options.feature_store or (work.layout.features if work.shares_states else None)
            train(cell.options.model_copy(update={"feature_store": kept}), _Quiet(witness))
    except Interrupted:
        raise
    except ClinstackError as error:
        work.fail(cell, str(error))
    except Exception as error:  # its text may hold a note's
        memory = "Memory ran out. Lower --batch-size or --max-tokens."
        where = f"{type(error).__name__}; train it alone with --debug to see where."
        work.fail(cell, memory if out_of_memory(error) else where)
    reason = work.reason(cell.key)
    if reason is not None:
        witness.says(f"  failed: {reason}")


class _Quiet(Silent):
    """Passes on steps and what is unusual: forty cells would each say the same."""

    def __init__(self, witness: Witness):
        self._witness = witness

    def says(self, what: str) -> None:
        """What is unusual alone."""
        if what.startswith(("Memory", "Going on")):
            self._witness.says(f"  {what}")

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """Passes it on."""
        self._witness.steps(done, of, tokens_per_second, loss)


def fitting_workers(cells: Sequence[Cell], peak_bytes: Callable[[Cell], float]) -> int:
    """As many workers as there are cores, and as fit the memory that is free; one where an accelerator trains, whose memory is
    not shared out. peak_bytes: of a cell, as planned.
    """
    for device in {cell.options.device for cell in cells}:
        with suppress(BadInput):  # it will say so as a cell
            if choose_device(device) != "cpu":
                return 1
    largest = 1.0
    for cell in {_shape(cell): cell for cell in cells}.values():
        with suppress(Exception):  # it will say so as a cell
            largest = max(largest, peak_bytes(cell))
    return max(1, min(cores(), len(cells), int(0.8 * free_memory() / largest)))


def _shape(cell: Cell) -> str:
    """What decides how much memory a cell takes; tasks are taken to be alike."""
    others = ("task", "corpus", "seed", "epochs", "patience", "learning_rate")
    return json.dumps(
        {key: value for key, value in asked_config(cell.options).items() if key not in others}, sort_keys=True
    )
