"""The rules of asking: which tasks a caller may ask, how many notes, and what is recorded of it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from clinstack.serving.audit import AuditLog
from clinstack.serving.batching import TooLate, Turned
from clinstack.serving.keys import Key, Keys
from clinstack.serving.measures import Measures
from clinstack.serving.service import Service, Version
from clinstack.serving.watch import Watch


class Refused(Exception):
    """An answer that says no: its status, code and sentence, and when to ask again."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


def caller_of(request: Request) -> str | None:
    """Who asks, as the file of keys names it."""
    key: Key | None = request.state.key
    return key.name if key else None


@dataclass(frozen=True)
class Desk:
    """What answers, and under which rules.

    timeout: seconds after which a request that was not reached is answered with 503.   keys: None where everybody may ask.
    """

    service: Service
    measures: Measures
    timeout: float
    keys: Keys | None = None
    audit: AuditLog | None = None
    watch: Watch | None = None

    def choose(self, request: Request, tasks: Sequence[str] | None) -> tuple[Version, ...]:
        """The versions of these tasks that the caller may ask; all of them if None."""
        key: Key | None = request.state.key
        if key is None or key.tasks is None:
            return self.service.choose(tasks)
        if tasks is None:
            known = [task for task in self.service.versions if task in key.tasks]
            if not known:
                raise Refused(403, "not-permitted", "This key may ask for no task that this server answers for.")
            return self.service.choose(known)
        chosen = self.service.choose(tasks)
        if barred := [one.entry.task for one in chosen if one.entry.task not in key.tasks]:
            raise Refused(403, "not-permitted", f"This key may not ask for task {barred[0]!r}.")
        return chosen

    def spend(self, request: Request, notes: int) -> None:
        """Takes notes out of the caller's minute. Raises Refused if there are not so many left."""
        key: Key | None = request.state.key
        if key is not None and self.keys is not None and (wait := self.keys.spend(key, notes)):
            limit = f"{key.notes_per_minute} notes a minute"
            raise Refused(
                429, "too-many", f"This key may ask for {limit}. Ask again in {math.ceil(wait)} seconds.", wait
            )

    @contextmanager
    def spent(self, request: Request, notes: int) -> Iterator[None]:
        """`spend`, for as long as the block ends with an answer: what the server turned away costs nothing."""
        self.spend(request, notes)
        try:
            yield
        except (Turned, TooLate):
            if (key := request.state.key) is not None and self.keys is not None:
                self.keys.give_back(key, notes)
            raise

    @property
    def failures(self) -> list[str]:
        """What is not as it should be while the server goes on: versions, the library, the file of keys; the log says why."""
        return [*self.service.failures, *(["keys"] if self.keys and self.keys.problem else [])]

    def record(self, request: Request, what: str, **about: Any) -> None:
        """Writes to the audit log, if there is one."""
        if self.audit is not None:
            self.audit.write(request.state.request_id, caller_of(request), what, **about)

    def watching(self) -> Watch:
        """What counts. Raises Refused where nothing does."""
        if self.watch is None:
            raise Refused(
                404, "no-watch", "This server does not count what it is asked: it was started with --watch off."
            )
        return self.watch
