"""The whole road on built-in data: hospital -> corpus -> step 1 -> the variants of step 2 -> report.

It calls what the commands call and has no way of its own, so what works here works on real notes. Sizes are chosen for five
minutes on two cores; nothing about the evaluation is. Every part is skipped if it is there already, so an interrupted demo goes
on with the same command.
"""

import time
from typing import Any

from clinstack.config import AdaptOptions, DemoOptions, TrainOptions
from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.mimic3 import build_mimic3
from clinstack.data.sources.mimic4 import build_mimic4
from clinstack.metrics.scorecard import headline, interval_text
from clinstack.models.base_files import TINY_BASE
from clinstack.runs.layout import DemoLayout
from clinstack.studies.report import write_report
from clinstack.training.classification import train
from clinstack.training.language import adapt
from clinstack.training.running import Witness
from clinstack.training.variants import variant_name

PATIENTS, UNLABELLED_PATIENTS = 800, 380
TASKS = {
    "mor": "in-hospital death",
    "diag": "diagnoses",
    "los": "length of stay",
    "pmv": "long ventilation",
    "proc": "procedures",
}
COMPARED = ("mor", "diag")
"""Tasks on which all six variants are trained; the others get the full stack."""

STEP1 = {
    "learning_rate": 3e-3,
    "batch_size": 8,
    "max_tokens": 256,
    "validations_per_epoch": 2,
    "validation_tokens": 20_000,
}
CLINICAL_LORA = {"rank": 8, "targets": "all"}
STEP2 = {"learning_rate": 3e-3, "head_rate": 3, "batch_size": 8, "max_tokens": 208, "epochs": 1, "pooling": "mean"}
TASK_LORA = {"rank": 8}
HEAD_ALONE = {**STEP2, "learning_rate": 5e-3, "head_rate": 1, "batch_size": 16, "epochs": 10}
"""With nothing inside the stack to train, notes are read once and epochs cost next to nothing."""

VARIANTS: tuple[dict[str, Any], ...] = (
    {"clinical": False, "task_adapter": "none"},
    {"clinical": False, "task_adapter": "lora"},
    {"clinical": True, "clinical_mode": "frozen", "task_adapter": "none"},
    {"clinical": True, "clinical_mode": "frozen", "task_adapter": "lora"},
    {"clinical": True, "clinical_mode": "trainable", "task_adapter": "none"},
    {"clinical": True, "clinical_mode": "trainable", "task_adapter": "lora"},
)
FULL_STACK = VARIANTS[-1]
WHY = {
    "head-only": "what the base knows by itself",
    "task": "one adapter, no unlabelled notes",
    "clinical-frozen": "what the unlabelled notes taught, kept as it is",
    "clinical-frozen+task": "the stack of the paper's question",
    "clinical-trainable": "the clinical adapter goes on learning",
    "clinical-trainable+task": "both adapters learn",
}


def walk(options: DemoOptions, witness: Witness) -> dict[str, Any]:
    """Walks the road in `options.out`, printing what happens and why; returns where the report lies and every test figure."""
    began = time.monotonic()
    layout = DemoLayout(options.out)
    cells = [
        (task, variant)
        for task in TASKS
        for variant in (VARIANTS if options.full or task in COMPARED else (FULL_STACK,))
    ]
    seconds: list[float] = [1, 1, 1, 65, *(13 if _trains_inside(variant) else 9 for _, variant in cells), 3]
    told = _Told(witness, seconds)

    told.next("A synthetic hospital", "made-up patients in MIMIC's own tables, so nothing here is anyone's data")
    hospital = layout.hospital
    if not hospital.root.exists():
        write_hospital(hospital.root, patients=PATIENTS, unlabelled_patients=UNLABELLED_PATIENTS, seed=options.seed)
    told.next("Five tasks from its tables", "the very code that real MIMIC-III runs through, rule by published rule")
    if not layout.tasks.root.exists():
        build_mimic3(hospital.mimic3, layout.tasks.root)
    told.next("A corpus of unlabelled notes", "step 1 needs text only; train, valid and test never share a patient")
    if not layout.corpus.exists():
        build_mimic4(hospital.mimic4, layout.corpus)
    told.next(
        "Step 1: the clinical adapter", "the base knows novels only; a small adapter learns how notes are written"
    )
    language = adapt(
        AdaptOptions(
            base=TINY_BASE,
            corpus=layout.corpus,
            out=layout.clinical,
            seed=options.seed,
            **STEP1,
            method_options=CLINICAL_LORA,
        ),
        witness,
    )
    bits = language["bits_per_byte"]["test"]
    witness.says(f"  unseen notes: {bits['before']:.3f} bits per byte before, {bits['after']:.3f} after")
    results = []
    for task, variant in cells:
        name = _name(variant, layout)
        told.next(f"Step 2, {TASKS[task]} ({task}), {name}", WHY[name])
        results.append(train(_options(options, layout, task, variant), _OnlySteps(witness)))
        metric = headline(results[-1]["kind"])
        witness.says(f"  test {metric} {interval_text(results[-1]['metrics']['test'][metric])}")
    told.next("The report", "every figure with its interval, every stack with its proof")
    report = write_report(layout.root, None, "clinstack demo: the synthetic hospital")
    return {
        "report": str(report),
        "seconds": round(time.monotonic() - began, 1),
        "bits_per_byte": bits,
        "runs": [
            {**{key: r[key] for key in ("task", "kind", "variant")}, "test": r["metrics"]["test"]} for r in results
        ],
    }


def _options(options: DemoOptions, layout: DemoLayout, task: str, variant: dict[str, Any]) -> TrainOptions:
    return TrainOptions(
        base=TINY_BASE,
        task=layout.tasks.task(task),
        out=layout.run(task, _name(variant, layout)),
        seed=options.seed,
        **{**variant, "clinical": layout.clinical if variant["clinical"] else None},
        **(STEP2 if _trains_inside(variant) else HEAD_ALONE),
        method_options=TASK_LORA if variant["task_adapter"] != "none" else {},
    )


def _trains_inside(variant: dict[str, Any]) -> bool:
    return variant["task_adapter"] != "none" or variant.get("clinical_mode") == "trainable"


def _name(variant: dict[str, Any], layout: DemoLayout) -> str:
    clinical = layout.clinical if variant["clinical"] else None
    return variant_name(clinical, variant.get("clinical_mode", "frozen"), variant["task_adapter"])


class _OnlySteps:
    """Passes on how far a training is, and not each of its pieces of work: the demo has many."""

    def __init__(self, witness: Witness):
        self.steps = witness.steps
        self.validated = witness.validated

    def says(self, what: str) -> None:
        """Nothing."""


class _Told:
    """Numbers the stages, says why each is done, and how long the rest may take.

    seconds: what each stage took where the demo was sized (two cores); this machine's pace is measured against it, from
        the first that takes more than a moment on.
    """

    def __init__(self, witness: Witness, seconds: list[float]):
        self.witness, self.seconds, self.at = witness, seconds, 0
        self.began = time.monotonic()

    def next(self, what: str, why: str) -> None:
        """Begins a stage."""
        pace = (time.monotonic() - self.began) / sum(self.seconds[: self.at]) if self.at > 3 else 1.0
        left = max(1, round(pace * sum(self.seconds[self.at :])))
        self.at += 1
        self.witness.says(f"[{self.at}/{len(self.seconds)}, about {left} s left] {what}: {why}")
