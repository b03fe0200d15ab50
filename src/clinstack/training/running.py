"""What both steps do around the loop: who is told, which options make a run the same run, what it cost."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from clinstack.config import AdaptOptions, TrainingOptions, TrainOptions
from clinstack.models.backbone import Backbone, check_max_tokens
from clinstack.models.base_loading import load_backbone
from clinstack.models.baseline import baselines
from clinstack.models.method import Method, make_method, methods
from clinstack.models.stack import Slot, Stack
from clinstack.runs.folder import RunFolder, open_run
from clinstack.runs.layout import RunLayout
from clinstack.training.checkpointed_layers import checkpoint_layers
from clinstack.training.contract import Fitted, Recipe, Watcher
from clinstack.training.machine import choose_autocast, reading_flops, training_flops
from clinstack.training.processes import launched

_NOT_THE_RUN = (
    "out",
    "device",
    "checkpoint_seconds",
    "gradient_checkpointing",
    "method_options",
    "feature_store",
    "feature_gigabytes",
)
"""Options that do not decide which run it is; those of the method are written flat beside the others."""


class Witness(Protocol):
    """Whom a run tells what it is doing; the command line shows it to people."""

    def says(self, what: str) -> None:
        """A new piece of work begins."""

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """The loop has done so many of its steps."""

    def validated(self, score: float, tokens: int) -> bool:
        """A validation gave this score after so many tokens; the answer says whether the run should go on for now."""


class Silent:
    """Tells nobody."""

    def says(self, what: str) -> None:
        """Nothing."""

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """Nothing."""

    def validated(self, score: float, tokens: int) -> bool:
        """Goes on."""
        return True


def asked_config(options: AdaptOptions | TrainOptions) -> dict[str, Any]:
    """The options that decide a run, flat; of the method's own those alone that were asked for."""
    flat = {key: value for key, value in options.model_dump().items() if key not in _NOT_THE_RUN}
    flat |= options.model_dump()["method_options"]
    return {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in flat.items()}


def run_config(options: AdaptOptions | TrainOptions) -> dict[str, Any]:
    """The options that decide a run, flat, as `config.toml` holds them and `--config` reads them back.

    Those of the method are all there, so that a default is the same whether or not it was asked for, and another one later is
    noticed.
    """
    method = _own_method(options)
    return {**asked_config(options), **(method.model_dump() if method else {})}


def method_defaults(options: AdaptOptions | TrainOptions) -> dict[str, Any]:
    """What a record says that leaves out what was not asked for of the method, as those of before do."""
    method = _own_method(options)
    return type(method)().model_dump() if method else {}


def _own_method(options: AdaptOptions | TrainOptions) -> Method | None:
    """The method of the adapter that a run begins; None if it begins none."""
    if isinstance(options, AdaptOptions):
        return make_method(options.method, options.method_options)
    begins = options.clinical_mode != "continued" and options.base not in baselines()
    if not begins or options.task_adapter not in methods():
        return None
    return make_method(options.task_adapter, options.method_options)


def prepare_base(options: AdaptOptions | TrainOptions, device: str, witness: Witness) -> Backbone:
    """The base on its device, with the random numbers at the seed."""
    witness.says(f"Loading base {options.base}")
    launched().join(device)
    torch.manual_seed(options.seed)
    with launched().first_goes_first():
        backbone = load_backbone(options.base, device, options.quantize)
    if not backbone.tokenizer.has_pad:
        # Nothing is lost: pooling and attention go by the mask, never by an id.
        witness.says(f"Base {backbone.name} has no padding token; its start token pads, and the mask hides it.")
    return backbone


def make_stack(backbone: Backbone, slots: tuple[Slot, ...], max_tokens: int) -> Stack:
    """The stack of these slots on a base, or on its shape. Raises BadInput if notes would be longer than it can read."""
    with torch.device("meta") if backbone.device.type == "meta" else nullcontext():
        stack = Stack(backbone, slots)
        check_max_tokens(backbone, max_tokens)
    return stack


