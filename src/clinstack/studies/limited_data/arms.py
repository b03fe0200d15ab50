"""The models that a limited-data study compares, each an arm: what it is called, what kind it is, its options of step 2.

A frozen encoder is read once, and a head is trained on it: a linear one (the probe), or one with a head adapter before it, in
its own size and in one that has as many weights as the bottleneck of 64. Beside these: the encoder with a real LoRA, encoders
that SetFit tunes, small Transformers from nothing, and baselines. Every arm but these last and SetFit tries three learning
rates and trains for a number of steps as its kind needs them, whatever the number of notes: a few epochs of a few notes are
over before anything is learned.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clinstack.config import LimitedDataOptions
from clinstack.errors import BadInput, did_you_mean
from clinstack.models.base_files import base_name
from clinstack.models.base_loading import shape_of
from clinstack.models.baseline import baselines
from clinstack.models.from_scratch import architectures
from clinstack.models.head_adapter import head_adapters, size_of_weights
from clinstack.models.sentence_encoder import PREFIX
from clinstack.studies.limited_data.parts import Part

PROBE, EQUAL = "linear probe", "equal"
RATES, _WORD_RATES = (3e-4, 1e-3, 3e-3), (1e-2, 3e-2, 1e-1)
"""Learning rates that are tried. A word's embedding gets a gradient only where the word is read, and needs longer steps: on
3,200 lines a mean of embeddings came to 0.52 of macro F1 on validation with the highest of the others', to 0.88 with its own.
"""
_HEAD_SHARE, _HEAD_EPOCHS = 0.5, 2
"""What stands on a frozen encoder takes half of the steps: it begins where a logistic regression ends, and is soon done.
One reading of all notes is too few: a bottleneck reached 0.73 of macro F1 on validation after it, and 0.75 after two.
"""
_SCRATCH_EPOCHS = 3
"""What learns a language from the notes reads them so often at least, as in the tutorials that the presets follow."""
_REFERENCE = "adapter"
"""The head adapter whose number of weights the others are brought to."""
_WORD_BAGS = ("transformer:mean",)
"""Presets without a block: what a mean of embeddings learns is no more than how much each word counts, as in fastText."""
_FEW = 200
"""Most training notes of SetFit: it is made for few, and forty pairs a note are read."""
_SELECT_BY = "f1-macro"
"""On validation, since it is what arms are compared by on test."""
_READ_ANEW = ("lora", "setfit")
"""Families whose encoder learns too and reads every note in every epoch."""
_LORA = {"task_adapter": "lora", "rank": 8, "targets": "qv"}


@dataclass(frozen=True)
class Pace:
    """How long a training takes, whatever the number of notes.

    steps: at most, up to half an epoch.   patience: steps without gain after which it ends, two epochs at least; 0 for none.
    batch_size: notes of a step.
    least_epochs: times that every note is read, also where the steps are over before.
    """

    steps: int
    patience: int
    batch_size: int
    least_epochs: int

    def options(self, notes: int) -> dict[str, int]:
        """What step 2 is asked for, of so many training notes: whole epochs, as near to the steps as these come."""
        an_epoch = math.ceil(notes / self.batch_size)
        patience = max(2, math.ceil(self.patience / an_epoch)) if self.patience else 0
        epochs = max(self.least_epochs, math.floor(self.steps / an_epoch + 0.5))
        return {"epochs": epochs, "patience": patience, "batch_size": self.batch_size}


@dataclass(frozen=True)
class Arm:
    """A model of the study.

    family: head (on a frozen encoder), lora, setfit, scratch or baseline.   backbone: the encoder's name, or the model's own.
    head: the probe, or a head adapter's name; `equal` in brackets says that its size is brought to the reference's weights.
    rates: learning rates that are tried; of what has none the options say all.   sizes: which parts it is trained on.
    pace: of its training, where it has rates.
    """

    family: str
    backbone: str
    head: str
    options: dict[str, Any] = field(hash=False)
    rates: tuple[float, ...] = RATES
    sizes: Literal["all", "largest", "few"] = "all"
    pace: Pace | None = None

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.backbone} + {self.head}" if self.family in ("head", "lora", "setfit") else self.backbone

    def learns_from(self, part: Part) -> bool:
        """Whether it is trained on a part: what reads anew every epoch may be on some alone, and with labels as they are."""
        if part.noise and self.family in _READ_ANEW:
            return False
        return self.sizes == "all" or (part.whole if self.sizes == "largest" else part.size <= _FEW)


def make_arms(options: LimitedDataOptions) -> list[Arm]:
    """The arms that a study's options ask for. Raises BadInput for a name that is not known."""
    arms = [_baseline(name) for name in _names(options.baselines, dict.fromkeys(baselines(), ()), "baseline")]
    shared = _shared(options)
    scratch = {name: kind.presets for name, kind in architectures().items()}
    for name in _names(options.scratch, scratch, "model from nothing"):
        own = {key: value for key, value in shared.items() if key != "head_dropout"}  # a preset has its own
        family, rates = ("baseline", _WORD_RATES) if name in _WORD_BAGS else ("scratch", RATES)
        pace = _pace(options, _SCRATCH_EPOCHS)
        arms.append(Arm(family, name, "own", {**own, "base": name}, rates, pace=pace))
    for encoder in options.setfit:
        base = f"{PREFIX}{_place(encoder)}"
        machine = {key: shared[key] for key in ("device", "max_tokens", "select_by")}
        arms.append(Arm("setfit", base_name(encoder), "SetFit", {**machine, "base": base}, rates=(), sizes="few"))
    heads = _names(
        options.heads, {"none": (), **{name: kind.presets for name, kind in head_adapters().items()}}, "head adapter"
    )
    for encoder in options.encoders:
        arms += _of_encoder(encoder, heads, options, shared)
    if not arms:
        raise BadInput("There is nothing to compare. Name models with --encoders, --scratch or --baselines.")
    _require_own_names(arms)
    return arms


