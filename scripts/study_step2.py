"""Makes the data, settings and encoders of docs/results/table3.md and context.md, and prints the commands that make the tables.

    python scripts/study_step2.py SHARED runs/step2

SHARED holds data/ and models/. Two worlds: the synthetic hospital (5,000 patients, through the MIMIC builders, with a corpus
from its MIMIC-IV-Note), and public text (two tasks of MTSamples, HoC and MTS-Dialog, with MTSamples and E3C as the corpus). Two
small BERTs, trained here from nothing on clinical and on general text, stand for the published encoders. Every command may be
stopped and given again. Under `as-released` rates, batches and epochs stay ours: what differs is what the released code does.
"""

import argparse
import json
import shutil
from pathlib import Path

from clinstack.config import AdaptOptions
from clinstack.data.corpus import open_corpus
from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic4 import build_mimic4
from clinstack.data.sources.table import build_table
from clinstack.models.adapter_files import load_adapter
from clinstack.models.backbone import load_backbone
from clinstack.models.stack import Slot, Stack
from clinstack.training.language import CLINICAL, adapt

PATIENTS, UNLABELLED = 5000, 1200
PUBLIC = {
    "doctype": ("mtsamples/mtsamples_doctype.parquet", {"label": "label"}),
    "specialty": ("mtsamples/mtsamples_specialty.parquet", {"label": "label"}),
    "hoc": ("hoc/hoc.parquet", {"labels": "labels", "id": "pmid"}),
    "dialog": ("mts_dialog/mts_dialog.parquet", {"label": "label", "id": "row_id"}),
}
SETTINGS = """
[all]
rank = 8
head-rate = 3.0
batch-size = 16
accumulation = 1

[clinical]
learning-rate = 3e-3
batch-size = 16
accumulation = 1
max-tokens = 256
rank = 16
targets = "all"
validation-tokens = 40000

[variants.head-only]
learning-rate = 1e-2
head-rate = 1.0
epochs = 20

[variants.clinical-frozen]
learning-rate = 1e-2
head-rate = 1.0
epochs = 20
"""
"""The head alone is a small convex problem on notes that are read once: more epochs cost it next to nothing."""

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
max-tokens = 128

[variants.512]
max-tokens = 512

[variants."2,048"]
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


def make_encoder(corpus: Path, name: str, out: Path) -> None:
    """A BERT of 4 layers and width 192 with a vocabulary of 4,096, trained from nothing to restore masked tokens."""
    ready = out / "encoders" / name
    if ready.exists():
        return
    random = out / "encoders" / f"{name}-untrained"
    if not (random / "model.safetensors").exists():
        make_untrained(corpus, random)
    run = out / "encoders" / f"{name}-training"
    adapt(AdaptOptions(base=str(random), corpus=corpus, out=run, method="full", epochs=6, learning_rate=1e-3,
        batch_size=16, max_tokens=256, validation_tokens=40_000, seed=1))  # fmt: skip
    backbone = load_backbone(str(random))
    trained = load_adapter(run / "adapters" / CLINICAL, CLINICAL)
    Stack(backbone, (Slot(trained, frozen=True, merged=True),))
    partial = out / "encoders" / f"{name}-partial"
    backbone.model.save_pretrained(partial)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(random / file, partial / file)
    shutil.move(partial, ready)


def make_untrained(corpus: Path, folder: Path) -> None:
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    texts = open_corpus(corpus).read("train").column("text").to_pylist()
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(texts, vocab_size=4096, min_frequency=2, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    pieces.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=192, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=768, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    shared, out = arguments.shared, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    make_hospital(out)
    make_public(shared / "data", out)
    make_encoder(out / "public-corpus", "small-clinical", out)
    make_encoder(out / "general-corpus", "small-general", out)
    (out / "settings.toml").write_text(SETTINGS)
    (out / "context.toml").write_text(CONTEXT.format(tasks=json.dumps(["public/doctype", "public/specialty"])))
    bases = f"--bases tiny-base --bases {shared}/models/stories260k-llama"
    encoders = f"--encoders {out}/encoders/small-clinical --encoders {out}/encoders/small-general"
    common = f"--settings {out}/settings.toml --learning-rate 3e-3 --max-tokens 128 --pooling mean"
    print(f"clinstack study table1 --source {out}/hospital/mimic3 --out {out}/table1")
    for world, tasks, epochs in (("public", f"{out}/public", 6), ("hospital", f"{out}/table1/tasks", 2)):
        for profile in ("correct", "as-released"):
            print(
                f"clinstack study table3 --profile {profile} --tasks {tasks} {bases} --corpus {out}/{world}-corpus "
                f"{common} --epochs {epochs} --encoder-learning-rate 3e-4 {encoders} --out {out}/table3/{world}-{profile}"
            )
        print(
            f"clinstack study table4 --tasks {tasks} {encoders} --settings {out}/settings.toml --learning-rate 3e-3 "
            f"--max-tokens 128 --epochs {epochs} --encoder-learning-rate 3e-4 --out {out}/table4/{world}"
        )
    print(f"clinstack study {out}/context.toml --out {out}/context")


if __name__ == "__main__":
    main()
