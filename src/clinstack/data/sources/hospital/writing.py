"""The CSV files of a hospital folder, with the quoting of MIMIC: text in double quotes, numbers and times bare, empty bare.

Files are compressed with no name and no time inside, so equal rows give equal content everywhere (the compressed bytes still
depend on the zlib at hand; compare decompressed). Level 1, because the compressor is otherwise half of all the time.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Cell = str | int | datetime | None
_LEVEL = 1


@dataclass(frozen=True)
class Table:
    """A file's name and columns. `bare` columns are written without quotes; `quoted_header` is MIMIC-III's way."""

    name: str
    columns: tuple[str, ...]
    bare: frozenset[str] = field(default_factory=frozenset)
    quoted_header: bool = True


def _table(name: str, columns: str, bare: str = "") -> Table:
    return Table(name, tuple(columns.split()), frozenset(bare.split()))


MIMIC3 = (
    _table(
        "NOTEEVENTS",
        "ROW_ID SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT",
        "CHARTDATE",
    ),
    _table(
        "ADMISSIONS",
        "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
        "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
        "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    ),
    _table("PATIENTS", "ROW_ID SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG"),
    _table("DIAGNOSES_ICD", "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE"),
    _table("PROCEDURES_ICD", "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE"),
    _table(
        "ICUSTAYS",
        "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID "
        "INTIME OUTTIME LOS",
        "LOS",
    ),
    _table(
        "CHARTEVENTS",
        "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM WARNING "
        "ERROR RESULTSTATUS STOPPED",
        "VALUENUM",
    ),
    _table(
        "PROCEDUREEVENTS_MV",
        "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID STARTTIME ENDTIME ITEMID VALUE VALUEUOM LOCATION LOCATIONCATEGORY "
        "STORETIME CGID ORDERID LINKORDERID ORDERCATEGORYNAME SECONDARYORDERCATEGORYNAME "
        "ORDERCATEGORYDESCRIPTION ISOPENBAG CONTINUEINNEXTDEPT CANCELREASON STATUSDESCRIPTION "
        "COMMENTS_EDITEDBY COMMENTS_CANCELEDBY COMMENTS_DATE",
    ),
    _table("D_ICD_DIAGNOSES", "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE"),
    _table("D_ICD_PROCEDURES", "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE"),
)
_NOTE_COLUMNS = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")
_NOTE_BARE = frozenset(("note_id", "note_type"))
MIMIC4 = tuple(Table(name, _NOTE_COLUMNS, _NOTE_BARE, quoted_header=False) for name in ("discharge", "radiology"))


class TableFile:
    """One CSV file being written; counts its rows. Closing is needed for it to be whole."""

    def __init__(self, table: Table, path: Path, *, compress: bool) -> None:
        self.table = table
        self.rows = 0
        self._quoted = tuple(name not in table.bare for name in table.columns)
        self._raw: Any = path.open("wb")
        self._bytes: Any = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0) if compress else self._raw
        self._text = io.TextIOWrapper(io.BufferedWriter(self._bytes, 1 << 17), encoding="utf-8", newline="")
        self._text.write(",".join(f'"{name}"' if table.quoted_header else name for name in table.columns) + "\n")

    def write(self, *cells: Cell) -> None:
        """Appends a row: all the table's columns in order (None is empty)."""
        assert len(cells) == len(self._quoted), f"{self.table.name}: {len(cells)} cells for {len(self._quoted)} columns"
        self.rows += 1
        self._text.write(",".join(map(_cell, cells, self._quoted)) + "\n")

    def write_numbered(self, *cells: Cell) -> None:
        """The same with the row's number in front (MIMIC-III's ROW_ID)."""
        self.write(self.rows + 1, *cells)

    def close(self) -> None:
        """Completes the file; the file is closed also when the disk is full."""
        try:
            self._text.close()
        finally:
            self._raw.close()


def _cell(value: Cell, quoted: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"' if quoted else value
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return str(value)


class TableFiles:
    """All files of a folder, by table name; a context manager that closes them."""

    def __init__(self, folder: Path, tables: Iterable[Table], *, compress: bool) -> None:
        ending = ".csv.gz" if compress else ".csv"
        folder.mkdir()
        self._files = {
            table.name: TableFile(table, folder / f"{table.name}{ending}", compress=compress) for table in tables
        }

    def __getitem__(self, name: str) -> TableFile:
        return self._files[name]

    def __enter__(self) -> TableFiles:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as all_of_them:
            for file in self._files.values():
                all_of_them.callback(file.close)

    def counts(self) -> dict[str, int]:
        """Rows written so far, by table."""
        return {name: file.rows for name, file in self._files.items()}
