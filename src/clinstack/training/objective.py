"""What step 1 learns from packed blocks: a decoder foretells the next token, an encoder restores masked ones.

The logits of a block are as wide as the vocabulary and would be the largest thing in memory, several times over (logits, their
float32 copy, their gradient). So the loss is computed over chunks of tokens, and each chunk's gradient at once, while its
logits exist: what is kept is as large as the hidden states.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from clinstack.data.packing import NOT_SCORED
from clinstack.models.backbone import Backbone
from clinstack.models.note_attention import few_shapes
from clinstack.training.batches import PackedBatch
from clinstack.training.contract import Loss

CHUNK_LOGITS = 2**22
"""Logits computed at once: 16 MiB of float32."""

MASKED_SHARE = 0.15
"""Of an encoder's tokens, chosen for restoring (Devlin et al. 2019, section 3.1): 80 % masked, 10 % random, 10 % kept."""

PASSES = 7
"""Passes in which every token of an encoder is masked once in evaluation: about as many at a time as in training."""


class Objective(Protocol):
    """A language model's task on packed blocks."""

    @property
    def name(self) -> str:
        """What it is called in results."""

    @property
    def offset(self) -> int:
        """How far behind its place in `inputs` a scored token lies."""

    def loss(self, backbone: Backbone, batch: PackedBatch) -> Loss:
        """The summed loss of training, in nats."""

    def token_nats(self, backbone: Backbone, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """(B, T) nats of each place's token in evaluation, 0 where nothing is scored, and (B, T) where something is."""


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of each token given those before it in its note."""

    name: str = "next-token"
    offset: int = 1

    def loss(self, backbone: Backbone, batch: PackedBatch) -> Loss:
        """Over every token but the notes' start tokens."""
        hidden = backbone.encode_packed(batch.inputs, batch.positions)
        scored = batch.targets != NOT_SCORED
        total = summed_cross_entropy(backbone, hidden[scored], batch.targets[scored])
        return Loss(total, float(scored.sum()), batch.inputs.numel())

    def token_nats(self, backbone: Backbone, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """The same, token by token."""
        scored = batch.targets != NOT_SCORED
        hidden = backbone.encode_packed(batch.inputs, batch.positions)
        nats = torch.zeros(batch.inputs.shape, device=hidden.device)
        nats[scored] = cross_entropies(backbone, hidden[scored], batch.targets[scored])
        return nats, scored


@dataclass(frozen=True)
class Restore:
    """Cross-entropy of masked tokens given the rest of their note."""

    name: str = "masked"
    offset: int = 0

    def loss(self, backbone: Backbone, batch: PackedBatch) -> Loss:
        """Over tokens chosen anew each time from torch's random numbers, which checkpoints keep."""
        words = _words(backbone, batch)
        draw = torch.rand(batch.inputs.shape).to(words.device)
        kind = torch.rand(batch.inputs.shape).to(words.device)
        others = torch.randint(backbone.tokenizer.size, batch.inputs.shape).to(words.device)
        chosen = words & (draw < MASKED_SHARE)
        shown = torch.where(chosen & (kind < 0.8), backbone.tokenizer.mask or 0, batch.inputs)
        shown = torch.where(chosen & (kind >= 0.9), others, shown)
        hidden = backbone.encode_packed(shown, batch.positions)
        total = summed_cross_entropy(backbone, hidden[chosen], batch.inputs[chosen])
        return Loss(total, float(chosen.sum()), batch.inputs.numel())

    def token_nats(self, backbone: Backbone, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Every token masked once, one in PASSES at a time, always the same ones together."""
        words = _words(backbone, batch)
        same = torch.Generator().manual_seed(0)
        turn = torch.randint(PASSES, batch.inputs.shape, generator=same).to(words.device)
        nats = torch.zeros(batch.inputs.shape, device=words.device)
        for number in range(PASSES):
            chosen = words & (turn == number)
            shown = torch.where(chosen, backbone.tokenizer.mask or 0, batch.inputs)
            hidden = backbone.encode_packed(shown, batch.positions)
            nats[chosen] = cross_entropies(backbone, hidden[chosen], batch.inputs[chosen])
        return nats, words


def objective_of(backbone: Backbone) -> Objective:
    """What a base of this kind is trained on."""
    return Restore() if backbone.masked else NextToken()


def _words(backbone: Backbone, batch: PackedBatch) -> Tensor:
    """(B, T) places that hold a token of a text: no start token, no separator, no empty place at the stream's end."""
    special = torch.tensor([backbone.tokenizer.start, *backbone.tokenizer.end], device=batch.inputs.device)
    return ~torch.isin(batch.inputs, special) & batch.filled


def cross_entropies(backbone: Backbone, hidden: Tensor, targets: Tensor) -> Tensor:
    """(N,) nats of targets (N,) given hidden states (N, H), without gradient."""
    found = [
        functional.cross_entropy(backbone.unembed(states).float(), wanted, ignore_index=NOT_SCORED, reduction="none")
        for states, wanted in _chunks(backbone, hidden, targets)
    ]
    return torch.cat(found)[: len(targets)] if found else torch.zeros(0, device=hidden.device)


def summed_cross_entropy(backbone: Backbone, hidden: Tensor, targets: Tensor) -> Tensor:
    """The summed nats (scalar) of targets (N,) given hidden states (N, H), in float32."""
    if not torch.is_grad_enabled():
        return cross_entropies(backbone, hidden, targets).sum()
    weights = [weight for weight in _output_weights(backbone) if weight.requires_grad]
    return _Chunked.apply(backbone, targets, hidden, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _Chunked(torch.autograd.Function):
    """Loss and gradient chunk by chunk, in one go forward."""

    @staticmethod
    def forward(context: Any, backbone: Backbone, targets: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
        """Remembers the gradients of hidden states and of trained output weights."""
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        of_hidden = hidden.new_empty(few_shapes(len(hidden)), hidden.shape[1])
        of_weights = [torch.zeros_like(weight) for weight in weights]
        first = 0
        for states, wanted in _chunks(backbone, hidden, targets):
            with torch.enable_grad():
                states = states.detach().requires_grad_()
                logits = backbone.unembed(states).float()
                part = functional.cross_entropy(logits, wanted, ignore_index=NOT_SCORED, reduction="sum")
                gradient, *others = torch.autograd.grad(part, [states, *weights])
            of_hidden[first : first + len(states)] = gradient
            for whole, other in zip(of_weights, others, strict=True):
                whole += other
            total += part.detach()
            first += len(states)
        context.save_for_backward(of_hidden[: len(hidden)], *of_weights)
        return total.float()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scales what was remembered."""
        return (None, None, *(one * gradient for one in context.saved_tensors))


def _output_weights(backbone: Backbone) -> list[nn.Parameter]:
    return list(backbone.output.parameters())


def _chunks(backbone: Backbone, hidden: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Places of a chunk each, the last one filled up: see `few_shapes`."""
    size = max(1, CHUNK_LOGITS // backbone.vocabulary)
    if not len(targets):
        return []
    lacking = few_shapes(len(targets)) - len(targets)
    hidden = functional.pad(hidden, (0, 0, 0, lacking))
    targets = functional.pad(targets, (0, lacking), value=NOT_SCORED)
    return list(zip(torch.split(hidden, size), torch.split(targets, size), strict=True))