def _require_own_names(arms: Sequence[Arm]) -> None:
    """Raises BadInput where two models would be one arm."""
    bases: dict[str, str] = {}
    for arm in arms:
        base = str(arm.options["base"])
        other = bases.setdefault(arm.name, base)
        if other != base:
            raise BadInput(f"{other} and {base} would both be called {arm.backbone}. Rename one of the folders.")


def _shared(options: LimitedDataOptions) -> dict[str, Any]:
    """What all trained arms have in common."""
    machine = {"device": options.device, "precision": options.precision}
    return {
        **machine,
        "max_tokens": options.max_tokens,
        "schedule": "linear",
        "head_rate": 1.0,
        "head_dropout": 0.1,
        "pooling": "mean",
        "select_by": _SELECT_BY,
    }


def _pace(options: LimitedDataOptions, least_epochs: int, share: float = 1.0) -> Pace:
    """share: of the steps, and of the patience."""
    steps, patience = math.ceil(share * options.steps), math.ceil(share * options.patience)
    return Pace(steps, patience, options.batch_size, least_epochs)


def _of_encoder(encoder: str, heads: Sequence[str], options: LimitedDataOptions, shared: dict[str, Any]) -> list[Arm]:
    base, name, width = _place(encoder), base_name(encoder), shape_of(encoder).width
    shared = {**shared, "head_start": "fitted"}
    frozen = {**shared, "base": base, "task_adapter": "none"}
    budget = head_adapters()[_REFERENCE].weights(width, head_adapters()[_REFERENCE].default_size(width))
    pace = _pace(options, _HEAD_EPOCHS, _HEAD_SHARE)
    arms = []
    for head in heads:
        if head == "none":
            arms.append(Arm("head", name, PROBE, frozen, pace=pace))
            continue
        if "native" in options.arms or head == _REFERENCE:
            arms.append(Arm("head", name, head, {**frozen, "head_adapter": head}, pace=pace))
        if "equal" in options.arms and ":" not in head and head != _REFERENCE:
            sized = {"head_adapter": head, "head_size": size_of_weights(head, width, budget)}
            arms.append(Arm("head", name, f"{head} ({EQUAL})", {**frozen, **sized}, pace=pace))
    if options.lora != "none":
        tuned = {**shared, "base": base, **_LORA}
        pace = _pace(options, _SCRATCH_EPOCHS)
        arms.append(Arm("lora", name, "LoRA", tuned, sizes=options.lora, pace=pace))
    return arms


def _place(encoder: str) -> str:
    """The encoder's folder as any process finds it, or its hub id."""
    return str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder


def _baseline(name: str) -> Arm:
    return Arm("baseline", name, "own", {"base": name, "select_by": _SELECT_BY}, rates=())


def _names(given: str, known: Mapping[str, Collection[str]], what: str) -> list[str]:
    """Names joined by commas, none twice, each alone or with one of its presets behind a colon. known: presets by name."""
    names = [one.strip() for one in given.split(",") if one.strip()]
    for name in names:
        form, colon, preset = name.partition(":")
        if form not in known:
            raise BadInput(f"Unknown {what} {name!r}. {did_you_mean(form, known)}")
        if colon and (not preset or preset not in known[form]):
            choices = [one for one in known[form] if one]
            said = did_you_mean(preset, choices) if choices else "It has none."
            raise BadInput(f"{form} has no preset {preset!r}. {said}")
    return list(dict.fromkeys(names))
