"""The variants of step 2: which adapters lie in the stack, in which order, and which of them train.

The published comparison has six: the clinical adapter absent, frozen or trainable, times the task adapter absent or present.
Beside them: full fine-tuning, the clinical adapter merged into the base, and the clinical adapter going on as the task's own.
"""

from dataclasses import replace
from pathlib import Path

from clinstack.config import TrainOptions
from clinstack.errors import BadInput
from clinstack.models.adapter_files import load_adapter
from clinstack.models.method import make_method, method_name
from clinstack.models.stack import Adapter, Slot
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import AdapterLayout, RunLayout
from clinstack.runs.seal import check_seal
from clinstack.training.language import CLINICAL

TASK = "task"
"""The name of the task adapter in every stack."""

VARIANTS: dict[str, dict[str, str]] = {
    "head-only": {"task_adapter": "none"},
    "task": {},
    "clinical-frozen": {"clinical_mode": "frozen", "task_adapter": "none"},
    "clinical-frozen+task": {"clinical_mode": "frozen"},
    "clinical-trainable": {"clinical_mode": "trainable", "task_adapter": "none"},
    "clinical-trainable+task": {"clinical_mode": "trainable"},
    "clinical-merged": {"clinical_mode": "merged", "task_adapter": "none"},
    "clinical-merged+task": {"clinical_mode": "merged"},
    "clinical-continued": {"clinical_mode": "continued", "task_adapter": "none"},
    "full": {"task_adapter": "full"},
    "clinical-frozen+full": {"clinical_mode": "frozen", "task_adapter": "full"},
    "clinical-trainable+full": {"clinical_mode": "trainable", "task_adapter": "full"},
}
"""Every variant by name: the options of step 2 that make it one. A run is named by this table, and a grid's variant made by it.

Those with a clinical mode have a clinical adapter; where no task adapter is said it is a PEFT method, whichever.
"""


def variant_name(clinical: Path | None, clinical_mode: str, task_adapter: str) -> str:
    """The name of a variant, as every table shows it. Raises BadInput for a stack that cannot be."""
    made = {"clinical_mode": clinical_mode} if clinical else {}
    if made.get("clinical_mode") == "continued":
        made["task_adapter"] = "none"  # the clinical adapter is the task's own
    elif task_adapter in ("none", "full"):
        made["task_adapter"] = task_adapter
    for name, options in VARIANTS.items():
        if options == made:
            return name
    raise BadInput(
        f"--clinical-mode {clinical_mode} and --task-adapter {task_adapter} both replace the base's weights. Leave the "
        "clinical adapter frozen, or choose another task adapter."
    )


def make_slots(options: TrainOptions, clinical: Adapter | None = None) -> tuple[Slot, ...]:
    """The slots of a run. clinical: the clinical adapter, if it is not to be read from its run.

    Raises BadInput if the options do not go together, or the clinical adapter is not to be had.
    """
    if options.task_adapter == "none" and options.method_options:
        raise BadInput("--task-adapter none takes no method options; leave them out, or choose a task adapter.")
    if options.clinical is None:
        if options.clinical_mode != "frozen":
            raise BadInput(
                f"--clinical-mode {options.clinical_mode} says what becomes of a clinical adapter, and there is none. Give "
                "--clinical RUN, or leave it out."
            )
        return _task_slot(options)
    clinical = clinical or load_adapter(find_clinical(options.clinical), CLINICAL)
    if options.clinical_mode == "continued":
        return (_continued(options, clinical),)
    frozen = options.clinical_mode != "trainable"
    upper = [replace(slot, inert=options.inert_task_adapter) for slot in _task_slot(options)]
    return (Slot(clinical, frozen=frozen, merged=options.clinical_mode == "merged"), *upper)


def _task_slot(options: TrainOptions) -> tuple[Slot, ...]:
    if options.task_adapter == "none":
        return ()
    return (Slot(Adapter(TASK, make_method(options.task_adapter, options.method_options))),)


def _continued(options: TrainOptions, clinical: Adapter) -> Slot:
    """The clinical adapter as the start of the task's own: one adapter that needs no parent."""
    method = method_name(clinical.method)
    if options.task_adapter not in (method, "none") or options.method_options:
        raise BadInput(
            f"--clinical-mode continued goes on with the clinical adapter as it is ({method}). Leave out --task-adapter and "
            "options of its method."
        )
    return Slot(replace(clinical, name=TASK))


def hash_of_clinical(run: Path) -> str | None:
    """The hash of the clinical adapter that a step-1 run or an adapter's folder says it has; None if none is there."""
    files = (AdapterLayout(folder).lineage for folder in (RunLayout(run).adapter(CLINICAL), run))
    file = next((one for one in files if one.is_file()), None)
    lineage = read_json(file) if file is not None else {}
    return str(lineage["hash"]) if "hash" in lineage else None


def find_clinical(run: Path) -> Path:
    """The clinical adapter's folder of a finished step-1 run, or the folder itself if it is an adapter."""
    layout = RunLayout(run)
    if AdapterLayout(run).config.is_file():
        return run
    if not layout.result.is_file():
        what = "is not finished: run its command again first" if layout.config.is_file() else "is not a run folder"
        raise BadInput(f"--clinical {run} {what}.")
    result = read_json(layout.result)
    if result["step"] != 1:
        raise BadInput(
            f"--clinical {run} is a step-2 run: it has learned from the labels of {result['task']}. Give the step-1 run that "
            "it lies on."
        )
    folder = layout.adapter(CLINICAL)
    check_seal(layout, AdapterLayout(folder).lineage)  # no hash of the weights covers the terms that it says
    return folder
