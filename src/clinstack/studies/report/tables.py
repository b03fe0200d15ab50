"""The tables of the page: findings and runs as rows of words. How they look is the template's."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinstack.runs.lineage import short
from clinstack.studies.published import TABLES
from clinstack.studies.published import TASKS as PUBLISHED_TASKS
from clinstack.studies.report import words
from clinstack.studies.report.answers import Answer, like_highest
from clinstack.studies.report.average import Average
from clinstack.studies.report.findings import Cell, TaskFindings
from clinstack.studies.report.gather import Gathered, Run
from clinstack.studies.report.setups import Setup

MOST_CHAINS = 24

_HIDDEN_SETTINGS = {"out", "clinical", "corpus", "task", "base", "seed"}
_PARTS = ("value", "low", "high")
_MEASURED = ("logit_change", "gradient_norm", "weight_change")


@dataclass(frozen=True)
class Measured:
    """A cell with a figure, in small type its interval and its range over seeds.

    best: better than all others of its task.   near: the highest of its task, or not distinguishable from it.
    """

    value: str
    limits: str
    spread: str = ""
    best: bool = False
    near: bool = False


@dataclass(frozen=True)
class Group:
    """A row that heads the rows after it."""

    title: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells, or a Group. The first `headings` cells of a row name it; the rest are right-aligned if `numbers`."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    headings: int = 1
    numbers: bool = True


def headline_table(tasks: Sequence[TaskFindings], names: Mapping[Setup, str], average: Average | None) -> Table:
    """Setups by tasks, and their mean: the headline metric, its interval and its range over seeds."""
    cells = {(task.task, task.classes, cell.setup): (task, cell) for task in tasks for cell in task.cells}
    rows = []
    for setup, name in names.items():
        row: list[Any] = [name]
        for task in tasks:
            at = cells.get((task.task, task.classes, setup))
            row.append(_headline_cell(*at) if at else words.NONE)
        if average:
            row.append(_average_cell(average, setup))
        rows.append(row)
    columns = ["Variant", *(f"{task.task}, {words.metric_name(task.metric)}" for task in tasks)]
    columns += ["mean over tasks"] if average else []
    return Table("Test performance by variant and task, with 95 % intervals over patients and seeds", columns, rows)


def _headline_cell(task: TaskFindings, cell: Cell) -> Measured:
    best, near = _marks(task, cell.setup)
    seeds = [value for _, value in cell.by_seed if np.isfinite(value)]
    return Measured(
        value=words.figure(cell.interval.value),
        limits=words.limits(cell.interval.low, cell.interval.high),
        spread=f"{len(seeds)} seeds: {min(seeds):.3f} to {max(seeds):.3f}" if len(seeds) > 1 else "",
        best=best,
        near=near,
    )


def _average_cell(average: Average, setup: Setup) -> Any:
    """The mean over tasks; none where a setup was not trained on all."""
    if setup not in average.intervals:
        return words.NONE
    own = average.intervals[setup]
    best, near = _marks(average, setup)
    return Measured(words.figure(own.value), words.limits(own.low, own.high), best=best, near=near)


def _marks(found: TaskFindings | Average, setup: Setup) -> tuple[bool, bool]:
    """Whether a setup is better than all others, and whether it is one of several that are not told apart."""
    alike = like_highest(found)
    highest = setup == found.highest
    return highest and not alike and len(found.setups) > 1, bool(alike) and (highest or setup in alike)


def failed_table(found: Gathered) -> Table | None:
    """A row per cell of a study that failed; None if none did."""
    cells = sorted(
        (
            one.cell.variant,
            one.cell.base,
            one.cell.task or words.NONE,
            one.cell.seed,
            one.reason.removeprefix("failed: "),
        )
        for one in found.unfinished
        if one.cell
    )
    rows = [[str(part) for part in cell] for cell in cells]
    columns = ["Variant", "Base", "Task", "Seed", "Reason"]
    return (
        Table("Cells that failed, which no figure counts", columns, rows, headings=4, numbers=False) if rows else None
    )


def published_table(name: str) -> Table:
    """The rows of a published table, a group per base; their means are computed from the printed figures."""
    rows: list[Any] = []
    for one in TABLES[name]:
        group = Group(one.base)
        rows += [group] if group not in rows else []
        printed = "" if one.as_printed else f"printed as {one.average:.2f}"
        rows.append([one.variant, *(f"{value:.2f}" for value in one.auroc), Measured(f"{one.mean:.2f}", printed)])
    caption = (
        f"As published: Table {name.removeprefix('table')} of Gema et al. 2023, AUROC in percent on MIMIC-III, one seed"
    )
    return Table(caption, ["Variant", *PUBLISHED_TASKS, "mean"], rows)


def answer_table(answered: Sequence[Answer], names: Mapping[Setup, str]) -> Table:
    """A group per question and pair of setups, in it a row per task; DeLong's test where it holds for one of them."""
    rows: list[Any] = []
    delong = any(np.isfinite(one.p_delong) for one in answered)
    for one in answered:
        group = Group(one.question, f"{names[one.first]} against {names[one.second]}")
        if group not in rows:
            same = [o for o in answered if (o.question, o.first, o.second) == (one.question, one.first, one.second)]
            rows += [group, *(_answer_row(o, delong) for o in same)]
    columns = ["Task", "Difference", "p (Holm)", *(["p (DeLong)"] if delong else []), "Verdict"]
    return Table("Differences of the test metric, paired by patient", columns, rows)


