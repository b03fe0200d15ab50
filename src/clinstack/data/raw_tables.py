"""A folder of CSV files, as a hospital's database exported them, read by duckdb as they come.

duckdb streams plain and gzipped CSV on all cores, keeps what it sorts under a memory limit and spills the rest to a scratch
folder, so a table of 330 million rows needs no more memory than one of a thousand. It stops at the first thing that is
wrong, quotes the line (which may be a note) and does not check gzip's checksum (2.0); so what it refuses is read again by
`rows`, slowly, for a sentence with the row and line, and `fingerprint` checks every file whole while duckdb works.
Every column is read as text and cast afterwards: a code's leading zeros stay, and a date that does not parse is named.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.data.rows import read_columns, read_rows
from clinstack.errors import BadInput, CannotWrite, did_you_mean

ENDINGS = (".csv", ".csv.gz")
MEMORY_LIMIT = "800MB"
_KINDS = {
    "BIGINT": "a whole number",
    "DOUBLE": "a number",
    "TIMESTAMP": "a time like 2131-05-30 17:00:00",
}
_CHUNK = 2**20
_LARGEST_ROW = 4 * 2**20
"""duckdb reads 16 rows of this size at once, so more would be most of the memory limit."""


class RawTables:
    """A folder's tables and the duckdb connection that reads them; a context manager.

    folder:  where the CSV files are.
    scratch: an existing folder on a disk with room; what duckdb spills lies there.
    `rows` counts what was loaded, by table; `fingerprints()` waits for the checks of all files.
    """

    def __init__(self, folder: Path, scratch: Path, memory_limit: str = MEMORY_LIMIT) -> None:
        if not folder.is_dir():
            raise BadInput(
                f"{folder} {'is a file' if folder.exists() else 'does not exist'}. Name the folder of CSV files."
            )
        self.folder, self._scratch, self._memory_limit = folder, scratch, memory_limit
        self.rows: dict[str, int] = {}
        self._checks: dict[Path, Future[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as place:
            # One thread beside duckdb's own: hashing is slower than the disk, but not slower than parsing.
            self._checkers = place.enter_context(ThreadPoolExecutor(1, "fingerprint"))
            place.callback(lambda: self._checkers.shutdown(cancel_futures=True))
            self._db = place.enter_context(duckdb.connect(str(self._scratch / "tables.duckdb")))
            self.run(f"SET memory_limit = '{self._memory_limit}'")
            self.run(f"SET temp_directory = {_quoted(str(self._scratch / 'spilled'))}")
            self.run("SET enable_progress_bar = false")
            # Joins as they are written, streaming the left and holding the right: duckdb guesses that a CSV file has few rows,
            # and would hold every note to stream some ids past them.
            self.run("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            self._place = place.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._place:
            if isinstance(error, duckdb.Error):
                raise self._sentence(error) from error

    def find(self, name: str) -> Path:
        """The file of a table, plain or gzipped, its name in any case.

        Raises BadInput if there is none, or if there are several.
        """
        wanted = {name.lower() + ending for ending in ENDINGS}
        found = sorted(file for file in self.folder.iterdir() if file.name.lower() in wanted)
        if not found:
            raise BadInput(f"{self.folder} has no {name}.csv or {name}.csv.gz. Copy it there.")
        if len(found) > 1:
            raise BadInput(f"{self.folder} has {' and '.join(file.name for file in found)}. Keep one of them.")
        return found[0]

    def has(self, name: str) -> bool:
        """Whether there is a file of a table."""
        wanted = {name.lower() + ending for ending in ENDINGS}
        return any(file.name.lower() in wanted for file in self.folder.iterdir())

    def load(
        self,
        name: str,
        columns: Mapping[str, str],
        *,
        select: str = "*",
        where: str = "true",
        file: Path | None = None,
    ) -> None:
        """Reads a table once, the named columns only, into a duckdb table of the same name in lower case.

        columns: as in the header (its case does not matter) -> type: VARCHAR, BIGINT, DOUBLE or TIMESTAMP.
        select:  what is kept of them, as SQL; every column that is not VARCHAR must be among it.
        where:   which rows are kept, as SQL.
        file:    if it is not `find(name)`.
        Raises BadInput with file and line for a missing column, broken CSV or a value of another type.
        """
        file = file or self.find(name)
        cast = ", ".join(f"{_cast(column, kind)} AS {column.lower()}" for column, kind in columns.items())
        read = f"SELECT {cast} FROM {self.source(file, list(columns))}"
        self.create(name.lower(), f"SELECT {select} FROM ({read}) WHERE {where}", file)
        for column, kind in columns.items():
            if kind != "VARCHAR":
                self._check_cast(name.lower(), file, column, kind)

    def source(self, file: Path, needed: Sequence[str]) -> str:
        """SQL that reads a CSV file's columns as text under their lower-case names; `file` is checked in the background.

        Raises BadInput if a needed column is missing.
        """
        self._check_later(file)
        header = [one.lower() for one in read_columns(file)]
        for column in needed:
            if column.lower() not in header:
                raise BadInput(f"{file} has no column {column}. {did_you_mean(column.lower(), header)}")
        if twice := sorted({one for one in header if header.count(one) > 1}):
            raise BadInput(
                f"{file}: the header names {', '.join(map(shown, twice))} more than once. Rename the columns."
            )
        types = ", ".join(f"{_quoted(one)}: 'VARCHAR'" for one in header)
        return (
            f"read_csv({_quoted(str(file))}, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', "
            f"quote = '\"', escape = '\"', strict_mode = true, max_line_size = {_LARGEST_ROW})"
        )

    def create(self, table: str, select: str, file: Path) -> None:
        """Makes a duckdb table of a query that reads `file`, and counts its rows. Raises BadInput for broken CSV."""
        try:
            self.run(f"CREATE OR REPLACE TABLE {table} AS {select}")
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            self.explain(file, error)
        self.rows[table] = self.count(table)

    def run(self, statement: str) -> None:
        """Runs a statement that gives nothing back."""
        self._db.execute(statement).fetchall()

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query that gives few."""
        return self._db.execute(query).fetchall()

    def first(self, query: str) -> tuple[Any, ...] | None:
        """The first row of a query that gives few, or None."""
        return next(iter(self.all(query)), None)

    def keep(self, name: str, rows: pa.Table) -> None:
        """Makes an Arrow table a duckdb table of that name."""
        self._db.register("given", rows)
        self.run(f"CREATE TABLE {name} AS FROM given")
        self._db.unregister("given")

    def view(self, name: str, parquet: Path) -> None:
        """Makes a parquet file a table of that name, without reading it."""
        self.run(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_quoted(str(parquet))})")

    def batches(self, query: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A query's rows as they come, `rows` at a time; while they come the connection may be used for nothing else."""
        reader: pa.RecordBatchReader = self._db.sql(query).to_arrow_reader(rows)
        yield from reader

    def count(self, query: str) -> int:
        """The number of rows of a table or of a condition on one, such as "notes WHERE kept"."""
        return int(self.all(f"SELECT count(*) FROM {query}")[0][0])

    def explain(self, file: Path, error: duckdb.Error) -> None:
        """Raises BadInput with what is wrong in a file that duckdb could not read, and where; never with its text."""
        if "No space left" in str(error):
            raise self._sentence(error) from error
        mistakes = Mistakes(file, lines=True)
        for _ in read_rows(file, mistakes):
            pass
        mistakes.check()
        raise BadInput(
            f"{file} cannot be read as CSV. Export it again as UTF-8 with commas and double quotes."
        ) from error

    def place(self, file: Path, column: str, value: str | None, nth: int = 1) -> str:
        """The line of a file where the nth row with a value begins, as a message names it."""
        names = {one.lower(): one for one in read_columns(file)}
        for row in read_rows(file, Mistakes(file)):
            nth -= row.values.get(names[column.lower()]) == (value or "")
            if not nth:
                return f"line {row.line or row.number + 1}"
        return "some line"

    def fingerprints(self) -> list[dict[str, Any]]:
        """Name, size in bytes and sha256 of every file that was read, by name.

        Raises BadInput for a gzip file whose checksum does not hold.
        """
        return sorted((check.result() for check in self._checks.values()), key=lambda one: str(one["name"]))

    def _check_later(self, file: Path) -> None:
        if file not in self._checks:
            self._checks[file] = self._checkers.submit(fingerprint, file)

    def _check_cast(self, table: str, file: Path, column: str, kind: str) -> None:
        """Raises BadInput, with the place, if a value was not of its type: the cast left a mark in its stead."""
        low = column.lower()
        bad = self.first(f"SELECT 1 FROM {table} WHERE {low} = {_MARKS[kind]} LIMIT 1")
        if bad is None:
            return
        raw = self.first(
            f"SELECT {low} FROM {self.source(file, [column])} WHERE trim({low}) <> '' AND TRY_CAST({low} AS {kind}) IS NULL "
            "LIMIT 1"
        )
        value = raw[0] if raw else ""
        raise BadInput(
            f"{file}, {self.place(file, column, value)}: {column} is {shown(value)}. Expected {_KINDS[kind]}."
        )

    def _sentence(self, error: duckdb.Error) -> Exception:
        """An error of duckdb that is about the machine, as a sentence; any other one is our own bug and stays."""
        said = str(error)
        if "No space left" in said or "could not write" in said.lower():
            return CannotWrite(
                f"The disk of {self._scratch.parent} is full. Free some space, or write to another disk."
            )
        if isinstance(error, duckdb.OutOfMemoryException):
            return CannotWrite(f"The tables need more than {self._memory_limit} of memory. Close other programs.")
        return error


_MARKS = {
    "BIGINT": "-9223372036854775807",
    "DOUBLE": "'-inf'::DOUBLE",
    "TIMESTAMP": "'-infinity'::TIMESTAMP",
}
"""What stands for a value that is not of its type: one that no table holds."""


def _cast(column: str, kind: str) -> str:
    """SQL for a column of a type: NULL where it is empty, the mark where it is something else."""
    low = column.lower()
    if kind == "VARCHAR":
        return low
    return (
        f"CASE WHEN {low} IS NULL OR trim({low}) = '' THEN NULL "
        f"ELSE coalesce(TRY_CAST({low} AS {kind}), {_MARKS[kind]}) END"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def fingerprint(file: Path) -> dict[str, Any]:
    """Name, size in bytes and sha256 of a file. Raises BadInput for a gzip file that is damaged or cut short.

    About 1 GB a second, of gzip 0.3 GB of text a second.
    """
    hashed = hashlib.sha256()
    members = _Members() if file.suffix == ".gz" else None
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                hashed.update(chunk)
                if members is not None:
                    members.read(chunk)
        if members is not None:
            members.close()
    except zlib.error as error:
        raise BadInput(f"{file}: the gzip file is damaged or cut short. Copy or compress it again.") from error
    return {"name": file.name, "bytes": os.path.getsize(file), "sha256": hashed.hexdigest()}


class _Members:
    """Unpacks a gzip file, member by member, only to have zlib compare the checksums."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._inside = False

    def read(self, chunk: bytes) -> None:
        while chunk:
            self._inside = True
            self._member.decompress(chunk)
            if not self._member.eof:
                return
            # What follows a member is another one, or padding with zeros.
            chunk = self._member.unused_data.lstrip(b"\0")
            self._member, self._inside = zlib.decompressobj(wbits=31), False

    def close(self) -> None:
        if self._inside:
            raise zlib.error("cut short")
