"""How fast, and in how much memory, the largest tables are read: MIMIC-IV-Note to a corpus, and CHARTEVENTS to ventilation.

    python benchmarks/large_tables.py --patients 20000 --rows 10000000 --work bench-data/large

Makes a synthetic hospital, gives its MIMIC-IV-Note notes the length of real ones and repeats its CHARTEVENTS until it has so
many rows, then runs `clinstack data mimic4` (plain, with the guard, and looking for a task's notes) and `clinstack data mimic3
--tasks pmv`, each as a process of its own. Prints times and peak memory, extrapolated by bytes and by rows to the full tables.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

from data import OTHER_CHARACTERS, SUMMARY_CHARACTERS, lengthened, timed

COMMAND = [sys.executable, "-m", "clinstack.cli", "data"]
FULL_CHARTED = 330_712_483
"""Rows of CHARTEVENTS in MIMIC-III v1.4."""
FULL_GIGABYTES = (331_794 * SUMMARY_CHARACTERS + 2_321_355 * OTHER_CHARACTERS) / 1e9
"""Of MIMIC-IV-Note v2.2, if its notes have the lengths assumed here."""


def make_hospital(folder: Path, patients: int, rows: int) -> None:
    done = folder / "done"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    make = [*COMMAND, "synthetic", str(folder), "--patients", str(patients), "--plain", "--seed", "11"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    notes = folder / "mimic4"
    pool = texts(notes / "radiology.csv", 5000)
    lengthen(notes / "discharge.csv", SUMMARY_CHARACTERS, pool)
    lengthen(notes / "radiology.csv", OTHER_CHARACTERS, pool)
    repeat(folder / "mimic3" / "CHARTEVENTS.csv", rows)
    done.touch()


def texts(file: Path, most: int) -> list[str]:
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines)
        return [row["text"].replace(":", ".") for _, row in zip(range(most), rows, strict=False) if row["text"]]


def lengthen(file: Path, wanted: int, pool: list[str]) -> None:
    """Gives every note of a file the length of real ones, in constant memory."""
    longer = file.with_suffix(".longer")
    with file.open(newline="") as old, longer.open("w", newline="") as new:
        rows = csv.DictReader(old)
        out = csv.DictWriter(new, rows.fieldnames or [], lineterminator="\n")
        out.writeheader()
        for row in rows:
            out.writerow(row | {"text": lengthened(row["text"], wanted, pool) if row["text"] else ""})
    os.replace(longer, file)


def repeat(file: Path, rows: int) -> None:
    """Repeats a CSV file's rows until there are so many; they say the same again, so that the cohort stays as it is."""
    header, *lines = file.read_bytes().splitlines(keepends=True)
    with file.open("wb") as out:
        out.write(header)
        for _ in range(rows // len(lines)):
            out.writelines(lines)
        out.writelines(lines[: rows % len(lines)])


def gigabytes(folder: Path, *names: str) -> float:
    return sum((folder / name).stat().st_size for name in names) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, default=Path("bench-data/large"))
    args = parser.parse_args()
    hospital, out = args.work / "hospital", args.work / "out"
    make_hospital(hospital, args.patients, args.rows)
    shutil.rmtree(out, ignore_errors=True)

    charted = gigabytes(hospital / "mimic3", "CHARTEVENTS.csv")
    seconds, peak = timed([*COMMAND, "mimic3", str(hospital / "mimic3"), str(out / "tasks"), "--tasks", "pmv,mor"])
    print(
        f"data mimic3 --tasks pmv,mor, CHARTEVENTS of {args.rows:,} rows, {charted:.2f} GB: {seconds:.1f} s, {peak:.2f} GiB"
    )
    print(f"  extrapolated to {FULL_CHARTED:,} rows: {seconds * FULL_CHARTED / args.rows / 60:.0f} min")

    size = gigabytes(hospital / "mimic4", "discharge.csv", "radiology.csv")
    ways = {
        "": [],
        "--against TASK": ["--against", str(out / "tasks" / "mor")],
        "--identifiers count": ["--identifiers", "count"],
    }
    for way, flags in ways.items():
        folder = out / f"corpus{len(way)}"
        seconds, peak = timed([*COMMAND, "mimic4", str(hospital / "mimic4"), str(folder), *flags])
        full = seconds * FULL_GIGABYTES / size / 60
        print(f"data mimic4 {way}, {size:.2f} GB: {seconds:.1f} s, {peak:.2f} GiB", flush=True)
        print(f"  extrapolated to {FULL_GIGABYTES:.1f} GB: {full:.1f} min")


if __name__ == "__main__":
    main()
