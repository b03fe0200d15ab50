"""Step 2: stacks a task adapter and a head on a backbone, and on its clinical adapter, for one task.

`variants` says which adapters there are and which of them train. Validation AUROC selects the epoch; the test part is read
once, after that. Where nothing inside the stack trains, every note is read once and only the head's training repeats; what a
head adapter reads is kept in the run's folder meanwhile, unless a feature store keeps it.
"""

import hashlib
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clinstack.config import TrainOptions
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput
from clinstack.metrics.scorecard import selection_name, selection_score
from clinstack.models.adapter_files import save_adapter
from clinstack.models.baseline import baselines
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.features import features_used, open_reader
from clinstack.models.from_scratch import head_activation
from clinstack.models.note_classifier import NoteClassifier, Pooled, flat, save_head
from clinstack.models.window import Encoded, Window
from clinstack.runs.array_store import ArrayStore
from clinstack.runs.folder import RunFolder
from clinstack.training.baseline_run import train_baseline
from clinstack.training.batches import LabelledNotes, NoteBatch, PooledBatch, PooledNotes
from clinstack.training.contract import Batches, Fitted, Loss, Score
from clinstack.training.head_start import fit_last_layer
from clinstack.training.label_loss import check_loss, class_weights, frequencies, label_loss
from clinstack.training.loop import fit
from clinstack.training.machine import choose_autocast, choose_device, measured, precision_name, training_flops
from clinstack.training.outcome import SplitNotes, write_outcome
from clinstack.training.own_base import makes_own_base, prepare_own_base, save_own_base
from clinstack.training.processes import Processes
from clinstack.training.proof import AdapterProof, Snapshot, prove, prove_loaded
from clinstack.training.running import (
    Silent,
    Witness,
    base_origin,
    finish_run,
    make_stack,
    prepare_base,
    reading_cost,
    ready_to_train,
    recipe,
    training_cost,
    watcher,
)
from clinstack.training.variants import make_slots, variant_name

_PROOF_NOTES = 8
_TOGETHER = 32
"""Validation notes that are read at once, at most: fewer where training reads fewer."""
_HEAD_SEED = 2**32
"""Added to a run's seed before the head is drawn, so that head, dropout and order of notes are the same whatever adapters were
drawn before: two variants then differ by their adapters alone.
"""


class _Notes(SplitNotes):
    """One split of a task, encoded."""

    def __init__(self, task: Task, split: str, classifier: NoteClassifier):
        super().__init__(task, split)
        self.encoded: Encoded = classifier.encode(self.texts)
        self.tokens = sum(len(chunk) for note in self.encoded for chunk in note)


def train(options: TrainOptions, witness: Witness | None = None, *, only_train: bool = False) -> dict[str, Any]:
    """Trains one variant on one task as the options say and returns the run's result; goes on with an interrupted run.

    only_train: stop before anything but the validation part is predicted, and return what training says alone: for a search,
    whose losers must never see the test part. The same call without it predicts and finishes the run.
    Raises BadInput, WrongParents, CannotWrite, ProofFailed or Interrupted, each with the sentence to show.
    """
    witness = witness or Silent()
    device = choose_device(options.device)
    task = open_task(options.task)
    require_learnable(task, options)
    if options.base in baselines():
        return train_baseline(options, task, witness, only_train=only_train)
    with ExitStack() as held:
        return _train_stack(options, task, device, witness, held, only_train=only_train)