def ready_to_train(options: AdaptOptions | TrainOptions, stack: Stack) -> Stack:
    """The same stack, with what training in these options needs beside it."""
    if choose_autocast(options.precision, str(stack.backbone.device)) is not None and stack.trainable():
        stack.backbone.keep_half_copies()
    if options.gradient_checkpointing:
        checkpoint_layers(stack.backbone)
    return stack


def finish_run(
    options: AdaptOptions | TrainOptions,
    origin: Mapping[str, Any],
    witness: Witness,
    work: Callable[[RunFolder], dict[str, Any]],
    helps: Callable[[RunFolder], object] = lambda run: None,
) -> dict[str, Any]:
    """The result of a run: that of a finished one, or what `work` gives, which goes on with an interrupted one.

    helps: what the other processes of a launch do meanwhile: the same training, without writing.
    """
    processes = launched()
    if not processes.first:
        run = RunFolder(RunLayout(options.out))
        if not processes.told(lambda: False):
            helps(run)
        processes.meet()
        return run.result or {}
    with open_run(options.out, run_config(options), origin, method_defaults(options)) as run:
        finished = run.result
        processes.told(lambda: finished is not None)
        if finished is not None:
            witness.says(f"{options.out} is finished already; nothing was trained.")
        found = finished or work(run)
        processes.meet()
        return found


def base_origin(base: str, backbone: Backbone) -> dict[str, str]:
    """What lineage says of the base: its name, its content hash, where it was found, and how its weights are rounded, if so."""
    return {
        **({"quantize": backbone.quantize} if backbone.quantize else {}),
        "name": backbone.name,
        "hash": backbone.hash,
        "path": str(Path(base).resolve()) if Path(base).is_dir() else base,
    }


def recipe(
    options: TrainingOptions,
    autocast: torch.dtype | None,
    validations_per_epoch: int,
    rates: Mapping[str, float] | None = None,
    select: Literal["best", "last"] = "best",
) -> Recipe:
    """The loop's numbers from a command's options."""
    return Recipe(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        rates=rates or {},
        schedule=options.schedule,
        warmup_ratio=options.warmup_ratio,
        weight_decay=options.weight_decay,
        accumulation=options.accumulation,
        clip_norm=options.clip_norm,
        patience=options.patience,
        validations_per_epoch=validations_per_epoch,
        select=select,
        checkpoint_seconds=options.checkpoint_seconds,
        autocast=autocast,
        seed=options.seed,
    )


def watcher(run: RunFolder, witness: Witness) -> Watcher:
    """Lets the loop write to the run's events and to the witness."""

    if not launched().first:
        return Watcher()

    def begins(step: int) -> None:
        run.forget_after(step)
        if step:
            witness.says(f"Going on after step {step:,}")

    return Watcher(
        record=run.record, begins=begins, advance=witness.steps, says=witness.says, validated=witness.validated
    )


def training_cost(
    phase: dict[str, Any], fitted: Fitted, frozen: int, trainable: int, *, through_frozen: bool
) -> dict[str, Any]:
    """A training phase's cost with its tokens and estimated operations, over all sessions of an interrupted run."""
    flops = training_flops(frozen, trainable, fitted.tokens, through_frozen)
    return {
        **phase,
        "seconds": max(phase["seconds"], round(fitted.seconds, 3)),
        "cpu_seconds": max(phase["cpu_seconds"], round(fitted.cpu_seconds, 3)),
        "peak_bytes": max(phase["peak_bytes"], fitted.peak_bytes),
        "processes": launched().count,
        "tokens": fitted.tokens,
        "flops": flops,
    }


def reading_cost(weights: int, tokens: int) -> dict[str, Any]:
    """What reading tokens without learning from them costs: their number and the estimated operations."""
    return {"tokens": tokens, "flops": reading_flops(weights, tokens)}
