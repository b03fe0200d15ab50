"""Step 1: trains a clinical adapter to predict the next token of unlabelled notes.

The loss is a sum over tokens divided by their number, across accumulated batches, so every token weighs the same. Perplexity
and bits per byte are measured before and after on the same tokens: with the adapter switched off and on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clinstack.config import AdaptOptions
from clinstack.data.corpus import Corpus, open_corpus
from clinstack.data.notes import SPLITS, read_batches
from clinstack.data.packing import NOT_SCORED, TokenStream, build_stream, count_blocks, open_stream
from clinstack.errors import BadInput
from clinstack.metrics.bits import bits_per_byte, perplexity
from clinstack.models.adapter_files import save_adapter
from clinstack.models.backbone import Backbone
from clinstack.models.method import make_method
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.runs.atomic import disk_errors, refuse_occupied, write_json
from clinstack.runs.card import write_card
from clinstack.runs.folder import RunFolder
from clinstack.runs.layout import CorpusLayout
from clinstack.runs.lineage import hash_files, versions
from clinstack.training.batches import PackedBatch, PackedBlocks
from clinstack.training.loop import Loss, Score, fit
from clinstack.training.machine import choose_autocast, choose_device, measured
from clinstack.training.proof import prove
from clinstack.training.running import (
    Silent,
    Witness,
    base_origin,
    finish_run,
    prepare_base,
    reading_cost,
    recipe,
    training_cost,
    watcher,
)

CLINICAL = "clinical"
"""The name of the clinical adapter in every stack."""


@dataclass(frozen=True)
class LanguageMeasure:
    """Summed negative log-likelihood (nats) of scored tokens, and the UTF-8 bytes they spell."""

    nats: float
    tokens: int
    text_bytes: float

    @property
    def perplexity(self) -> float | None:
        """exp of the mean over tokens; None where that is no number."""
        return perplexity(self.nats, self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers."""
        return bits_per_byte(self.nats, self.text_bytes)


def adapt(options: AdaptOptions, witness: Witness | None = None) -> dict[str, Any]:
    """Trains a clinical adapter as the options say and returns the run's result; goes on with an interrupted run.

    Raises BadInput, WrongParents, CannotWrite, ProofFailed or Interrupted, each with the sentence to show.
    """
    witness = witness or Silent()
    device = choose_device(options.device)
    corpus = open_corpus(options.corpus)
    method = make_method(options.method, options.method_options)
    backbone = prepare_base(options, device, witness)
    origin = {
        "base": base_origin(options.base, backbone),
        "data": {"name": corpus.name, "hash": hash_files(corpus.path(split) for split in SPLITS)},
    }

    def work(run: RunFolder) -> dict[str, Any]:
        witness.says("Tokenising and packing the corpus")
        streams = {split: corpus_stream(corpus, split, backbone) for split in SPLITS}
        stack = Stack(backbone, (Slot(Adapter(CLINICAL, method)),))
        return _train(options, corpus, stack, streams, run, origin, witness)

    return finish_run(options, origin, witness, work)


