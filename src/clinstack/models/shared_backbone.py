"""Notes of many stacks in one pass over the backbone that they share.

Low-rank adapters only add to what layers make, so notes of one pass may each have their own: the backbone's large products are
made once for all of them, and each adapter's small ones for its own notes (as Punica does on accelerators: Chen et al. 2023,
arXiv 2310.18547). What several stacks make of a note alike is made once: their rows part at the first layer that an adapter of
their own lies in. Five tasks whose adapters lie in the top quarter of the layers so cost two passes and not five, and heads on
one clinical adapter cost one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from clinstack.models.backbone import Backbone
from clinstack.models.note_attention import few_shapes
from clinstack.models.reading import pad
from clinstack.models.split import pass_layers, path_of_layers
from clinstack.models.stack import Adapter, Slot, Stack

_FILE_PREFIX = "base_model.model."


@dataclass(frozen=True, eq=False)
class Update:
    """A low-rank adapter as what it adds to layers.

    factors: by a layer's path in the model, A (r, in) and B (out, r), the latter scaled.
    first:   the lowest of the backbone's layers that it changes.
    """

    hash: str
    first: int
    factors: dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Row:
    """A chunk of a note to be read by a stack. updates: what the stack has above the shared backbone, lowest first."""

    tokens: tuple[int, ...]
    updates: tuple[Update, ...] = ()

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Sorts rows so that those with the same adapters lie side by side."""
        return tuple(update.hash for update in self.updates)


def additive_slots(slots: Sequence[Slot]) -> int:
    """How many slots, from the outermost, hold adapters that a `SharedBackbone` can give to each row of its own."""
    count = 0
    for slot in reversed(slots):
        if slot.merged or not (slot.inert or slot.adapter.method.additive):
            break
        count += 1
    return count


