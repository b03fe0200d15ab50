"""Is the server still asked what it was made for, and do its probabilities come true? Counts by day, in any SQL database.

Of notes only counts are kept: how many scores of each class, and how many notes of each length and the like, fell into which
tenth of the validation notes (`metrics.drift`). For outcomes that are posted back later the probabilities of each note are kept
for some days under a keyed hash of its id; of its text nothing is.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import sqlalchemy as sql
from numpy.typing import NDArray

from clinstack.data.text_profile import FEATURES, text_features
from clinstack.errors import BadInput
from clinstack.metrics.drift import BINS, Profile, chance, profile, psi
from clinstack.metrics.scorecard import scorecard
from clinstack.runs.atomic import disk_errors
from clinstack.serving.keyed_hash import hash_text, make_secret, read_secret
from clinstack.serving.limits import LOG
from clinstack.serving.service import Answer, Version

_TABLES = sql.MetaData()
_COUNTS = sql.Table(
    "clinstack_counts",
    _TABLES,
    sql.Column("day", sql.String(10), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("what", sql.String(10), primary_key=True),  # scores or inputs
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),  # of the class, or of the feature
    sql.Column("bin", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("notes", sql.Integer, nullable=False),
)
_PREDICTED = sql.Table(
    "clinstack_predicted",
    _TABLES,
    sql.Column("note", sql.String(32), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("day", sql.String(10), nullable=False, index=True),
    sql.Column("logits", sql.LargeBinary, nullable=False),
)
_OUTCOMES = sql.Table(
    "clinstack_outcomes",
    _TABLES,
    sql.Column("note", sql.String(32), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("day", sql.String(10), nullable=False),
    sql.Column("labels", sql.Text, nullable=False),
)
_MOST_UNWRITTEN = 100_000
"""Answers that wait for a database that does not answer; later ones are counted, and cannot have outcomes."""
_FEWEST_OUTCOMES = 20
"""Before figures are made of them."""
_WRITINGS_A_LOOK = 12
"""So many writings after each other, `latest` is made anew: it costs what a question for drift costs, for every version."""


@dataclass(frozen=True)
class Shift:
    """How far one number lies from the validation notes: its PSI, and what that may be by chance (95 %)."""

    name: str
    psi: float
    chance: float


@dataclass(frozen=True)
class Drift:
    """Of a version in some days. notes: answered.   scores: by class.   inputs: by feature; None if its run kept no profile.

    outcomes: how many came back.   metrics: of these, as on test notes; None for fewer than 20.
    """

    notes: int
    scores: list[Shift]
    inputs: list[Shift] | None
    outcomes: int
    metrics: dict[str, dict[str, float | None]] | None


def secret_beside(url: str) -> Path:
    """Where the key for ids of notes lies if nothing else is said: beside the file of an SQLite database.

    Raises BadInput for any other database, which has no folder of its own; a library may be one that a server only reads.
    """
    kind, file = _kind_and_file(url)
    if file is None:
        raise BadInput(
            f"--watch {kind}: say with --watch-secret FILE where the key for ids of notes is kept; it is made if there is none."
        )
    return file.with_name(f"{file.name}.secret")


def _kind_and_file(url: str) -> tuple[str, Path | None]:
    """What may be shown of a database's URL, the rest of which may hold a password; and its file, of SQLite."""
    try:
        found = sql.make_url(url)
    except sql.exc.ArgumentError:
        return url.partition("://")[0], None
    is_file = found.get_backend_name() == "sqlite" and found.database not in (None, "", ":memory:")
    return found.drivername, Path(str(found.database)) if is_file else None


