"""Step 2: what is computed once against every epoch anew, a grid against its cells one by one, and 1,266 labels.

    python benchmarks/step2.py --work bench-step2 [--parts heads grid labels]

heads:  ten epochs of a head on a frozen base, and on a frozen clinical adapter, of 27.4 M parameters: `clinstack train`, alone
        and with a feature store that another seed has filled, beside peft and transformers' Trainer, which read every note in
        every epoch. The three take turns; ratios are those of one turn, of the time that training takes.
grid:   five tasks x six variants x three seeds on the demo's hospital: `clinstack study` against one `clinstack` command a
        cell, each with all cores. Half of the cells come before the study and half after it.
labels: 1,000 bootstrap draws of the macro AUROC of 1,266 labels x 9,829 notes, one evaluation of it, and the same by a loop
        over scikit-learn on a sample of draws, extrapolated. Each is a process of its own.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import step1

from clinstack.studies.published import VARIANTS

PARTS = ("heads", "grid", "labels")
EPOCHS, LENGTH, BATCH = 10, 192, 8
NOTES, LABELS, PATIENTS = 9829, 1266, 7465
GRID = """
title = "Five tasks, six variants, three seeds"

[all]
epochs = 1
learning-rate = 3e-3
head-rate = 3.0
max-tokens = 208
pooling = "mean"
rank = 8

[clinical]
corpus = "corpus"
learning-rate = 3e-3
max-tokens = 256
rank = 8
targets = "all"
validation-tokens = 20000
validations-per-epoch = 2

[grid]
base = ["tiny-base"]
task = ["tasks/mor", "tasks/diag", "tasks/los", "tasks/pmv", "tasks/proc"]
variant = {variants}
seed = [1, 2, 3]
"""


def make_hospital(folder: Path, patients: int, unlabelled: int) -> None:
    from clinstack.data.sources.hospital import write_hospital
    from clinstack.data.sources.mimic3 import build_mimic3
    from clinstack.data.sources.mimic4 import build_mimic4

    write_hospital(folder / "hospital", patients=patients, unlabelled_patients=unlabelled, seed=1)
    build_mimic3(folder / "hospital" / "mimic3", folder / "tasks")
    build_mimic4(folder / "hospital" / "mimic4", folder / "corpus")


def prepare_heads(work: Path) -> dict:
    from clinstack.config import AdaptOptions
    from clinstack.training.language import adapt

    make_hospital(work, 300, 120)
    step1.make_base(work / "base")
    options = AdaptOptions(base=str(work / "base"), corpus=work / "corpus", out=work / "clinical", max_tokens=LENGTH,
        train_tokens=20_000, validation_tokens=2_000, precision="float32", method_options={"rank": 16})  # fmt: skip
    adapt(options)
    return {}


def heads_ours(work: Path, clinical: bool, seed: int, store: bool) -> dict:
    from clinstack.config import TrainOptions
    from clinstack.training.classification import train

    out = work / "run"
    shutil.rmtree(out, ignore_errors=True)
    result = train(
        TrainOptions(
            base=str(work / "base"),
            task=work / "tasks" / "mor",
            out=out,
            clinical=work / "clinical" if clinical else None,
            task_adapter="none",
            epochs=EPOCHS,
            max_tokens=LENGTH,
            batch_size=BATCH,
            seed=seed,
            precision="float32",
            feature_store=work / "features" if store else None,
        )
    )
    cost = [result["cost"][phase] for phase in ("encode", "train")]
    taken = {"seconds": sum(one["seconds"] for one in cost), "peak_bytes": max(one["peak_bytes"] for one in cost)}
    return taken | {"auroc": result["validation"]["value"]}


def heads_reference(work: Path, clinical: bool) -> dict:
    """A classifier of transformers with a frozen body, every epoch over all notes, validated after each."""
    import numpy as np
    import torch
    from peft import PeftModel
    from sklearn.metrics import roc_auc_score
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    from clinstack.data.task import open_task
    from clinstack.training.machine import forget_peak, peak_bytes

    task = open_task(work / "tasks" / "mor")
    tokenizer = AutoTokenizer.from_pretrained(work / "base")
    rows = {}
    for split in ("train", "valid"):
        table = task.read(split)
        texts = [tokenizer.bos_token + text for text in table.column("text").to_pylist()]
        encoded = tokenizer(texts, truncation=True, max_length=LENGTH)
        labels = task.label_matrix(table)[:, 1].astype(int)
        rows[split] = [
            {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
            for ids, mask, label in zip(encoded["input_ids"], encoded["attention_mask"], labels, strict=True)
        ]
    model = AutoModelForSequenceClassification.from_pretrained(work / "base", num_labels=2, dtype=torch.float32)
    if clinical:
        model = PeftModel.from_pretrained(model, work / "clinical" / "adapters" / "clinical")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("score" in name)
    arguments = TrainingArguments(
        output_dir=str(work / "reference"), per_device_train_batch_size=BATCH, per_device_eval_batch_size=32,
        num_train_epochs=EPOCHS, learning_rate=3e-3, eval_strategy="epoch", use_cpu=True, save_strategy="no", report_to=[],
        disable_tqdm=True,
    )  # fmt: skip

    def score(found) -> dict:
        return {"auroc": float(roc_auc_score(found.label_ids, np.diff(found.predictions, axis=1)[:, 0]))}

    trainer = Trainer(model=model, args=arguments, train_dataset=rows["train"], eval_dataset=rows["valid"],
        data_collator=DataCollatorWithPadding(tokenizer), compute_metrics=score)  # fmt: skip
    forget_peak()
    began = time.perf_counter()
    trainer.train()
    best = max(entry["eval_auroc"] for entry in trainer.state.log_history if "eval_auroc" in entry)
    return {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes(), "auroc": best}


def label_data():
    import numpy as np

    chance = np.random.default_rng(0)
    frequency = np.clip(0.3 * np.arange(1, LABELS + 1) ** -0.9, 3e-4, None)
    labels = chance.random((NOTES, LABELS)) < frequency
    logits = (chance.normal(size=labels.shape) + 1.2 * labels + np.log(frequency)).astype(np.float32)
    return logits, labels, [str(patient) for patient in chance.integers(0, PATIENTS, NOTES)]


def labels_ours() -> dict:
    import numpy as np

    from clinstack.metrics.intervals import bootstrap
    from clinstack.metrics.scorecard import headline_statistic, scorecard
    from clinstack.training.machine import peak_bytes

    logits, labels, patients = label_data()
    once, all_notes = [], np.ones((1, NOTES), dtype=np.int32)
    for _ in range(3):
        began = time.perf_counter()
        value = float(headline_statistic("multilabel", logits, labels)(all_notes)[0])
        once.append(time.perf_counter() - began)
    began = time.perf_counter()
    interval = bootstrap(headline_statistic("multilabel", logits, labels), patients)
    bootstrapped, peak = time.perf_counter() - began, peak_bytes()
    began = time.perf_counter()
    scorecard("multilabel", logits, labels, patients)
    return {
        "value": value,
        "interval": [interval.low, interval.high],
        "one_evaluation_seconds": statistics.median(once),
        "bootstrap_seconds": bootstrapped,
        "bootstrap_peak_bytes": peak,
        "whole_scorecard_seconds": time.perf_counter() - began,
        "whole_scorecard_peak_bytes": peak_bytes(),
    }


def labels_reference(draws: int) -> dict:
    """What one would write: draw patients, score every label that has both values, take the mean."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    logits, labels, patients = label_data()
    groups: dict[str, list[int]] = {}
    for note, patient in enumerate(patients):
        groups.setdefault(patient, []).append(note)
    notes = [np.array(some) for some in groups.values()]

    def macro(rows) -> float:
        truths, scores = labels[rows], logits[rows]
        both = truths.any(axis=0) & ~truths.all(axis=0)
        return float(np.mean([roc_auc_score(truths[:, column], scores[:, column]) for column in np.flatnonzero(both)]))

    value = macro(np.arange(NOTES))
    chance = np.random.default_rng(1)
    began = time.perf_counter()
    for _ in range(draws):
        macro(np.concatenate([notes[i] for i in chance.integers(0, len(notes), len(notes))]))
    return {"value": value, "seconds_a_draw": (time.perf_counter() - began) / draws}


