"""Rows of a user's own files: CSV, TSV, JSON lines (each also gzipped) and Parquet, one row at a time.

The files are other people's, so this is the place that expects them to be wrong: a truncated archive, bytes that are
not UTF-8, a quote that never closes, a row with too many fields, a broken JSON line. Each becomes one sentence with
its row and line, and reading goes on where that is sensible, so that a person mends a file once and not five times.
Text files are decoded line by line, because only then is the place of a bad byte known. Rows are counted as people
count them: the first one after the header is row 1, blank lines do not count.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import shown
from clinstack.errors import BadInput

LARGEST_FIELD = 16 * 2**20
HEADER_ROWS_READ = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number from 1, the line it begins on where that is not plain from the number, column -> value."""

    number: int
    line: int | None
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The row as a message names it."""
        return _place(self.number, self.line)


def read_rows(file: Path, mistakes: Mistakes, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a file, in constant memory; what cannot be read is added to `mistakes`, and the caller checks them.

    columns: those needed; Parquet reads only them.
    Raises BadInput for a missing file or an unknown extension.
    """
    return _format_of(file).rows(file, mistakes, columns)


def read_columns(file: Path) -> list[str]:
    """The names of a file's columns (of JSON lines: the keys of the first 1,000 rows).

    Raises BadInput if the file is missing, empty, of an unknown extension, or has a column twice.
    """
    mistakes = Mistakes(file)
    columns = _format_of(file).columns(file, mistakes)
    mistakes.check()
    return columns


def stem_of(file: Path) -> str:
    """A file's name without its extensions: "notes" of notes.csv.gz."""
    return file.name[: len(file.name) - len(_extension(file))]


class _UnreadableError(Exception):
    """Says in a sentence why a file cannot be read any further."""


def _place(number: int, line: int | None) -> str:
    return f"{number}" if line is None else f"{number} (line {line})"


