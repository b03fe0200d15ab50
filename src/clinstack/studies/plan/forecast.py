"""The plan of a command: the runs it is made of, their cost, and the hours on several machines; and plans beside runs."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinstack.config import (
    AdaptOptions,
    EngineOptions,
    LimitedDataOptions,
    Options,
    SearchAdaptOptions,
    SearchTrainOptions,
    Table2Options,
    TrainOptions,
    make_options,
)
from clinstack.errors import BadInput
from clinstack.models.base_files import base_name
from clinstack.models.baseline import baselines
from clinstack.models.method import gather_method_options
from clinstack.models.tokenizer import BYTES_PER_TOKEN
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout
from clinstack.studies.comparison import grid_of
from clinstack.studies.grid import Cell, Grid
from clinstack.studies.plan.cost import Cost, cost_of
from clinstack.studies.plan.rates import rates_of
from clinstack.studies.plan.work import Planned, work_of

_BASELINE_BYTES = 2.0**30
"""Of a process that counts words: its libraries, and a sparse matrix of the notes."""
Parts = list[tuple[Cost, int]]
"""Costs of runs, and how many there are of each."""


def plan(options: Options, *, measure: bool = False) -> dict[str, Any]:
    """What a command with these options would cost. Raises BadInput for a command that asks no model, or bad options.

    measure: time a few real steps on this machine instead of assuming its rate; needs the base's weights.
    """
    if isinstance(options, SearchAdaptOptions | SearchTrainOptions):
        once = _cost(options)
        said = ["A search is planned as trials with the method's own defaults, none of them pruned, and one measured."]
        return _report([(_only_training(once), options.trials - 1), (once, 1)], options, measure, said)
    if isinstance(options, Table2Options):
        return _plan_table2(options, measure)
    if isinstance(options, LimitedDataOptions):
        raise BadInput(
            "The limited-data study cannot be planned: what it trains depends on learning rates that it finds on its way. The "
            "same command says how many cells are left, and goes on after it was stopped."
        )
    if isinstance(options, EngineOptions):
        return _plan_grid(grid_of(options), measure)
    if isinstance(options, Planned):
        return _report([(_cost(options), 1)], options, measure, [])
    raise BadInput(
        "plan knows adapt, train, search adapt, search train, study (a grid or table2 to table4), evaluate and predict: the "
        "others ask no model, or make their own data first."
    )


def check(runs: list[Path]) -> dict[str, Any]:
    """Plans finished runs with rates measured now, and sets the plan beside what they took.

    Returns rows with planned and taken seconds and bytes, and the error of each (planned over taken, minus one).
    Raises BadInput if a folder holds no finished run.
    """
    rows = []
    for run in runs:
        options, result = _options_of(run)
        planned = plan(options, measure=True)
        cost = result["cost"]
        seconds = sum(phase["seconds"] for phase in cost.values())
        peak = max(one["peak_bytes"] for one in cost.values())
        hours = planned["hours"]["this machine"]
        rows.append(
            {
                "run": str(run),
                "seconds_planned": hours * 3600,
                "seconds_taken": seconds,
                "seconds_error": hours * 3600 / seconds - 1,
                "peak_bytes_planned": planned["peak_bytes"],
                "peak_bytes_taken": peak,
                "peak_bytes_error": planned["peak_bytes"] / peak - 1,
                "parameters_agree": planned["parameters"] == result["parameters"]["total"]
                or planned["trainable"] == result["parameters"]["trainable"],
            }
        )
    return {"runs": rows}


def _options_of(run: Path) -> tuple[AdaptOptions | TrainOptions, dict[str, Any]]:
    """The options and the result of a finished run."""
    layout = RunLayout(run)
    if not layout.result.is_file():
        raise BadInput(f"{run} holds no finished run: {layout.result.name} is missing.")
    result = read_json(layout.result)
    given = tomllib.loads(layout.config.read_text(encoding="utf-8"))
    kind: type[AdaptOptions] | type[TrainOptions] = AdaptOptions if result["step"] == 1 else TrainOptions
    return make_options(kind, gather_method_options({**given, "out": run, "device": "cpu"})), result


def _plan_table2(options: Table2Options, measure: bool) -> dict[str, Any]:
    parts: Parts = []
    runs: list[AdaptOptions] = []
    refused: dict[str, str] = {}
    for base in options.bases:
        for method in (name.strip() for name in options.methods.split(",")):
            shared = {key: getattr(options, key) for key in AdaptOptions.model_fields if hasattr(options, key)}
            run = AdaptOptions(**{**shared, "base": base, "method": method})
            trial = run.model_copy(update={"train_tokens": options.search_tokens})
            try:
                parts += [(_only_training(_cost(trial)), options.trials), (_cost(run), 1)]
            except BadInput as error:  # the study goes on without it
                refused[f"{base_name(base)}, {method}"] = str(error)
            else:
                runs.append(run)
    if not runs:
        raise BadInput(next(iter(refused.values())))
    said = [f"{cell} is not counted, for it cannot be done: {reason}" for cell, reason in refused.items()]
    return _report(
        parts, runs[0], measure, ["Every method is planned with its own defaults and no trial pruned.", *said]
    )


def _plan_grid(grid: Grid, measure: bool) -> dict[str, Any]:
    """The cells that ask a model; a rate is measured on the largest of those that wait for no other."""
    costs = {cell.key: _cell_cost(cell, grid) for cell in grid.cells if cell.options.base not in baselines()}
    ready = [cell for cell in grid.cells if cell.key in costs and cell.after is None]
    largest = max(ready, key=lambda cell: costs[cell.key].training_flops)
    said = [
        "What cells share of frozen states is counted for each of them; baselines that ask no model are not counted."
    ]
    return _report([(cost, 1) for cost in costs.values()], largest.options, measure, said)


def peak_bytes(cell: Cell, grid: Grid) -> float:
    """What the process of a cell needs at once."""
    return _BASELINE_BYTES if cell.options.base in baselines() else _cell_cost(cell, grid).peak_bytes


def _cell_cost(cell: Cell, grid: Grid) -> Cost:
    """A cell's cost, also before the clinical adapter below it is trained."""
    below = next((one.options for one in grid.cells if one.key == cell.after), None)
    return cost_of(work_of(cell.options, below=below if isinstance(below, AdaptOptions) else None))


