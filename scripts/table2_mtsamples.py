"""Makes the corpus and the general text of docs/results/table2.md, and says how the table is made from them.

    python scripts/table2_mtsamples.py SHARED runs/table2

SHARED holds data/mtsamples, data/e3c and data/general. The corpus is every text of MTSamples and of E3C's English cases, split
as published; the general text is the test part of general_en: its Wikipedia articles, and as many passages from novels.
"""

import argparse
import random
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from clinstack.data.sources.table import build_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    data = arguments.shared / "data"
    if not (arguments.out / "corpus").exists():
        files = [data / "mtsamples" / "mtsamples_multilabel.parquet", data / "e3c" / "e3c_en_cases.parquet"]
        build_table(files, arguments.out / "corpus", text="text", split="split", name="mtsamples+e3c")
    rows = [
        row for row in parquet.read_table(data / "general" / "general_en.parquet").to_pylist() if row["split"] == "test"
    ]
    articles = [row["text"] for row in rows if row["source"] == "wikitext-2"]
    passages = [row["text"] for row in rows if row["source"] == "english-novels"]
    chosen = articles + random.Random(0).sample(passages, len(articles))
    general = arguments.out / "general.parquet"
    parquet.write_table(pa.table({"text": chosen}), general)
    size = sum(len(text.encode()) for text in chosen)
    print(f"{general}: {len(chosen)} texts, {size:,} bytes")
    print(
        f"clinstack study table2 --bases tiny-base --bases {arguments.shared}/models/stories260k-llama "
        f"--corpus {arguments.out / 'corpus'} --general {general} --out {arguments.out / 'table'} --max-tokens 256 "
        "--batch-size 16 --learning-rates 1e-4 3e-2 --search-tokens 600000 --prune-after 150000 --validation-tokens 40000 "
        "--workers 2"
    )


if __name__ == "__main__":
    main()