def _train(
    options: AdaptOptions,
    corpus: Corpus,
    stack: Stack,
    streams: dict[str, TokenStream],
    run: RunFolder,
    origin: dict[str, Any],
    witness: Witness,
) -> dict[str, Any]:
    """Before, training, after, proof, files: the run in the order it happens."""
    backbone, device = stack.backbone, str(stack.backbone.device)
    cost: dict[str, Any] = {}
    limits = {"train": options.validation_tokens, "valid": None, "test": None}

    def measure_all(phase: str) -> dict[str, LanguageMeasure]:
        with measured(cost, phase, device):
            found = {}
            for split, stream in streams.items():
                witness.says(f"Measuring the {split} notes {phase} adaptation")
                found[split] = measure(backbone, stream, options.max_tokens, limits[split], options.batch_size)
            return found

    def score() -> Score:
        stack.train(False)
        found = measure(backbone, streams["valid"], options.max_tokens, options.validation_tokens, options.batch_size)
        stack.train(True)
        return Score("bits_per_byte", found.bits_per_byte, lower_is_better=True)

    start = stack.snapshot()
    with stack.without(CLINICAL):
        before = measure_all("before")
    batches = PackedBlocks(streams["train"], options.max_tokens, options.batch_size, options.seed, backbone.device)
    autocast = choose_autocast(options.precision, device)
    stack.train(True)
    with measured(cost, "train", device):
        fitted = fit(
            stack.trainable(),
            batches,
            lambda batch: next_token_loss(backbone, batch),
            score,
            recipe(options, autocast, options.validations_per_epoch),
            run.layout.checkpoints,
            watcher(run, witness),
        )
    stack.train(False)
    after = measure_all("after")
    read = sum(found.tokens for phase in (before, after) for found in phase.values())
    cost["evaluate"] = _sum_phases(cost.pop("before"), cost.pop("after")) | reading_cost(
        backbone.parameters_total, read
    )
    few = batches.load(range(min(2, count_blocks(streams["train"], options.max_tokens))))
    proof = prove(stack, lambda: _token_logits(backbone, few), lambda: next_token_loss(backbone, few), start)

    cost["train"] = training_cost(cost["train"], fitted, *stack.weights_per_token, through_frozen=True)
    saved = save_adapter(run.layout.adapter(CLINICAL), stack.slots[0].adapter, backbone, (), list(corpus.terms))
    result = {
        "step": 1,
        "method": options.method,
        "seed": options.seed,
        "base": {"name": backbone.name, "hash": backbone.hash},
        "corpus": corpus.name,
        "max_tokens": options.max_tokens,
        "precision": "float32" if autocast is None else str(autocast).removeprefix("torch."),
        "perplexity": {s: {"before": before[s].perplexity, "after": after[s].perplexity} for s in SPLITS},
        "bits_per_byte": {s: {"before": before[s].bits_per_byte, "after": after[s].bits_per_byte} for s in SPLITS},
        "tokens": {s: after[s].tokens for s in SPLITS},
        "stack_proof": proof,
        "parameters": {"total": stack.weights_total, "trainable": stack.weights_trainable},
        "best_epoch": fitted.best_epoch,
        "stopped_early": fitted.stopped_early,
        "cost": cost,
    }
    lineage = {
        **origin,
        "adapters": [{**{key: saved[key] for key in ("name", "method", "hash", "parents")}, "frozen": False}],
        "versions": versions(),
        "seed": options.seed,
        "terms": list(corpus.terms),
    }
    write_json(run.layout.lineage, lineage)
    write_card(run.layout.card, result, lineage)
    write_json(run.layout.result, result)
    return result


def corpus_stream(corpus: Corpus, split: str, backbone: Backbone) -> TokenStream:
    """The split's tokens under the backbone's tokenizer, built once and kept beside the corpus, anew when the notes change."""
    notes = hash_files([corpus.path(split)])
    folder = CorpusLayout(corpus.folder).tokens(backbone.tokenizer.hash, notes, split)
    found = open_stream(folder)
    if found is not None:
        return found
    refuse_occupied(folder)

    def texts() -> Iterator[list[str]]:
        for batch in read_batches(corpus.path(split), ["text"]):
            yield batch.column("text").to_pylist()

    with disk_errors(folder):
        return build_stream(texts(), backbone.tokenizer.encode, backbone.tokenizer.size, folder)


def next_token_loss(backbone: Backbone, batch: PackedBatch) -> Loss:
    """Summed cross-entropy (nats) of the scored tokens of packed blocks, in float32."""
    hidden = backbone.encode_packed(batch.inputs, batch.positions)
    scored = batch.targets != NOT_SCORED
    logits = backbone.unembed(hidden[scored]).float()
    total = functional.cross_entropy(logits, batch.targets[scored], reduction="sum")
    return Loss(total, float(scored.sum()), batch.inputs.numel())


@torch.inference_mode()
def measure(
    backbone: Backbone, stream: TokenStream, max_tokens: int, limit: int | None = None, batch_size: int = 8
) -> LanguageMeasure:
    """The likelihood of a stream's notes with the adapters as they are switched, in float32.

    limit: about this many tokens, in blocks evenly spread over the stream; every token if None.
    """
    count = count_blocks(stream, max_tokens)
    wanted = count if limit is None else min(count, max(1, limit // max_tokens))
    chosen = np.unique(np.linspace(0, count - 1, wanted).astype(int))
    blocks = PackedBlocks(stream, max_tokens, batch_size, 0, backbone.device)
    nats = tokens = 0.0
    for first in range(0, len(chosen), batch_size):
        part = next_token_loss(backbone, blocks.load(chosen[first : first + batch_size].tolist()))
        nats += float(part.total)
        tokens += part.weight
    if not tokens:
        raise BadInput("The notes hold no token to predict.")
    return LanguageMeasure(nats, int(tokens), stream.text_bytes * tokens / stream.scored_tokens)


def _token_logits(backbone: Backbone, batch: PackedBatch) -> Tensor:
    return backbone.unembed(backbone.encode_packed(batch.inputs, batch.positions))


def _sum_phases(*phases: dict[str, Any]) -> dict[str, Any]:
    return {
        "seconds": round(sum(one["seconds"] for one in phases), 3),
        "peak_bytes": max(one["peak_bytes"] for one in phases),
    }