class Watch:
    """Counts what a server is asked and answers, and sets it beside validation.

    url: of any database that SQLAlchemy reaches, such as sqlite:///watch.sqlite.   secret: file of the key for note ids; made
    if there is none.   keep_days: for how long probabilities wait for outcomes.   every: seconds between two writings.
    promoted: the versions that answer now, whose drift is looked at every minute and kept in `latest`, by version.
    Raises BadInput if the database cannot be opened.
    """

    latest: Mapping[str, Drift] = MappingProxyType({})

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
        try:
            self._engine = sql.create_engine(url)
            _TABLES.create_all(self._engine)
        except (sql.exc.SQLAlchemyError, ImportError, ValueError) as error:
            kind, file = _kind_and_file(url)
            raise BadInput(
                f"The database of --watch ({file or kind}) cannot be opened: {type(error).__name__}. Give one that can be "
                "written with --watch, or --watch off."
            ) from error
        self._profiles: dict[str, tuple[Profile, Profile | None]] = {}
        self._counts: dict[tuple[str, str, str], NDArray[np.int64]] = {}
        self._predicted: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._lock, self._flushing, self._closing = threading.Lock(), threading.Lock(), threading.Event()
        self._every, self._promoted = every, promoted
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def observe(self, texts: Sequence[str], answers: Iterable[Answer]) -> None:
        """Counts answers; texts: of their notes, in order of the answers."""
        day = _today()
        with self._lock:
            for text, answer in zip(texts, answers, strict=True):
                name = answer.version.entry.name
                scores, inputs = self._of(answer.version)
                likely = answer.version.interpreter.probabilities(answer.logits[None])[0]
                self._add((day, name, "scores"), scores.place(likely))
                if inputs is not None:
                    self._add((day, name, "inputs"), inputs.place(text_features(text)))
                if len(self._predicted) < _MOST_UNWRITTEN:
                    raw = np.asarray(answer.logits, dtype="<f4").tobytes()
                    self._predicted[hash_text(self._key, answer.note_id), name] = (day, raw)

    def outcome(self, note_id: str, version: Version, labels: Sequence[str]) -> bool:
        """Keeps what came true of a note, for every version of the task that was asked; False if none was.

        version: the task's, as it answers now.
        Raises BadInput for a class that the task does not have, or as many as its kind does not allow.
        """
        task, classes, kind = version.entry.task, version.interpreter.classes, version.interpreter.kind
        if unknown := [one for one in labels if one not in classes]:
            raise BadInput(f"Task {task} lacks {len(unknown)} of the classes that were posted back for a note.")
        if kind != "multilabel" and len(labels) != 1:
            raise BadInput(f"Task {task} is {kind}, so a note has one class, and {len(labels)} were posted back.")
        self.flush()
        note = hash_text(self._key, note_id)
        with self._engine.begin() as connection:
            asked = sql.select(_PREDICTED.c.version).where(_PREDICTED.c.note == note)
            versions = [one for one in connection.scalars(asked) if one.rpartition("@")[0] == task]
            for name in versions:
                told = {"day": _today(), "labels": json.dumps(sorted(set(labels)))}
                _put(connection, _OUTCOMES, {"note": note, "version": name}, told)
        return bool(versions)

    def drift(self, version: Version, days: int = 30) -> Drift:
        """How a version's last days lie beside its validation notes."""
        self.flush()
        name, since = version.entry.name, _day(days - 1)
        scores, inputs = self._of(version)
        now = {what: np.zeros_like(one.notes) for what, one in (("scores", scores), ("inputs", inputs)) if one}
        with self._engine.connect() as connection:
            wanted = sql.select(_COUNTS).where(_COUNTS.c.version == name, _COUNTS.c.day >= since)
            for row in connection.execute(wanted):
                if row.what in now:
                    now[row.what][row.number, row.bin] += row.notes
            outcomes = self._outcomes(connection, version, since)
        metrics = None
        if len(outcomes) >= _FEWEST_OUTCOMES:
            metrics = self._metrics(version, outcomes)
        return Drift(
            notes=int(now["scores"][0].sum()),
            scores=_shifts(version.interpreter.classes, scores, now["scores"]),
            inputs=None if inputs is None else _shifts(FEATURES, inputs, now["inputs"]),
            outcomes=len(outcomes),
            metrics=metrics,
        )

    def flush(self) -> None:
        """Writes what was counted."""
        with self._flushing:
            self._write()

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
            predicted, self._predicted = self._predicted, {}
        if not counts:
            return
        try:
            with self._engine.begin() as connection:
                for (day, version, what), notes in counts.items():
                    for number, column in zip(*notes.nonzero(), strict=True):
                        keys = {"day": day, "version": version, "what": what, "number": int(number), "bin": int(column)}
                        _count(connection, keys, int(notes[number, column]))
                for (note, version), (day, logits) in predicted.items():
                    _put(connection, _PREDICTED, {"note": note, "version": version}, {"day": day, "logits": logits})
        except sql.exc.SQLAlchemyError:
            with self._lock:  # the database may come back
                for key, notes in counts.items():
                    self._counts[key] = notes + self._counts.get(key, 0)
                self._predicted = {**predicted, **self._predicted}
            raise

    def close(self) -> None:
        """Writes what was counted, and ends."""
        self._closing.set()
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        writings = 0
        while True:
            closing = self._closing.wait(self._every)
            try:
                self.flush()
                self._forget()
                if not closing and writings % _WRITINGS_A_LOOK == 0:
                    self.latest = {one.entry.name: self.drift(one) for one in self._promoted()}
                writings += 1
            except Exception as error:  # what was counted is kept and tried again; without this thread nothing would be
                LOG.error("counts could not be written or looked at: %s", type(error).__name__)
            if closing:
                return

    def _forget(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(sql.delete(_PREDICTED).where(_PREDICTED.c.day < _day(self._keep)))

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

    def _outcomes(
        self, connection: sql.Connection, version: Version, since: str
    ) -> list[tuple[str, NDArray[np.float32], list[str]]]:
        both = sql.and_(_OUTCOMES.c.note == _PREDICTED.c.note, _OUTCOMES.c.version == _PREDICTED.c.version)
        wanted = (
            sql.select(_PREDICTED.c.note, _PREDICTED.c.logits, _OUTCOMES.c.labels)
            .join(_OUTCOMES, both)
            .where(_PREDICTED.c.version == version.entry.name, _PREDICTED.c.day >= since)
            .order_by(_PREDICTED.c.note)
        )
        return [
            (row.note, np.frombuffer(row.logits, dtype="<f4"), json.loads(row.labels))
            for row in connection.execute(wanted)
        ]

    def _metrics(
        self, version: Version, outcomes: Sequence[tuple[str, NDArray[np.float32], list[str]]]
    ) -> dict[str, dict[str, float | None]]:
        interpreter = version.interpreter
        place = {name: column for column, name in enumerate(interpreter.classes)}
        labels = np.zeros((len(outcomes), len(place)), dtype=bool)
        for row, (_, _, names) in enumerate(outcomes):
            labels[row, [place[name] for name in names]] = True
        logits = np.stack([one for _, one, _ in outcomes]) / interpreter.temperature
        return scorecard(interpreter.kind, logits, labels, [note for note, _, _ in outcomes], resamples=200).metrics


def _shifts(names: Sequence[str], before: Profile, now: NDArray[np.int64]) -> list[Shift]:
    rows = zip(names, before.notes, now, strict=True)
    return [Shift(name, psi(first, second), chance(first, second)) for name, first, second in rows]


def _count(connection: sql.Connection, keys: dict[str, Any], notes: int) -> None:
    """Adds to a count, also where another process counts too."""
    _put(connection, _COUNTS, keys, {"notes": notes}, {"notes": _COUNTS.c.notes + notes})


def _put(
    connection: sql.Connection,
    table: sql.Table,
    keys: dict[str, Any],
    values: dict[str, Any],
    change: dict[str, Any] | None = None,
) -> None:
    """Writes a row, or changes the one with the same keys (to the same values without `change`), alike in every dialect."""
    where = sql.and_(*(table.c[key] == value for key, value in keys.items()))
    changed = sql.update(table).where(where).values(**(change or values))
    if connection.execute(changed).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(sql.insert(table).values(**keys, **values))
    except sql.exc.IntegrityError:
        connection.execute(changed)


def _today() -> str:
    return _day(0)


def _day(before: int) -> str:
    return (datetime.now(UTC) - timedelta(days=before)).strftime("%Y-%m-%d")
