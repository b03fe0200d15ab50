"""The figures of the page: which lines are drawn for which runs, and what their captions say.

A setup has the same style wherever it appears. Curves are drawn for the run with the lowest seed, of at most six setups a
task (the highest ones), because more lines cannot be told apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinstack.studies.report import figures, words
from clinstack.studies.report.figures import Axis, Figure, Series, Style
from clinstack.studies.report.findings import Cell, TaskFindings
from clinstack.studies.report.gather import Run, read_predictions
from clinstack.studies.report.prediction_panels import Line, PredictionPanels
from clinstack.studies.report.setups import Setup

MOST_LINES = 6
MOST_POINTS = 60


def interval_figure(task: TaskFindings, names: Mapping[Setup, str], looks: Mapping[Setup, Style]) -> Figure:
    """The headline metric of every setup on a task, with intervals."""
    bars = [
        figures.Bar(
            names[cell.setup],
            cell.interval.value,
            cell.interval.low,
            cell.interval.high,
            tuple(value for _, value in cell.by_seed),
            looks[cell.setup],
        )
        for cell in task.cells
    ]
    metric = words.metric_name(task.metric)
    description = "; ".join(
        f"{bar.label} {words.figure(bar.value)}, interval {words.limits(bar.low, bar.high)}" for bar in bars
    )
    about = (
        f"{words.count_of(task.notes, 'test note')} of {words.count_of(task.patients, 'patient')}. "
        if task.notes
        else ""
    )
    many = any(len(cell.by_seed) > 1 for cell in task.cells)
    return Figure(
        figures.interval_panel(f"{task.task}: test {metric}", description, bars, Axis(metric), chance=0.5),
        f"{task.task} ({task.kind}). {about}Line: 95 % interval{'; ticks: single seeds' if many else ''}.",
    )


def prediction_figures(
    task: TaskFindings, names: Mapping[Setup, str], looks: Mapping[Setup, Style]
) -> PredictionPanels:
    """What the highest setups say of the test notes."""
    lines = [
        Line(names[cell.setup], said, looks[cell.setup])
        for cell in _highest(task)
        if (said := read_predictions(cell.runs[0])) is not None
    ]
    which = " (lowest seed)" if any(len(cell.runs) > 1 for cell in task.cells) else ""
    return PredictionPanels(task.task, task.kind, task.classes, lines, which)


def learning_figures(
    tasks: Sequence[TaskFindings], names: Mapping[Setup, str], looks: Mapping[Setup, Style]
) -> list[Figure]:
    """Loss and validation score by step for every task, a line per run."""
    pairs = []
    for task in tasks:
        lines = [(names[cell.setup], run, looks[cell.setup]) for cell in _highest(task) for run in cell.runs]
        pairs += _learning_pair(task.task, lines)
    return pairs


def step_one_figures(runs: Sequence[Run]) -> tuple[list[Figure], list[tuple[str, Style]]]:
    """The same for step 1, and the legend of its lines."""
    lines = [(run.name, run, figures.style(number)) for number, run in enumerate(runs[:MOST_LINES])]
    return _learning_pair("step 1", lines), [(name, look) for name, _, look in lines]


def drawn_setups(tasks: Sequence[TaskFindings]) -> list[Setup]:
    """The setups that have a line in some figure, for the legend."""
    return list(dict.fromkeys(cell.setup for task in tasks for cell in _highest(task)))


def _learning_pair(about: str, lines: Sequence[tuple[str, Run, Style]]) -> list[Figure]:
    """Training loss and validation score over steps, a line per run; a panel without points is left out."""
    pair = []
    steps = [Series(name, _points(run.events("step"), "loss"), look) for name, run, look in lines]
    checks = [(name, run.events("validation"), look) for name, run, look in lines]
    scores = [Series(name, _points(events, "score"), look, (0.15,) * len(events)) for name, events, look in checks]
    measured = next((str(events[0].get("name", "score")) for _, events, _ in checks if events), "score")
    metric = words.metric_name(measured)
    for series, axis, what in ((steps, "training loss", "training loss"), (scores, metric, f"validation {metric}")):
        shown = [one for one in series if one.points]
        if shown:
            drawing = figures.line_panel(f"{about}: {what}", f"{what} by step", shown, Axis("step", 0), Axis(axis))
            pair.append(Figure(drawing, f"{about}: {what} by step, a line per run."))
    return pair


def _points(events: Sequence[Mapping[str, Any]], key: str) -> tuple[tuple[float, float], ...]:
    """(step, value), thinned by averaging neighbours so that a long run does not make a heavy page."""
    pairs = [(float(e["step"]), float(e[key])) for e in events if isinstance(e.get(key), int | float) and "step" in e]
    table = np.array([pair for pair in pairs if np.isfinite(pair).all()])
    if len(table) > MOST_POINTS:
        table = np.array([part.mean(axis=0) for part in np.array_split(table, MOST_POINTS)])
    return tuple((float(step), float(value)) for step, value in table)


def _highest(task: TaskFindings) -> list[Cell]:
    """The setups whose curves are drawn: the MOST_LINES highest, in table order."""
    ranked = sorted(task.cells, key=lambda cell: -np.nan_to_num(cell.interval.value, nan=-1.0))[:MOST_LINES]
    return [cell for cell in task.cells if cell in ranked]