def _answer_row(answer: Answer, delong: bool) -> list[Any]:
    tests = [words.p_value(answer.p_value), *([words.p_value(answer.p_delong)] if delong else [])]
    return [answer.task, _difference(answer), *tests, answer.verdict]


def _difference(answer: Answer) -> Measured:
    return Measured(words.signed(answer.difference.value), words.signed_limits(answer.difference))


def metric_table(task: TaskFindings, names: Mapping[Setup, str]) -> Table:
    """Every test metric of every setup on one task."""
    metrics = list(dict.fromkeys(name for cell in task.cells for run in cell.runs for name in _test(run)))
    rows = []
    for cell in task.cells:
        row: list[Any] = [names[cell.setup]]
        for metric in metrics:
            value, low, high = (_mean([_test(run).get(metric, {}).get(part) for run in cell.runs]) for part in _PARTS)
            row.append(Measured(words.figure(value), words.limits(low, high)))
        rows.append(row)
    scored = [number for cell in task.cells for run in cell.runs if (number := _scored(run)) is not None]
    said = scored and task.kind != "binary"
    note = f"; macro AUROC and AUPRC over {max(scored)} of {len(task.classes)} classes" if said else ""
    caption = (
        f"{task.task}: every test metric, mean over seeds, in small type the mean limits of the 95 % intervals{note}"
    )
    return Table(caption, ["Variant", *(_capital(words.metric_name(name)) for name in metrics)], rows)


def step_one_table(runs: Sequence[Run]) -> Table:
    """Perplexity and bits per byte before and after, a group per run and a row per split."""
    rows: list[Any] = []
    for run in runs:
        perplexity, bits = run.result["perplexity"], run.result["bits_per_byte"]
        rows.append(Group(run.name, f"{run.result['method']} on {run.result['base'].get('name')}"))
        for split in ("train", "valid", "test"):
            if split in perplexity or split in bits:
                rows.append(
                    [
                        split,
                        *(words.figure(perplexity.get(split, {}).get(when), 2) for when in ("before", "after")),
                        *(words.figure(bits.get(split, {}).get(when), 3) for when in ("before", "after")),
                        words.whole(run.result.get("tokens", {}).get(split)),
                    ]
                )
    columns = ["Split", "Perplexity before", "after", "Bits per byte before", "after", "Tokens"]
    return Table("How well the notes are foretold before and after adaptation", columns, rows)


def cost_table(found: Gathered, tasks: Sequence[TaskFindings], names: Mapping[Setup, str]) -> Table:
    """Time, memory, parameters, tokens and arithmetic: a row per step-1 run and per setup and task."""
    rows: list[Any] = [Group("Step 1")] if found.language else []
    rows += [[run.name, 1, *_costs([run])] for run in found.language]
    for task in tasks:
        rows += [Group(task.task), *([names[cell.setup], len(cell.runs), *_costs(cell.runs)] for cell in task.cells)]
    columns = ["Variant or run", "Runs", "Training", "Evaluation", "Peak memory", "Trainable", "Tokens", "Arithmetic"]
    return Table("Cost of a run: mean over seeds, and the highest peak memory", columns, rows)


_PHASES = ("make", "tokenise", "encode", "train", "evaluate")


def _costs(runs: Sequence[Run]) -> list[str]:
    def part(phase: str, key: str) -> list[Any]:
        return [run.result.get("cost", {}).get(phase, {}).get(key) for run in runs]

    peaks = [peak for phase in _PHASES for peak in part(phase, "peak_bytes") if peak is not None]
    # What is read once for all epochs, or makes a base first, is a part of the training.
    trained = [
        train + (read or 0) + (made or 0) if train is not None else None
        for train, read, made in zip(
            part("train", "seconds"), part("encode", "seconds"), part("make", "seconds"), strict=True
        )
    ]
    return [
        words.duration(_mean(trained)),
        words.duration(_mean(part("evaluate", "seconds"))),
        words.size(max(peaks) if peaks else None),
        words.whole(_mean([run.result.get("parameters", {}).get("trainable") for run in runs])),
        words.whole(_mean(part("train", "tokens"))),
        words.operations(_mean(part("train", "flops"))),
    ]


