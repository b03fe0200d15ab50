"""What would be refused of several runs, found before the first of them begins.

Stacks are built on the base's shape (torch's meta device), so no weights are read, and nothing is written.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.data.corpus import open_corpus
from clinstack.data.task import Task, open_task
from clinstack.models.backbone import Backbone
from clinstack.models.base_files import hash_base
from clinstack.models.base_loading import shape_of
from clinstack.models.quantized import hash_of_rounded, loading
from clinstack.training.classification import make_head, require_learnable
from clinstack.training.label_loss import check_loss
from clinstack.training.language import begin_stack, read_general, require_notes
from clinstack.training.machine import choose_device
from clinstack.training.running import make_stack
from clinstack.training.variants import make_slots


def check_runs(runs: Sequence[AdaptOptions | TrainOptions]) -> None:
    """Raises BadInput or WrongParents, as the run itself would, if one of them could not begin.

    runs: of one step, base, data and device.
    """
    first = runs[0]
    device = choose_device(first.device)
    task = _open_data(first)
    shape = shape_of(first.base)
    clinical = any(isinstance(one, TrainOptions) and one.clinical for one in runs)
    content = hash_base(shape.path) if clinical else shape.hash  # what is fresh is bound to no base
    for options in runs:
        loading(options.quantize, device)
        backbone = replace(
            shape,
            model=deepcopy(shape.model),  # a model carries adapters once
            hash=hash_of_rounded(content, options.quantize),
            quantize=options.quantize,
        )
        if isinstance(options, AdaptOptions):
            begin_stack(options, backbone)
        elif task is not None:
            _check_step_2(options, task, backbone)


def _open_data(options: AdaptOptions | TrainOptions) -> Task | None:
    """The task of a step 2. Raises BadInput for data that cannot be trained on."""
    if isinstance(options, AdaptOptions):
        require_notes(open_corpus(options.corpus))
        if options.general:
            read_general(options.general)
        return None
    task = open_task(options.task)
    require_learnable(task, options)
    return task


def _check_step_2(options: TrainOptions, task: Task, backbone: Backbone) -> None:
    check_loss(task.kind, options.loss)
    make_stack(backbone, make_slots(options), options.max_tokens)
    make_head(options, task, backbone.width)
