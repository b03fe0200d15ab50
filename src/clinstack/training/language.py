"""Step 1: trains a clinical adapter on unlabelled notes: to foretell the next token, or to restore masked ones.

The loss is a sum over tokens divided by their number, across accumulated batches, so every token weighs the same. Perplexity
and bits per byte are measured before and after on the same tokens, with the adapter switched off and on; so is general text,
if some is given, to see what the base forgets while it learns notes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions
from clinstack.data.corpus import Corpus, open_corpus
from clinstack.data.mistakes import Mistakes
from clinstack.data.notes import SPLITS, read_batches
from clinstack.data.packing import TokenStream, build_stream, count_blocks, open_stream, stream_of
from clinstack.data.rows import read_columns, read_rows
from clinstack.errors import BadInput
from clinstack.metrics.intervals import Interval
from clinstack.models.adapter_files import save_adapter
from clinstack.models.backbone import Backbone
from clinstack.models.method import make_method
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.runs.atomic import disk_errors, refuse_occupied, wait_for_turn, write_json
from clinstack.runs.card import write_card
from clinstack.runs.folder import RunFolder
from clinstack.runs.layout import CorpusLayout
from clinstack.runs.lineage import hash_files, versions
from clinstack.runs.seal import finish_folder
from clinstack.training.batches import PackedBlocks
from clinstack.training.contract import Score
from clinstack.training.loop import fit
from clinstack.training.machine import choose_autocast, choose_device, device_name, measured, precision_name
from clinstack.training.objective import objective_of
from clinstack.training.perplexity import (
    LanguageMeasure,
    NoteMeasure,
    Notes,
    as_released,
    broken_down,
    interval,
    look_at_notes,
    measure,
    measure_notes,
)
from clinstack.training.processes import launched
from clinstack.training.proof import prove
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

CLINICAL = "clinical"
"""The name of the clinical adapter in every stack."""

_WHOLE = ("valid", "test")
"""Splits of which every note is measured; of the training part a sample is."""


def adapt(options: AdaptOptions, witness: Witness | None = None, *, only_train: bool = False) -> dict[str, Any]:
    """Trains a clinical adapter as the options say and returns the run's result; goes on with an interrupted run.

    only_train: stop before anything but the validation part is measured, and return what training says alone: for a search,
    whose losers must never see the test part. The same call without it measures and finishes the run.
    Raises BadInput, WrongParents, CannotWrite, ProofFailed or Interrupted, each with the sentence to show.
    """
    witness = witness or Silent()
    device = choose_device(options.device)
    corpus = open_corpus(options.corpus)
    require_notes(corpus)
    make_method(options.method, options.method_options)  # a wrong option is told before the base is loaded
    general = read_general(options.general) if options.general else None
    backbone = prepare_base(options, device, witness)
    stack = ready_to_train(options, begin_stack(options, backbone))
    origin = {
        "base": base_origin(options.base, backbone),
        "data": {"name": corpus.name, "hash": corpus.content_hash()},
    }

    def work(run: RunFolder, only_train: bool = only_train) -> dict[str, Any]:
        run_of = _Adaptation(options, corpus, stack, general, run, witness)
        return run_of.trained() if only_train else run_of.result(origin)

    return finish_run(options, origin, witness, work, lambda run: work(run, only_train=True))


def begin_stack(options: AdaptOptions, backbone: Backbone) -> Stack:
    """A fresh clinical adapter on a base, or on its shape. Raises BadInput if they do not go together."""
    if backbone.made_here:
        raise BadInput(f"Base {options.base} was trained for a task from nothing and cannot foretell or restore words.")
    if backbone.headless:
        raise BadInput(
            f"Base {options.base} was published without the layer that foretells or restores words, so step 1 would begin with "
            "a random one. Take a base that has it; step 2 reads this one."
        )
    _ = backbone.output  # what makes no words of states is told now, not in the middle
    method = make_method(options.method, options.method_options)
    return make_stack(backbone, (Slot(Adapter(CLINICAL, method)),), options.max_tokens)


def require_notes(corpus: Corpus) -> None:
    """Raises BadInput if a split holds no note: all of them are measured."""
    if empty := [split for split in SPLITS if not corpus.counts[split]["notes"]]:
        raise BadInput(f"{corpus.folder}: its split {empty[0]} holds no note, and step 1 needs all three. Add notes.")


def read_general(file: Path) -> list[str]:
    """The texts of a file with a column `text`. Raises BadInput if there is none, or a row cannot be read."""
    if not file.is_file():
        raise BadInput(f"--general {file} does not exist. Give a table of general text with a column 'text'.")
    if "text" not in read_columns(file):
        raise BadInput(f"--general {file} has no column 'text'. It has: {', '.join(read_columns(file))}.")
    mistakes = Mistakes(file)
    texts = [
        text for row in read_rows(file, mistakes, ["text"]) if isinstance(text := row.values["text"], str) and text
    ]
    mistakes.check()
    if not texts:
        raise BadInput(f"--general {file} holds no text.")
    return texts


class _Adaptation:
    """A step-1 run in the order it happens: read, measure, train, measure, prove, save."""

    def __init__(
        self,
        options: AdaptOptions,
        corpus: Corpus,
        stack: Stack,
        general: list[str] | None,
        run: RunFolder,
        witness: Witness,
    ):
        self.options, self.corpus, self.stack, self.run, self.witness = options, corpus, stack, run, witness
        self.backbone = stack.backbone
        self.objective = objective_of(self.backbone)
        witness.says("Tokenising and packing the corpus")
        with launched().first_goes_first():
            self.streams = {split: corpus_stream(corpus, split, self.backbone) for split in _WHOLE}
            self.streams["train"] = corpus_stream(corpus, "train", self.backbone, options.note_tokens)
        self.general = general
        self.notes: dict[str, Notes] = {}
        self.batches = PackedBlocks(
            self.streams["train"],
            options.max_tokens,
            options.batch_size,
            options.seed,
            self.backbone.device,
            lambda: corpus.read("train").column("note_id").to_pylist(),
            options.train_tokens,
        )

    def trained(self) -> dict[str, Any]:
        """Trains, or finds it done; returns the score that selects, and what it cost."""
        cost: dict[str, Any] = {}
        device = str(self.backbone.device)
        self.stack.train(True)
        with measured(cost, "train", device):
            fitted = fit(
                self.stack.trainable(),
                self.batches,
                lambda batch: self.objective.loss(self.backbone, batch),
                self._score,
                recipe(
                    self.options, choose_autocast(self.options.precision, device), self.options.validations_per_epoch
                ),
                self.run.layout.checkpoints,
                watcher(self.run, self.witness),
            )
        self.stack.train(False)
        return {
            "validation": {"name": "bits_per_byte", "value": fitted.best_score, "lower_is_better": True},
            "best_epoch": fitted.best_epoch,
            "stopped_early": fitted.stopped_early,
            "parameters": {"total": self.stack.weights_total, "trainable": self.stack.weights_trainable},
            "cost": {"train": training_cost(cost["train"], fitted, *self.stack.weights_per_token, through_frozen=True)},
        }

    def look(self) -> None:
        """Reads what is needed to break figures down."""
        self.notes = {split: look_at_notes(_columns(self.corpus, split), self.backbone) for split in _WHOLE}
        if self.general:
            self.streams["general"] = _stream_of(self.general, self.backbone)
            each: dict[str, Sequence[Any]] = {
                "text": self.general,
                "patient_id": [str(i) for i in range(len(self.general))],
            }
            self.notes["general"] = look_at_notes([each], self.backbone)

    def result(self, origin: dict[str, Any]) -> dict[str, Any]:
        """Measures, trains, measures, proves and saves; `result.json` is written last."""
        options, stack, backbone, device = self.options, self.stack, self.backbone, str(self.backbone.device)
        self.look()
        cost: dict[str, Any] = {}
        start = stack.snapshot()
        with measured(cost, "before", device), stack.without(CLINICAL):
            before = _Measures(self, "before")
        training = self.trained()
        with measured(cost, "after", device):
            after = _Measures(self, "after")
        cost["evaluate"] = _sum_phases(cost.pop("before"), cost.pop("after"))
        cost["evaluate"] |= reading_cost(backbone.parameters_total, before.tokens + after.tokens)
        few = self.batches.load(range(min(2, count_blocks(self.streams["train"], options.max_tokens))))
        proof = prove(
            stack,
            lambda: backbone.unembed(backbone.encode_packed(few.inputs, few.positions)),
            lambda: self.objective.loss(backbone, few),
            start,
        )
        autocast = choose_autocast(options.precision, device)
        saved = save_adapter(
            self.run.layout.adapter(CLINICAL), stack.slots[0].adapter, stack, (), list(self.corpus.terms)
        )
        result = {
            "step": 1,
            "method": options.method,
            "objective": self.objective.name,
            "seed": options.seed,
            "base": {"name": backbone.name, "hash": backbone.hash},
            "corpus": self.corpus.name,
            "max_tokens": options.max_tokens,
            "note_tokens": options.note_tokens,
            "precision": precision_name(autocast),
            **_figures(self, before, after),
            "stack_proof": proof,
            **training,
            "cost": {**training["cost"], **cost},
        }
        lineage = {
            **origin,
            "adapters": [{**{key: saved[key] for key in ("name", "method", "hash", "parents")}, "frozen": False}],
            "versions": versions(),
            "device": device_name(choose_device(options.device)),
            "seed": options.seed,
            "terms": list(self.corpus.terms),
        }
        write_json(self.run.layout.lineage, lineage)
        write_card(self.run.layout.card, result, lineage)
        finish_folder(self.run.layout, result)
        return result

    def _score(self) -> Score:
        self.stack.train(False)
        found = self.sample("valid")
        self.stack.train(True)
        return Score("bits_per_byte", found.bits_per_byte, lower_is_better=True)

    def sample(self, split: str) -> LanguageMeasure:
        """A part of a split, evenly spread."""
        options = self.options
        return measure(
            self.backbone, self.streams[split], options.max_tokens, options.validation_tokens, options.batch_size
        )


class _Measures:
    """All that is measured with the adapters as they are switched, before or after training."""

    def __init__(self, run: _Adaptation, phase: str):
        options, backbone = run.options, run.backbone
        run.witness.says(f"Measuring the notes {phase} adaptation")
        self.train = run.sample("train")
        self.notes: dict[str, NoteMeasure] = {
            split: measure_notes(backbone, run.streams[split], notes, options.max_tokens, options.batch_size)
            for split, notes in run.notes.items()
        }
        self.released = {
            split: as_released(backbone, (text for one in _columns(run.corpus, split) for text in one["text"]))
            for split in _WHOLE
        }

    def of(self, split: str, notes: dict[str, Notes]) -> LanguageMeasure:
        """A split as a whole."""
        return self.train if split == "train" else self.notes[split].whole(notes[split])

    @property
    def tokens(self) -> int:
        """How many tokens were read."""
        return self.train.tokens + sum(int(one.tokens.sum()) for one in self.notes.values())


def _figures(run: _Adaptation, before: _Measures, after: _Measures) -> dict[str, Any]:
    """The part of a result that says how well notes are known, before and after."""
    phases = {"before": before, "after": after}
    splits = (*SPLITS, *(["general"] if "general" in run.notes else []))
    whole = {split: {phase: one.of(split, run.notes) for phase, one in phases.items()} for split in splits}
    intervals = {
        split: {
            **{phase: _bounds(interval(notes, one.notes[split])) for phase, one in phases.items()},
            "change": _bounds(interval(notes, after.notes[split], before.notes[split])),
        }
        for split, notes in run.notes.items()
    }
    found: dict[str, Any] = {
        "perplexity": {s: {phase: one.perplexity for phase, one in whole[s].items()} for s in SPLITS},
        "bits_per_byte": {s: {phase: one.bits_per_byte for phase, one in whole[s].items()} for s in SPLITS},
        "tokens": {s: whole[s]["after"].tokens for s in SPLITS},
        "intervals": {s: intervals[s] for s in _WHOLE},
        "breakdown": {s: broken_down(run.notes[s], before.notes[s], after.notes[s]) for s in _WHOLE},
        "as_released": {
            "perplexity": {s: {phase: one.released[s] for phase, one in phases.items()} for s in _WHOLE},
        },
        "forgetting": None,
    }
    if "general" in whole:
        found["forgetting"] = {
            "tokens": whole["general"]["after"].tokens,
            "bits_per_byte": {phase: one.bits_per_byte for phase, one in whole["general"].items()},
            "intervals": intervals["general"],
        }
    return found


def _bounds(found: Interval) -> dict[str, float | None]:
    known = found.low == found.low
    return {"value": found.value, "low": found.low if known else None, "high": found.high if known else None}


def corpus_stream(corpus: Corpus, split: str, backbone: Backbone, note_tokens: int | None = None) -> TokenStream:
    """The split's tokens under the backbone's tokenizer, built once and kept beside the corpus, anew when the notes change.

    note_tokens: how many of each note, at most; all without it.
    """
    notes = hash_files([corpus.path(split)])
    folder = CorpusLayout(corpus.folder).tokens(backbone.tokenizer.hash, notes, split, note_tokens)
    found = open_stream(folder)
    if found is not None:
        return found

    def texts() -> Iterator[list[str]]:
        for batch in _columns(corpus, split):
            yield batch["text"]

    def encode(texts: list[str]) -> tuple[list[list[int]], int]:
        if note_tokens is None:
            return _encode_whole(texts, backbone)
        return backbone.tokenizer.encode_within(texts, note_tokens)

    with wait_for_turn(folder.parent), disk_errors(folder):
        found = open_stream(folder)  # another process may have built it meanwhile
        if found is not None:
            return found
        refuse_occupied(folder)
        return build_stream(texts(), encode, backbone.tokenizer.size, folder)


def _encode_whole(texts: list[str], backbone: Backbone) -> tuple[list[list[int]], int]:
    """See `Encode`."""
    return backbone.tokenizer.encode(texts), sum(len(text.encode("utf-8")) for text in texts)


def _stream_of(texts: list[str], backbone: Backbone) -> TokenStream:
    return stream_of(*_encode_whole(texts, backbone))


def _columns(corpus: Corpus, split: str) -> Iterator[dict[str, Any]]:
    """A split's texts, patients and categories, a thousand notes at a time."""
    for batch in read_batches(corpus.path(split)):
        wanted = [name for name in ("text", "patient_id", "category") if name in batch.schema.names]
        yield {name: batch.column(name).to_pylist() for name in wanted}


def _sum_phases(*phases: dict[str, Any]) -> dict[str, Any]:
    return {
        "seconds": round(sum(one["seconds"] for one in phases), 3),
        "cpu_seconds": round(sum(one["cpu_seconds"] for one in phases), 3),
        "peak_bytes": max(one["peak_bytes"] for one in phases),
    }