@dataclass(frozen=True, eq=False)
class SharedBackbone:
    """A backbone, with the adapters that all its stacks have below the additive ones, for rows of many stacks.

    ground: a stack in which nothing trains.   On a processor a pass holds one row of several notes end to end; models that
    cannot be read so (virtual tokens, models from nothing) read one chunk after the other.
    """

    ground: Stack
    _adding: "dict[str, list[tuple[slice, Tensor, Tensor]]]" = field(default_factory=dict, init=False, repr=False)
    _hooked: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _updates: "WeakValueDictionary[str, Update]" = field(default_factory=WeakValueDictionary, init=False, repr=False)

    @property
    def backbone(self) -> Backbone:
        """The one that is shared."""
        return self.ground.backbone

    @property
    def own_weights(self) -> bool:
        """Whether the ground has changed weights of the base, which other grounds on the base must not share then."""
        return any(slot.merged or slot.adapter.method.trains_base for slot in self.ground.slots)

    def share_weights(self, other: "SharedBackbone") -> None:
        """Takes the base's weights from where another ground on the same base has them, so that they are in memory once."""
        assert self.backbone.hash == other.backbone.hash
        assert not self.own_weights
        assert not other.own_weights
        for name, weight in self.backbone.own.items():
            weight.data = other.backbone.own[name].data

    def update(self, adapter: Adapter) -> Update:
        """An adapter ready to be given to rows, in memory once. It must be additive, and made on this ground."""
        assert adapter.method.additive
        assert adapter.weights is not None
        assert adapter.hash is not None
        if known := self._updates.get(adapter.hash):
            return known
        scale = float(adapter.method.effect()["scale"])
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for name, down in adapter.weights.items():
            path, _, which = name.removeprefix(_FILE_PREFIX).rpartition(".lora_")
            if which == "A.weight":
                up = adapter.weights[f"{_FILE_PREFIX}{path}.lora_B.weight"] * scale
                found[path] = tuple(one.to(self.backbone.device, torch.float32) for one in (down, up))  # type: ignore[assignment]
        made = self._updates[adapter.hash] = Update(adapter.hash, min(map(self._layer, found)), found)
        return made

    def admit(self, updates: Iterable[Update]) -> None:
        """Prepares layers for what rows will bring. Never while a pass is made."""
        for update in updates:
            for path in update.factors.keys() - self._hooked.keys():
                layer: nn.Module = self.backbone.model.get_submodule(path)
                self._hooked[path] = layer.register_forward_hook(self._adder(path))

    def read(self, rows: Sequence[Row]) -> list[Tensor]:
        """The last hidden states (T, H) of each row, without gradient; of equal rows the same tensor."""
        with torch.inference_mode():
            if self.backbone.virtual.active or self.backbone.made_here:
                distinct = {(row.tokens, row.order): row for row in rows}
                found = {key: self._read_alone(row) for key, row in distinct.items()}
                return [found[row.tokens, row.order] for row in rows]
            return self._read_packed(rows)

    @contextmanager
    def as_one_stack(self, updates: Sequence[Update]) -> Iterator[Backbone]:
        """The backbone as it is for a stack with these updates alone, for passes of any form, also with gradient."""
        self._add([(slice(None), update) for update in updates])  # of virtual tokens in front, too
        try:
            yield self.backbone
        finally:
            self._add([])

    def _read_alone(self, row: Row) -> Tensor:
        tokens, mask = pad([list(row.tokens)], self.backbone.tokenizer.pad, self.backbone.device)
        with self.as_one_stack(row.updates) as backbone:
            return backbone.encode(tokens, mask)[0]

    def _read_packed(self, rows: Sequence[Row]) -> list[Tensor]:
        """Layer ranges from one parting of rows to the next; in each, what is equal is computed once."""
        partings = sorted({0, self.backbone.layers, *(update.first for row in rows for update in row.updates)})
        states: dict[tuple[Any, ...], Tensor] = {}
        for first, last in pairwise(partings):
            distinct = {_history(row, last): row for row in rows}
            ordered = dict(sorted(distinct.items(), key=lambda one: one[0][1]))
            before = [states[_history(row, first)] for row in ordered.values()] if first else None
            made = self._pass(list(ordered.values()), range(first, last), before)
            states = dict(zip(ordered, made, strict=True))
        return [states[_history(row, self.backbone.layers)] for row in rows]

    def _pass(self, rows: list[Row], layers: range, before: list[Tensor] | None) -> list[Tensor]:
        """What these layers make of each row (T, H). before: what came out of the layers below them, (T, H) of each row."""
        lengths = [len(row.tokens) for row in rows]
        lacking = few_shapes(sum(lengths)) - sum(lengths)
        filled = [*lengths, lacking] if lacking else lengths
        tokens = [token for row in rows for token in row.tokens] + [self.backbone.tokenizer.start] * lacking
        positions = [place for length in filled for place in range(length)]
        device = self.backbone.device
        inputs = self.backbone.packed_inputs(
            torch.tensor([tokens], device=device), torch.tensor([positions], device=device), filled
        )
        states = None
        if before is not None:
            states = torch.cat([*before, before[0].new_zeros(lacking, before[0].shape[1])]).unsqueeze(0)
        self._add(_spans(rows, layers.stop))
        try:
            after = pass_layers(self.backbone, layers, states, **inputs)[0]
        finally:
            self._add([])
        return list(torch.split(after[: sum(lengths)], lengths))

    def _add(self, spans: list[tuple[slice, Update]]) -> None:
        """Has the layers add updates to these places of the coming pass, and to no others."""
        self._adding.clear()
        for span, update in spans:
            for path, (down, up) in update.factors.items():
                self._adding.setdefault(path, []).append((span, down.t(), up.t()))

    def _adder(self, path: str) -> Any:
        def add(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            if wanted := self._adding.get(path):
                read, made = inputs[0].flatten(0, -2), output.flatten(0, -2)
                products = [read[span] @ down for span, down, _ in wanted]
                for (span, _, up), product in zip(wanted, products, strict=True):
                    made[span].addmm_(product, up)
                return made.view_as(output)
            return output

        return add

    def _layer(self, path: str) -> int:
        """The number of the backbone's layer that a module lies in; 0 for one outside of them."""
        prefix = self.backbone.model.base_model_prefix
        inside = path.removeprefix(f"{prefix}.").removeprefix(f"{path_of_layers(self.backbone)}.")
        number = inside.partition(".")[0]
        return int(number) if number.isdigit() else 0


def _history(row: Row, last: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """All that decides a row's states below this layer: its tokens, and the updates begun by then."""
    return row.tokens, tuple(update.hash for update in row.updates if update.first < last)


def _spans(rows: list[Row], last: int) -> list[tuple[slice, Update]]:
    """Where in rows that lie end to end each update is to be added: runs of neighbours as one."""
    spans: list[tuple[slice, Update]] = []
    open_at: dict[str, int] = {}
    start = 0
    for row in rows:
        end = start + len(row.tokens)
        for update in row.updates:
            if update.first >= last:
                continue
            at = open_at.get(update.hash)
            if at is not None and spans[at][0].stop == start:
                spans[at] = (slice(spans[at][0].start, end), update)
            else:
                open_at[update.hash] = len(spans)
                spans.append((slice(start, end), update))
        start = end
    return spans
