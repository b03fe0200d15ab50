"""Builds folders of runs in the format that training writes, with predictions whose quality is chosen and not learned."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import tomli_w

from clinstack.metrics.scorecard import probabilities, scorecard

CLASSES = {
    "binary": ["alive", "dead"],
    "multiclass": ["under 3 days", "3 to 7 days", "1 to 2 weeks", "over 2 weeks"],
    "multilabel": [f"D{number:02}" for number in range(8)],
}
STRENGTHS = {
    "head-only": 0.7,
    "task": 1.2,
    "clinical-frozen": 0.9,
    "clinical-frozen+task": 1.5,
    "clinical-trainable": 1.3,
    "clinical-trainable+task": 1.9,
}
HASHES = {"base": "sha256:" + "ba5e" * 16, "clinical": "sha256:" + "c11c" * 16, "task": "sha256:" + "7a5c" * 16}
VERSIONS = {"clinstack": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "peft": "0.21.2"}


class StudyFolder:
    """Writes run folders below `root`. Notes of a task depend on its name alone, so that its runs can be paired."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def train(
        self,
        name,
        *,
        task="mor",
        kind="binary",
        variant="task",
        seed=1,
        strength=None,
        notes=240,
        predictions=True,
        once=False,
        base="tiny-base",
        trainable=24_576,
        clinical="c11c",
        data="da7a",
        **settings,
    ):
        """A finished step-2 run. strength: distance of the two classes' logits; by default that of the variant.

        once: whether each patient has one note.   clinical, data: four digits of the hash of its clinical adapter and notes.
        """
        labels, patients, shared = self._notes_of(task, kind, notes)
        patients = [f"patient-{number}" for number in range(notes)] if once else patients
        strength = STRENGTHS.get(variant, 1.0) if strength is None else strength
        own = np.random.default_rng([seed, len(variant), int(strength * 100)]).normal(size=labels.shape)
        logits = (strength * labels + shared + 0.35 * own).astype(np.float32)
        card = scorecard(kind, logits, labels, patients, resamples=100)
        states = {
            "clinical": "frozen" if "frozen" in variant else "trainable" if "trainable" in variant else None,
            "task": "trainable" if variant.endswith("task") else None,
        }
        stack = {adapter: state for adapter, state in states.items() if state}
        bases = {"tiny-base": HASHES["base"], "transformer": f"sha256:of-seed-{seed}"}  # the second is each run's own
        folder = self.root / name
        folder.mkdir(parents=True)
        result = {
            "step": 2,
            "task": task,
            "kind": kind,
            "classes": CLASSES[kind],
            "variant": variant,
            "profile": "correct",
            "seed": seed,
            "base": {"name": base, "hash": bases.get(base, f"sha256:{base}")},
            "metrics": {"valid": card.metrics, "test": card.metrics},
            "labels_scored": {"valid": card.labels_scored, "test": card.labels_scored},
            "stack_proof": {
                adapter: {
                    "frozen": state == "frozen",
                    "logit_change": 0.31,
                    "gradient_norm": 0.0 if state == "frozen" else 1.27,
                    "weight_change": 0.0 if state == "frozen" else 0.0482,
                }
                for adapter, state in stack.items()
            },
            "parameters": {"total": 3_200_000, "trainable": trainable},
            "best_epoch": 3,
            "cost": {
                "train": {"seconds": 75.2, "peak_bytes": 900 * 2**20, "tokens": 410_000, "flops": 8.1e12},
                "evaluate": {"seconds": 4.4, "peak_bytes": 700 * 2**20},
            },
        }
        lineage = self._lineage([(adapter, state == "frozen") for adapter, state in stack.items()], seed, data=data)
        lineage["base"] = {"name": base, "hash": f"scratch:{base}"} if base == "transformer" else result["base"]
        lineage["clinical"] = f"sha256:{clinical * 16}" if variant.startswith("clinical") else None
        self._write(folder, result, lineage, {"seed": seed, "task": f"tasks/{task}", "learning_rate": 3e-4, **settings})
        self._events(folder, "auroc", 0.5, 0.2 * strength)
        if predictions:
            table = {
                "note_id": [f"note-{number:04}" for number in range(notes)],
                "patient_id": patients,
                "split": ["test"] * notes,
                "labels": [[CLASSES[kind][column] for column in np.flatnonzero(row)] for row in labels],
                "probabilities": probabilities(kind, logits).astype(np.float32).tolist(),
                "logits": logits.tolist(),
            }
            parquet.write_table(pa.table(table), folder / "predictions.parquet")
        return folder

    def adapt(self, name, *, method="lora", seed=1, clinical="c11c", **settings):
        """A finished step-1 run. clinical: four digits of its adapter's hash."""
        folder = self.root / name
        folder.mkdir(parents=True)
        splits = ("train", "valid", "test")
        result = {
            "step": 1,
            "method": method,
            "seed": seed,
            "base": {"name": "tiny-base", "hash": HASHES["base"]},
            "corpus": "hospital",
            "perplexity": {split: {"before": 41.5, "after": 12.25} for split in splits},
            "bits_per_byte": {split: {"before": 2.104, "after": 1.413} for split in splits},
            "tokens": dict.fromkeys(splits, 120_000),
            "parameters": {"total": 3_200_000, "trainable": 49_152},
            "best_epoch": 1,
            "cost": {"train": {"seconds": 190.0, "peak_bytes": 2**30, "tokens": 1_200_000, "flops": 2.3e13}},
        }
        lineage = self._lineage([("clinical", False)], seed, method)
        lineage["adapters"][0]["hash"] = f"sha256:{clinical * 16}"
        self._write(folder, result, lineage, {"seed": seed, "method": method, **settings})
        self._events(folder, "bits_per_byte", 2.1, -0.7)
        return folder

    def unfinished(self, name):
        """A run that was killed on the way."""
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text("seed = 1\n")
        self._events(folder, "auroc", 0.5, 0.1)
        return folder

    def full(self, tasks=(("mor", "binary"),), seeds=(1,)):
        """Step 1 and all six variants on some tasks."""
        self.adapt("adapt/lora")
        for task, kind in tasks:
            for variant in STRENGTHS:
                for seed in seeds:
                    self.train(f"{task}/{variant}-{seed}", task=task, kind=kind, variant=variant, seed=seed)

    def _notes_of(self, task, kind, notes):
        random = np.random.default_rng(sum(task.encode()))
        classes = len(CLASSES[kind])
        if kind == "multilabel":
            labels = random.random((notes, classes)) < 0.25
        else:
            labels = np.eye(classes, dtype=bool)[random.integers(0, classes, notes)]
        patients = [f"patient-{number}" for number in random.integers(0, notes * 3 // 4, notes)]
        return labels, patients, random.normal(size=labels.shape)

    def _lineage(self, adapters, seed, method="lora", data="da7a"):
        return {
            "base": {"name": "tiny-base", "hash": HASHES["base"]},
            "adapters": [
                {"name": name, "method": method, "hash": HASHES[name], "parents": [HASHES["base"]], "frozen": frozen}
                for name, frozen in adapters
            ],
            "data": {"name": "mor", "hash": f"sha256:{data * 16}"},
            "versions": VERSIONS,
            "seed": seed,
            "terms": ["synthetic: free to share"],
        }

    def _write(self, folder, result, lineage, settings):
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "lineage.json").write_text(json.dumps(lineage))
        (folder / "config.toml").write_text(tomli_w.dumps(settings))

    def _events(self, folder, name, start, gain, steps=200):
        random = np.random.default_rng(len(folder.name))
        with (folder / "metrics.jsonl").open("w") as out:
            for step in range(1, steps + 1):
                done = 1 - np.exp(-step / 60)
                loss = float(1.9 - 1.2 * done + 0.08 * random.normal())
                out.write(json.dumps({"event": "step", "step": step, "epoch": 1, "loss": loss}) + "\n")
                if step % 40 == 0:
                    score = float(start + gain * done)
                    event = {"event": "validation", "step": step, "epoch": step // 40, "name": name, "score": score}
                    out.write(json.dumps(event) + "\n")


@pytest.fixture
def study(tmp_path):
    return StudyFolder(tmp_path / "study")
