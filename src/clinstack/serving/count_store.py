"""The database of a watch: its tables in any SQL dialect, made where they are missing, and limits to how long it may take.

A file of SQLite is opened for each transaction, since a connection would go on writing into one that was deleted; it is made
for its owner alone.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from clinstack.errors import BadInput

_TABLES = sql.MetaData()
COUNTS = sql.Table(
    "clinstack_counted",
    _TABLES,
    sql.Column("day", sql.String(10), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("what", sql.String(10), primary_key=True),  # scores or inputs
    sql.Column(
        "counter", sql.String(32), primary_key=True
    ),  # each process has its own rows, and writes what it counted so far
    sql.Column("notes", sql.LargeBinary, nullable=False),  # by class or feature, and bin: whole numbers of 8 bytes
)
PREDICTED = sql.Table(
    "clinstack_predicted",
    _TABLES,
    sql.Column("note", sql.String(32), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("day", sql.String(10), nullable=False, index=True),
    sql.Column("logits", sql.LargeBinary, nullable=False),
)
OUTCOMES = sql.Table(
    "clinstack_outcomes",
    _TABLES,
    sql.Column("note", sql.String(32), primary_key=True),
    sql.Column("version", sql.String(200), primary_key=True),
    sql.Column("day", sql.String(10), nullable=False),
    sql.Column("labels", sql.Text, nullable=False),
)

_POSTGRESQL = {
    "connect_timeout": 5,
    "options": "-c statement_timeout=8000",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_LIMITS: dict[str, dict[str, Any]] = {"psycopg": _POSTGRESQL, "psycopg2": _POSTGRESQL, "pysqlite": {"timeout": 5.0}}
"""By driver: after how long it gives up, unless the URL says otherwise."""


class CountStore:
    """The tables of a database. url: as SQLAlchemy has it. Raises BadInput if it is none, or its driver is missing."""

    def __init__(self, url: str):
        self.kind, self._file = _kind_and_file(url)
        self.shown = str(self._file or self.kind)
        try:
            place = sql.make_url(url)
            limits = _LIMITS.get(place.get_driver_name(), {})
            given = {key: value for key, value in limits.items() if key not in place.query}
            pool: dict[str, Any] = {"poolclass": sql.NullPool} if self._file else {"pool_pre_ping": True}
            self._engine = sql.create_engine(place, connect_args=given, **pool)
        except (sql.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise self.unusable(error) from error

    def unusable(self, error: Exception) -> BadInput:
        """The sentence for a database that cannot be used."""
        return BadInput(
            f"The database of --watch ({self.shown}) cannot be opened: {type(error).__name__}. Give one that can be written "
            "with --watch, or --watch off."
        )

    @contextlib.contextmanager
    def begin(self) -> Iterator[sql.Connection]:
        """A transaction."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # SQLite will say so itself
                os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        with self._engine.begin() as connection:
            _TABLES.create_all(connection)
            yield connection

    def close(self) -> None:
        """Lets go of connections."""
        self._engine.dispose()


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


def put(connection: sql.Connection, table: sql.Table, keys: dict[str, Any], values: dict[str, Any]) -> None:
    """Writes a row, or changes the one with the same keys, alike in every dialect."""
    where = sql.and_(*(table.c[key] == value for key, value in keys.items()))
    changed = sql.update(table).where(where).values(**values)
    if connection.execute(changed).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(sql.insert(table).values(**keys, **values))
    except sql.exc.IntegrityError:
        connection.execute(changed)


def _kind_and_file(url: str) -> tuple[str, Path | None]:
    """What may be shown of a database's URL, the rest of which may hold a password; and its file, of SQLite."""
    try:
        found = sql.make_url(url)
    except sql.exc.ArgumentError:
        return url.partition("://")[0], None
    name = found.database or ""
    is_file = found.get_backend_name() == "sqlite" and name not in ("", ":memory:") and not name.startswith("file:")
    return found.drivername, Path(name) if is_file else None
