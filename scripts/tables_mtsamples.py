"""Prints the Markdown tables of docs/results/mtsamples.md from the runs of study_mtsamples.py, and the TF-IDF yardstick.

python scripts/tables_mtsamples.py runs/mtsamples stories260k-llama tiny-base
"""

import json
import sys
import time
import warnings
from pathlib import Path
from statistics import fmean, median

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from clinstack.data.task import open_task
from clinstack.metrics.scorecard import headline, scorecard

TASKS = ("multilabel", "specialty", "doctype")
VARIANTS = (
    "head-only",
    "task",
    "task-large",
    "clinical-frozen",
    "clinical-frozen+task",
    "clinical-trainable",
    "clinical-trainable+task",
)
SEEDS = (1, 2, 3)
READ_CHARACTERS = {"whole note": None, "first 450 characters": 450, "first 200 characters": 200}


def cell(found: list[dict[str, float]]) -> str:
    """Mean over seeds [mean of the interval's ends], and the spread of the seeds."""
    values = [one["value"] for one in found]
    low, high = fmean(one["low"] for one in found), fmean(one["high"] for one in found)
    spread = f", {min(values):.3f}-{max(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f} [{low:.3f}, {high:.3f}]{spread}"


def base_tables(root: Path, base: str) -> None:
    first = json.loads((root / base / "clinical" / "result.json").read_text())
    cost = first["cost"]["train"]
    print(f"\n### {base}\n\nStep 1 ({cost['seconds'] / 60:.0f} min, {cost['tokens']:,} tokens):\n")
    print(
        "| split | tokens measured | perplexity before | after | bits per byte before | after |\n|---|---|---|---|---|---|"
    )
    for split, tokens in first["tokens"].items():
        perplexity, bits = first["perplexity"][split], first["bits_per_byte"][split]
        before, after = (
            f"{perplexity['before']:.1f} | {perplexity['after']:.2f}",
            f"{bits['before']:.3f} | {bits['after']:.3f}",
        )
        print(f"| {split} | {tokens:,} | {before} | {after} |")
    print(
        "\nStep 2, test AUROC: mean of 3 seeds [95 % patient-bootstrap interval, ends averaged], lowest-highest seed:\n"
    )
    print(
        "| variant | "
        + " | ".join(TASKS)
        + " | trainable | seconds a run |\n|---" * 1
        + "|---" * (len(TASKS) + 2)
        + "|"
    )
    for variant in VARIANTS:
        cells, seconds, trainable = [], [], 0
        for task in TASKS:
            files = [root / base / task / f"{variant}-{seed}" / "result.json" for seed in SEEDS]
            results = [json.loads(file.read_text()) for file in files]
            cells.append(cell([one["metrics"]["test"][headline(one["kind"])] for one in results]))
            seconds += [one["cost"]["train"]["seconds"] for one in results]
            trainable = results[0]["parameters"]["trainable"]
        print(f"| {variant} | {' | '.join(cells)} | {trainable:,} | {median(seconds):.0f} |")


def yardstick(root: Path) -> None:
    print(
        "\n### TF-IDF + logistic regression\n\n| text read | "
        + " | ".join(TASKS)
        + " | seconds |\n|---|---|---|---|---|"
    )
    for name, characters in READ_CHARACTERS.items():
        cells, began = [], time.perf_counter()
        for task in (open_task(root / name) for name in TASKS):
            train, test = task.read("train"), task.read("test")
            labels, truths = task.label_matrix(train), task.label_matrix(test)
            words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
            seen = words.fit_transform([text[:characters] for text in train["text"].to_pylist()])
            unseen = words.transform([text[:characters] for text in test["text"].to_pylist()])
            if task.kind == "multilabel":
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="Label .* is present in all training examples|Label not")
                    model = OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000)).fit(seen, labels.astype(int))
                logits = model.decision_function(unseen)
            else:
                model = LogisticRegression(C=10, max_iter=1000).fit(seen, labels.argmax(axis=1))
                logits = model.decision_function(unseen)
            logits = np.nan_to_num(np.asarray(logits, dtype=float), neginf=-30)
            found = scorecard(task.kind, logits, truths, test["patient_id"].to_pylist()).metrics[headline(task.kind)]
            cells.append(cell([found]))
        print(f"| {name} | {' | '.join(cells)} | {time.perf_counter() - began:.0f} |")


if __name__ == "__main__":
    folder, *bases = sys.argv[1:]
    for one in bases:
        base_tables(Path(folder), one)
    yardstick(Path(folder))
