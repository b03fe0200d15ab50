"""Questions of many callers, answered together: a bounded queue in front of an engine, and one thread that reads it.

While a batch is computed the next one gathers by itself, so under load batches are full and nobody waits for company; when all
is quiet a question waits at most `linger` for others. A question that nobody waits for any more is not computed. Where the
queue is full, or what stands in it would take too long, the caller is told at once and when to come again.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Protocol

from clinstack.serving.engine import Question, Scored

Found = list[Scored]
"""Of one question: what each of its tasks says."""

_FIRST_GUESS_SECONDS = 0.05
"""What a question may take, before any was measured."""
_MEMORY = 0.1
"""Weight of the newest batch in the running mean of a question's seconds."""


class Turned(Exception):
    """The queue is full or closing. retry_after: seconds after which it is worth while to ask again."""

    def __init__(self, retry_after: float):
        super().__init__("the queue is full")
        self.retry_after = retry_after


class TooLate(Exception):
    """The question's time was over before it was computed."""


class Answers(Protocol):
    """What a batcher stands in front of: `engine.Engine`."""

    def answer(self, questions: Sequence[Question]) -> list[Found]:
        """Of each question what each of its tasks says."""


@dataclass(frozen=True)
class _Waiting:
    question: Question
    deadline: float
    answer: "Future[Found]" = field(default_factory=Future)


class Batcher:
    """A queue in front of an engine.

    most_waiting: questions in the queue beyond which callers are turned away.
    most_together: questions in one batch.   most_characters: of text in one batch, times the tasks asked of it.
    linger: seconds that a lone question waits for company.
    """

    def __init__(
        self,
        engine: Answers,
        *,
        most_waiting: int = 512,
        most_together: int = 64,
        most_characters: int = 60_000,
        linger: float = 0.002,
    ):
        self._engine = engine
        self._most_waiting, self._most_together, self._most_characters = most_waiting, most_together, most_characters
        self._linger = linger
        self._queue: deque[_Waiting] = deque()
        self._changed = Condition()
        self._closing = False
        self._computing = 0
        self._seconds = _FIRST_GUESS_SECONDS
        self._observers: list[Callable[[int, float], None]] = []
        self._thread = Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        return len(self._queue)

    @property
    def seconds_behind(self) -> float:
        """How long a question that came now would wait, about."""
        return (len(self._queue) + self._computing) * self._seconds

    def observe(self, observer: Callable[[int, float], None]) -> None:
        """Has every batch told: its questions and its seconds."""
        self._observers.append(observer)

    def ask(self, questions: Sequence[Question], timeout: float) -> "list[Future[Found]]":
        """Puts all of these questions into the queue or none; each answer comes, or TooLate after `timeout` seconds.

        Raises Turned if they do not fit, or would not be reached in time, or the batcher closes.
        """
        with self._changed:
            late = self.seconds_behind > timeout
            if self._closing or late or len(self._queue) + len(questions) > self._most_waiting:
                raise Turned(max(1.0, self.seconds_behind))
            found = [_Waiting(question, time.monotonic() + timeout) for question in questions]
            self._queue.extend(found)
            self._changed.notify_all()
        return [one.answer for one in found]

    def close(self, timeout: float) -> bool:
        """Takes no more questions, answers those that wait, and ends; False if that took longer than `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            self._answer(batch)
            took = time.monotonic() - started
            with self._changed:
                self._computing = 0
                self._seconds += _MEMORY * (took / len(batch) - self._seconds)
            for observer in self._observers:
                observer(len(batch), took)

    def _next_batch(self) -> list[_Waiting]:
        """Questions to be computed together; none when it closes and the queue is empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return []
                if len(self._queue) == 1 and not self._closing:
                    self._changed.wait_for(lambda: len(self._queue) > 1 or self._closing, self._linger)
                batch = self._take()
                self._computing = len(batch)
            if batch:
                return batch

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        room, now = self._most_characters, time.monotonic()
        while self._queue and len(batch) < self._most_together:
            first = self._queue[0]
            cost = len(first.question.text) * len(first.question.tasks)
            if batch and cost > room:
                break
            self._queue.popleft()
            if first.deadline < now:
                _fail(first, TooLate())
            elif first.answer.set_running_or_notify_cancel():
                batch.append(first)
                room -= cost
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers = self._engine.answer([one.question for one in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for one in batch:  # one note must not spoil the others
                self._answer([one])
            return
        for one, answer in zip(batch, answers, strict=True):
            one.answer.set_result(answer)


def _fail(one: _Waiting, error: Exception) -> None:
    if one.answer.set_running_or_notify_cancel():
        one.answer.set_exception(error)
