"""How many planted identifiers the guard finds, how much of what it finds was planted, and how fast it reads.

    clinstack data synthetic hospital --patients 2000 --identifiers 0.3 --seed 7
    python benchmarks/identifiers.py hospital

Made-up identifiers in the forms hospitals use were planted at known places (`mimic4/planted.csv`); the rest of these notes has
none. A planted one counts as found if a found one overlaps it, whatever its kind.
"""

import argparse
import csv
import gzip
import time
from collections import Counter, defaultdict
from pathlib import Path

from clinstack.data.identifiers import KINDS, find_identifiers


def notes(folder: Path):
    for file in sorted(folder.glob("*.csv.gz")):
        with gzip.open(file, "rt", newline="", encoding="utf-8") as rows:
            yield from csv.DictReader(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hospital", type=Path)
    folder = parser.parse_args().hospital / "mimic4"
    planted: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for row in csv.DictReader((folder / "planted.csv").read_text(encoding="utf-8").splitlines()):
        planted[row["note_id"]].append((int(row["start"]), int(row["end"]), row["kind"]))
    hits, total, true, found, read, characters = Counter(), Counter(), Counter(), Counter(), 0, 0
    began = time.perf_counter()
    for note in notes(folder):
        seen, known = find_identifiers(note["text"]), planted.get(note["note_id"], [])
        read, characters = read + 1, characters + len(note["text"])
        for start, end, kind in known:
            total[kind] += 1
            hits[kind] += any(start < last and first < end for first, last, _ in seen)
        for start, end, kind in seen:
            found[kind] += 1
            true[kind] += any(start < last and first < end for first, last, _ in known)
    seconds = time.perf_counter() - began
    print("| kind | planted | recall | found | precision |\n|---|---|---|---|---|")
    for kind in KINDS:
        print(
            f"| {kind} | {total[kind]:,} | {hits[kind] / total[kind]:.3f} | {found[kind]:,} | {true[kind] / found[kind]:.3f} |"
        )
    every = hits.total() / total.total(), true.total() / found.total()
    print(f"| all | {total.total():,} | {every[0]:.3f} | {found.total():,} | {every[1]:.3f} |")
    print(f"\n{read:,} notes, {characters / read:,.0f} characters on average: {read / seconds:,.0f} notes/s")


if __name__ == "__main__":
    main()
