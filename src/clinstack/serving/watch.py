"""Is the server still asked what it was made for, and do its probabilities come true? Counts by day, in any SQL database.

Of notes only counts are kept: how many scores of each class, and how many notes of each length and the like, fell into which
tenth of the validation notes (`metrics.drift`). For outcomes that are posted back later the probabilities of each note are kept
for some days under a keyed hash of its id; of its text nothing is. Only the thread of `turns` speaks to the database: it may
hang.
"""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import sqlalchemy as sql
from numpy.typing import NDArray

from clinstack.data.text_profile import FEATURES, text_features
from clinstack.errors import BadInput
from clinstack.metrics.drift import BINS, Profile, profile
from clinstack.runs.atomic import disk_errors
from clinstack.serving.count_store import COUNTS, OUTCOMES, PREDICTED, CountStore, put
from clinstack.serving.keyed_hash import hash_text, make_secret, read_secret
from clinstack.serving.log import LOG
from clinstack.serving.service import Answer, Version
from clinstack.serving.turns import Hung, Turns
from clinstack.serving.version_drift import Counted, Drift, Outcome, version_drift

_MOST_UNWRITTEN = 100_000
"""Answers that wait for a database that does not answer; later ones are counted, and cannot have outcomes."""
_PATIENCE_SECONDS = 10.0
"""For which a caller waits for the database."""
_WRITINGS_A_LOOK = 12
"""So many writings after each other, `latest` is made anew: it costs what a question for drift costs, for every version."""


@dataclass(frozen=True)
class Posted:
    """What came true of a note. version: of the task that was asked, as it answers now."""

    note_id: str
    version: Version
    labels: Sequence[str]


