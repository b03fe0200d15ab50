"""The five MIMIC-III tasks as published scripts make them: pandas, whole tables in memory, regular expressions row by row.

A second opinion and a yardstick. It was written from the published rules and shares no line with clinstack, so that equal
results mean something; benchmarks/data.py compares time, memory and every row. It does what `--mode reference` does and no
more: no input is checked and none refused. The price: NOTEEVENTS, and for pmv CHARTEVENTS, lie in memory whole.

python benchmarks/naive_mimic3.py SRC OUT [--tasks los,mor,diag,proc]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

CORE_TASKS = ("los", "mor", "diag", "proc")
ALL_TASKS = (*CORE_TASKS, "pmv")
SECTIONS = {
    "CHIEF COMPLAINT": "chief complaint:",
    "PRESENT ILLNESS": "present illness:",
    "MEDICAL HISTORY": "medical history:",
    "MEDICATION ON ADMISSION": "medications on admission:",
    "ALLERGIES": "allergies:",
    "PHYSICAL EXAM": "physical exam:",
    "FAMILY HISTORY": "family history:",
    "SOCIAL HISTORY": "social history:",
}
DEATH = r"\s+(?:had |has )?(?:expired|died|passed away|deceased)"
LENGTHS = ("LT3D", "3DTO7D", "1WTO2W", "GT2W")

Row = tuple[str, str, str, list[str]]
Splits = dict[str, list[Row]]
Spell = tuple[datetime, datetime]


def build(folder: Path, seed: int = 123, tasks: Iterable[str] = ALL_TASKS) -> dict[str, dict[str, Any]]:
    """The named tasks from the MIMIC-III tables in `folder`, plain or gzipped.

    tasks: any of los, mor, diag, proc, pmv.
    Returns task -> {"classes": class names, "splits": {"train", "valid", "test": rows}}; a row is (admission id, patient id,
    note, names of its classes), and rows ascend by admission id.
    """
    frame = admission_notes(folder)
    parts = patient_parts(frame["SUBJECT_ID"], seed, train_tenths=7)
    built: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task == "los":
            classes, rows = list(LENGTHS), length_of_stay(folder, frame)
        elif task == "mor":
            classes, rows = ["NOT_DIE", "DIE"], mortality(folder, frame)
        elif task == "diag":
            classes, rows = coded(read(folder, "DIAGNOSES_ICD"), short_diagnosis, frame)
        elif task == "proc":
            classes, rows = coded(read(folder, "PROCEDURES_ICD"), short_procedure, frame)
        elif task == "pmv":
            classes, rows = ["LE7D", "GT7D"], ventilation(folder, frame)
        else:
            raise ValueError(f"unknown task {task}")
        own = patient_parts((row[1] for row in rows), seed, train_tenths=8) if task == "pmv" else parts
        built[task] = {"classes": classes, "splits": split(rows, own)}
    return built


def read(folder: Path, name: str) -> pd.DataFrame:
    """A whole table, every cell as text, an empty cell as empty text, column names in upper case."""
    plain = folder / f"{name}.csv"
    file = plain if plain.exists() else folder / f"{name}.csv.gz"
    return pd.read_csv(file, dtype=str, na_filter=False).rename(columns=str.upper)


# Admission notes ------------------------------------------------------------------------------------------------------


def admission_notes(folder: Path) -> pd.DataFrame:
    """One row per admission with an admission note: HADM_ID, SUBJECT_ID, a column per section, and TEXT, the note."""
    admissions, notes = read(folder, "ADMISSIONS"), read(folder, "NOTEEVENTS")
    adults = admissions.loc[admissions["ADMISSION_TYPE"] != "NEWBORN", "HADM_ID"]
    notes = notes[notes["HADM_ID"].isin(adults)]
    notes = notes[notes["TEXT"] != ""]
    notes = notes[notes["CATEGORY"] == "Discharge summary"]

    day, order = pd.to_datetime(notes["CHARTDATE"], format="ISO8601"), notes["ROW_ID"].map(int)
    notes = notes.assign(DAY=day, ORDER=order).sort_values(["DAY", "ORDER"], kind="stable")
    notes = notes.drop_duplicates("TEXT", keep="last")
    summaries = notes.groupby("HADM_ID", sort=False)["TEXT"].apply("\n\n".join)
    reports = notes[notes["DESCRIPTION"] == "Report"].drop_duplicates("HADM_ID")
    frame = reports[["HADM_ID", "SUBJECT_ID"]].copy()
    whole = frame["HADM_ID"].map(lambda stay: summaries[stay].strip())

    for heading, literal in SECTIONS.items():
        pattern = section_pattern(literal)
        frame[heading] = whole.map(lambda text, pattern=pattern: section(pattern, text))
    named = (frame["CHIEF COMPLAINT"] != "") | (frame["PRESENT ILLNESS"] != "") | (frame["MEDICAL HISTORY"] != "")
    frame = frame[named]
    return frame.assign(TEXT=[assemble(sections) for sections in frame[list(SECTIONS)].to_dict("records")])


def section_pattern(literal: str) -> re.Pattern[str]:
    """A heading anywhere, then as little as possible until a blank line and a line with a clean word before a colon."""
    return re.compile(re.escape(literal) + r"(.+?)(?=\n\n[^\d.()|\\\n]+:)", re.IGNORECASE | re.DOTALL)


def section(pattern: re.Pattern[str], text: str) -> str:
    """The section's body on one line; empty if it is not found."""
    found = pattern.search(text)
    return found[1].replace("\n", " ").strip() if found else ""


