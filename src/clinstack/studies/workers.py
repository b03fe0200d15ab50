"""Processes that work through the same list together, each taking what no other has, until nothing is left.

Who has what is said by locks on the disk, so a worker that is killed lets go of what it had, and workers of another command (or
of another machine that shares the folder) join in by themselves.
"""

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from tempfile import NamedTemporaryFile
from threading import Thread
from typing import Any, TypeVar

from clinstack.errors import BadInput, ClinstackError, Interrupted
from clinstack.training.machine import cores
from clinstack.training.running import Silent, Witness

Found = TypeVar("Found")
Lost = Callable[[int, int], bool]
"""Number of a worker that ended by itself, and how: a signal as a negative number. Answers whether another shall take over."""


@dataclass(frozen=True)
class Voice(Silent):
    """A worker's voice: whole lines on stderr, no bar."""

    number: int

    def says(self, what: str) -> None:
        """A line that says who speaks."""
        os.write(2, f"[worker {self.number}] {what}\n".encode())


def work_together(target: Callable[..., None], arguments: tuple[Any, ...], count: int, lost: Lost) -> None:
    """Runs `target(*arguments, number)` in `count` processes until all have ended well, or none is to take over.

    Raises Interrupted if the workers, or the one who waits for them, were asked to stop.
    """
    spawn = get_context("spawn")
    with _threads(max(1, cores() // count)):
        running = {
            number: spawn.Process(target=_worker, args=(target, arguments, number)) for number in range(1, count + 1)
        }
        try:
            for worker in running.values():
                worker.start()
            while running:
                wait([worker.sentinel for worker in running.values()])
                for number, worker in list(running.items()):
                    if worker.exitcode is None:
                        continue
                    if worker.exitcode == Interrupted.exit_code:
                        raise KeyboardInterrupt
                    del running[number]
                    if worker.exitcode != 0 and lost(number, worker.exitcode):
                        running[number] = spawn.Process(target=_worker, args=(target, arguments, number))
                        running[number].start()
        except KeyboardInterrupt:
            for worker in running.values():
                if worker.is_alive():
                    worker.terminate()
            for worker in running.values():
                worker.join()
            raise Interrupted("Interrupted; the same command goes on from here.") from None


def run_apart(target: Callable[..., Found], *arguments: Any) -> Found:
    """What `target(*arguments)` gives or raises, called in a process of its own: what it takes of memory is its own, and goes.

    target: importable by name; arguments and answer can be pickled.
    Raises ClinstackError if the process is ended from outside, Interrupted as `work_together` does.
    """

    def lost(number: int, code: int) -> bool:
        return False

    with NamedTemporaryFile(prefix="clinstack-") as answer:  # a pipe would hold the process up once it is full
        work_together(_answer, (answer.name, target, arguments), 1, lost)
        written = answer.read()
    if not written:
        raise ClinstackError("A process that trained ended early, as where memory runs out. The same command goes on.")
    worked, found = pickle.loads(written)  # noqa: S301 (our own process wrote it, to a file that is ours alone)
    if not worked:
        raise found
    return found  # type: ignore[no-any-return]


def _answer(file: str, target: Callable[..., Any], arguments: tuple[Any, ...], number: int) -> None:
    try:
        answer = (True, target(*arguments))
    except Interrupted:
        raise
    except ClinstackError as error:
        answer = (False, error)
    with open(file, "wb") as out:
        pickle.dump(answer, out)


def _worker(target: Callable[..., None], arguments: tuple[Any, ...], number: int) -> None:
    """A worker's life. Ctrl-C in a terminal reaches the whole group; the one who waits for the workers passes it on, once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_stop_when_alone, daemon=True).start()
    try:
        target(*arguments, number)
    except (Interrupted, KeyboardInterrupt):
        os._exit(Interrupted.exit_code)
    except Exception as error:  # its text may hold a note's
        Voice(number).says(str(error) if isinstance(error, BadInput) else type(error).__name__)
        os._exit(1)


def _stop_when_alone() -> None:
    """Asks this process to stop once the one that started it is gone: killed, it could not, and its grid might take days."""
    starter = parent_process()
    if starter is not None:
        wait([starter.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Gives new processes so many threads, or as few as this one was given: busy threads of several on one core wait for each
    other.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    given = int(before) if before and before.isdigit() and int(before) else number
    os.environ["OMP_NUM_THREADS"] = str(min(number, given))
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def count_lost(witness: Witness) -> Lost:
    """Says of a worker that ended early that what it left is done elsewhere; nobody takes over."""

    def lost(number: int, code: int) -> bool:
        witness.says(f"Worker {number} ended early; what it left is done here")
        return False

    return lost
