"""Small MIMIC-III-shaped folders for tests: whole tables from a few words."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = {
    "NOTEEVENTS": "ROW_ID SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT",
    "ADMISSIONS": "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
    "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
    "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    "ICUSTAYS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID INTIME "
    "OUTTIME LOS",
    "CHARTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM WARNING "
    "ERROR RESULTSTATUS STOPPED",
    "PROCEDUREEVENTS_MV": "ICUSTAY_ID STARTTIME ITEMID",
    "D_ICD_DIAGNOSES": "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_ICD_PROCEDURES": "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE",
    "PATIENTS": "ROW_ID SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG",
    "DIAGNOSES_ICD": "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "PROCEDURES_ICD": "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
}
GOOD = (
    "Chief Complaint:\nchest pain\n\nHistory of Present Illness:\n70 yo man.\n\nPast Medical History:\nDM2\n\n"
    "Brief Hospital Course:\nfine"
)
"""A discharge summary with an admission part."""


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], *, gz: bool = False, **how: Any) -> Path:
    """A table's CSV file; columns that a row does not name are empty. `how` goes to csv.writer."""
    file = folder / (f"{name}.csv.gz" if gz else f"{name}.csv")
    columns = how.pop("columns", COLUMNS[name].split())
    header = how.pop("header", columns)
    with gzip.open(file, "wt", newline="") if gz else file.open("w", newline="") as out:
        lines = csv.writer(out, **{"lineterminator": "\n", **how})
        lines.writerow(header)
        lines.writerows([row.get(column, "") for column in columns] for row in rows)
    return file


def admission(hadm_id: int, subject_id: int | None = None, **given: Any) -> dict[str, Any]:
    """A row of ADMISSIONS: an adult who stayed two days and went home."""
    return {
        "ROW_ID": hadm_id,
        "SUBJECT_ID": subject_id or hadm_id,
        "HADM_ID": hadm_id,
        "ADMITTIME": "2150-01-01 10:00:00",
        "DISCHTIME": "2150-01-03 10:00:00",
        "ADMISSION_TYPE": "EMERGENCY",
        "HOSPITAL_EXPIRE_FLAG": 0,
        **given,
    }


def summary(
    hadm_id: int | str, text: str, row_id: int, subject_id: int | str | None = None, **given: Any
) -> dict[str, Any]:
    """A row of NOTEEVENTS: a discharge report."""
    return {
        "ROW_ID": row_id,
        "SUBJECT_ID": subject_id or hadm_id,
        "HADM_ID": hadm_id,
        "CHARTDATE": "2150-01-03",
        "CATEGORY": "Discharge summary",
        "DESCRIPTION": "Report",
        "TEXT": text,
        **given,
    }


def write_folder(
    folder: Path,
    admissions: Sequence[Mapping[str, Any]],
    notes: Sequence[Mapping[str, Any]],
    diagnoses: Sequence[tuple[int, str]] = (),
    procedures: Sequence[tuple[int, str]] = (),
    *,
    gz: bool = False,
    **how: Any,
) -> Path:
    """The tables of the four tasks without ventilation."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, "ADMISSIONS", admissions, gz=gz, **how)
    write_table(folder, "NOTEEVENTS", notes, gz=gz, **how)
    for name, codes in (("DIAGNOSES_ICD", diagnoses), ("PROCEDURES_ICD", procedures)):
        rows = [
            {"ROW_ID": n, "SUBJECT_ID": stay, "HADM_ID": stay, "SEQ_NUM": n, "ICD9_CODE": code}
            for n, (stay, code) in enumerate(codes, 1)
        ]
        write_table(folder, name, rows, gz=gz, **how)
    return folder