def _train_stack(
    options: TrainOptions, task: Task, device: str, witness: Witness, held: ExitStack, *, only_train: bool
) -> dict[str, Any]:
    slots = make_slots(options)
    check_loss(task.kind, options.loss)
    spent: dict[str, Any] = {}
    if makes_own_base(options):
        place = Path(held.enter_context(TemporaryDirectory(prefix="clinstack-")))
        with measured(spent, "make", device):
            backbone, base = prepare_own_base(options, task, device, witness, place)
    else:
        backbone = prepare_base(options, device, witness)
        base = base_origin(options.base, backbone)
    origin = {
        "base": base,
        "data": {"name": task.name, "hash": task.content_hash()},
        "clinical": slots[0].adapter.hash if options.clinical else None,
    }
    stack = ready_to_train(options, make_stack(backbone, slots, options.max_tokens))
    torch.manual_seed(_HEAD_SEED + options.seed)
    head = make_head(options, task, backbone.width)
    window = Window(options.max_tokens, options.truncation, options.chunks)
    classifier = NoteClassifier(stack, head.to(backbone.device), task.name, task.kind, task.classes, window)

    def work(run: RunFolder, only_train: bool = only_train) -> dict[str, Any]:
        with ExitStack() as read:
            run_of = _Training(options, task, classifier, run, origin, witness, read, spent)
            return run_of.trained() if only_train else run_of.result()

    def helps(run: RunFolder) -> None:
        if stack.trainable():
            work(run, only_train=True)

    return finish_run(options, origin, witness, work, helps)


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
        held: ExitStack,
        spent: dict[str, Any],
    ):
        self.options, self.task, self.classifier, self.run = options, task, classifier, run
        self.origin, self.witness, self.held, self.spent = origin, witness, held, spent
        self.stack, self.head = classifier.stack, classifier.head
        self.device = self.stack.backbone.device
        self.weights = self.stack.weights_total

    def trained(self) -> dict[str, Any]:
        """Trains, or finds it done; returns the score that selects, and what it cost."""
        cost: dict[str, Any] = dict(self.spent)
        device = str(self.device)
        self.witness.says("Reading the notes")
        with measured(cost, "tokenise", device):
            self.notes = {split: _Notes(self.task, split, self.classifier) for split in ("train", "valid")}
        train = self.notes["train"]
        how = self.options.label_weights if self.task.kind == "multilabel" else self.options.class_weights
        weights = class_weights(train.labels, self.task.kind, how).to(self.device)
        self.label_loss = label_loss(self.task.kind, self.options.loss, weights)
        self.head.expect(frequencies(train.labels, self.task.kind, weights))
        self.start = self.stack.snapshot()
        self.few = self.notes["valid"].encoded[:_PROOF_NOTES]
        # A proof switches adapters off, so it never reads what was kept.
        prove_loaded(self.stack, lambda: torch.from_numpy(self.classifier.logits(self.few)))
        with measured(cost, "encode", device):
            chunks = [chunk for one in self.notes.values() for note in one.encoded for chunk in note]
            self.reader = self.held.enter_context(open_reader(self.stack, self.head, self._store(), chunks))
            self.reading = replace(self.classifier, reader=self.reader)
            self.reads_again = bool(self.stack.trainable()) or self.head.form.reads_tokens
            once = {} if self.reads_again else self.notes
            self.pooled = {split: self.reading.pooled(one.encoded) for split, one in once.items()}
        with measured(cost, "train", device):
            labelled = self._labelled(train, self.options.batch_size, self.options.seed)
            if self.options.head_start != "random":
                self._begin_head(train, labelled)
            fitted, name = self._fit(labelled, self.notes["valid"])
            self.head.fold()
        self._complete_cost(cost["train"], fitted, train)
        head = sum(p.numel() for p in self.head.parameters())
        return {
            "validation": {
                "name": name,
                "value": fitted.best_score,
                "lower_is_better": False,
                "tie": fitted.best_tie,
            },
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
        proof = self._prove(self.few, self.notes["train"], self.start)
        self.witness.says("Predicting validation and test notes")
        with measured(cost, "evaluate", str(self.device)):
            if self.task.counts["test"]["notes"]:
                self.notes["test"] = _Notes(self.task, "test", self.classifier)
            scored = [split for split in self.notes if split != "train"]
            logits = {split: self.reading.logits(self.notes[split].encoded) for split in scored}
        read = sum(self.notes[split].tokens for split in scored)
        cost["evaluate"] |= reading_cost(self.weights + self.head.weights_per_token, read)
        return self._save(training, proof, logits)

    def _store(self) -> ArrayStore | None:
        """Where states are kept; in the run's own folder, while it trains, if they would else be computed every epoch.

        Nobody else reads by a base that a run made for itself, and a shared store would let go of others' states for it.
        """
        folder = None if makes_own_base(self.options) else self.options.feature_store
        if folder is None and not self.stack.trainable() and self.head.form.reads_tokens:
            folder = self.run.layout.features
            self.held.callback(shutil.rmtree, folder, ignore_errors=True)
        return ArrayStore(folder, int(self.options.feature_gigabytes * 2**30)) if folder else None

    def _begin_head(self, train: _Notes, labelled: LabelledNotes) -> None:
        """By all training notes, as they are read before anything has learned. (Begun by some, it was worse than by all.)"""
        read = self._read_together(labelled) if self.reads_again else self.pooled["train"]
        with torch.no_grad():
            vectors = self.head.vectors(read.chunks, read.note, read.notes)
        self.head.scale(vectors)
        if self.options.head_start == "fitted":
            labels = torch.from_numpy(train.labels.astype(np.float32)).to(self.device)
            fit_last_layer(self.head, vectors, labels, self.label_loss)

    def _fit(self, labelled: LabelledNotes, valid: _Notes) -> tuple[Fitted, str]:
        """What the loop did, and the name of the score that selects."""
        together = self._labelled(valid, min(self.options.batch_size, _TOGETHER), 0)
        parameters = self.stack.trainable() | {f"head/{name}": p for name, p in self.head.named_parameters()}
        inside_trains = bool(self.stack.trainable())

        def learning() -> None:
            self.stack.train(inside_trains)
            self.head.train()

        def score() -> Score:
            logits = self.reading.score(self._read_together(together) if self.reads_again else self.pooled["valid"])
            learning()
            found = selection_score(self.task.kind, logits, valid.labels, self.options.select_by)
            return Score(found.name, found.value, told=self.stack.backbone.told(), tie=found.tie)

        name = selection_name(self.task.kind, self.options.select_by)
        rates = {"head": self.options.head_rate}
        plan = recipe(self.options, self._autocast(), 1, rates, self.options.select)
        told = watcher(self.run, self.witness)
        notes: Batches[Any] = labelled if self.reads_again else PooledNotes(labelled, self.pooled["train"])
        alone = None if inside_trains else Processes()  # a head alone is trained by one process
        learning()
        return fit(parameters, notes, self._loss, score, plan, self.run.layout.checkpoints, told, alone), name

    def _autocast(self) -> torch.dtype | None:
        """The type of training inside the model; a head alone learns in float32."""
        return choose_autocast(self.options.precision, str(self.device)) if self.stack.trainable() else None

    def _loss(self, batch: NoteBatch | PooledBatch) -> Loss:
        """Summed loss of a batch."""
        if isinstance(batch, PooledBatch):
            pooled, tokens = batch.pooled, len(batch.labels)
        else:
            pooled, tokens = self._read(batch), int(batch.mask.sum())
        logits = self.head(pooled.chunks, pooled.note, pooled.notes)
        total, weight = self.label_loss(logits.float(), batch.labels)
        auxiliary = self.stack.backbone.take_auxiliary_loss()
        if auxiliary is not None:
            total = total + weight * auxiliary
        return Loss(total, weight, tokens)

    def _read(self, batch: NoteBatch) -> Pooled:
        """A batch as the head reads it."""
        states = self.reader.encode(batch.inputs, batch.mask)
        return Pooled(self.head.pool(states, batch.mask), batch.note, len(batch.labels))

    def _read_together(self, notes: LabelledNotes) -> Pooled:
        """Notes as the head reads them, without gradient, in batches: with a small encoder twice as fast as one by one, which
        what is written in the end is read by.
        """
        self.stack.train(False)
        self.head.eval()
        chunks, note = flat(notes.encoded)
        vectors = torch.empty(len(chunks), self.stack.backbone.width, device=self.device)
        read = Pooled(vectors, torch.tensor(note, device=self.device), len(notes.encoded))
        with torch.inference_mode():
            for rows in notes.order(0):
                vectors[read.places(rows)] = self._read(notes.load(rows)).chunks
        return read

    def _labelled(self, notes: _Notes, batch_size: int, seed: int) -> LabelledNotes:
        return LabelledNotes(notes.note_ids, notes.encoded, notes.labels, batch_size, seed, self.reader, self.device)

    def _prove(self, few: Encoded, train: _Notes, start: Snapshot) -> dict[str, AdapterProof]:
        notes = self._labelled(train, _PROOF_NOTES, 0)
        batch = notes.load(range(min(_PROOF_NOTES, len(train.encoded))))
        return prove(
            self.stack,
            lambda: torch.from_numpy(self.classifier.logits(few)),
            lambda: self._loss(batch),
            start,
        )

    def _complete_cost(self, cost: dict[str, Any], fitted: Fitted, train: _Notes) -> None:
        """Adds tokens and operations; what nothing trains in was read once for all epochs, or found in the feature store."""
        cost |= training_cost(cost, fitted, *self.stack.weights_per_token, through_frozen=True)
        if not self.stack.trainable():
            cost |= reading_cost(self.weights, train.tokens)
        elif self.options.head_start != "random":
            cost["flops"] += reading_cost(self.weights, train.tokens)["flops"]
        cost["flops"] += training_flops(0, self.head.weights_per_token, fitted.tokens, backward_through_frozen=False)

    def _save(
        self, training: dict[str, Any], proof: dict[str, AdapterProof], logits: dict[str, NDArray[np.float32]]
    ) -> dict[str, Any]:
        layout, backbone, options, task = self.run.layout, self.stack.backbone, self.options, self.task
        terms = sorted({*task.terms, *(term for slot in self.stack.slots for term in slot.adapter.terms)})
        parents: tuple[str, ...] = ()
        adapters = []
        own = save_own_base(backbone, layout.base) if makes_own_base(options) else None
        for slot in () if own else self.stack.slots:  # a base of its own holds all that was learned
            name = slot.adapter.name
            saved = save_adapter(layout.adapter(name), slot.adapter, self.stack, parents, terms)
            adapters.append(
                {
                    **{key: saved[key] for key in ("name", "method", "hash", "parents")},
                    "frozen": slot.frozen,
                    "merged": slot.merged,
                    "inert": slot.inert,
                }
            )
            parents = (*parents, saved["hash"])
        base_hash = own or backbone.hash
        stack_hash = "sha256:" + hashlib.sha256("\n".join([base_hash, *parents]).encode()).hexdigest()
        head_hash = save_head(layout.head, self.head, stack_hash)
        about = {
            "variant": variant_name(options.clinical, options.clinical_mode, options.task_adapter),
            "base": {"name": backbone.name, "hash": base_hash},
            "max_tokens": options.max_tokens,
            "truncation": options.truncation,
            "precision": precision_name(self._autocast()),
            "chunks": options.chunks,
            "stack_proof": proof,
            "features": features_used(self.reader),
            **training,
        }
        lineage = {**self.origin, "stack": stack_hash, "head": head_hash, "adapters": adapters, "terms": terms}
        if own:
            lineage["own_base"] = own
        return write_outcome(layout, task, options, self.notes, logits, about, lineage)


def make_head(options: TrainOptions, task: Task, width: int) -> Classifier:
    """A fresh head on states of this width. Raises BadInput for one that cannot be."""
    form = HeadForm(
        pooling=options.pooling,
        chunk_pooling=options.chunk_pooling,
        adapter=options.head_adapter,
        size=options.head_size,
        place=options.head_place,
        hidden=options.head_hidden,
        activation=head_activation(options.base),
        dropout=options.head_dropout,
    )
    return Classifier(form, width, len(task.classes), independent=task.kind == "multilabel")


def require_learnable(task: Task, options: TrainOptions) -> None:
    """Raises BadInput if all notes, or all that are trained on, are of one class, or the validation part cannot select."""
    if task.kind != "multilabel":
        _require_two_classes(task)
    if options.base in baselines():
        return  # has no epochs to choose from
    valid = task.counts["valid"]
    if not valid["notes"]:
        raise BadInput(
            f"{task.folder}: task {task.name} has no note in its valid part, by which the best epoch is selected. Split it "
            "otherwise."
        )
    if options.select_by == "auroc" and not any(0 < notes < valid["notes"] for notes in valid["classes"].values()):
        raise BadInput(
            f"{task.folder}: in the valid part of task {task.name} no class has both notes with it and notes without it, so "
            "AUROC cannot select. Split it otherwise, or give --select-by f1-macro."
        )


def _require_two_classes(task: Task) -> None:
    if len(task.classes) < 2:
        raise BadInput(f"{task.folder}: task {task.name} has one class only, so there is nothing to tell apart.")
    trained = [name for name, notes in task.counts["train"]["classes"].items() if notes]
    if len(trained) < 2:
        raise BadInput(
            f"{task.folder}: all training notes of task {task.name} are {trained[0]}, so there is nothing to tell apart. Split "
            "it otherwise, or label more notes."
        )
