"""Many tasks' answers from one copy of each base: notes in, logits of every task that is asked for out, and how much was read.

Every distinct base is loaded once, whatever number of stacks lies on it. A note is cut into tokens once for each tokenizer;
notes of all tasks share a pass, and what their stacks have in common is computed once (`models.shared_backbone`). A task's
logits are those of its run alone to rounding (1e-5), whatever else is in the pass. Runs are loaded beside the passes, and
forgotten when nobody holds them any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from clinstack.evaluation.explanation import Explanation, explain, shares_without
from clinstack.models.attribution import log_odds, token_attributions
from clinstack.models.baseline import BaselineClassifier
from clinstack.models.classifier import Classifier
from clinstack.models.note_classifier import Pooled, SavedClassifier, open_saved
from clinstack.models.shared_backbone import Row, SharedBackbone, Update, additive_slots
from clinstack.models.stack import Stack, check_parents
from clinstack.models.window import Window

PASS_TOKENS = 4096
"""Most tokens in one pass: more take memory and gain no speed."""

Tokens = dict[tuple[str, str], list[int]]
"""Plain token ids by a tokenizer's hash and a text."""


@dataclass(frozen=True, eq=False)
class ServedStack:
    """A stack with its head, on a backbone that others may share. updates: its adapters above that."""

    shared: SharedBackbone
    updates: tuple[Update, ...]
    head: Classifier
    window: Window


@dataclass(frozen=True, eq=False)
class Served:
    """A task as one run answers it."""

    kind: str
    classes: tuple[str, ...]
    model: ServedStack | BaselineClassifier


@dataclass(frozen=True)
class Question:
    """A note's text and the tasks that are asked of it."""

    text: str
    tasks: tuple[Served, ...]


@dataclass(frozen=True)
class Scored:
    """What a task says of a text: its logits (C,), and which characters it read, as start and end of one piece or two."""

    logits: NDArray[np.float32]
    read: tuple[tuple[int, int], ...]


