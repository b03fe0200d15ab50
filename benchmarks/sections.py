"""How long the sections of discharge summaries take, in this process and in two more: whether a pool would pay.

python benchmarks/sections.py bench-data/60000/mimic3/NOTEEVENTS.csv
"""

import argparse
import csv
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

from clinstack.data.rules import make_rules
from clinstack.data.sections import Bodies, extract

REFERENCE = make_rules("reference", [])


def extract_all(texts: list[str]) -> list[Bodies]:
    return [extract(text, REFERENCE) for text in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("noteevents")
    parser.add_argument("--summaries", type=int, default=40_000)
    args = parser.parse_args()
    with open(args.noteevents, newline="", encoding="utf-8") as file:
        found = (row["TEXT"] for row in csv.DictReader(file) if row["CATEGORY"] == "Discharge summary" and row["TEXT"])
        texts = list(islice(found, args.summaries))
    batches = [texts[at : at + 512] for at in range(0, len(texts), 512)]
    seconds: dict[str, list[float]] = {"one process": [], "a pool of two": []}
    for _ in range(5):
        began = time.perf_counter()
        here = [extract_all(batch) for batch in batches]
        seconds["one process"].append(time.perf_counter() - began)
        began = time.perf_counter()
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            there = list(pool.map(extract_all, batches))
        seconds["a pool of two"].append(time.perf_counter() - began)
        assert here == there
    print(f"{len(texts):,} summaries of {statistics.fmean(map(len, texts)):,.0f} characters")
    for name, all_of_them in seconds.items():
        print(f"{name}: {statistics.median(all_of_them):.2f} s ({min(all_of_them):.2f} to {max(all_of_them):.2f})")


if __name__ == "__main__":
    main()
