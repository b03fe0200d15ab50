"""Runs the main job on real clinical text, six variants x three tasks x three seeds on two bases, and writes its tables.

    python scripts/study_mtsamples.py SHARED runs/mtsamples --bases SHARED/models/stories260k-llama tiny-base

SHARED holds data/mtsamples, data/e3c and models/. Each cell is one `clinstack train` (the command is printed beside it); a
finished cell is never redone and an interrupted one goes on, so the script may be stopped and started at will.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.data.sources.table import build_table

SEEDS = (1, 2, 3)
VARIANTS = {
    "head-only": {"task_adapter": "none"},
    "task": {},
    "task-large": {},
    "clinical-frozen": {"clinical": True, "task_adapter": "none"},
    "clinical-frozen+task": {"clinical": True},
    "clinical-trainable": {"clinical": True, "clinical_mode": "trainable", "task_adapter": "none"},
    "clinical-trainable+task": {"clinical": True, "clinical_mode": "trainable"},
}
TASKS = {"multilabel": {"labels": "labels"}, "specialty": {"label": "label"}, "doctype": {"label": "label"}}
STEP1 = {"learning_rate": 3e-3, "batch_size": 16, "max_tokens": 256, "method_options": {"rank": 16, "targets": "all"}}
STEP2 = {"learning_rate": 3e-3, "head_rate": 3, "batch_size": 16, "max_tokens": 128, "epochs": 6, "pooling": "mean"}
HEAD_ALONE = {"learning_rate": 1e-2, "head_rate": 1, "epochs": 20}
"""The head alone is a small convex problem on notes that are read once: more epochs cost it next to nothing."""
TASK_LORA = {"rank": 8}
LARGE_LORA = {"rank": 16, "targets": "all"}
"""A task adapter as large as the clinical one: the rival of the stacks whose clinical adapter learns."""


def build_data(shared: Path, out: Path) -> None:
    mtsamples = shared / "data" / "mtsamples"
    if not (out / "corpus").exists():
        files = [mtsamples / "mtsamples_multilabel.parquet", shared / "data" / "e3c" / "e3c_en_cases.parquet"]
        build_table(files, out / "corpus", text="text", split="split", name="mtsamples+e3c")
    for task, columns in TASKS.items():
        if not (out / task).exists():
            build_table([mtsamples / f"mtsamples_{task}.parquet"], out / task, text="text", split="split", **columns)


def options_of(base: str, out: Path, task: str, variant: str, seed: int) -> TrainOptions:
    chosen = dict(VARIANTS[variant])
    name = Path(base).name
    if chosen.pop("clinical", False):
        chosen["clinical"] = out / name / "clinical"
    task_lora = LARGE_LORA if variant == "task-large" else TASK_LORA
    lora = {} if chosen.get("task_adapter") == "none" else {"method_options": task_lora}
    alone = HEAD_ALONE if variant in ("head-only", "clinical-frozen") else {}
    return TrainOptions(
        base=base,
        task=out / task,
        out=out / name / task / f"{variant}-{seed}",
        seed=seed,
        device="cpu",
        **{**STEP2, **alone},
        **lora,
        **chosen,
    )


def command_of(options: AdaptOptions | TrainOptions) -> str:
    given = options.model_dump(exclude_defaults=True)
    given |= given.pop("method_options", {})
    flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())
    return f"clinstack {'adapt' if isinstance(options, AdaptOptions) else 'train'} {flags}"


def run(options: AdaptOptions | TrainOptions) -> str:
    from clinstack.training.classification import train
    from clinstack.training.language import adapt

    result = adapt(options) if isinstance(options, AdaptOptions) else train(options)
    if result["step"] == 1:
        return f"{options.out}: bits per byte {result['bits_per_byte']['test']}"
    name, found = next(iter(result["metrics"]["test"].items()))
    return f"{options.out}: test {name} {found['value']:.4f}, {result['cost']['train']['seconds']:.0f} s"


def run_all(options: list[AdaptOptions] | list[TrainOptions], workers: int) -> None:
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for one, said in zip(options, pool.map(run, options), strict=True):
            print(command_of(one), "\n   ", said, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bases", nargs="+", default=["tiny-base"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only-step-1", action="store_true")
    args = parser.parse_args()
    build_data(args.shared, args.out)
    step1 = [
        AdaptOptions(
            base=base, corpus=args.out / "corpus", out=args.out / Path(base).name / "clinical", device="cpu", **STEP1
        )
        for base in args.bases
    ]
    run_all(step1, args.workers)
    if not args.only_step_1:
        cells = [
            options_of(base, args.out, task, variant, seed)
            for base in args.bases
            for seed in SEEDS
            for task in TASKS
            for variant in VARIANTS
        ]
        run_all(cells, args.workers)


if __name__ == "__main__":
    main()