class Engine:
    """Answers for any number of runs on one device. Calls from several threads take turns at the passes.

    device: cpu, cuda or cuda:N.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        self._grounds: WeakValueDictionary[tuple[object, ...], SharedBackbone] = WeakValueDictionary()
        self._preparing, self._passing = Lock(), Lock()

    def prepare(self, run: Path, base: str | None = None) -> Served:
        """Loads a finished step-2 run, beside whatever is being answered.

        base: where the base is now, if not where it was. Raises as `note_classifier.load`.
        """
        saved = open_saved(run, base)
        if isinstance(saved, BaselineClassifier):
            return Served(saved.kind, saved.classes, saved)
        above = additive_slots(saved.slots)
        with self._preparing:
            shared = self._shared(saved, len(saved.slots) - above)
        below = [str(slot.adapter.hash) for slot in shared.ground.slots]
        updates = []
        for slot in saved.slots[len(saved.slots) - above :]:
            check_parents(slot.adapter, shared.backbone, below)
            below.append(str(slot.adapter.hash))
            if not slot.inert:
                updates.append(shared.update(slot.adapter))
        with self._passing:
            shared.admit(updates)
        head = saved.load_head(shared.backbone)
        return Served(saved.kind, saved.classes, ServedStack(shared, tuple(updates), head, saved.window))

    def score(self, texts: Sequence[str], tasks: Sequence[Served]) -> list[NDArray[np.float32]]:
        """Logits (N, C) of texts for each task."""
        answers = self.answer([Question(text, tuple(tasks)) for text in texts])
        return [
            np.stack([answer[place].logits for answer in answers])
            if answers
            else np.zeros((0, len(task.classes)), np.float32)
            for place, task in enumerate(tasks)
        ]

    def answer(self, questions: Sequence[Question]) -> list[list[Scored]]:
        """Of each question what each of its tasks says."""
        with self._passing, torch.inference_mode():
            asked: dict[Served, list[int]] = {}
            for number, question in enumerate(questions):
                for task in question.tasks:
                    asked.setdefault(task, []).append(number)
            tokens = self._tokens(questions, asked)
            pooled = self._pooled(questions, asked, tokens)
            found: dict[tuple[int, Served], Scored] = {}
            spans: dict[tuple[str, Window, str], tuple[tuple[int, int], ...]] = {}
            for task, numbers in asked.items():
                model = task.model
                if isinstance(model, ServedStack):
                    read = pooled[task]
                    logits = model.head(read.chunks, read.note, read.notes).cpu().numpy()
                else:
                    logits = model.score_texts([questions[number].text for number in numbers])
                for number, row in zip(numbers, logits, strict=True):
                    found[number, task] = Scored(row, _read_of(questions[number].text, task.model, tokens, spans))
        return [[found[number, task] for task in question.tasks] for number, question in enumerate(questions)]

    def explain(self, text: str, task: Served, column: int) -> Explanation:
        """What each word and section of a text adds to the log-odds of a class, by its number, and whether that holds."""

        def odds(texts: Sequence[str]) -> NDArray[np.float64]:
            (logits,) = self.score(texts, [task])
            return log_odds(torch.from_numpy(logits).double(), task.kind, column).numpy()

        if isinstance(task.model, ServedStack):
            shares = self._token_shares(text, task, task.model, column)
        else:
            shares = shares_without(text, odds)
        return explain(text, shares, odds)

    def _token_shares(self, text: str, task: Served, model: ServedStack, column: int) -> list[tuple[int, float]]:
        """Of each token that is read, the character that it begins at and what it adds."""
        tokenizer = model.shared.backbone.tokenizer
        (ids,), (places,) = tokenizer.plain([text]), tokenizer.places([text])
        chunks = model.window.cut(tokenizer, ids)
        with self._passing, model.shared.as_one_stack(model.updates) as backbone:
            found, _ = token_attributions(backbone, model.head, chunks, task.kind, column)
        parts = model.window.parts(tokenizer, len(ids))
        return [  # the opening token stands before each chunk
            (places[token], float(share))
            for part, chunk in zip(parts, found, strict=True)
            for token, share in zip(part, chunk[1:], strict=False)
        ]

    def _shared(self, saved: SavedClassifier, below: int) -> SharedBackbone:
        """The backbone for a run, with its lowest so many slots, loaded if no task has it yet."""
        slots = saved.slots[:below]
        key = (saved.base_hash, *((slot.adapter.hash, slot.merged, slot.inert) for slot in slots))
        shared = self._grounds.get(key)
        if shared is None:
            shared = SharedBackbone(Stack(saved.load_backbone(self.device), slots))
            if not shared.own_weights:
                same = (one for one in list(self._grounds.values()) if one.backbone.hash == saved.base_hash)
                if other := next((one for one in same if not one.own_weights), None):
                    shared.share_weights(other)
            self._grounds[key] = shared
        return shared

    def _pooled(
        self, questions: Sequence[Question], asked: Mapping[Served, Sequence[int]], tokens: Tokens
    ) -> dict[Served, Pooled]:
        """What the heads read: of each task's notes, in the order asked."""
        rows: dict[SharedBackbone, list[tuple[Served, Row]]] = {}
        note: dict[Served, list[int]] = {}
        for task, numbers in asked.items():
            model = task.model
            if not isinstance(model, ServedStack):
                continue
            tokenizer = model.shared.backbone.tokenizer
            for place, number in enumerate(numbers):
                for chunk in model.window.cut(tokenizer, tokens[tokenizer.hash, questions[number].text]):
                    rows.setdefault(model.shared, []).append((task, Row(tuple(chunk), model.updates)))
                    note.setdefault(task, []).append(place)
        vectors: dict[Served, list[torch.Tensor]] = {task: [] for task in note}
        for shared, mine in rows.items():
            states = _read(shared, [row for _, row in mine])
            for (task, _), hidden in zip(mine, states, strict=True):
                assert isinstance(task.model, ServedStack)
                mask = torch.ones(1, len(hidden), dtype=torch.int64, device=hidden.device)
                vectors[task].append(task.model.head.pool(hidden.unsqueeze(0), mask))
        return {
            task: Pooled(torch.cat(mine), torch.tensor(note[task], device=mine[0].device), len(asked[task]))
            for task, mine in vectors.items()
        }

    def _tokens(self, questions: Sequence[Question], asked: Mapping[Served, Sequence[int]]) -> Tokens:
        """Plain token ids by tokenizer and text, each computed once."""
        wanted: dict[str, dict[str, None]] = {}
        tokenizers = {}
        for task, numbers in asked.items():
            if isinstance(task.model, ServedStack):
                tokenizer = task.model.shared.backbone.tokenizer
                tokenizers[tokenizer.hash] = tokenizer
                wanted.setdefault(tokenizer.hash, {}).update(dict.fromkeys(questions[n].text for n in numbers))
        return {
            (key, text): ids
            for key, texts in wanted.items()
            for text, ids in zip(texts, tokenizers[key].plain(list(texts)), strict=True)
        }


def _read_of(
    text: str,
    model: ServedStack | BaselineClassifier,
    tokens: Tokens,
    known: dict[tuple[str, Window, str], tuple[tuple[int, int], ...]],
) -> tuple[tuple[int, int], ...]:
    """Which characters of a text a model reads. known: what was found before, to which this is added."""
    if not isinstance(model, ServedStack):
        return ((0, len(text)),)
    tokenizer = model.shared.backbone.tokenizer
    key = (tokenizer.hash, model.window, text)
    if key not in known:
        known[key] = tuple(model.window.spans(tokenizer, text, tokens[tokenizer.hash, text]))
    return known[key]


def _read(shared: SharedBackbone, rows: Sequence[Row]) -> list[torch.Tensor]:
    """The last hidden states of rows, in passes of about PASS_TOKENS; rows of one chunk are in one pass."""
    of_chunk: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        of_chunk.setdefault(row.tokens, []).append(number)
    passes: list[list[int]] = []
    room = 0
    for tokens, numbers in of_chunk.items():
        cost = len(tokens) * len({rows[number].order for number in numbers})
        if not passes or cost > room:
            passes.append([])
            room = PASS_TOKENS
        passes[-1] += numbers
        room -= cost
    found: dict[int, torch.Tensor] = {}
    for numbers in passes:
        found |= zip(numbers, shared.read([rows[number] for number in numbers]), strict=True)
    return [found[number] for number in range(len(rows))]
