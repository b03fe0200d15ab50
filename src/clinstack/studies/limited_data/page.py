"""The limited-data study as a page, as Markdown and as rows: a table per question, curves, costs, and what to use."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinstack.config import LimitedDataOptions
from clinstack.metrics.intervals import Interval
from clinstack.runs.atomic import read_json, write_json, write_text
from clinstack.runs.layout import RunLayout, StudyLayout
from clinstack.studies.limited_data.costs import cost_of, grid_totals, naive_passes
from clinstack.studies.limited_data.findings import Difference, Hypothesis, Point, TaskFindings
from clinstack.studies.limited_data.recommendation import recommend
from clinstack.studies.limited_data.scores import HEADLINE, Scored
from clinstack.studies.report import figures, words
from clinstack.studies.report.figures import Axis, Series
from clinstack.studies.report.panels import Figure
from clinstack.studies.report.plain_page import Section, as_markdown, render_sections
from clinstack.studies.report.tables import Group, Measured, Table
from clinstack.training.machine import WATTS_PER_CORE, assumed_joules

_IMITATION = (
    "This is an imitation of the published protocol: one split by line, batches of 8, all notes. Learning rate, epochs, widths "
    "and dropout, and what was frozen are not published and are guesses here. Do not compare its figures with the published."
)
_FAMILIES = {
    "baseline": "Baselines",
    "scratch": "From nothing",
    "head": "Frozen encoders",
    "lora": "Encoders with LoRA",
}
_REFERENCE = "tf-idf"


def write_findings(
    options: LimitedDataOptions,
    scored: Sequence[Scored],
    findings: Sequence[TaskFindings],
    runs: Sequence[Path],
    failed: dict[str, str],
    layout: StudyLayout,
) -> dict[str, Any]:
    """Writes `table.json`, `table.md` and `report.html`; returns a short account of them.

    runs: the folders of all cells, those of learning rates that were not chosen included.
    """
    encoding = read_json(layout.encoding) if layout.encoding.is_file() else {}
    write_json(layout.table, [_row(one) for one in scored])
    sections = [
        Section("All notes", [_headline_table(findings)], note=_how_sure(options)),
        Section("Learning curves", [_curve_table(findings)], _curves(findings)),
        Section("Does a head adapter help?", [_structure_table(findings)]),
        Section("Asked before it ran", [_hypothesis_table(findings)], note=_VERDICTS),
        Section("Where encoders overtake", [_crossing_table(findings)]),
        *_leakage(findings),
        Section(
            "What it cost", [_cost_table(findings), _total_table(runs, encoding)], _cost_pictures(findings), _COSTS
        ),
        Section("Every metric, all notes", _metric_tables(findings)),
    ]
    if failed:
        rows = [[name, reason] for name, reason in failed.items()]
        sections.append(
            Section("What failed", [Table("Cells without a result.", ("cell", "reason"), rows, numbers=False)])
        )
    advice = [recommend(one) for one in findings]
    summary = [*([_IMITATION] if options.profile == "as-described" else []), *advice]
    write_text(layout.report, render_sections("Limited data: which model to use", summary, sections))
    texts = [
        f"## {section.title}\n\n" + "\n".join(map(as_markdown, section.tables))
        for section in sections
        if section.tables
    ]
    write_text(layout.markdown, "\n\n".join([*summary, *texts]))
    return {
        "notes_read": sum(one["read"] for one in encoding.values()),
        "notes_read_naively": naive_passes(runs),
        "cells": len(runs),
        "finished": sum(RunLayout(run).result.is_file() for run in runs),
        "failed": failed,
        "recommendation": advice,
        "hypotheses": {one.task: {h.name: h.verdict for h in one.hypotheses()} for one in findings},
        "report": str(layout.report),
    }


_VERDICTS = (
    "Written down before the study ran. Supported: the whole 95 % interval of the difference is on the side of the statement; "
    "refuted: it is on the other; undecided: neither. Where the best of several is meant, validation chose it."
)
_COSTS = (
    "A run's seconds are those of one training, at the learning rate that was chosen; a frozen encoder's reading is shared by "
    f"all runs on it and stands in the totals. Energy assumes {WATTS_PER_CORE:g} watts a busy core and is no measurement. "
    "Never compare a total of many runs with one run."
)


def _how_sure(options: LimitedDataOptions) -> str:
    return (
        f"Macro F1 on test, the mean over {words.count_of(options.seeds, 'split')}, with 95 % intervals over patients and "
        "splits. Weights are those that train. In bold: better than all others; ≈: not distinguishable from the highest."
    )


def _at_all(findings: Sequence[TaskFindings]) -> dict[str, dict[str, Point]]:
    """Arm name -> task -> point on all notes, by family."""
    found: dict[str, dict[str, Point]] = {}
    for family in _FAMILIES:
        for task in findings:
            for point in task.at(0):
                if point.arm.family == family:
                    found.setdefault(point.arm.name, {})[task.task] = point
    return found


def _headline_table(findings: Sequence[TaskFindings]) -> Table:
    rows: list[Any] = []
    highest = {task.task: max(task.at(0), key=lambda point: point.draws.value, default=None) for task in findings}
    heading = None
    for name, points in _at_all(findings).items():
        first = next(iter(points.values()))
        if first.arm.family != heading:
            heading = first.arm.family
            rows.append(Group(_FAMILIES[heading]))
        cells = [_measured(points.get(task.task), highest[task.task], task) for task in findings]
        rows.append([name, words.whole(_trainable(first)), *cells])
    columns = ["Arm", "Weights", *(task.task for task in findings)]
    return Table("Macro F1 on test with all training notes", columns, rows)


def _measured(point: Point | None, highest: Point | None, task: TaskFindings) -> Measured | str:
    if point is None or highest is None:
        return words.NONE
    interval = point.draws.interval()
    if point is highest:
        others = [one for one in task.at(0) if one is not point]
        best = all(point.minus(one).interval().low > 0 for one in others)
        return Measured(
            words.figure(interval.value), words.limits(interval.low, interval.high), best=best, near=not best
        )
    near = not highest.minus(point).interval().low > 0
    return Measured(words.figure(interval.value), words.limits(interval.low, interval.high), near=near)


def _trainable(point: Point) -> float:
    return float(np.mean([one.result["parameters"]["trainable"] for one in point.runs]))


def _curve_table(findings: Sequence[TaskFindings]) -> Table:
    places = sorted({place for task in findings for place in task.places}, key=lambda place: place or math.inf)
    rows: list[Any] = []
    for task in findings:
        rows.append(Group(task.task))
        for name in dict.fromkeys(name for name, _ in task.points):
            points = [task.points.get((name, place)) for place in places]
            rows.append([name, *(words.figure(point.draws.value) if point else words.NONE for point in points)])
    columns = ["Arm", *(f"{place:,}" if place else "all" for place in places)]
    return Table("Macro F1 on test by number of training notes, mean over splits", columns, rows)


def _curves(findings: Sequence[TaskFindings]) -> list[Figure]:
    """For each task a panel of baselines and models from nothing, and one for each encoder with its heads."""
    drawn = []
    for task in findings:
        arms = {point.arm.name: point.arm for point in task.points.values()}
        simple = [name for name, arm in arms.items() if arm.family in ("baseline", "scratch")]
        panels = [(f"{task.task}: baselines and models from nothing", simple)]
        for encoder in dict.fromkeys(arm.backbone for arm in arms.values() if arm.family in ("head", "lora")):
            heads = [name for name, arm in arms.items() if arm.backbone == encoder and "(" not in arm.head]
            panels.append((f"{task.task}: heads on {encoder}", [*heads, *([_REFERENCE] if _REFERENCE in arms else [])]))
        drawn += [_curve_panel(title, names, task) for title, names in panels if names]
    return drawn


def _curve_panel(title: str, names: Sequence[str], task: TaskFindings) -> Figure:
    series = []
    for number, name in enumerate(names):
        points = sorted(
            (point for (own, _), point in task.points.items() if own == name), key=lambda point: point.notes
        )
        intervals = [point.draws.interval() for point in points]
        series.append(
            Series(
                name,
                tuple((point.notes, one.value) for point, one in zip(points, intervals, strict=True)),
                figures.style(number),
                tuple(0.0 for _ in points),
                tuple((one.low, one.high) for one in intervals),
            )
        )
    ends = "; ".join(f"{one.label} {one.points[-1][1]:.3f}" for one in series)
    drawing = figures.line_panel(
        title, f"With all notes: {ends}.", series, Axis("training notes", log=True), Axis("macro F1 on test")
    )
    return Figure(
        drawing,
        f"{title}. Bands: 95 % intervals.",
        legend=tuple((figures.swatch(one.style), one.label) for one in series),
    )


def _structure_table(findings: Sequence[TaskFindings]) -> Table:
    rows: list[Any] = []
    for task in findings:
        differences = task.structures()
        rows += [Group(task.task), *map(_difference_row, differences)] if differences else []
    caption = "Each head adapter minus the linear probe of its encoder; Holm's correction over all rows of a task"
    return Table(caption, ("Arm", "Notes", "Difference", "95 % interval", "p", "p (Holm)"), rows)


def _difference_row(one: Difference) -> list[str]:
    place = f"{one.place:,}" if one.place else "all"
    limits = words.signed_limits(one.interval)
    return [
        one.first,
        place,
        words.signed(one.interval.value),
        limits,
        words.p_value(one.p_value),
        words.p_value(one.p_holm),
    ]


def _hypothesis_table(findings: Sequence[TaskFindings]) -> Table:
    rows: list[Any] = []
    for task in findings:
        rows += [Group(task.task), *map(_hypothesis_row, task.hypotheses())]
    columns = ("", "Statement", "Verdict", "Difference", "95 % interval", "Of what")
    return Table("Hypotheses", columns, rows, headings=2, numbers=False)


def _hypothesis_row(one: Hypothesis) -> list[str]:
    value = words.signed(one.interval.value) if one.interval else words.NONE
    return [one.name, one.statement, one.verdict, value, _limits(one.interval), one.compared]


def _limits(interval: Interval | None) -> str:
    return words.signed_limits(interval) if interval else words.NONE


def _crossing_table(findings: Sequence[TaskFindings]) -> Table:
    rows = []
    for task in findings:
        found = task.crossing()
        if found:
            low, high = (_notes(limit) for limit in (found.low, found.high))
            rows.append([task.task, _notes(found.notes), f"{low} to {high}", f"{found.never:.0%}"])
    caption = "Training notes from which the best frozen encoder is ahead of the best model from nothing, and stays so"
    return Table(caption, ("Task", "Notes", "95 % interval", "Not ahead with any size, of resamples"), rows)


def _notes(value: float) -> str:
    return "never" if math.isinf(value) else "always" if value == 0 else f"{value:,.0f}"


def _leakage(findings: Sequence[TaskFindings]) -> list[Section]:
    rows: list[Any] = []
    for task in findings:
        found = task.leakage()
        rows += [Group(task.task)] if found else []
        rows += [
            [
                line.arm.name,
                words.figure(patient.draws.value),
                words.figure(line.draws.value),
                words.signed(gap.value),
                words.signed_limits(gap),
            ]
            for line, patient, gap in found
        ]
    if not rows:
        return []
    columns = ("Arm", "Split by patient", "Split by line", "Difference", "95 % interval")
    note = "Split by line, a patient's other lines are in the training part. What that adds is learned by heart."
    return [
        Section("What a split by line would have claimed", [Table("Macro F1, all notes", columns, rows)], note=note)
    ]


def _cost_table(findings: Sequence[TaskFindings]) -> Table:
    rows: list[Any] = []
    for task in findings:
        rows.append(Group(task.task))
        for point in task.at(0):
            costs = [cost_of(one.result) for one in point.runs]
            phases = [
                words.duration(float(np.mean([one.seconds[phase] for one in costs]))) for phase in costs[0].seconds
            ]
            busy = float(np.mean([one.cpu_seconds for one in costs]))
            peak, energy = max(one.peak_bytes for one in costs), f"{assumed_joules(busy) / 3600:.3f} Wh"
            rows.append([point.arm.name, *phases, words.duration(busy), words.size(peak), energy])
    columns = ("Arm", "Tokenise", "Encode", "Train", "Evaluate", "Processor time", "Peak memory", "Energy (assumed)")
    return Table("One run on all notes, mean over splits", columns, rows)


def _total_table(runs: Sequence[Path], encoding: dict[str, Any]) -> Table:
    totals = grid_totals(runs)
    rows: list[Any] = [
        [
            family,
            f"{one.runs:,}",
            words.duration(one.seconds),
            words.duration(one.cpu_seconds),
            f"{one.joules / 3600:.2f} Wh",
        ]
        for family, one in totals.items()
    ]
    for name, one in encoding.items():
        rows.append(
            [
                f"reading all notes by {name}",
                "1",
                words.duration(one["seconds"]),
                words.duration(one["cpu_seconds"]),
                f"{assumed_joules(one['cpu_seconds']) / 3600:.2f} Wh",
            ]
        )
    passes = sum(one["read"] for one in encoding.values())
    if passes:
        naive = naive_passes(runs)
        ratio = f"{naive / passes:,.0f} times as many"
        rows.append(
            [
                f"notes read by frozen encoders: {passes:,}; anew in every epoch of every run: {naive:,}",
                "",
                "",
                "",
                ratio,
            ]
        )
    columns = ("What", "Runs", "Time, one after the other", "Processor time", "Energy (assumed)")
    return Table("The whole grid, learning rates that were not chosen included", columns, rows)


def _cost_pictures(findings: Sequence[TaskFindings]) -> list[Figure]:
    drawn = []
    for task in findings:
        series = []
        for number, point in enumerate(task.at(0)):
            seconds = float(np.mean([sum(cost_of(one.result).seconds.values()) for one in point.runs]))
            series.append(
                Series(point.arm.name, ((max(seconds, 0.01), point.draws.value),), figures.style(number), (1.0,))
            )
        if series:
            told = "; ".join(f"{one.label}: {one.points[0][0]:.1f} s, {one.points[0][1]:.3f}" for one in series)
            title = f"{task.task}: cost against quality"
            axes = Axis("seconds of one run", log=True), Axis("macro F1 on test")
            drawing = figures.line_panel(title, told, series, *axes)
            drawn.append(
                Figure(drawing, f"{title}.", legend=tuple((figures.swatch(one.style), one.label) for one in series))
            )
    return drawn


def _metric_tables(findings: Sequence[TaskFindings]) -> list[Table]:
    made = []
    for task in findings:
        points = task.at(0)
        names = list(dict.fromkeys(name for point in points for one in point.runs for name in one.metrics))
        rows = [[point.arm.name, *(_mean_and_spread(point, name) for name in names)] for point in points]
        made.append(Table(f"{task.task}: mean and standard deviation over splits", ["Arm", *names], rows))
    return made


def _mean_and_spread(point: Point, metric: str) -> str:
    mean, spread = point.mean(metric), point.spread(metric)
    digits = 1 if metric.endswith(("positives", "negatives")) else 3
    return words.figure(mean, digits) + (f" ± {spread:.{digits}f}" if math.isfinite(spread) else "")


def _row(one: Scored) -> dict[str, Any]:
    """A run as flat values, for spreadsheets."""
    trained, cost = one.trained, cost_of(one.result)
    return {
        "arm": trained.arm.name,
        "family": trained.arm.family,
        "backbone": trained.arm.backbone,
        "head": trained.arm.head,
        "task": trained.part.task,
        "split_by": trained.part.by,
        "seed": trained.part.seed,
        "notes": trained.part.size,
        "all_notes": trained.place == 0,
        "learning_rate": trained.rate,
        "parameters": one.result["parameters"]["total"],
        "parameters_trainable": one.result["parameters"]["trainable"],
        one.result["validation"]["name"] + "_valid": one.validation,
        **one.metrics,
        **{f"seconds_{phase}": seconds for phase, seconds in cost.seconds.items()},
        "cpu_seconds": cost.cpu_seconds,
        "peak_bytes": cost.peak_bytes,
        "energy_joules_assumed": assumed_joules(cost.cpu_seconds),
        "run": str(trained.run.root.name),
        "headline": HEADLINE,
    }
