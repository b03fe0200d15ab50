"""Reads every note of a study once by every frozen encoder; all heads, sizes and seeds then learn from what is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clinstack.config import LimitedDataOptions, TrainOptions
from clinstack.data.task import open_task
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone, check_max_tokens
from clinstack.models.base_files import base_name
from clinstack.models.base_loading import load_backbone
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.features import features_used, open_reader, tokens_read
from clinstack.models.head_adapter import head_adapters
from clinstack.models.stack import Stack
from clinstack.models.window import Window
from clinstack.runs.array_store import ArrayStore
from clinstack.runs.atomic import read_json, write_json
from clinstack.runs.layout import StudyLayout
from clinstack.training.machine import choose_device, measured
from clinstack.training.running import Witness

_MOST = 0.5
"""Share of unknown tokens above which an encoder reads something else than the notes."""


@dataclass(frozen=True)
class Reading:
    """What an encoder reads of a task's notes, and what that took.

    hash: the encoder's.   notes: different ones.   tokens: of all of them, as they are cut.
    shortened: share of the notes that is cut.   unknown: share of the tokens.
    computed: notes that were read for this task; the others were kept already. computed_tokens: of these; 0 where an earlier
    version did not count them. What follows is what reading these took.
    """

    hash: str
    notes: int
    tokens: int
    shortened: float
    unknown: float
    computed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    computed_tokens: int = 0

    @property
    def tokens_read(self) -> float:
        """Of the notes that were read, about where they were not counted."""
        return self.computed_tokens or self.tokens_of(self.computed)

    def tokens_of(self, notes: int) -> float:
        """How many tokens so many of the notes have, about."""
        return notes * self.tokens / self.notes


Encoding = Mapping[str, Mapping[str, Reading]]
"""Encoder -> task -> reading."""


def encode_once(
    options: LimitedDataOptions, tasks: Mapping[str, Sequence[Path]], layout: StudyLayout, witness: Witness
) -> dict[str, dict[str, Reading]]:
    """Keeps each encoder's states of every note, and notes what that took: encoder -> task -> reading.

    tasks: name -> folders that hold its notes. Reading goes on where it stopped. Raises BadInput for an encoder that cannot
    read them.
    """
    texts = {name: _texts(folders) for name, folders in tasks.items()} if options.encoders else {}
    store = ArrayStore(layout.features, int(TrainOptions.model_fields["feature_gigabytes"].default * 2**30))
    noted = _noted(layout)
    device = choose_device(options.device)
    for encoder in options.encoders:
        backbone = load_backbone(encoder, device)
        check_max_tokens(backbone, options.max_tokens)
        readings = noted.setdefault(backbone.name, {})
        for task, notes in texts.items():
            witness.says(f"Reading {len(notes):,} notes of {task} by {backbone.name}")
            found, kept = _read(backbone, notes, options.max_tokens, store)
            if found.computed or task not in readings:
                readings[task] = _after(readings.get(task), found)
            if not kept:
                witness.says(
                    f"{layout.features} has no room for the states of {backbone.name}; each run reads its notes anew"
                )
            write_json(layout.encoding, {name: {t: asdict(one) for t, one in by.items()} for name, by in noted.items()})
    names = [base_name(encoder) for encoder in options.encoders]
    return {name: {task: one for task, one in noted[name].items() if task in tasks} for name in names}


def took(readings: Mapping[str, Reading], task: str, notes: int) -> Reading:
    """What reading so many notes of a task takes. readings: of one encoder, by task.

    By the token: the longest notes are read first, so those that an interrupted reading left are short. Where another task had
    the same notes none was read for this one, and a token takes what it took there.
    """
    own = readings[task]
    of = [own] if own.computed else [one for one in readings.values() if one.computed]
    tokens = sum(one.tokens_read for one in of)
    share = own.tokens_of(notes) / tokens if tokens else 0.0
    return replace(
        own,
        seconds=share * sum(one.seconds for one in of),
        cpu_seconds=share * sum(one.cpu_seconds for one in of),
        peak_bytes=max((one.peak_bytes for one in of), default=0),
    )


def _read(backbone: Backbone, notes: list[str], max_tokens: int, store: ArrayStore) -> tuple[Reading, bool]:
    """Keeps the states of these notes, if there is room for them, and says whether there was."""
    cost: dict[str, dict[str, Any]] = {}
    whole = backbone.tokenizer.plain(notes)  # what this takes is counted for each run by itself
    unknown = _require_words(backbone, whole)
    chunks = [Window(max_tokens).cut(backbone.tokenizer, ids)[0] for ids in whole]
    head = Classifier(HeadForm("mean", adapter=next(iter(head_adapters()))), backbone.width, 2)
    with (
        measured(cost, "encode", str(backbone.device)),
        open_reader(Stack(backbone, ()), head, store, chunks) as reader,
    ):
        used, tokens = features_used(reader), tokens_read(reader)
    shortened = sum(len(ids) > backbone.tokenizer.room(max_tokens) for ids in whole) / len(notes)
    found = Reading(backbone.hash, len(notes), sum(map(len, chunks)), shortened, unknown)
    if used is None:
        return found, False
    return replace(found, computed=used["computed"], computed_tokens=tokens, **cost["encode"]), True


def _after(before: Reading | None, now: Reading) -> Reading:
    """What reading took before and this time."""
    if before is None:
        return now
    return replace(
        now,
        computed=before.computed + now.computed,
        computed_tokens=round(before.tokens_read + now.tokens_read),
        seconds=before.seconds + now.seconds,
        cpu_seconds=before.cpu_seconds + now.cpu_seconds,
        peak_bytes=max(before.peak_bytes, now.peak_bytes),
    )


def _require_words(backbone: Backbone, notes: Sequence[Sequence[int]]) -> float:
    """The share of the notes' tokens that the encoder does not know. Raises BadInput if it is most of them."""
    unknown = sum(ids.count(backbone.tokenizer.unknown) for ids in notes) / max(1, sum(map(len, notes)))
    if unknown > _MOST:
        raise BadInput(
            f"{backbone.name} does not know {unknown:.0%} of the notes' tokens: its tokenizer is another model's, or of "
            "another language. Fetch the encoder again, whole, or choose another."
        )
    return unknown


def _noted(layout: StudyLayout) -> dict[str, dict[str, Reading]]:
    found = read_json(layout.encoding) if layout.encoding.is_file() else {}
    return {name: {task: Reading(**one) for task, one in by_task.items()} for name, by_task in found.items()}


def _texts(folders: Iterable[Path]) -> list[str]:
    """Every different note of these, in their order."""
    found: dict[str, None] = {}
    for folder in folders:
        found |= dict.fromkeys(open_task(folder).read_all().column("text").to_pylist())
    return list(found)
