"""The limited-data study's grid: how long it takes, and how often notes pass through the frozen encoders.

    python benchmarks/limited.py --work bench-limited

Three RoBERTas of random weights (two layers of width 128, subwords of their own as the published French encoders have), six
heads (the linear probe, the four head adapters, and the bottleneck in a second form), eight sizes from 50 notes to all, five
splits, with models from nothing and baselines, on 5,444 made-up French lines; no LoRA, which reads anew in every epoch. What
is timed is one `clinstack study limited-data` on all cores, drawing and reading included. The same command goes on with what
is there, and then says so.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from clinstack.data.sources.french_lines import write_lines
from clinstack.data.sources.table import build_table

SIZES = "50,100,200,400,800,1600,3200,all"


def make_encoder(lines: list[str], folder: Path, seed: int) -> None:
    import torch
    from transformers import RobertaConfig, RobertaForMaskedLM

    from clinstack.models.scratch_tokenizer import train_tokenizer

    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(lines, "subwords", 2000 + 1000 * seed, folder)
    tokenizer.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "mask_token": "<mask>"})
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = RobertaConfig(vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512, max_position_embeddings=514, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench-limited"))
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--seeds", default="5")
    arguments = parser.parse_args()
    work = arguments.work
    if not (work / "lines").exists():
        if not (work / "lines.csv").exists():
            write_lines(work / "lines.csv")
        build_table(
            [work / "lines.csv"], work / "lines", text="text", label="label", patient="patient_id", note_id="note_id"
        )
    encoders = [work / f"encoder-{seed}" for seed in (1, 2, 3)]
    for seed, encoder in enumerate(encoders, start=1):
        if not encoder.exists():
            make_encoder((work / "lines.csv").read_text(encoding="utf-8").splitlines(), encoder, seed)
    command = [
        sys.executable,
        "-m",
        "clinstack.cli",
        "study",
        "limited-data",
        "--tasks",
        work / "lines",
        "--out",
        work / "study",
    ]
    command += [word for encoder in encoders for word in ("--encoders", encoder)]
    command += [
        "--heads",
        "none,adapter,adapter:houlsby,lightweight,tiny-attention,grn",
        "--arms",
        "native",
        "--lora",
        "none",
    ]
    command += ["--sizes", arguments.sizes, "--seeds", arguments.seeds, "--line-split", "none", "--json"]
    began, fresh = time.perf_counter(), not (work / "study").exists()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    rows = json.loads((work / "study" / "table.json").read_text())
    told = {
        "fresh": fresh,
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "cores": os.cpu_count(),
        "cells": found["cells"],
        "failed": len(found["failed"]),
        "rows": len(rows),
        "notes_read": found["notes_read"],
        "notes_read_naively": found["notes_read_naively"],
    }
    (work / "limited.json").write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
