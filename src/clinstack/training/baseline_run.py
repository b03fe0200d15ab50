"""A run of step 2 that trains no network: a baseline (`models.baselines`) on the same notes, scored and saved the same way."""

from typing import Any

from clinstack.config import TrainOptions
from clinstack.data.task import Task
from clinstack.errors import BadInput
from clinstack.metrics.scorecard import selection_score
from clinstack.models.baseline import BASELINE, LabelledTexts, baselines, save_baseline
from clinstack.runs.folder import RunFolder
from clinstack.training.machine import measured
from clinstack.training.outcome import SplitNotes, write_outcome
from clinstack.training.running import Witness, finish_run

_OF_BASELINES = ("base", "task", "out", "profile", "seed", "select_by", "resamples")
_OF_MACHINES = ("device", "feature_store", "feature_gigabytes", "checkpoint_seconds")
"""Where and how a run is made, which changes no result; all other options are of layers and of how these train."""


def train_baseline(options: TrainOptions, task: Task, witness: Witness, *, only_train: bool) -> dict[str, Any]:
    """Fits the baseline that stands where a base does; result and errors as `train`'s."""
    _require_no_layers(options)
    origin = {
        "base": {"name": options.base, "hash": f"{BASELINE}:{options.base}", "path": options.base},
        "data": {"name": task.name, "hash": task.content_hash()},
        "clinical": None,
    }
    return finish_run(options, origin, witness, lambda run: _work(options, task, run, origin, witness, only_train))


def _work(
    options: TrainOptions, task: Task, run: RunFolder, origin: dict[str, Any], witness: Witness, only_train: bool
) -> dict[str, Any]:
    witness.says(f"Fitting {options.base}")
    notes = {split: SplitNotes(task, split) for split in ("train", "valid")}
    train, valid = (LabelledTexts(one.texts, one.labels) for one in notes.values())
    cost: dict[str, Any] = {}
    with measured(cost, "train", "cpu"):
        model = baselines()[options.base].fit(task.kind, train, valid, options.seed, options.select_by)
    judged = model.logits(valid.texts) if model.judged is None else model.judged
    found = selection_score(task.kind, judged, valid.labels, options.select_by)
    training = {
        "validation": {"name": found.name, "value": found.value, "lower_is_better": False, "tie": found.tie},
        "best_epoch": None,
        "stopped_early": False,
        "parameters": {
            "total": sum(array.size for array in model.state()[0].values()),
            "trainable": model.fitted_weights,
        },
        "cost": cost,
    }
    if only_train:
        return training
    if task.counts["test"]["notes"]:
        notes["test"] = SplitNotes(task, "test")
    with measured(cost, "evaluate", "cpu"):
        logits = {split: model.logits(one.texts) for split, one in notes.items() if split != "train"}
    content_hash = save_baseline(run.layout, options.base, model)
    about = {
        "variant": BASELINE,
        "base": {"name": options.base, "hash": origin["base"]["hash"]},
        "stack_proof": {},
        "features": None,
        **training,
    }
    lineage = {**origin, "stack": None, "head": content_hash, "adapters": [], "terms": sorted(task.terms)}
    return write_outcome(run.layout, task, options, notes, logits, about, lineage)


def _require_no_layers(options: TrainOptions) -> None:
    """Raises BadInput for options that a baseline would pass over: who gives them expects that they change the result."""
    asked = TrainOptions(base=options.base, task=options.task, out=options.out, profile=options.profile)
    given = [
        "options of methods" if name == "method_options" else f"--{name.replace('_', '-')}"
        for name in TrainOptions.model_fields
        if name not in (*_OF_BASELINES, *_OF_MACHINES) and getattr(options, name) != getattr(asked, name)
    ]
    if given:
        said = ", ".join(given)
        raise BadInput(f"Baseline {options.base} has no layers to adapt and reads whole notes. Leave out {said}.")
