"""The head: a head adapter if there is one, pooling of tokens and of chunks, and a classifier; always in float32.

A run owns its head and saves it beside the adapters, so that a saved run always predicts. (Classes of transformers and peft
that bundle a head read a padding position with some methods and forget to save it with others.)
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clinstack.errors import BadInput
from clinstack.models.activations import ACTIVATIONS, Activation
from clinstack.models.chunk_pooling import CHUNK_POOLINGS, ChunkPooling
from clinstack.models.dropout import Dropout
from clinstack.models.head_adapter import head_adapters, make_head_adapter
from clinstack.models.pooling import Pooling, pool

HeadPlace = Literal["tokens", "pooled"]


@dataclass(frozen=True)
class HeadForm:
    """All that decides a head's shape, and what its file says of it.

    adapter, size: a head adapter, alone or with a preset (`grn:small`), and its size.   place: before or after pooling.
    hidden: width of a layer before the logits, if there is one, and its activation.   dropout: before it and before the logits.
    """

    pooling: Pooling = "last"
    chunk_pooling: ChunkPooling = "mean"
    adapter: str | None = None
    size: int | None = None
    place: HeadPlace = "tokens"
    hidden: int | None = None
    activation: Activation = "gelu"
    dropout: float = 0.0

    @property
    def about(self) -> dict[str, Any]:
        """As JSON; what is as it always was is left out but for the two poolings."""
        plain = asdict(HeadForm())
        return {key: value for key, value in asdict(self).items() if "pooling" in key or value != plain[key]}

    @classmethod
    def of_about(cls, about: dict[str, Any]) -> "HeadForm":
        """The form that a file tells of, which may say more."""
        return cls(**{one.name: about[one.name] for one in fields(cls) if one.name in about})

    @property
    def reads_tokens(self) -> bool:
        """Whether something trains before the pooling, so that one vector per chunk is not enough."""
        return self.adapter is not None and self.place == "tokens"


class Classifier(nn.Module):
    """Token states (M, T, H) and mask (M, T) of chunks -> logits (N, C) of notes.

    width:   H of the backbone.
    classes: C; a binary task has two.
    independent: each class is a yes or no of its own (multilabel), not one of C.
    Initialised like the published setting's linear layer: normal weights of standard deviation 0.02, zero bias.
    Raises BadInput for a head adapter that is unknown, or has nothing to do where it is placed.
    """

    def __init__(self, form: HeadForm, width: int, classes: int, *, independent: bool = False):
        super().__init__()
        self.form, self.independent = form, independent
        self.adapter = None
        if form.adapter is not None:
            _require_use(form)
            self.adapter = make_head_adapter(form.adapter, width, form.size)
        self.chunks = CHUNK_POOLINGS[form.chunk_pooling](width)
        self._scaling: tuple[Tensor, Tensor] | None = None
        self.dropout = Dropout(form.dropout)
        self.hidden = nn.Linear(width, form.hidden) if form.hidden else None
        self.linear = nn.Linear(form.hidden or width, classes)
        for layer in (self.hidden, self.linear):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    @property
    def weights_per_token(self) -> int:
        """Weights that every token is multiplied with, for estimates of operations: a head adapter's before the pooling."""
        if self.adapter is None or not self.form.reads_tokens:
            return 0
        return sum(one.numel() for one in self.adapter.parameters())

    def expect(self, frequencies: Tensor) -> None:
        """Sets the biases so that untrained logits already say how frequent each class is.

        frequencies: (C,) in 0-1, of the training part (as weighted in the loss).
        Otherwise the first hundreds of steps go into learning that rare labels are rare, and drag the weights along.
        Source: Lin et al. 2017 (arXiv 1708.02002), section 4.1, "initialization" with a prior.
        """
        likely = frequencies.clamp(1e-4, 1 - 1e-4)
        with torch.no_grad():
            self.linear.bias.copy_(torch.logit(likely) if self.independent else likely.log())

    def scale(self, vectors: Tensor) -> None:
        """Lets the last layers read these vectors (N, H), and all others with them, around 0 with deviation 1, until `fold`.

        The models are the same ones; but states have directions that all notes share, beside which what tells notes apart is
        small, and a step that suits the one is too long or too short for the other.
        """
        deviation = vectors.std(dim=0, correction=0)
        spread = torch.where(deviation > 1e-6 * deviation.max(), deviation, torch.ones_like(deviation))
        self._scaling = vectors.mean(dim=0), spread

    def fold(self) -> None:
        """Takes the scaling into the weights that read it: the logits stay, up to rounding."""
        if self._scaling is None:
            return
        centre, spread = self._scaling
        reading = self.hidden if self.hidden is not None else self.linear
        with torch.no_grad():  # a centre far from 0 would lose digits of the bias in single precision
            weight = reading.weight.double() / spread.double()
            reading.bias.copy_(reading.bias.double() - weight @ centre.double())
            reading.weight.copy_(weight)
        self._scaling = None

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """One float32 vector (M, H) per chunk, outside of any autocast."""
        with torch.autocast(hidden.device.type, enabled=False):
            if self.adapter is not None and self.form.reads_tokens:
                hidden = self.adapter(hidden.float(), mask)
            return pool(hidden, mask, self.form.pooling).float()

    def vectors(self, pooled: Tensor, note: Tensor, notes: int) -> Tensor:
        """What the last layers read of notes (N, H), from pooled chunks (M, H); note: (M,) whose each chunk is."""
        with torch.autocast(pooled.device.type, enabled=False):
            vectors = self.chunks(pooled, note, notes)
            if self.adapter is not None and not self.form.reads_tokens:
                vectors = self.adapter(vectors.unsqueeze(1), vectors.new_ones(notes, 1)).squeeze(1)
            return vectors  # type: ignore[no-any-return]

    def forward(self, pooled: Tensor, note: Tensor, notes: int) -> Tensor:
        """Logits (N, C) of notes from pooled chunks (M, H), outside of any autocast; note: (M,) whose each chunk is."""
        vectors = self.vectors(pooled, note, notes)
        with torch.autocast(pooled.device.type, enabled=False):
            return self.linear(self.dropout(self.before_last(vectors)))  # type: ignore[no-any-return]

    def before_last(self, vectors: Tensor) -> Tensor:
        """What the last layer reads (N, H or hidden) where the last layers read these vectors (N, H)."""
        if self._scaling is not None:
            centre, spread = self._scaling
            vectors = (vectors - centre) / spread
        if self.hidden is not None:
            vectors = ACTIVATIONS[self.form.activation](self.hidden(self.dropout(vectors)))
        return vectors


def _require_use(form: HeadForm) -> None:
    name = (form.adapter or "").partition(":")[0]
    kind = head_adapters().get(name)
    if form.place == "pooled" and kind is not None and kind.reads_sequence:
        able = ", ".join(name for name, one in head_adapters().items() if not one.reads_sequence)
        raise BadInput(
            f"Head adapter {name} compares a note's tokens, and after pooling there is one vector only, so it would be "
            f"a plain linear layer. Use --head-place tokens, or one of {able}."
        )
