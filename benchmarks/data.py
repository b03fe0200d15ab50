"""How fast, and in how much memory, a hospital's tables become tasks: against plain pandas, and as the hospital grows.

    python benchmarks/data.py --admissions 60000 --rounds 3 --sizes 10000 30000 60000 120000 --work bench-data

Makes synthetic hospitals whose notes have the length of real ones (discharge summaries of about 10,000 characters, others
of 1,600: about 1 GB of NOTEEVENTS at 60,000 admissions), then runs `clinstack data mimic3` and `naive_mimic3.py` in turn, as
processes of their own: a script for each task, as the tasks were published, and one that shares the notes among them. Compares
every row, prints times and peak memory; figures go to results.json.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

import pyarrow.parquet as pq

HERE = Path(__file__).parent
CORE = "los,mor,diag,proc"
COLUMNS = ["note_id", "patient_id", "text", "labels"]
SUMMARY_CHARACTERS, OTHER_CHARACTERS = 10_000, 1_600
ADMISSIONS_A_PATIENT = 1.26
MIMIC3_GIGABYTES = 4.0
"""Size of NOTEEVENTS in MIMIC-III v1.4, as CSV."""


def make_hospital(folder: Path, admissions: int) -> dict:
    """A synthetic MIMIC-III of about so many admissions, its notes lengthened."""
    if not (folder / "done.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        patients = str(int(admissions / ADMISSIONS_A_PATIENT))
        command = [
            sys.executable,
            "-m",
            "clinstack.cli",
            "data",
            "synthetic",
            str(folder),
            "--patients",
            patients,
            "--plain",
        ]
        made = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)
        shutil.rmtree(folder / "mimic4")
        lengthen(folder / "mimic3" / "NOTEEVENTS.csv")
        size = (folder / "mimic3" / "NOTEEVENTS.csv").stat().st_size
        about = {"admissions": made["admissions"]["mimic3"], "notes": made["notes"]["mimic3"], "bytes": size}
        (folder / "done.json").write_text(json.dumps(about))
    return json.loads((folder / "done.json").read_text())


def lengthen(file: Path) -> None:
    """Puts paragraphs of other notes into every note until it has the length of a real one, in constant memory.

    A summary's stand in its hospital course, where real ones are long. A text chooses its own, so that texts that were
    duplicates stay duplicates.
    """
    longer, pool = file.with_suffix(".longer"), []
    with file.open(newline="") as old, longer.open("w", newline="") as new:
        rows, out = csv.reader(old), csv.writer(new, lineterminator="\n")
        header = next(rows)
        out.writerow(header)
        category, text = header.index("CATEGORY"), header.index("TEXT")
        for row in rows:
            summary = row[category] == "Discharge summary"
            if row[text] and not summary and len(pool) < 5000:
                pool.append(row[text].replace(":", "."))
            if row[text] and pool:
                row[text] = lengthened(row[text], SUMMARY_CHARACTERS if summary else OTHER_CHARACTERS, pool)
            out.writerow(row)
    os.replace(longer, file)


def lengthened(text: str, wanted: int, pool: list[str]) -> str:
    at = crc32(text.encode())
    parts, length = [""], len(text)
    while length < wanted:
        at = (at + 7919) % len(pool)
        parts.append(pool[at])
        length += len(pool[at]) + 2
    course = text.find("Hospital Course:")
    before = text.find("\n\n", course) if course >= 0 else -1
    before = before if before >= 0 else len(text)
    return text[:before] + "\n\n".join(parts) + text[before:]


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident GiB of a command, which must succeed."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return time.monotonic() - began, usage.ru_maxrss / 2**20


def ours(source: Path, out: Path) -> tuple[float, float]:
    shutil.rmtree(out, ignore_errors=True)
    return timed([sys.executable, "-m", "clinstack.cli", "data", "mimic3", str(source), str(out), "--tasks", CORE])


def naive(source: Path, out: Path, *together: str) -> tuple[float, float]:
    """Plain pandas, a process for each group of tasks: times add up, memory is that of the largest."""
    shutil.rmtree(out, ignore_errors=True)
    script = [sys.executable, str(HERE / "naive_mimic3.py"), str(source), str(out), "--tasks"]
    parts = [timed([*script, tasks]) for tasks in together]
    return sum(seconds for seconds, _ in parts), max(peak for _, peak in parts)


def same(one: Path, other: Path) -> int:
    """Compares every row of every task and split; returns how many there are."""
    rows = 0
    for task in CORE.split(","):
        for split in ("train", "valid", "test"):
            tables = [
                pq.read_table(folder / task / f"{split}.parquet", columns=COLUMNS).to_pylist()
                for folder in (one, other)
            ]
            if tables[0] != tables[1]:
                raise SystemExit(f"{task}, {split}: the two programs disagree")
            rows += len(tables[0])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--admissions", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 30_000, 60_000, 120_000])
    parser.add_argument("--work", type=Path, default=Path("bench-data"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    found: dict = {"scaling": []}
    if args.rounds:
        about = make_hospital(args.work / str(args.admissions), args.admissions)
        source = args.work / str(args.admissions) / "mimic3"
        rounds = []
        for number in range(args.rounds):
            runs = {
                "ours": ours(source, args.work / "ours"),
                "pandas, a script a task": naive(source, args.work / "naive", *CORE.split(",")),
                "pandas, notes shared by the tasks": naive(source, args.work / "naive", CORE),
            }
            rows = same(args.work / "ours", args.work / "naive")
            rounds.append(runs)
            said = "; ".join(f"{name} {seconds:.1f} s, {peak:.2f} GiB" for name, (seconds, peak) in runs.items())
            print(f"round {number + 1}: {said}; {rows:,} rows alike", flush=True)
        found |= {"hospital": about, "rounds": rounds}
        print(f"{about['admissions']:,} admissions, {about['notes']:,} notes, {about['bytes'] / 1e9:.2f} GB:")
        for name in ("pandas, a script a task", "pandas, notes shared by the tasks"):
            ratios = [runs[name][0] / runs["ours"][0] for runs in rounds]
            print(f"  {name}: {statistics.median(ratios):.1f} times as long ({min(ratios):.1f} to {max(ratios):.1f})")
    for size in args.sizes:
        about = make_hospital(args.work / str(size), size)
        seconds, gigabytes = ours(args.work / str(size) / "mimic3", args.work / "ours")
        found["scaling"].append({**about, "seconds": seconds, "peak_gib": gigabytes})
        print(
            f"{about['admissions']:,} admissions, {about['bytes'] / 1e9:.2f} GB: {seconds:.1f} s, {gigabytes:.2f} GiB",
            flush=True,
        )
    if found["scaling"]:
        last = found["scaling"][-1]
        full = last["seconds"] * MIMIC3_GIGABYTES * 1e9 / last["bytes"]
        print(f"extrapolated by size to MIMIC-III's NOTEEVENTS ({MIMIC3_GIGABYTES:.0f} GB): {full:.0f} s")
    (args.work / "results.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