def _lines(file: Path) -> Iterator[str]:
    """A text file's lines with their ends, split at line feeds only."""
    offset = 0
    try:
        with _open(file) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    text = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise _UnreadableError(
                        f"line {number}, byte {offset + error.start} is not UTF-8. Save the file as UTF-8."
                    ) from error
                yield text.removeprefix("\ufeff") if number == 1 else text
                offset += len(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _UnreadableError("the gzip file is damaged or cut short here. Copy or compress it again.") from error
    except OSError as error:
        raise _UnreadableError(f"the file cannot be read ({error.strerror}).") from error


def _open(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def _csv_header(file: Path, lines: Iterator[str], delimiter: str, mistakes: Mistakes) -> tuple[Any, list[str]]:
    """The csv reader of a file, past the header, and the header; an empty header if there is none to be had."""
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except (_UnreadableError, csv.Error) as error:
        mistakes.add(_csv_sentence(error))
        return reader, []
    if not header:
        mistakes.add("the file is empty.")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        mistakes.add(f"the header names {', '.join(map(shown, twice))} more than once. Rename the columns.")
        return reader, []
    return reader, header


def _csv_columns(delimiter: str) -> Callable[[Path, Mistakes], list[str]]:
    def columns(file: Path, mistakes: Mistakes) -> list[str]:
        return [name for name in _csv_header(file, _lines(file), delimiter, mistakes)[1] if name]

    return columns


def _csv_rows(delimiter: str) -> Callable[[Path, Mistakes, Sequence[str] | None], Iterator[Row]]:
    def rows(file: Path, mistakes: Mistakes, columns: Sequence[str] | None) -> Iterator[Row]:
        reader, header = _csv_header(file, _lines(file), delimiter, mistakes)
        number = 0
        while header:
            begins = reader.line_num + 1
            line = None if begins == number + 2 else begins
            try:
                fields = next(reader)
            except StopIteration:
                return
            except (_UnreadableError, csv.Error) as error:
                mistakes.add(_csv_sentence(error), _place(number + 1, line))
                return
            if not fields:
                continue
            number += 1
            if len(fields) != len(header):
                mistakes.add(
                    f"{len(fields)} field{'s' if len(fields) != 1 else ''} where the header has {len(header)}. "
                    "Put quotes around a field that holds the separator, a quote or a line break.",
                    _place(number, line),
                )
                continue
            yield Row(number, line, dict(zip(header, fields, strict=True)))

    return rows


def _csv_sentence(error: Exception) -> str:
    """What the csv module found, for a person."""
    said = str(error)
    if isinstance(error, _UnreadableError):
        return said
    if "unexpected end of data" in said:
        return "a quote opens in this row and is never closed. Close it, or double it if it belongs to the text."
    if "field larger" in said:
        return f"a field of more than {LARGEST_FIELD // 2**20} MiB; probably a quote opens and is never closed."
    if "expected after" in said:
        return "a quoted field goes on after its closing quote. Double the quotes that belong to the text."
    return "a line break stands in a field without quotes. Put quotes around the field."


def _json_columns(file: Path, mistakes: Mistakes) -> list[str]:
    names: dict[str, None] = {}
    ignored = Mistakes(file)
    for row in _json_rows(file, ignored, None):
        names |= dict.fromkeys(row.values)
        if row.number >= HEADER_ROWS_READ:
            break
    if not names and not ignored.count:
        mistakes.add("the file is empty.")
    if not names and ignored.count:
        ignored.check()
    return list(names)


def _json_rows(file: Path, mistakes: Mistakes, columns: Sequence[str] | None) -> Iterator[Row]:
    lines = enumerate(_lines(file), start=1)
    number = 0
    while True:
        try:
            begins, text = next(lines, (0, ""))
        except _UnreadableError as error:
            mistakes.add(str(error), _place(number + 1, None))
            return
        if not begins:
            return
        if not text.strip():
            continue
        number += 1
        line = None if begins == number else begins
        try:
            values = json.loads(text.rstrip("\r\n"))
            # A lone surrogate ("\ud800") is legal JSON and no text: no UTF-8 file could hold it.
            if "\\ud" in text.lower():
                json.dumps(values, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            mistakes.add(
                "half of a surrogate pair (\\ud800 to \\udfff) stands alone. Write the character itself.",
                _place(number, line),
            )
            continue
        except (ValueError, RecursionError) as error:
            where = (
                f" ({error.msg.removesuffix(' at')} at character {error.pos + 1})"
                if isinstance(error, json.JSONDecodeError)
                else ""
            )
            mistakes.add(f"the line is not JSON{where}.", _place(number, line))
            continue
        if not isinstance(values, dict):
            mistakes.add('the line is JSON but no object. Write {"column": value, ...}.', _place(number, line))
            continue
        yield Row(number, line, values)


def _parquet_columns(file: Path, mistakes: Mistakes) -> list[str]:
    try:
        with pq.ParquetFile(file) as parquet:
            return list(parquet.schema_arrow.names)
    except (OSError, pa.ArrowException):
        mistakes.add("the file is damaged or is no Parquet. Copy it again.")
        return []


def _parquet_rows(file: Path, mistakes: Mistakes, columns: Sequence[str] | None) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(file, buffer_size=2**20) as parquet:
            names = None if columns is None else list(columns)
            for batch in parquet.iter_batches(batch_size=512, columns=names):
                for values in _without_nanoseconds(batch).to_pylist():
                    number += 1
                    yield Row(number, None, values)
    except (OSError, pa.ArrowException):
        mistakes.add("the file is damaged or is no Parquet. Copy it again.", _place(number + 1, None) if number else "")
    except UnicodeDecodeError:
        mistakes.add(
            "text that is not UTF-8 in this row or the 511 after it. Write the file again.", _place(number + 1, None)
        )


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times in microseconds: Python's own have no finer unit, and pyarrow would ask for pandas."""
    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pa.timestamp("us", field.type.tz)
            batch = batch.set_column(index, field.name, batch.column(index).cast(kind, safe=False))
    return batch


@dataclass(frozen=True)
class _Format:
    """How one kind of file is read."""

    columns: Callable[[Path, Mistakes], list[str]]
    rows: Callable[[Path, Mistakes, Sequence[str] | None], Iterator[Row]]


_CSV = _Format(_csv_columns(","), _csv_rows(","))
_TSV = _Format(_csv_columns("\t"), _csv_rows("\t"))
_JSON = _Format(_json_columns, _json_rows)
_PARQUET = _Format(_parquet_columns, _parquet_rows)
FORMATS: Mapping[str, _Format] = {
    ".csv": _CSV,
    ".csv.gz": _CSV,
    ".tsv": _TSV,
    ".tsv.gz": _TSV,
    ".jsonl": _JSON,
    ".jsonl.gz": _JSON,
    ".parquet": _PARQUET,
}


def _extension(file: Path) -> str:
    """The longest known extension a file's name ends with, or an empty text."""
    return max((end for end in FORMATS if file.name.lower().endswith(end)), key=len, default="")


def _format_of(file: Path) -> _Format:
    extension = _extension(file)
    if not extension:
        raise BadInput(f"{file}: the extension says no known kind of file. Known: {', '.join(FORMATS)}.")
    if not file.is_file():
        raise BadInput(f"{file} {'is a folder, and a file is needed' if file.is_dir() else 'does not exist'}.")
    return FORMATS[extension]
