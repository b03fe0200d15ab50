"""One thread for work that may hang, such as a database's: one thing after another, and nobody waits for it without end.

A thread that waits for a database cannot be interrupted. Were there one for each caller, a database that hangs would soon hold
every thread of a server. So there is one, which a process that ends does not wait for; callers wait some seconds and are told,
and what nobody waits for any more is not begun.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_WAITING = 100


class Hung(Exception):
    """The work was not done in time; what was begun goes on."""


class Turns:
    """A thread that does what it is given in the order of asking. seconds: for which a caller waits at most."""

    def __init__(self, name: str, seconds: float):
        self._seconds = seconds
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> T:
        """What the work gives. Raises Hung if that takes too long, and what the work raises."""
        done = self._ask(work)
        try:
            return done.result(self._seconds)
        except TimeoutError as error:
            done.cancel()
            raise Hung from error

    async def do_soon(self, work: Callable[[], T]) -> T:
        """`do` for an event loop."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._ask(work)), self._seconds)
        except TimeoutError as error:
            raise Hung from error

    def close(self, timeout: float) -> bool:
        """Ends after what was asked; False if that took longer than `timeout` seconds."""
        self._asked.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _ask(self, work: Callable[[], T]) -> "Future[T]":
        if self._asked.qsize() > _MOST_WAITING:
            raise Hung
        done: Future[T] = Future()
        self._asked.put((work, done))
        return done

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            work, done = asked
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(work())
                except Exception as error:
                    done.set_exception(error)