def proof_table(found: Gathered, tasks: Sequence[TaskFindings], names: Mapping[Setup, str]) -> Table | None:
    """A row per adapter of each setup with the range over its runs; None if no run has an adapter."""
    groups = [(Group("Step 1"), [(run.name, [run]) for run in found.language])]
    groups += [(Group(task.task), [(names[cell.setup], list(cell.runs)) for cell in task.cells]) for task in tasks]
    rows: list[Any] = []
    for group, members in groups:
        proved = [[name, *row] for name, runs in members for row in _proof_rows(runs)]
        rows += [group, *proved] if proved else []
    columns = ["Variant or run", "Adapter", "State", "Logit change", "Gradient norm", "Weight change", "As it says"]
    return Table("What every adapter did; ranges are over seeds", columns, rows, headings=3) if rows else None


def _proof_rows(runs: Sequence[Run]) -> list[list[str]]:
    by_adapter: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        for adapter, proof in run.result.get("stack_proof", {}).items():
            by_adapter[adapter, "frozen" if proof.get("frozen") else "trainable"].append(proof)
    return [
        [
            adapter,
            state,
            *(words.small([proof.get(key) for proof in proofs]) for key in _MEASURED),
            f"{sum(map(_holds, proofs))} of {words.count_of(len(proofs), 'run')}",
        ]
        for (adapter, state), proofs in by_adapter.items()
    ]


def _holds(proof: Mapping[str, Any]) -> bool:
    moved = [proof.get(key) or 0 for key in ("gradient_norm", "weight_change")]
    learned = not any(moved) if proof.get("frozen") else all(value > 0 for value in moved)
    return (proof.get("logit_change") or 0) > 0 and learned


def settings_table(found: Gathered) -> Table | None:
    """Settings by step: the one value all runs share, or the values that occur."""
    rows = []
    for step, runs in ((1, found.language), (2, found.classification)):
        values: dict[str, dict[str, None]] = defaultdict(dict)
        for run in runs:
            for key, value in run.settings.items():
                values[key].setdefault(str(value))
        for key in sorted(set(values) - _HIDDEN_SETTINGS):
            shown = list(values[key])
            text = ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
            rows.append([f"step {step}", key.replace("_", " "), text])
    columns = ["Step", "Setting", "Value"]
    return Table("Settings of the runs", columns, rows, headings=2, numbers=False) if rows else None


def first_runs(found: Gathered, tasks: Sequence[TaskFindings]) -> list[Run]:
    """Every step-1 run, and of each setup and task the run with the lowest seed."""
    return [*found.language, *(cell.runs[0] for task in tasks for cell in task.cells)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def chains(found: Gathered, tasks: Sequence[TaskFindings]) -> list[dict[str, Any]]:
    """One stack from the base up for each step-1 run and, for each setup and task, of its run with the lowest seed."""
    drawn = []
    for run in first_runs(found, tasks)[:MOST_CHAINS]:
        base = run.result["base"]
        links = [{"what": "base", "name": str(base.get("name")), "hash": short(str(base.get("hash", "")))}]
        for adapter in run.lineage.get("adapters", []):
            state = "frozen" if adapter.get("frozen") else "trainable"
            name, digits = f"{adapter.get('method')}, {state}", short(str(adapter.get("hash", "")))
            links.append({"what": str(adapter.get("name")), "name": name, "hash": digits})
        if run.step == 2:
            links.append({"what": "head", "name": words.count_of(len(run.result["classes"]), "class"), "hash": ""})
        drawn.append({"run": run.name, "links": links})
    return drawn


def _test(run: Run) -> Mapping[str, Mapping[str, Any]]:
    metrics: Mapping[str, Mapping[str, Any]] = run.result["metrics"].get("test", {})
    return metrics


def _scored(run: Run) -> int | None:
    scored: int | None = run.result.get("labels_scored", {}).get("test")
    return scored


def _mean(values: Sequence[Any]) -> float | None:
    numbers: NDArray[np.float64] = np.array(
        [value for value in values if isinstance(value, int | float)], dtype=np.float64
    )
    return float(numbers.mean()) if len(numbers) else None


def devices(found: Gathered) -> list[str]:
    """What the runs were trained on, each once."""
    return sorted({str(run.lineage["device"]) for run in found.finished if "device" in run.lineage})


def versions(found: Gathered) -> list[str]:
    """`torch 2.13.0`, each version that occurs."""
    pairs = {(str(k), str(v)) for run in found.finished for k, v in run.lineage.get("versions", {}).items()}
    return [f"{name} {version}" for name, version in sorted(pairs)]
