"""Makes the data and encoders of docs/results/limited-data.md, and prints the commands of the study.

    python scripts/study_limited.py SHARED runs/limited

SHARED holds data/. French: made-up lines of a children's intensive care unit, and MORFITT's abstracts (12 specialties).
English: sections of MTS-Dialog, and document types of MTSamples. Small BERTs, trained here from nothing on clinical cases (E3C)
and on general text of either language, stand for the published encoders; none has read a note of any task. A LoRA is what takes
longest by far: `--lora none` leaves it out. Every command may be stopped and given again.
"""

import argparse
from pathlib import Path

import pandas
from study_step2 import make_public
from train_small_encoder import make_encoder

from clinstack.data.sources.french_lines import write_lines
from clinstack.data.sources.table import build_table

MEASURED = 100
"""Passages of novels to validate and to test: step 1 measures all of them, which would take longer than to learn."""

MAX_TOKENS = 512
"""What the encoders can read at most: their 4,096 pieces are short, and of 256 most lines were cut."""

SIZES = "50,200,800,all"


def make_notes(data: Path, out: Path) -> None:
    """Two tasks, and corpora of encoders: clinical cases with leaflets, novels, and English cases."""
    if not (out / "lines.csv").exists():
        write_lines(out / "lines.csv")
    if not (out / "general_fr.parquet").exists():
        novels = pandas.read_parquet(data / "general/general_fr.parquet")
        learned = novels["split"] == "train"
        few = novels[~learned].groupby("split").head(MEASURED)
        pandas.concat([novels[learned], few]).to_parquet(out / "general_fr.parquet")
    columns = {"text": "text", "label": "label", "patient": "patient_id", "note_id": "note_id"}
    made = {
        "tasks/lines": ([out / "lines.csv"], columns),
        "tasks/morfitt": (
            [data / "morfitt/morfitt.parquet"],
            {"text": "text", "labels": "labels", "note_id": "doc_id", "split": "split"},
        ),
        "corpora/french-clinical": (
            [data / "e3c/e3c_fr_cases.parquet", data / "e3c/e3c_fr_leaflets_nc.parquet"],
            {"text": "text", "split": "split"},
        ),
        "corpora/french-general": ([out / "general_fr.parquet"], {"text": "text", "split": "split"}),
        "corpora/english-clinical": ([data / "e3c/e3c_en_cases.parquet"], {"text": "text", "split": "split"}),
    }
    for place, (files, given) in made.items():
        if not (out / place).exists():
            build_table(files, out / place, **given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    data, out = arguments.shared / "data", arguments.out
    out.mkdir(parents=True, exist_ok=True)
    make_notes(data, out)
    make_public(data, out)
    encoders = {
        "small-french": (out / "corpora/french-general", True, 3),
        "small-french-clinical": (out / "corpora/french-clinical", True, 4),
        "small-clinical": (out / "corpora/english-clinical", False, 3),
        "small-general": (out / "general-corpus", False, 1),
    }
    for name, (corpus, cased, epochs) in encoders.items():
        make_encoder(corpus, out / "encoders" / name, cased=cased, epochs=epochs)
    french, english = ("small-french", "small-french-clinical"), ("small-clinical", "small-general")
    for task, names in (
        ("tasks/lines", french),
        ("tasks/morfitt", french),
        ("public/dialog", english),
        ("public/doctype", english),
    ):
        models = " ".join(f"--encoders {out}/encoders/{name}" for name in names)
        command = f"clinstack study limited-data --tasks {out}/{task} {models} --max-tokens {MAX_TOKENS}"
        place = f"{out}/{Path(task).name}"
        print(f"{command} --sizes {SIZES} --out {place}")
        print(f"{command} --profile as-described --out {place}-as-described")


if __name__ == "__main__":
    main()