def assemble(sections: dict[str, str]) -> str:
    """An admission note: all eight headings, in order."""
    return "\n\n".join(f"{heading}: {sections[heading]}" for heading in SECTIONS)


# Split by patient -----------------------------------------------------------------------------------------------------


def patient_parts(patients: Iterable[str], seed: int, train_tenths: int) -> dict[str, str]:
    """Each patient's split: patients in the order of their hash, `train_tenths` of ten to train, one to valid."""
    ordered = sorted(set(patients), key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest())
    train, valid = len(ordered) * train_tenths // 10, len(ordered) // 10
    return {
        patient: "train" if place < train else "valid" if place < train + valid else "test"
        for place, patient in enumerate(ordered)
    }


def split(rows: Iterable[Row], parts: dict[str, str]) -> Splits:
    """The rows of each split, ascending by admission id."""
    splits: Splits = {"train": [], "valid": [], "test": []}
    for row in sorted(rows, key=lambda row: int(row[0])):
        splits[parts[row[1]]].append(row)
    return splits


# Length of stay and mortality -----------------------------------------------------------------------------------------


def length_of_stay(folder: Path, frame: pd.DataFrame) -> list[Row]:
    """Days in hospital, rounded to one decimal, in four classes; those who died are left out."""
    rows = []
    for stay in frame.merge(read(folder, "ADMISSIONS"), on="HADM_ID", suffixes=("", "_ADMISSION")).itertuples():
        if stay.HOSPITAL_EXPIRE_FLAG == "1":
            continue
        length = datetime.fromisoformat(stay.DISCHTIME) - datetime.fromisoformat(stay.ADMITTIME)
        days = round(length.total_seconds() / 86_400, 1)
        name = LENGTHS[(days > 3) + (days > 7) + (days > 14)]
        rows.append((stay.HADM_ID, stay.SUBJECT_ID, stay.TEXT, [name]))
    return rows


def mortality(folder: Path, frame: pd.DataFrame) -> list[Row]:
    """Death in hospital; mentions of a death are cut out of two sections, and notes that still have one are left out."""
    admissions = read(folder, "ADMISSIONS")
    flags = dict(zip(admissions["HADM_ID"], admissions["HOSPITAL_EXPIRE_FLAG"], strict=True))
    rows = []
    for stay in frame.to_dict("records"):
        lines = []
        for heading in SECTIONS:
            line = f"{heading}: {stay[heading]}"
            if heading in ("PHYSICAL EXAM", "MEDICATION ON ADMISSION"):
                line = re.sub("(?:patient|pt)?" + DEATH, "", line, count=1, flags=re.IGNORECASE)
            lines.append(line)
        text = "\n\n".join(lines)
        if re.search("(?:patient|pt)" + DEATH, text, re.IGNORECASE):
            continue
        if re.search("he expired|pronounced expired|time of death", text, re.IGNORECASE):
            continue
        rows.append(
            (stay["HADM_ID"], stay["SUBJECT_ID"], text, ["DIE" if flags[stay["HADM_ID"]] == "1" else "NOT_DIE"])
        )
    return rows


# Codes ----------------------------------------------------------------------------------------------------------------


def short_diagnosis(code: str) -> str:
    """Three characters, four of codes with a letter: V4581 is V458, E8859 is E885, 42821 is 428."""
    return code[:4] if code[0] in "VE" else code[:3]


def short_procedure(code: str) -> str:
    """Three characters of the code read as a number, as the published scripts had it: 0066 is 66, 0331 is 331."""
    return str(int(code))[:3]


def coded(table: pd.DataFrame, shorten: Any, frame: pd.DataFrame) -> tuple[list[str], list[Row]]:
    """All short codes of the whole table, sorted, and each coded admission's own in file order without repeats."""
    table = table[table["ICD9_CODE"] != ""]
    table = table.assign(SHORT=table["ICD9_CODE"].map(shorten))
    codes = table.drop_duplicates(["HADM_ID", "SHORT"]).groupby("HADM_ID", sort=False)["SHORT"].apply(list).to_dict()
    rows = [
        (stay.HADM_ID, stay.SUBJECT_ID, stay.TEXT, codes[stay.HADM_ID])
        for stay in frame.itertuples()
        if stay.HADM_ID in codes
    ]
    return sorted(set(table["SHORT"])), rows


