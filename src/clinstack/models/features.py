"""Hidden states that no training changes, computed once and kept (`runs.array_store`), shared by tasks, seeds and searches.

Where nothing inside a stack trains, what is kept is one vector per chunk, or, where a head adapter reads them, the states of
every token; where only the upper layers train, the states of every token below them. The key says all that decides the
states: base, frozen adapters, tokenizer, layer, pooling, precision, torch and, of each chunk, its tokens (so text, length and
truncation). Some of what is found is computed again, and must agree.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.classifier import Classifier
from clinstack.models.reading import Chunks, Reader, WholeReader, pad, pool_batches, reading_order
from clinstack.models.split import SplitBackbone, frozen_layers
from clinstack.models.stack import Stack
from clinstack.runs.array_store import ArrayStore, Shelf

_PUT_BYTES = 64 * 2**20
_BATCH = 32
_CHECKED = 2
_TOLERANCE = 1e-4
"""Of the largest state: what another number of threads or another processor may differ by."""


@dataclass
class Features:
    """Kept states of chunks. compute: chunks -> (rows, width) of each; called for those that are not kept.

    derive: what a chunk's states follow from without reading it again, if that is kept; else None.
    found, computed: how many chunks there were, and how many had to be read by the model; tokens: of the latter.
    """

    shelf: Shelf
    width: int
    compute: Callable[[Chunks], list[Tensor]]
    batches: Callable[[Chunks], Iterator[list[int]]]
    derive: Callable[[list[int]], Tensor | None] = field(default=lambda chunk: None)
    found: int = 0
    computed: int = 0
    tokens: int = 0
    _checked: int = field(default=0, repr=False)
    _ready: set[bytes] = field(default_factory=set, repr=False)

    def prepare(self, chunks: Chunks) -> None:
        """Computes and keeps what is not kept yet; of processes that want the same one does, and the others wait for it.

        Raises BadInput if what is kept is not what the model gives.
        """
        new = {key: chunk for key, chunk in ((_key(chunk), chunk) for chunk in chunks) if key not in self._ready}
        self.found += len(new)
        if all(key in self.shelf for key in new):
            self._check(list(new.values()))
        else:
            with self.shelf.turn(new):
                absent = {key: chunk for key, chunk in new.items() if key not in self.shelf}
                self._check([chunk for key, chunk in new.items() if key not in absent])
                self._fill(absent)
        self._ready |= new.keys()

    def _fill(self, absent: dict[bytes, list[int]]) -> None:
        derived = {key: one.cpu().numpy() for key, chunk in absent.items() if (one := self.derive(chunk)) is not None}
        self.shelf.put(derived)
        missing = [chunk for key, chunk in absent.items() if key not in derived]
        self.found -= len(missing)
        self.computed += len(missing)
        self.tokens += sum(map(len, missing))
        waiting: dict[bytes, NDArray[np.float32]] = {}
        for rows in self.batches(missing):
            if self.shelf.full:
                return
            batch = [missing[row] for row in rows]
            states = self.compute(batch)
            waiting |= {_key(chunk): one.cpu().numpy() for chunk, one in zip(batch, states, strict=True)}
            if sum(one.nbytes for one in waiting.values()) >= _PUT_BYTES:
                self.shelf.put(waiting)
                waiting = {}
        if waiting:
            self.shelf.put(waiting)

    def get(self, chunks: Chunks) -> list[Tensor]:
        """The states of each chunk (rows, width); computed if they could not be kept."""
        kept = self.shelf.get([_key(chunk) for chunk in chunks], self.width)
        return [
            torch.from_numpy(one) if one is not None else self.compute([chunk])[0]
            for one, chunk in zip(kept, chunks, strict=True)
        ]

    def _check(self, kept: Chunks) -> None:
        """Computes the first few kept chunks again."""
        for chunk in kept[: max(0, _CHECKED - self._checked)]:
            self._checked += 1
            (there,) = self.shelf.get([_key(chunk)], self.width)
            (now,) = self.compute([chunk])
            again = now.cpu().numpy()
            assert there is not None
            if there.shape != again.shape or not np.allclose(
                there, again, rtol=0, atol=_TOLERANCE * np.abs(again).max()
            ):
                raise BadInput(
                    f"The features kept in {self.shelf.root} are not what the model gives for the same notes. Remove that "
                    "folder; it is made again when it is needed."
                )


@dataclass(frozen=True)
class VectorReader:
    """Reads the kept vector of each chunk, for a stack in which nothing trains."""

    whole: WholeReader
    features: Features

    def load(self, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """As if nothing were kept."""
        return self.whole.load(chunks)

    def encode(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """As if nothing were kept."""
        return self.whole.encode(inputs, mask)

    def pooled(self, chunks: Chunks, head: Classifier, batch_size: int) -> Tensor:
        """See `Reader`."""
        self.features.prepare(chunks)
        return torch.cat(self.features.get(chunks)).to(self.whole.backbone.device)


@dataclass(frozen=True)
class StatesReader:
    """Reads the kept states of every token below the first layer that trains, and computes the layers above, if there are any.

    above: states (M, T, H) and mask (M, T) -> the last hidden states.
    """

    backbone: Backbone
    above: Callable[[Tensor, Tensor], Tensor]
    features: Features

    def load(self, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """The kept states (M, T, H) and the mask (M, T)."""
        states = self.features.get(chunks)
        inputs = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        lengths = torch.tensor([len(one) for one in states])
        mask = (torch.arange(inputs.shape[1]) < lengths[:, None]).long()
        return inputs.to(self.backbone.device), mask.to(self.backbone.device)

    def encode(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """The layers above."""
        return self.above(inputs, mask)

    def pooled(self, chunks: Chunks, head: Classifier, batch_size: int) -> Tensor:
        """See `Reader`."""
        self.features.prepare(chunks)
        return pool_batches(self, chunks, head, batch_size, self.backbone)


@contextmanager
def open_reader(stack: Stack, head: Classifier, store: ArrayStore | None, chunks: Chunks) -> Iterator[Reader]:
    """The reader of a stack that is switched to evaluation; where there is a store, what it can keep of `chunks` is kept.

    Raises BadInput as the store does.
    """
    backbone = stack.backbone
    whole = WholeReader(backbone)
    layers = frozen_layers(backbone) if stack.trainable() else backbone.layers
    pooled = not stack.trainable() and not head.form.reads_tokens
    if store is None or layers == 0 or (stack.trainable() and layers == backbone.layers):
        yield whole
        return
    with ExitStack() as held:
        shelf = held.enter_context(store.shelf(_identity(stack, layers, head.form.pooling if pooled else None)))

        def batches(chunks: Chunks) -> Iterator[list[int]]:
            return reading_order(chunks, _BATCH, backbone.device)

        def kept(compute: Callable[[Chunks], list[Tensor]]) -> Features:
            return Features(shelf, backbone.width, compute, batches)

        reader: VectorReader | StatesReader
        if pooled:
            features = kept(_vectors(whole, head))
            if store.holds(of_tokens := _identity(stack, layers, None)):
                features.derive = _pooling(head, held.enter_context(store.shelf(of_tokens)), backbone)
            reader = VectorReader(whole, features)
        elif layers == backbone.layers:
            reader = StatesReader(backbone, lambda states, mask: states, kept(_states(backbone, whole.encode)))
        else:
            split = SplitBackbone(backbone, layers)
            reader = StatesReader(backbone, split.top, kept(_states(backbone, split.trunk)))
        reader.features.prepare(chunks)
        # Half-kept states would be computed again at every step, in the arithmetic of training.
        yield whole if shelf.full else reader


def features_used(reader: Reader) -> dict[str, int] | None:
    """How many chunks a reader found kept and how many it computed; None if it keeps nothing."""
    if isinstance(reader, VectorReader | StatesReader):
        return {"found": reader.features.found, "computed": reader.features.computed}
    return None


def tokens_read(reader: Reader) -> int:
    """How many tokens a reader that keeps states has had the model read."""
    return reader.features.tokens if isinstance(reader, VectorReader | StatesReader) else 0


def _vectors(whole: WholeReader, head: Classifier) -> Callable[[Chunks], list[Tensor]]:
    def compute(chunks: Chunks) -> list[Tensor]:
        with torch.inference_mode():
            inputs, mask = whole.load(chunks)
            return list(head.pool(whole.encode(inputs, mask), mask).unsqueeze(1))

    return compute


def _pooling(head: Classifier, states: Shelf, backbone: Backbone) -> Callable[[list[int]], Tensor | None]:
    """Pools a chunk's kept states of every token."""

    def derive(chunk: list[int]) -> Tensor | None:
        (kept,) = states.get([_key(chunk)], backbone.width)
        if kept is None:
            return None
        hidden = torch.from_numpy(kept)[None].to(backbone.device)
        with torch.inference_mode():
            return head.pool(hidden, torch.ones(hidden.shape[:2], dtype=torch.int64, device=backbone.device))

    return derive


def _states(backbone: Backbone, encode: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Chunks], list[Tensor]]:
    def compute(chunks: Chunks) -> list[Tensor]:
        with torch.inference_mode():
            tokens, mask = pad(chunks, backbone.tokenizer.pad, backbone.device)
            states = encode(tokens, mask)
            return [one[: len(chunk)].clone() for one, chunk in zip(states, chunks, strict=True)]

    return compute


def _identity(stack: Stack, layers: int, pooling: str | None) -> dict[str, Any]:
    """All that decides the states besides the tokens. pooling: None if what is kept are the states of every token."""
    backbone: Backbone = stack.backbone
    frozen = [slot for slot in stack.slots if slot.frozen]
    return {
        "base": backbone.hash,
        "adapters": [{"hash": slot.adapter.hash, "merged": slot.merged} for slot in frozen],
        "tokenizer": backbone.tokenizer.hash,
        "layer": layers,
        "pooling": pooling,
        "dtype": "float32",
        "device": backbone.device.type,
        "torch": torch.__version__,
    }


def _key(tokens: Sequence[int]) -> bytes:
    return hashlib.sha256(np.asarray(tokens, np.int64).tobytes()).digest()