def grid_of(work: Path):
    from clinstack.studies.grid import read_grid

    file = work / "grid.toml"
    file.write_text(GRID.format(variants=json.dumps(list(VARIANTS))))
    return read_grid(file, work / "study" / "runs")


def command(*words: str) -> float:
    """Seconds of a whole command."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "clinstack.cli", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def one_by_one(work: Path, cells) -> list[float]:
    """Each cell a command of its own, as it would be without a study."""
    import tomli_w

    from clinstack.config import AdaptOptions
    from clinstack.training.running import run_config

    took = []
    for cell in cells:
        given = {key: value for key, value in run_config(cell.options).items() if value is not None}
        if cell.after is not None:
            given["clinical"] = str((work / "alone" / cell.after).resolve())
        file = work / "cell.toml"
        file.write_text(tomli_w.dumps(given))
        kind = "adapt" if isinstance(cell.options, AdaptOptions) else "train"
        took.append(command(kind, "--config", str(file), "--out", str(work / "alone" / cell.key)))
    return took


def measure_grid(work: Path, limit: int | None) -> dict:
    if not (work / "tasks").exists():
        make_hospital(work, 800, 380)
    for folder in ("study", "alone"):
        shutil.rmtree(work / folder, ignore_errors=True)
    grid = grid_of(work)
    below = [cell for cell in grid.cells if cell.name.startswith("step 1")]
    others = [cell for cell in grid.cells if cell not in below][:limit]
    alone = one_by_one(work, below)
    before = one_by_one(work, others[::2])
    study = command("study", str(work / "grid.toml"), "--out", str(work / "study"))
    after = one_by_one(work, others[1::2])
    return {
        "cells": len(grid.cells),
        "step_1_seconds": alone,
        "seconds_before": before,
        "study_seconds": study,
        "seconds_after": after,
        "same": sum(_same(work, cell.key) for cell in others),
        "share": study / (sum(alone) + sum(before) + sum(after)),
    }


def _same(work: Path, key: str) -> bool:
    """Whether a cell's validation figure is the same to five digits both ways."""
    found = [json.loads((work / where / key / "result.json").read_text()) for where in ("study/runs", "alone")]
    one, other = (result["validation"]["value"] for result in found)
    return abs(one - other) < 1e-5