# Ventilation ----------------------------------------------------------------------------------------------------------

VENTILATED = {
    *(445, 448, 449, 450, 1340, 1486, 1600, 224687),  # minute volume
    *(639, 654, 681, 682, 683, 684, 224684, 224685, 224686),  # tidal volume
    *(218, 436, 535, 444, 224695, 224696, 224697, 224746, 224747),  # pressures
    *(221, 1, 1211, 1655, 2000, 226873, 224738, 224419, 224750, 227187),  # inspiration
    *(543, 5865, 5866, 224705, 224706, 224707, 224709),  # plateau, APRV
    *(60, 437, 505, 506, 686, 220339, 224700),  # PEEP
    *(3459, 501, 502, 503, 224702, 223, 667, 668, 669, 670, 671, 672, 224701),  # PCV, TCPCV, PSV
}
DEVICES = {
    226732: "Nasal cannula|Face tent|Aerosol-cool|Trach mask |High flow neb|Non-rebreather|Venti mask |Medium conc mask |"
    "T-piece|High flow nasal cannula|Ultrasonic neb|Vapomist",
    467: "Cannula|Nasal Cannula|Face Tent|Aerosol-Cool|Trach Mask|Hi Flow Neb|Non-Rebreather|Venti Mask|Medium Conc Mask|"
    "Vapotherm|T-Piece|Hood|Hut|TranstrachealCat|Heated Neb|Ultrasonic Neb",
}
OXYGEN = {(item, device) for item, devices in DEVICES.items() for device in devices.split("|")}
CHARTED = VENTILATED | {720, 223848, 223849, 467, 226732, 640}
EXTUBATIONS = {"227194", "225468", "225477"}


def ventilation(folder: Path, frame: pd.DataFrame) -> list[Row]:
    """More than seven days of ventilation, among adults ventilated two days in intensive care with a note in those two days."""
    stays = adult_stays(folder)
    barred = barred_admissions(folder)
    spells = ventilated_spells(folder)
    early = early_notes(folder)
    texts = {row[0]: row for row in mortality(folder, frame)}
    rows = []
    for admission, group in stays.groupby("HADM_ID"):
        ventilated = [spells[stay] for stay in group["ICUSTAY_ID"] if spans(spells.get(stay, []), 2)]
        if admission in barred or admission not in texts or not ventilated:
            continue
        start = ventilated[0][0][0]
        if not any(start <= when <= start + timedelta(hours=48) for when in early.get(admission, [])):
            continue
        longer = any(spans(spells.get(stay, []), 7) for stay in group["ICUSTAY_ID"])
        rows.append((*texts[admission][:3], ["GT7D" if longer else "LE7D"]))
    return rows


def adult_stays(folder: Path) -> pd.DataFrame:
    """Intensive-care stays of patients of 18 years and more, in the order of their start."""
    stays = read(folder, "ICUSTAYS").merge(read(folder, "PATIENTS"), on="SUBJECT_ID", suffixes=("", "_PATIENT"))
    stays = stays.merge(read(folder, "ADMISSIONS"), on="HADM_ID", suffixes=("", "_ADMISSION"))
    # Python's datetimes: patients of 90 and more are born 300 years before, which nanoseconds cannot subtract.
    stays = stays.assign(INTIME=stays["INTIME"].map(datetime.fromisoformat).astype(object))
    ages = [
        full_years(datetime.fromisoformat(born), start)
        for born, start in zip(stays["DOB"], stays["INTIME"], strict=True)
    ]
    return stays[[age >= 18 for age in ages]].sort_values("INTIME", kind="stable")


def full_years(born: datetime, when: datetime) -> int:
    """Birthdays since birth."""
    return when.year - born.year - ((when.month, when.day) < (born.month, born.day))


def barred_admissions(folder: Path) -> set[str]:
    """Admissions with cancer of head or neck, neuromuscular disease, burns, or an organ donor."""
    titles = read(folder, "D_ICD_DIAGNOSES")
    donors = set(titles.loc[titles["LONG_TITLE"].str.lower().str.contains("donor", regex=False), "ICD9_CODE"])
    diseases = re.compile(r"14\d|3589|3590|3591|35801|941|948[3-9]")
    diagnoses = read(folder, "DIAGNOSES_ICD")
    barred = diagnoses["ICD9_CODE"].map(lambda code: code in donors or bool(diseases.match(code)))
    return set(diagnoses.loc[barred.astype(bool), "HADM_ID"])