def _cost(options: Planned) -> Cost:
    return cost_of(work_of(options))


def _only_training(cost: Cost) -> Cost:
    """A trial's cost: it stops before it is measured."""
    return replace(cost, reading_flops=0.0, read_tokens=0.0)


def _report(parts: Parts, options: Planned, measure: bool, said: list[str]) -> dict[str, Any]:
    largest = max((one for one, _ in parts), key=lambda one: one.peak_bytes)
    total = {
        key: sum(getattr(one, key) * times for one, times in parts)
        for key in ("trained_tokens", "read_tokens", "training_flops", "reading_flops", "disk")
    }
    whole = replace(largest, **total)
    rates, assumed = rates_of(whole, options, measure)
    tokens = (
        "Tokens are estimated from the size of the data and a sample of its notes."
        if whole.tokenizer_known
        else f"Tokens are bytes of the notes over {BYTES_PER_TOKEN:g}: the base's tokenizer is not here."
    )
    return {
        "runs": sum(times for _, times in parts),
        "parameters": whole.parameters,
        "trainable": whole.trainable,
        "trainable_share": whole.trainable / whole.parameters,
        "precision": whole.precision,
        "tokens": {"trained": round(whole.trained_tokens), "read": round(whole.read_tokens)},
        "flops": {"training": whole.training_flops, "reading": whole.reading_flops},
        "memory_bytes": {key: round(value) for key, value in whole.memory.items()},
        "peak_bytes": round(whole.peak_bytes),
        "disk_bytes": round(whole.disk),
        "hours": {name: whole.seconds(*rate) / 3600 for name, rate in rates.items()},
        "assumptions": [*said, *assumed, tokens],
    }
