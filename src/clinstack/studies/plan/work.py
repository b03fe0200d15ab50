"""What a command does to a model, in numbers: the stack, the batches, the tokens it learns from and those it only reads."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clinstack.config import AdaptOptions, EvaluateOptions, PredictOptions, TrainOptions
from clinstack.data.task import open_task
from clinstack.errors import BadInput
from clinstack.models.adapter_files import load_adapter
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import shape_of
from clinstack.models.from_scratch import is_from_scratch
from clinstack.models.method import make_method
from clinstack.models.note_classifier import base_of_run, finished_step_2
from clinstack.models.quantized import Quantize
from clinstack.models.stack import Adapter, Slot, Stack
from clinstack.models.window import Window
from clinstack.studies.plan.reading import Reading, read_corpus, read_table, read_task
from clinstack.training.language import CLINICAL, begin_stack
from clinstack.training.machine import choose_autocast, choose_device
from clinstack.training.running import make_stack
from clinstack.training.variants import make_slots

Run = AdaptOptions | TrainOptions
Planned = Run | EvaluateOptions | PredictOptions


@dataclass(frozen=True)
class Work:
    """A run's work. rows and length: of a batch. trained, read: tokens with and without a way back. kept: bytes of tokens that
    stay on disk. language: whether it predicts tokens. autocast: the arithmetic of training, None for float32.
    """

    stack: Stack
    reading: Reading
    rows: int
    length: int
    trained: float
    read: float
    steps: int
    kept: float
    language: bool
    checkpointed: bool
    autocast: torch.dtype | None
    device: str

    @property
    def places(self) -> int:
        """Token places of a batch."""
        return self.rows * self.length


def work_of(
    options: Planned, base: Callable[[str, Quantize | None], Backbone] = shape_of, below: AdaptOptions | None = None
) -> Work:
    """The work of one run.

    base:  gives the backbone of a name, rounded or not, by default its shape alone.
    below: options of the step 1 whose clinical adapter it takes, if that has not been trained yet.
    Raises BadInput if the base, the data or the run cannot be read.
    """
    if isinstance(options, AdaptOptions):
        return _adapting(options, base(options.base, options.quantize))
    if isinstance(options, TrainOptions):
        clinical = Adapter(CLINICAL, make_method(below.method, below.method_options)) if below else None
        return _training(options, base(options.base, options.quantize), clinical)
    return _answering(options, base)


def _adapting(options: AdaptOptions, backbone: Backbone) -> Work:
    reading = read_corpus(options.corpus, backbone, options.max_tokens)
    tokens = dict(reading.tokens)
    if options.note_tokens is not None:
        sample = backbone.tokenizer.encode(reading.sample, options.note_tokens)
        cut = sum(map(len, sample)) / len(sample)
        tokens["train"] = reading.notes["train"] * cut
        reading = replace(reading, note_tokens=min(reading.note_tokens, cut))
    if options.train_tokens is not None:
        tokens["train"] = min(tokens["train"], options.train_tokens)
    checks = options.epochs * options.validations_per_epoch * min(options.validation_tokens, tokens["valid"])
    as_released = sum(reading.notes[split] for split in ("valid", "test")) * min(128, reading.note_tokens)
    once = tokens["valid"] + tokens["test"] + min(options.validation_tokens, tokens["train"]) + as_released
    return Work(
        stack=begin_stack(options, backbone),
        reading=reading,
        rows=options.batch_size,
        length=options.max_tokens,
        trained=options.epochs * tokens["train"],
        read=checks + 2 * once,  # before and after
        steps=_steps(options, tokens["train"], options.batch_size * options.max_tokens),
        kept=sum(tokens.values()) * (2 if backbone.tokenizer.size <= 2**16 else 4),
        language=True,
        checkpointed=options.gradient_checkpointing,
        autocast=choose_autocast(options.precision, choose_device(options.device)),
        device=choose_device(options.device),
    )


def _training(options: TrainOptions, backbone: Backbone, clinical: Adapter | None) -> Work:
    window = Window(options.max_tokens, options.truncation, options.chunks)
    reading = read_task(open_task(options.task), backbone, window)
    slots = tuple(replace(slot, adapter=replace(slot.adapter, base=None)) for slot in make_slots(options, clinical))
    stack = make_stack(backbone, slots, backbone.longest if is_from_scratch(options.base) else options.max_tokens)
    tokens = reading.tokens
    once = tokens["valid"] + tokens["test"]
    learns = bool(stack.trainable())  # else every part is encoded once, and the head alone learns
    return Work(
        stack=stack,
        reading=reading,
        rows=math.ceil(options.batch_size * reading.chunks),
        length=reading.longest,
        trained=options.epochs * tokens["train"] if learns else 0.0,
        read=options.epochs * tokens["valid"] + once if learns else tokens["train"] + once,
        steps=_steps(options, tokens["train"], options.batch_size * reading.chunks * reading.note_tokens),
        kept=0.0,
        language=False,
        checkpointed=options.gradient_checkpointing,
        autocast=choose_autocast(options.precision, choose_device(options.device)) if learns else None,
        device=choose_device(options.device),
    )


def _answering(options: EvaluateOptions | PredictOptions, base: Callable[[str, Quantize | None], Backbone]) -> Work:
    if options.run is None:
        raise BadInput("A server's work is not planned here. Give a run folder.")
    layout, result, lineage = finished_step_2(options.run)
    window = Window(result["max_tokens"], result["truncation"], result["chunks"])
    backbone = base(base_of_run(layout, lineage, options.base)[0], lineage["base"].get("quantize"))
    names = [one["name"] for one in lineage["adapters"]]
    slots = tuple(Slot(Adapter(name, load_adapter(layout.adapter(name)).method), frozen=True) for name in names)
    if isinstance(options, PredictOptions):
        reading = read_table(options.input, options.text, backbone, window)
        read = reading.tokens["input"]
    else:
        own = Path(tomllib.loads(layout.config.read_text(encoding="utf-8"))["task"])
        reading = read_task(open_task(options.task or own), backbone, window)
        read = reading.tokens[options.split]
    return Work(
        stack=make_stack(backbone, slots, window.max_tokens),
        reading=reading,
        rows=options.batch_size,
        length=reading.longest,
        trained=0.0,
        read=read,
        steps=0,
        kept=0.0,
        language=False,
        checkpointed=False,
        autocast=None,
        device=choose_device(options.device),
    )


def _steps(options: Run, tokens: float, places: float) -> int:
    return options.epochs * math.ceil(tokens / (places * options.accumulation))