class Watch:
    """Counts what a server is asked and answers, and sets it beside validation.

    url: of any database that SQLAlchemy reaches, such as sqlite:///watch.sqlite.   secret: file of the key for note ids; made
    if there is none.   keep_days: for how long probabilities wait for outcomes.   every: seconds between two writings.
    promoted: the versions that answer now, whose drift is looked at every minute and kept in `latest`, by version.
    failed_writings: tries in a row that did not write what was counted.   caller: whose ids they are; each has its own.
    Raises BadInput if the database cannot be opened. What asks it raises `turns.Hung` if it does not answer in time.
    """

    latest: Mapping[str, Drift] = MappingProxyType({})
    failed_writings = 0

    def __init__(
        self,
        url: str,
        secret: Path,
        *,
        keep_days: int = 90,
        every: float = 5.0,
        promoted: Callable[[], Iterable[Version]] = tuple,
    ):
        with disk_errors(secret):
            if not secret.exists():
                make_secret(secret)
        self._key, self._keep = read_secret(secret), keep_days
        self._store = CountStore(url)
        self._turns = Turns("watch database", _PATIENCE_SECONDS)
        self._figuring = asyncio.Semaphore(1)
        self._profiles: dict[str, tuple[Profile, Profile | None]] = {}
        self._counter = uuid.uuid4().hex
        self._counts: dict[tuple[str, str, str], NDArray[np.int64]] = {}  # of this process, by day, version and what
        self._changed: set[tuple[str, str, str]] = set()
        self._predicted: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._every, self._promoted = every, promoted
        try:
            self._turns.do(self._forget)
        except (sql.exc.SQLAlchemyError, Hung) as error:
            self._turns.close(0)
            raise self._store.unusable(error) from error
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def observe(self, texts: Sequence[str], answers: Iterable[Answer], caller: str | None = None) -> None:
        """Counts answers; texts: of their notes, in order of the answers."""
        with self._lock:
            day = _today()  # not before: a day that has been written is taken out under the lock
            for text, answer in zip(texts, answers, strict=True):
                name = answer.version.entry.name
                scores, inputs = self._of(answer.version)
                likely = answer.version.interpreter.probabilities(answer.logits[None])[0]
                self._add((day, name, "scores"), scores.place(likely))
                if inputs is not None:
                    self._add((day, name, "inputs"), inputs.place(text_features(text)))
                if len(self._predicted) < _MOST_UNWRITTEN:
                    raw = np.asarray(answer.logits, dtype="<f4").tobytes()
                    self._predicted[self._hashed(answer.note_id, caller), name] = (day, raw)

    def outcomes(self, posted: Sequence[Posted], caller: str | None = None) -> int:
        """Keeps what came true of notes, for every version of the task that was asked: all of it or nothing.

        Returns how many of the notes had been asked.
        Raises BadInput for a class that the task does not have, or as many as its kind does not allow.
        """
        _check(posted)
        return self._turns.do(lambda: self._keep_outcomes(posted, caller))

    async def outcomes_soon(self, posted: Sequence[Posted], caller: str | None = None) -> int:
        """`outcomes` for an event loop."""
        _check(posted)
        return await self._turns.do_soon(lambda: self._keep_outcomes(posted, caller))

    def drift(self, version: Version, days: int = 30) -> Drift:
        """How a version's last days lie beside its validation notes."""
        return version_drift(version.interpreter, *self._of(version), self._turns.do(lambda: self._find(version, days)))

    async def drift_soon(self, version: Version, days: int) -> Drift:
        """`drift` for an event loop; figures are made of one version at a time."""
        found = await self._turns.do_soon(lambda: self._find(version, days))
        async with self._figuring:
            return await asyncio.to_thread(version_drift, version.interpreter, *self._of(version), found)

    def flush(self) -> None:
        """Writes what was counted."""
        self._turns.do(self._write)

    def _write(self) -> None:
        with self._lock:
            counts = {key: self._counts[key].astype("<i8").tobytes() for key in self._changed}
            predicted, self._predicted, self._changed = self._predicted, {}, set()
        if not counts:
            return
        try:
            with self._store.begin() as connection:
                for (day, version, what), notes in counts.items():
                    keys = {"day": day, "version": version, "what": what, "counter": self._counter}
                    put(connection, COUNTS, keys, {"notes": notes})
                for (note, version), (day, logits) in predicted.items():
                    put(connection, PREDICTED, {"note": note, "version": version}, {"day": day, "logits": logits})
        except Exception:
            with self._lock:  # the database may come back
                self._changed |= counts.keys()
                self._predicted = {**predicted, **self._predicted}
            raise
        with self._lock:
            for key in [key for key in self._counts if key[0] != _today() and key not in self._changed]:
                del self._counts[key]

    def close(self, seconds: float = 60.0) -> bool:
        """Writes what was counted, and ends; False if that took longer than so many seconds, and what is unwritten is lost."""
        until = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(seconds)
        done = self._turns.close(max(0.0, until - time.monotonic()))
        if done:
            self._store.close()
        return done and not self.failed_writings

    def _run(self) -> None:
        writings = 0
        while True:
            closing = self._closing.wait(self._every)
            try:
                self._turns.do(self._write)
                self._turns.do(self._forget)
            except Exception as error:  # what was counted is kept and tried again; without this thread nothing would be
                self.failed_writings += 1
                LOG.error("counts could not be written: %s", type(error).__name__)
            else:
                self.failed_writings = 0
                if not closing and writings % _WRITINGS_A_LOOK == 0:
                    self._look()
                writings += 1
            if closing:
                return

    def _look(self) -> None:
        try:
            self.latest = {one.entry.name: self.drift(one) for one in self._promoted()}
        except Exception as error:
            LOG.error("drift could not be looked at: %s", type(error).__name__)

    def _forget(self) -> None:
        with self._store.begin() as connection:
            for table in (PREDICTED, OUTCOMES):
                connection.execute(sql.delete(table).where(table.c.day < _day(self._keep)))

    def _keep_outcomes(self, posted: Sequence[Posted], caller: str | None) -> int:
        self._write()
        known = 0
        with self._store.begin() as connection:
            for one in posted:
                note = self._hashed(one.note_id, caller)
                asked = connection.scalars(sql.select(PREDICTED.c.version).where(PREDICTED.c.note == note))
                versions = [name for name in asked if name.rpartition("@")[0] == one.version.entry.task]
                for name in versions:
                    told = {"day": _today(), "labels": json.dumps(sorted(set(one.labels)))}
                    put(connection, OUTCOMES, {"note": note, "version": name}, told)
                known += bool(versions)
        return known

    def _find(self, version: Version, days: int) -> Counted:
        self._write()
        name, since = version.entry.name, _day(days - 1)
        profiles = zip(("scores", "inputs"), self._of(version), strict=True)
        notes = {what: np.zeros_like(one.notes) for what, one in profiles if one}
        with self._store.begin() as connection:
            wanted = sql.select(COUNTS).where(COUNTS.c.version == name, COUNTS.c.day >= since)
            for row in connection.execute(wanted):
                if row.what in notes:
                    notes[row.what] += np.frombuffer(row.notes, dtype="<i8").reshape(-1, BINS)
            return Counted(notes, self._outcomes(connection, version, since))

    def _hashed(self, note_id: str, caller: str | None) -> str:
        """Another caller's note of the same id is another note."""
        return hash_text(self._key, note_id if caller is None else f"{caller}\0{note_id}")

    def _of(self, version: Version) -> tuple[Profile, Profile | None]:
        """Profiles of a version's validation scores and of its validation notes."""
        name = version.entry.name
        if name not in self._profiles:
            told = version.result.get("inputs")
            inputs = Profile.of_json(told) if told and len(told["edges"]) == len(FEATURES) else None
            self._profiles[name] = profile(version.interpreter.validation), inputs
        return self._profiles[name]

    def _add(self, key: tuple[str, str, str], bins: NDArray[np.int64]) -> None:
        notes = self._counts.setdefault(key, np.zeros((len(bins), BINS), dtype=np.int64))
        notes[np.arange(len(bins)), bins] += 1
        self._changed.add(key)

    def _outcomes(self, connection: sql.Connection, version: Version, since: str) -> list[Outcome]:
        both = sql.and_(OUTCOMES.c.note == PREDICTED.c.note, OUTCOMES.c.version == PREDICTED.c.version)
        wanted = (
            sql.select(PREDICTED.c.note, PREDICTED.c.logits, OUTCOMES.c.labels)
            .join(OUTCOMES, both)
            .where(PREDICTED.c.version == version.entry.name, PREDICTED.c.day >= since)
            .order_by(PREDICTED.c.note)
        )
        return [
            Outcome(row.note, np.frombuffer(row.logits, dtype="<f4"), json.loads(row.labels))
            for row in connection.execute(wanted)
        ]


def _check(posted: Sequence[Posted]) -> None:
    for place, one in enumerate(posted):
        task, interpreter = one.version.entry.task, one.version.interpreter
        if unknown := [name for name in one.labels if name not in interpreter.classes]:
            raise BadInput(
                f"outcomes.{place}: task {task} lacks {len(unknown)} of the classes that were posted back. No outcome was kept."
            )
        if interpreter.kind != "multilabel" and len(one.labels) != 1:
            raise BadInput(
                f"outcomes.{place}: task {task} is {interpreter.kind}, so a note has one class, and {len(one.labels)} were "
                "posted back. No outcome was kept."
            )


def _today() -> str:
    return _day(0)


def _day(before: int) -> str:
    return (datetime.now(UTC) - timedelta(days=before)).strftime("%Y-%m-%d")
