"""Makes the data, settings and encoders of docs/results/table3.md and context.md, and prints the commands that make the tables.

    python scripts/study_step2.py SHARED runs/step2

SHARED holds data/ and models/. Two worlds: the synthetic hospital (5,000 patients, through the MIMIC builders, with a corpus
from its MIMIC-IV-Note), and public text (MTSamples, HoC and MTS-Dialog, with MTSamples and E3C as the corpus). Two small BERTs,
trained here from nothing on clinical and on general text, stand for the published encoders. Every command may be stopped and
given again. Under `as-released` the clinical adapters, rates, batches and epochs stay ours: what differs is what the released
code does in step 2.
"""

import argparse
import json
from pathlib import Path

from train_small_encoder import make_encoder

from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic4 import build_mimic4
from clinstack.data.sources.table import build_table

PATIENTS, UNLABELLED = 5000, 1200
PUBLIC = {
    "doctype": ("mtsamples/mtsamples_doctype.parquet", {"label": "label"}),
    "specialty": ("mtsamples/mtsamples_specialty.parquet", {"label": "label"}),
    "hoc": ("hoc/hoc.parquet", {"labels": "labels", "id": "pmid"}),
    "dialog": ("mts_dialog/mts_dialog.parquet", {"label": "label", "id": "row_id"}),
}
TABLE3 = ("specialty", "hoc", "dialog")
STEP1 = "--learning-rate 3e-3 --batch-size 16 --max-tokens 256 --rank 16 --targets all --validation-tokens 40000"
SETTINGS = """
[all]
rank = 8
head-rate = 3.0
batch-size = 16
accumulation = 1

[variants.head-only]
learning-rate = 1e-2
head-rate = 1.0
epochs = 20

[variants.clinical-frozen]
learning-rate = 1e-2
head-rate = 1.0
epochs = 20

[variants.task-large]
task-adapter = "lora"
rank = 16
targets = "all"
"""
"""The head alone is a small convex problem on notes that are read once: more epochs cost it next to nothing. `task-large` is a
fresh adapter of the clinical one's size: against it a trainable clinical adapter shows what step 1 gave, not how large it is.
"""

CONTEXT = """
title = "MTSamples: how much of a note"

[all]
epochs = 6
learning-rate = 3e-3
head-rate = 3.0
batch-size = 16
pooling = "mean"
rank = 8

[grid]
base = ["tiny-base"]
task = {tasks}
variant = ["128", "512", "2,048"]
seed = [1, 2, 3, 4, 5]

[variants.128]
task-adapter = "lora"
max-tokens = 128

[variants.512]
task-adapter = "lora"
max-tokens = 512

[variants."2,048"]
task-adapter = "lora"
max-tokens = 512
chunks = 4
"""


def make_hospital(out: Path) -> None:
    if not (out / "hospital").exists():
        write_hospital(out / "hospital", patients=PATIENTS, unlabelled_patients=UNLABELLED, seed=1)
    if not (out / "hospital-corpus").exists():
        build_mimic4(out / "hospital" / "mimic4", out / "hospital-corpus")


def make_public(data: Path, out: Path) -> None:
    if not (out / "public-corpus").exists():
        files = [data / "mtsamples" / "mtsamples_multilabel.parquet", data / "e3c" / "e3c_en_cases.parquet"]
        build_table(files, out / "public-corpus", text="text", split="split", name="mtsamples+e3c")
    if not (out / "general-corpus").exists():
        build_table([data / "general" / "general_en.parquet"], out / "general-corpus", text="text", split="split")
    for task, (file, columns) in PUBLIC.items():
        if (out / "public" / task).exists():
            continue
        given = dict(columns)
        source = data / file
        if task == "dialog":  # its second official test set is a part that no split of ours is called after
            source = without_second_test(source, out)
        note_id = given.pop("id", None)
        text = "note" if task == "dialog" else "text"
        build_table([source], out / "public" / task, text=text, split="split", note_id=note_id, **given)


def without_second_test(file: Path, out: Path) -> Path:
    from pyarrow import compute, parquet

    table = parquet.read_table(file)
    kept = table.filter(compute.not_equal(table.column("split"), "test2"))
    parquet.write_table(kept, out / "dialog.parquet")
    return out / "dialog.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    shared, out = arguments.shared, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    make_hospital(out)
    make_public(shared / "data", out)
    make_encoder(out / "public-corpus", out / "encoders" / "small-clinical", epochs=1)
    make_encoder(out / "general-corpus", out / "encoders" / "small-general", epochs=1)
    (out / "settings.toml").write_text(SETTINGS)
    (out / "context.toml").write_text(CONTEXT.format(tasks=json.dumps(["public/doctype", "public/specialty"])))
    bases = {"tiny-base": "tiny-base", "stories260k": f"{shared}/models/stories260k-llama"}
    encoders = f"--encoders {out}/encoders/small-clinical --encoders {out}/encoders/small-general"
    step2 = f"--settings {out}/settings.toml --learning-rate 3e-3 --max-tokens 128 --encoder-learning-rate 3e-4"
    public = " ".join(f"--tasks {out}/public/{task}" for task in TABLE3)
    print(f"clinstack study table1 --source {out}/hospital/mimic3 --out {out}/table1")
    for world, tasks, epochs in (("public", public, 6), ("hospital", f"--tasks {out}/table1/tasks", 2)):
        for name, base in bases.items():
            print(
                f"clinstack adapt --base {base} --corpus {out}/{world}-corpus {STEP1} --out {out}/step1/{world}-{name}"
            )
        stacks = " ".join(f"--bases {base} --clinical {out}/step1/{world}-{name}" for name, base in bases.items())
        common = f"{tasks} {encoders} {step2} --epochs {epochs}"
        for profile in ("correct", "as-released"):
            out_here = f"--out {out}/table3/{world}-{profile}"
            print(f"clinstack study table3 --profile {profile} {stacks} {common} --pooling mean {out_here}")
        print(f"clinstack study table4 {common} --out {out}/table4/{world}")
    print(f"clinstack study {out}/context.toml --out {out}/context")


if __name__ == "__main__":
    main()