def ventilated_spells(folder: Path) -> dict[str, list[Spell]]:
    """Each intensive-care stay's spells of ventilation, (start, end), by start and end."""
    chart = read(folder, "CHARTEVENTS")
    chart = chart[(chart["VALUE"] != "") & (chart["ERROR"] != "1")]
    moments: dict[tuple[str, datetime], tuple[bool, bool, bool]] = {}
    for row in chart[chart["ITEMID"].map(int).isin(CHARTED)].itertuples():
        key = (row.ICUSTAY_ID, datetime.fromisoformat(row.CHARTTIME))
        before, now = moments.get(key, (False, False, False)), charted(int(row.ITEMID), row.VALUE)
        moments[key] = (before[0] or now[0], before[1] or now[1], before[2] or now[2])
    events = [(*key, *flags) for key, flags in moments.items()]
    procedures = read(folder, "PROCEDUREEVENTS_MV")
    for row in procedures[procedures["ITEMID"].isin(EXTUBATIONS)].itertuples():
        events.append((row.ICUSTAY_ID, datetime.fromisoformat(row.STARTTIME), False, False, True))
    # At one moment what was charted comes before the procedure: the sort keeps their order.
    by_stay: dict[str, list[tuple[datetime, bool, bool, bool]]] = {}
    for stay, when, ventilated, oxygen, extubated in sorted(events, key=lambda event: event[:2]):
        by_stay.setdefault(stay, []).append((when, ventilated, oxygen, extubated))
    return {stay: spells_of(rows) for stay, rows in by_stay.items()}


def charted(item: int, value: str) -> tuple[bool, bool, bool]:
    """What a charted value says: ventilated, given oxygen, extubated."""
    ventilated = (
        item in VENTILATED
        or (item == 720 and value != "Other/Remarks")
        or (item == 223848 and value != "Other")
        or item == 223849
        or (item == 467 and value == "Ventilator")
    )
    extubated = item == 640 and value in ("Extubated", "Self Extubation")
    return ventilated, (item, value) in OXYGEN, extubated


def spells_of(rows: Iterable[tuple[datetime, bool, bool, bool]]) -> list[Spell]:
    """The spells in one stay's rows (time, ventilated, oxygen, extubated), which are in order of time."""
    number, after_extubation, last_ventilated = 0, False, None
    spells: dict[int, list[tuple[datetime, bool]]] = {}
    for when, ventilated, oxygen, extubated in rows:
        gap = ventilated and last_ventilated is not None and when - last_ventilated > timedelta(hours=8)
        if after_extubation or (oxygen and not ventilated) or gap:
            number += 1
        if ventilated or extubated:
            spells.setdefault(number, []).append((when, ventilated))
            after_extubation = extubated
        if ventilated:
            last_ventilated = when
    ends = [(spell[0][0], spell[-1][0]) for spell in spells.values() if any(vent for _, vent in spell)]
    return sorted((start, end) for start, end in ends if start != end)


def spans(spells: list[Spell], days: int) -> bool:
    """Whether the last spell ends `days` after the first one's start, six hours short of it allowed."""
    return bool(spells) and spells[-1][1] + timedelta(hours=6) >= spells[0][0] + timedelta(days=days)


def early_notes(folder: Path) -> dict[str, list[datetime]]:
    """Each admission's times of notes by nurses and respiratory therapists."""
    notes = read(folder, "NOTEEVENTS")
    notes = notes[notes["CATEGORY"].isin(["Nursing", "Nursing/other", "Respiratory "])]
    notes = notes[(notes["CHARTTIME"] != "") & (notes["HADM_ID"] != "")]
    times: dict[str, list[datetime]] = {}
    for stay, when in zip(notes["HADM_ID"], notes["CHARTTIME"], strict=True):
        times.setdefault(stay, []).append(datetime.fromisoformat(when))
    return times


# Command line ---------------------------------------------------------------------------------------------------------


def write(built: dict[str, dict[str, Any]], out: Path) -> None:
    """One folder per task: `classes.json`, and a parquet file per split with note_id, patient_id, text, labels."""
    for task, made in built.items():
        folder = out / task
        folder.mkdir(parents=True)
        (folder / "classes.json").write_text(json.dumps(made["classes"]))
        for name, rows in made["splits"].items():
            table = pd.DataFrame(rows, columns=["note_id", "patient_id", "text", "labels"])
            table.to_parquet(folder / f"{name}.parquet", index=False)


def main() -> None:
    """Builds tasks from SRC into OUT, which must not hold them yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--tasks", default=",".join(CORE_TASKS))
    parser.add_argument("--seed", type=int, default=123)
    given = parser.parse_args()
    write(build(given.source, given.seed, given.tasks.split(",")), given.out)


if __name__ == "__main__":
    main()
