"""Writes the page's example notes: admission notes of the synthetic hospital, whose patients never lived.

python scripts/page_examples.py src/clinstack/serving/page/examples.json
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

from pyarrow import parquet

from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic3 import build_mimic3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_hospital(Path(scratch) / "hospital", patients=200, seed=4)
        build_mimic3(Path(scratch) / "hospital" / "mimic3", Path(scratch) / "tasks", tasks=["mor"])
        texts = parquet.read_table(Path(scratch) / "tasks" / "mor" / "train.parquet").column("text").to_pylist()
    examples: dict[str, str] = {}
    for text in texts:
        complaint = re.match(r"CHIEF COMPLAINT: ([^\n.]{3,40})", text)
        if complaint and 900 < len(text) < 2500:
            examples.setdefault(complaint[1].strip().lower(), text)
    chosen = [{"title": f"a made-up patient: {title}", "text": text} for title, text in list(examples.items())[:4]]
    arguments.out.write_text(json.dumps(chosen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {', '.join(one['title'] for one in chosen)}")


if __name__ == "__main__":
    main()
