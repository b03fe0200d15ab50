"""How well a language model knows notes: over all tokens, per note for intervals, and by category and section.

Every figure is a sum over tokens divided by a sum over bytes (or tokens), never a mean of means; `as_released` alone follows
the published convention, so that it can stand beside. Evaluation is always float32.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from clinstack.data.headings import PARTS, parts_of
from clinstack.data.packing import TokenStream, count_blocks
from clinstack.errors import BadInput
from clinstack.metrics.bits import bits_per_byte, perplexity
from clinstack.metrics.intervals import Interval, Weights, bootstrap
from clinstack.models.backbone import Backbone
from clinstack.models.reading import pad
from clinstack.training.batches import PackedBlocks, spread_blocks
from clinstack.training.contract import Diverged
from clinstack.training.objective import objective_of

RELEASED_TOKENS = 128
RELEASED_BATCH = 10
"""Tokens a note was cut to, and notes in a batch, in the released code of the published study."""

Floats = NDArray[np.float64]


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


@dataclass(frozen=True)
class Notes:
    """What is to be known of a split's notes, in the order of its stream, to break a measure down.

    patients:    (notes,) whose each is.              text_bytes: (notes,) UTF-8 bytes.
    categories:  (notes,) their category, "" without. part_bytes: (notes, parts) the bytes of each of PARTS.
    part_tokens: (tokens of the stream,) the number in PARTS of the part that a token begins in.
    """

    patients: Sequence[str]
    categories: Sequence[str]
    text_bytes: Floats
    part_bytes: Floats
    part_tokens: NDArray[np.uint8]


@dataclass(frozen=True)
class NoteMeasure:
    """The likelihood of every note of a split: nats and scored tokens (notes, parts)."""

    nats: Floats
    tokens: Floats

    def whole(self, notes: Notes) -> LanguageMeasure:
        """All notes together."""
        return LanguageMeasure(float(self.nats.sum()), int(self.tokens.sum()), float(notes.text_bytes.sum()))


def look_at_notes(batches: Iterable[dict[str, Sequence[Any]]], backbone: Backbone) -> Notes:
    """Reads texts once more for what a stream does not hold. batches: columns text, patient_id and perhaps category."""
    patients: list[str] = []
    categories: list[str] = []
    text_bytes, part_bytes, part_tokens = [], [], []
    for batch in batches:
        patients += batch["patient_id"]
        categories += [category or "" for category in batch.get("category", [""] * len(batch["text"]))]
        for text, places in zip(batch["text"], backbone.tokenizer.places(list(batch["text"])), strict=True):
            parts = parts_of(text)
            starts = np.array([start for start, _ in parts])
            numbers = np.array([PARTS.index(name) for _, name in parts], np.uint8)
            ends = [*starts[1:], len(text)]
            sizes = np.zeros(len(PARTS))
            for number, start, end in zip(numbers, starts, ends, strict=True):
                sizes[number] += len(text[start:end].encode("utf-8"))
            part_bytes.append(sizes)
            text_bytes.append(sizes.sum())
            inside = numbers[np.searchsorted(starts, places, side="right") - 1]
            # The start token and an encoder's separator are never scored; they may belong anywhere.
            part_tokens.append(np.concatenate([[0], inside, [0] * len(backbone.tokenizer.end)]).astype(np.uint8))
    return Notes(patients, categories, np.array(text_bytes), np.array(part_bytes), np.concatenate(part_tokens))


@torch.inference_mode()
def measure(
    backbone: Backbone, stream: TokenStream, max_tokens: int, limit: int | None = None, batch_size: int = 8
) -> LanguageMeasure:
    """The likelihood of a stream's notes with the adapters as they are switched.

    limit: about this many tokens, in blocks evenly spread over the stream; every token if None.
    A model that gives some token no likelihood has none as a whole: NaN.
    """
    chosen = spread_blocks(count_blocks(stream, max_tokens), max_tokens, limit)
    nats = tokens = 0.0
    for _, part, scored in _token_nats(backbone, stream, max_tokens, chosen, batch_size):
        nats += float(part.sum())
        tokens += int(scored.sum())
    if not tokens:
        raise BadInput("The notes hold no token to predict.")
    return LanguageMeasure(nats, int(tokens), stream.text_bytes * tokens / stream.scored_tokens)


@torch.inference_mode()
def measure_notes(
    backbone: Backbone, stream: TokenStream, notes: Notes, max_tokens: int, batch_size: int = 8
) -> NoteMeasure:
    """The likelihood of every note and part with the adapters as they are switched.

    Raises Diverged if a token has no finite one.
    """
    nats, tokens = np.zeros((2, len(stream.starts), len(PARTS)))
    offset = objective_of(backbone).offset
    chosen = np.arange(count_blocks(stream, max_tokens))
    for first, part, scored in _token_nats(backbone, stream, max_tokens, chosen, batch_size):
        places = (first + offset + np.arange(len(part)))[scored]
        where = (np.searchsorted(stream.starts, places, side="right") - 1, notes.part_tokens[places])
        np.add.at(nats, where, part[scored])
        np.add.at(tokens, where, 1)
    if not np.isfinite(nats).all():
        spoiled = int((~np.isfinite(nats)).any(axis=1).sum())
        raise Diverged(
            f"The model gives tokens of {spoiled:,} of {len(nats):,} notes no finite likelihood. Train with a lower "
            "--learning-rate or --precision float32."
        )
    return NoteMeasure(nats, tokens)


def _token_nats(
    backbone: Backbone, stream: TokenStream, max_tokens: int, chosen: NDArray[np.int64], batch_size: int
) -> Iterator[tuple[int, Floats, NDArray[np.bool_]]]:
    """Of each block: the index of its first token in the stream, nats (T,), and which places were scored (T,)."""
    objective = objective_of(backbone)
    blocks = PackedBlocks(stream, max_tokens, batch_size, 0, backbone.device)
    for start in range(0, len(chosen), batch_size):
        numbers = chosen[start : start + batch_size].tolist()
        nats, scored = objective.token_nats(backbone, blocks.load(numbers))
        for number, row, which in zip(numbers, nats.double().cpu().numpy(), scored.cpu().numpy(), strict=True):
            yield number * max_tokens, row, which


def interval(
    notes: Notes, measured: NoteMeasure, against: NoteMeasure | None = None, resamples: int = 1000
) -> Interval:
    """Bits per byte with its interval over patients; with `against`, the change from it on the same notes."""
    nats = measured.nats.sum(axis=1) - (0 if against is None else against.nats.sum(axis=1))

    def bits(weights: Weights) -> Floats:
        found: Floats = (weights @ nats) / math.log(2) / (weights @ notes.text_bytes)
        return found

    return bootstrap(bits, notes.patients, resamples)


def broken_down(notes: Notes, before: NoteMeasure, after: NoteMeasure) -> dict[str, list[dict[str, Any]]]:
    """Rows of bits per byte before and after, by category (where notes have any) and by section."""
    parts = {
        name: _row(name, before.nats[:, i], after.nats[:, i], after.tokens[:, i], notes.part_bytes[:, i])
        for i, name in enumerate(PARTS)
    }
    kinds = np.array(notes.categories)
    categories = {}
    for kind in sorted(set(notes.categories)) if any(notes.categories) else []:
        of_kind = kinds == kind
        sums = [one[of_kind].sum(axis=1) for one in (before.nats, after.nats, after.tokens)]
        categories[kind] = _row(kind or "(none)", sums[0], sums[1], sums[2], notes.text_bytes[of_kind])
    return {
        "category": [row for row in categories.values() if row],
        "section": [row for row in parts.values() if row],
    }


def _row(name: str, before: Floats, after: Floats, tokens: Floats, text_bytes: Floats) -> dict[str, Any] | None:
    if not tokens.sum():
        return None
    return {
        "name": name,
        "notes": int((text_bytes > 0).sum()),
        "tokens": int(tokens.sum()),
        "bytes": int(text_bytes.sum()),
        "bits_per_byte_before": bits_per_byte(float(before.sum()), float(text_bytes.sum())),
        "bits_per_byte_after": bits_per_byte(float(after.sum()), float(text_bytes.sum())),
    }


@torch.inference_mode()
def as_released(backbone: Backbone, texts: Iterable[str]) -> float | None:
    """Perplexity as the released code of the published study computes it, to stand beside ours; None for an encoder.

    Notes are cut to 128 tokens and read ten at a time in their order; the figure is exp of the mean over batches of each
    batch's mean over tokens, so a token in a batch of short notes weighs more, and nothing behind token 128 counts.
    """
    if backbone.masked:
        return None
    means, waiting = [], []
    for text in texts:
        waiting.append(text)
        if len(waiting) == RELEASED_BATCH:
            means.append(_batch_mean(backbone, waiting))
            waiting = []
    if waiting:
        means.append(_batch_mean(backbone, waiting))
    return perplexity(float(np.mean(means)), 1) if means else None


def _batch_mean(backbone: Backbone, texts: list[str]) -> float:
    encoded = backbone.tokenizer.encode(texts, RELEASED_TOKENS)
    tokens, mask = pad(encoded, backbone.tokenizer.pad, backbone.device)
    logits = backbone.unembed(backbone.encode(tokens, mask)[:, :-1]).float()
    scored = mask[:, 1:].bool()
    return float(functional.cross_entropy(logits[scored], tokens[:, 1:][scored]))
