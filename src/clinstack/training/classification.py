"""Step 2: stacks a task adapter and a head on a backbone, and on its clinical adapter, for one task.

`variants` says which adapters there are and which of them train. Validation AUROC selects the epoch; the test part is read
once, after that. Where nothing inside the stack trains, every note is read once and only the head's training repeats.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor
from torch.nn import functional

from clinstack.config import TrainOptions
from clinstack.data.notes import SPLITS
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput
from clinstack.metrics.scorecard import KINDS, probabilities, scorecard, selection_score
from clinstack.models.adapter_files import save_adapter
from clinstack.models.classifier import Classifier
from clinstack.models.note_classifier import Encoded, NoteClassifier, save_head
from clinstack.runs.atomic import atomic_file, write_json
from clinstack.runs.card import write_card
from clinstack.runs.folder import RunFolder
from clinstack.runs.lineage import hash_files, versions
from clinstack.training.batches import LabelledNotes, NoteBatch, PooledBatch, PooledNotes
from clinstack.training.loop import Fitted, Loss, Score, fit
from clinstack.training.machine import choose_autocast, choose_device, measured
from clinstack.training.proof import AdapterProof, Snapshot, prove, prove_loaded
from clinstack.training.running import (
    Silent,
    Witness,
    base_origin,
    finish_run,
    prepare_base,
    prepare_stack,
    reading_cost,
    recipe,
    training_cost,
    watcher,
)
from clinstack.training.variants import make_slots, variant_name

_PROOF_NOTES = 8


class _Notes:
    """One split of a task, encoded."""

    def __init__(self, task: Task, split: str, classifier: NoteClassifier):
        table = task.read(split)
        self.note_ids: list[str] = table.column("note_id").to_pylist()
        self.patient_ids: list[str] = table.column("patient_id").to_pylist()
        self.labels: NDArray[np.bool_] = task.label_matrix(table)
        self.encoded: Encoded = classifier.encode(table.column("text").to_pylist())
        self.tokens = sum(map(len, self.encoded))


def train(options: TrainOptions, witness: Witness | None = None, *, only_train: bool = False) -> dict[str, Any]:
    """Trains one variant on one task as the options say and returns the run's result; goes on with an interrupted run.

    only_train: stop before anything but the validation part is predicted, and return what training says alone: for a search,
    whose losers must never see the test part. The same call without it predicts and finishes the run.
    Raises BadInput, WrongParents, CannotWrite, ProofFailed or Interrupted, each with the sentence to show.
    """
    witness = witness or Silent()
    device = choose_device(options.device)
    task = open_task(options.task)
    _require_two_classes(task)
    slots = make_slots(options)
    backbone = prepare_base(options, device, witness)
    origin = {
        "base": base_origin(options.base, backbone),
        "data": {"name": task.name, "hash": hash_files(task.path(split) for split in SPLITS)},
        "clinical": slots[0].adapter.hash if options.clinical else None,
    }
    stack = prepare_stack(options, backbone, slots)
    head = Classifier(backbone.width, len(task.classes), options.pooling, independent=task.kind == "multilabel").to(
        backbone.device
    )
    classifier = NoteClassifier(stack, head, task.name, task.kind, task.classes, options.max_tokens)

    def work(run: RunFolder) -> dict[str, Any]:
        run_of = _Training(options, task, classifier, run, origin, witness)
        return run_of.trained() if only_train else run_of.result()

    return finish_run(options, origin, witness, work)


class _Training:
    """A step-2 run in the order it happens: read, prove what is loaded, train, prove, predict, save."""

    def __init__(
        self,
        options: TrainOptions,
        task: Task,
        classifier: NoteClassifier,
        run: RunFolder,
        origin: dict[str, Any],
        witness: Witness,
    ):
        self.options, self.task, self.classifier, self.run = options, task, classifier, run
        self.origin, self.witness = origin, witness
        self.stack, self.head = classifier.stack, classifier.head
        self.device = self.stack.backbone.device
        self.weights = self.stack.weights_total

    def trained(self) -> dict[str, Any]:
        """Trains, or finds it done; returns the score that selects, and what it cost."""
        self.witness.says("Reading the notes")
        self.notes = {split: _Notes(self.task, split, self.classifier) for split in ("train", "valid")}
        train = self.notes["train"]
        self.class_weights = class_weights(train.labels, self.task.kind, self.options.class_weights).to(self.device)
        self.start = self.stack.snapshot()
        self.few = self.notes["valid"].encoded[:_PROOF_NOTES]
        prove_loaded(self.stack, lambda: torch.from_numpy(self.classifier.logits(self.few)))
        cost: dict[str, Any] = {}
        with measured(cost, "train", str(self.device)):
            fitted, name = self._fit(train, self.notes["valid"], self.class_weights)
        self._complete_cost(cost["train"], fitted, train)
        head = sum(p.numel() for p in self.head.parameters())
        return {
            "validation": {"name": name, "value": fitted.best_score, "lower_is_better": False},
            "best_epoch": fitted.best_epoch,
            "stopped_early": fitted.stopped_early,
            "parameters": {"total": self.weights + head, "trainable": self.stack.weights_trainable + head},
            "cost": cost,
        }

    def result(self) -> dict[str, Any]:
        """Trains, proves, predicts and saves; `result.json` is written last."""
        training = self.trained()
        cost = training["cost"]
        self.witness.says("Proving that every adapter is at work")
        proof = self._prove(self.few, self.notes["train"], self.class_weights, self.start)
        self.witness.says("Predicting validation and test notes")
        with measured(cost, "evaluate", str(self.device)):
            scored = {"valid": self.notes["valid"]}
            if self.task.counts["test"]["notes"]:
                scored["test"] = _Notes(self.task, "test", self.classifier)
            logits = {split: self.classifier.logits(one.encoded) for split, one in scored.items()}
        cost["evaluate"] |= reading_cost(self.weights, sum(one.tokens for one in scored.values()))
        return self._save(training, proof, scored, logits)

    def _fit(self, train: _Notes, valid: _Notes, weights: Tensor) -> tuple[Fitted, str]:
        """What the loop did, and the name of the score that selects."""
        labelled = LabelledNotes(
            train.note_ids,
            train.encoded,
            train.labels,
            self.options.batch_size,
            self.options.seed,
            self.stack.backbone.tokenizer.pad,
            self.device,
        )
        parameters = self.stack.trainable() | {f"head/{name}": p for name, p in self.head.linear.named_parameters()}
        self.head.expect(_frequencies(train.labels, weights))
        autocast = choose_autocast(self.options.precision, str(self.device))
        inside_trains = bool(self.stack.trainable())
        valid_pooled = None if inside_trains else self.classifier.pooled(valid.encoded)

        def score() -> Score:
            if valid_pooled is None:
                logits = self.classifier.logits(valid.encoded)
                self.stack.train(True)
            else:
                with torch.inference_mode():
                    logits = self.head(valid_pooled).cpu().numpy()
            return Score(*selection_score(self.task.kind, logits, valid.labels))

        def loss(batch: NoteBatch | PooledBatch) -> Loss:
            return self._loss(batch, weights)

        name = KINDS[self.task.kind].selects_by
        rates = {"head": self.options.head_rate}
        plan = recipe(self.options, autocast if inside_trains else None, 1, rates)
        told = watcher(self.run, self.witness)
        if inside_trains:
            self.stack.train(True)
            return fit(parameters, labelled, loss, score, plan, self.run.layout.checkpoints, told), name
        once = PooledNotes(labelled, self.classifier.pooled(train.encoded))
        return fit(parameters, once, loss, score, plan, self.run.layout.checkpoints, told), name

    def _loss(self, batch: NoteBatch | PooledBatch, weights: Tensor) -> Loss:
        """Summed loss of a batch: cross-entropy over classes, or binary cross-entropy over labels (mean over labels)."""
        if isinstance(batch, PooledBatch):
            pooled, tokens = batch.pooled, len(batch.pooled)
        else:
            pooled = self.head.pool(self.stack.backbone.encode(batch.tokens, batch.mask), batch.mask)
            tokens = int(batch.mask.sum())
        logits = self.head(pooled).float()
        if self.task.kind == "multilabel":
            total = (
                functional.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none").mean(dim=1).sum()
            )
            return Loss(total, len(logits), tokens)
        label = batch.labels.argmax(dim=1)
        total = functional.cross_entropy(logits, label, weight=weights, reduction="sum")
        return Loss(total, float(weights[label].sum()), tokens)

    def _prove(self, few: Encoded, train: _Notes, weights: Tensor, start: Snapshot) -> dict[str, AdapterProof]:
        notes = LabelledNotes(
            train.note_ids, train.encoded, train.labels, _PROOF_NOTES, 0, self.stack.backbone.tokenizer.pad, self.device
        )
        batch = notes.load(range(min(_PROOF_NOTES, len(train.encoded))))
        return prove(
            self.stack,
            lambda: torch.from_numpy(self.classifier.logits(few)),
            lambda: self._loss(batch, weights),
            start,
        )

    def _complete_cost(self, cost: dict[str, Any], fitted: Fitted, train: _Notes) -> None:
        """Adds tokens and operations; where nothing inside the stack trains, the notes were read once for all epochs."""
        cost |= training_cost(cost, fitted, *self.stack.weights_per_token, through_frozen=True)
        if not self.stack.trainable():
            cost |= reading_cost(self.weights, train.tokens)

    def _save(
        self,
        training: dict[str, Any],
        proof: dict[str, AdapterProof],
        scored: dict[str, _Notes],
        logits: dict[str, NDArray[np.float32]],
    ) -> dict[str, Any]:
        layout, backbone, options, task = self.run.layout, self.stack.backbone, self.options, self.task
        terms = sorted({*task.terms, *(term for slot in self.stack.slots for term in slot.adapter.terms)})
        parents: tuple[str, ...] = ()
        adapters = []
        for slot in self.stack.slots:
            name = slot.adapter.name
            saved = save_adapter(layout.adapter(name), slot.adapter, self.stack, parents, terms)
            adapters.append(
                {
                    **{key: saved[key] for key in ("name", "method", "hash", "parents")},
                    "frozen": slot.frozen,
                    "merged": slot.merged,
                }
            )
            parents = (*parents, saved["hash"])
        stack_hash = "sha256:" + hashlib.sha256("\n".join([backbone.hash, *parents]).encode()).hexdigest()
        head_hash = save_head(layout.head, self.head, stack_hash)
        write_predictions(layout.predictions, task, scored, logits)
        with_intervals = {
            split: scorecard(task.kind, logits[split], notes.labels, notes.patient_ids, options.resamples)
            for split, notes in scored.items()
        }
        result = {
            "step": 2,
            "task": task.name,
            "kind": task.kind,
            "classes": list(task.classes),
            "variant": variant_name(options.clinical, options.clinical_mode, options.task_adapter),
            "profile": options.profile,
            "seed": options.seed,
            "base": {"name": backbone.name, "hash": backbone.hash},
            "max_tokens": options.max_tokens,
            "metrics": {split: card.metrics for split, card in with_intervals.items()},
            "labels_scored": {split: card.labels_scored for split, card in with_intervals.items()},
            "stack_proof": proof,
            **training,
        }
        lineage = {
            **self.origin,
            "stack": stack_hash,
            "head": head_hash,
            "adapters": adapters,
            "versions": versions(),
            "seed": options.seed,
            "terms": terms,
        }
        write_json(layout.lineage, lineage)
        write_card(layout.card, result, lineage)
        write_json(layout.result, result)
        return result


def class_weights(labels: NDArray[np.bool_], kind: str, how: str) -> Tensor:
    """A weight per class (C,): 1, or for `balanced` inversely proportional to how often the training part holds it.

    Source: scikit-learn's `class_weight="balanced"`, N / (C * count). A multilabel loss is not weighted.
    """
    if how == "none" or kind == "multilabel":
        return torch.ones(labels.shape[1])
    counts = labels.sum(axis=0)
    return torch.from_numpy(np.where(counts > 0, len(labels) / (labels.shape[1] * np.maximum(counts, 1)), 0)).float()


def _frequencies(labels: NDArray[np.bool_], weights: Tensor) -> Tensor:
    """How frequent each class is (C,) when notes count as they do in the loss."""
    counts = torch.from_numpy(labels.sum(axis=0)).float().to(weights.device)
    if (weights == 1).all():
        return counts / len(labels)
    return counts * weights / (counts * weights).sum()


def write_predictions(
    file: Path, task: Task, scored: dict[str, _Notes], logits: dict[str, NDArray[np.float32]]
) -> None:
    """Writes the scored notes with their logits and probabilities, classes in the task's order."""
    names = np.array(task.classes, dtype=object)
    tables = [
        pa.table(
            {
                "note_id": notes.note_ids,
                "patient_id": notes.patient_ids,
                "split": [split] * len(notes.note_ids),
                "labels": pa.array([names[row].tolist() for row in notes.labels], pa.list_(pa.string())),
                "probabilities": pa.array(
                    list(probabilities(task.kind, logits[split]).astype(np.float32)), pa.list_(pa.float32())
                ),
                "logits": pa.array(list(logits[split]), pa.list_(pa.float32())),
            }
        )
        for split, notes in scored.items()
    ]
    with atomic_file(file) as partial:
        parquet.write_table(pa.concat_tables(tables), partial, compression="zstd")


def _require_two_classes(task: Task) -> None:
    if len(task.classes) < 2 and task.kind != "multilabel":
        raise BadInput(f"{task.folder}: task {task.name} has one class only, so there is nothing to tell apart.")