def child(arguments: argparse.Namespace) -> None:
    work, what = arguments.work, arguments.child
    found = {
        "prepare": lambda: prepare_heads(work / "heads"),
        "ours": lambda: heads_ours(work / "heads", arguments.clinical, arguments.seed, store=False),
        "kept": lambda: heads_ours(work / "heads", arguments.clinical, arguments.seed, store=True),
        "reference": lambda: heads_reference(work / "heads", arguments.clinical),
        "labels": labels_ours,
        "labels-reference": lambda: labels_reference(arguments.draws),
    }[what]()
    print(json.dumps(found))


def measured(arguments: argparse.Namespace, what: str, *, clinical: bool = False, seed: int = 1) -> dict:
    words = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--work",
        str(arguments.work),
        "--child",
        what,
        "--seed",
        str(seed),
    ]
    words += ["--draws", str(arguments.draws), *(["--clinical"] if clinical else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_heads(arguments: argparse.Namespace) -> dict:
    if not (arguments.work / "heads" / "clinical" / "result.json").exists():
        measured(arguments, "prepare")
    whole = {}
    for clinical in (False, True):
        name = "clinical-frozen" if clinical else "head-only"
        measured(arguments, "kept", clinical=clinical, seed=0)  # another seed fills the store
        turns: dict[str, list[dict]] = {"reference": [], "ours": [], "kept": []}
        for turn in range(arguments.rounds):
            for what in turns:
                turns[what].append(measured(arguments, what, clinical=clinical, seed=turn + 1))
        print(f"\n{name}, {EPOCHS} epochs")
        for what, some in turns.items():
            seconds = [one["seconds"] for one in some]
            ratio = [a["seconds"] / b for a, b in zip(turns["reference"], seconds, strict=True)]
            peak = max(one["peak_bytes"] for one in some) / 2**30
            auroc = step1.spread([one["auroc"] for one in some], 3)
            print(
                f"{what:10} {step1.spread(seconds)} s, {step1.spread(ratio, 1)} times as fast as the reference; "
                f"peak {peak:.2f} GiB; best validation AUROC {auroc}"
            )
        whole[name] = turns
    return whole


def measure_labels(arguments: argparse.Namespace) -> dict:
    ours, reference = measured(arguments, "labels"), measured(arguments, "labels-reference")
    ratio = 1000 * reference["seconds_a_draw"] / ours["bootstrap_seconds"]
    print(
        f"\n{LABELS:,} labels x {NOTES:,} notes\n"
        f"one evaluation {ours['one_evaluation_seconds']:.2f} s; 1,000 draws of the macro AUROC "
        f"{ours['bootstrap_seconds']:.0f} s, peak {ours['bootstrap_peak_bytes'] / 2**30:.2f} GiB; the whole scorecard "
        f"{ours['whole_scorecard_seconds']:.0f} s, {ours['whole_scorecard_peak_bytes'] / 2**30:.2f} GiB\n"
        f"scikit-learn: {reference['seconds_a_draw']:.2f} s a draw, so {1000 * reference['seconds_a_draw'] / 3600:.1f} h; "
        f"{ratio:.0f} times as long; values differ by {abs(ours['value'] - reference['value']):.1e}"
    )
    return {"ours": ours, "reference": reference, "ratio": ratio}


def show_grid(found: dict) -> None:
    halves = [sum(found[f"seconds_{half}"]) for half in ("before", "after")]
    cells = len(found["seconds_before"]) + len(found["seconds_after"])
    print(
        f"\n{found['cells']} cells on {os.cpu_count()} cores: one by one {sum(halves) + sum(found['step_1_seconds']):.0f} s "
        f"(halves {halves[0]:.0f} and {halves[1]:.0f}), as a study {found['study_seconds']:.0f} s: {found['share']:.0%}; "
        f"{found['same']} of {cells} with the same validation figure"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--cells", type=int, help="only so many cells of the grid, to try it out")
    parser.add_argument("--child")
    parser.add_argument("--clinical", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    parts = {"labels": measure_labels, "heads": measure_heads}
    for part in arguments.parts:
        if part == "grid":
            found = measure_grid(arguments.work / "grid", arguments.cells)
            show_grid(found)
        else:
            found = parts[part](arguments)
        (arguments.work / f"{part}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
