"""ICD-9 codes of MIMIC-III -> classes: tables of codes by admission, checked, cut to groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clinstack.data.notes import shown
from clinstack.data.raw_tables import RawTables
from clinstack.errors import BadInput

FEWEST_TO_JUDGE = 1000
"""From this many codes on, not one that begins with a zero means that the zeros were lost."""


def load_codes(tables: RawTables, name: str) -> None:
    """Reads a table of codes into duckdb as `<name>(hadm_id, icd9_code)`, in the file's order, empty codes left out.

    Raises BadInput, with file and line, for codes that a program has read as numbers: with a point, or without the zeros
    they began with. Whoever opened the file in a spreadsheet and saved it would train on other diseases.
    """
    if name.lower() in tables.rows:
        return
    tables.load(name, {"HADM_ID": "BIGINT", "ICD9_CODE": "VARCHAR"}, where="icd9_code IS NOT NULL")
    low, file = name.lower(), tables.find(name)
    numbers = "regexp_full_match(icd9_code, '[0-9]+')"
    wrong = tables.first(
        f"SELECT icd9_code FROM {low} WHERE icd9_code LIKE '%.%' OR ({numbers} AND length(icd9_code) < 3) LIMIT 1"
    )
    if wrong is not None:
        raise BadInput(
            f"{file}, {tables.place(file, 'ICD9_CODE', wrong[0])}: ICD9_CODE is {shown(wrong[0])}; codes have three characters "
            "or more, and no point. They were probably read as numbers. Export them as text."
        )
    if tables.count(f"{low} WHERE {numbers}") >= FEWEST_TO_JUDGE and not tables.count(
        f"{low} WHERE icd9_code LIKE '0%'"
    ):
        raise BadInput(
            f"{file}, column ICD9_CODE: none of {tables.rows[low]:,} codes begins with 0. They were probably read as numbers, "
            "which drops leading zeros. Export them as text."
        )


def label_codes(tables: RawTables, name: str, labels: str, group: str) -> Sequence[str]:
    """Makes `labels`: each admission's groups once, in the file's order. Returns all groups of the table, sorted.

    group: SQL that makes a group of `icd9_code`. Groups that only newborns have are classes too, as published.
    """
    tables.run(
        f"""CREATE TABLE {labels} AS SELECT hadm_id, list(code ORDER BY first) AS labels
        FROM (SELECT hadm_id, {group} AS code, min(rowid) AS first FROM {name.lower()} WHERE hadm_id IS NOT NULL GROUP BY ALL)
        GROUP BY hadm_id"""
    )
    found = tables.all(f"SELECT DISTINCT {group} FROM {name.lower()}")
    return sorted(code for (code,) in found)


def load_titles(tables: RawTables, name: str) -> None:
    """Reads a table of codes and what they stand for, if the folder has it. Raises BadInput with file and line."""
    if tables.has(name) and name.lower() not in tables.rows:
        tables.load(name, {"ICD9_CODE": "VARCHAR", "LONG_TITLE": "VARCHAR"})


def title_groups(tables: RawTables, name: str, titles: str, group: str) -> Mapping[str, str]:
    """Group -> title of its commonest code in the table `name`; " and others" follows where a group has several codes.

    titles: table read by `load_titles`; without it, and for groups none of whose codes it has, there are no titles.
    """
    if titles.lower() not in tables.rows:
        return {}
    rows = tables.all(
        f"""SELECT class, first(title ORDER BY uses DESC, icd9_code) FILTER (WHERE title IS NOT NULL), count(*)
        FROM (SELECT {group} AS class, icd9_code, count(*) AS uses FROM {name.lower()} GROUP BY ALL)
        LEFT JOIN (SELECT icd9_code, min(nullif(trim(long_title), '')) AS title FROM {titles.lower()} GROUP BY ALL)
        USING (icd9_code) GROUP BY class"""
    )
    return {code: title + (" and others" if codes > 1 else "") for code, title, codes in rows if title is not None}


def require_digits(tables: RawTables, name: str) -> Path:
    """The file of a table whose codes are all digits. Raises BadInput with the line of one that is not."""
    file = tables.find(name)
    wrong = tables.first(
        f"SELECT icd9_code FROM {name.lower()} WHERE NOT regexp_full_match(icd9_code, '[0-9]+') LIMIT 1"
    )
    if wrong is not None:
        raise BadInput(
            f"{file}, {tables.place(file, 'ICD9_CODE', wrong[0])}: ICD9_CODE is {shown(wrong[0])}, and the published rule "
            "reads procedure codes as whole numbers. Mend it, or add --strict leading-zeros."
        )
    return file
