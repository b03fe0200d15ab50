"""The figures of the page: which lines are drawn for which runs, and what their captions say.

A setup has the same style wherever it appears. Curves are drawn for the run with the lowest seed, of at most six setups a
task (the highest ones), because more lines cannot be told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clinstack.metrics.calibration import expected_calibration_error, reliability
from clinstack.metrics.decision_curve import decision_curve
from clinstack.metrics.ranking import roc_curve
from clinstack.metrics.scorecard import KINDS, foretold, probabilities
from clinstack.studies.report import figures, words
from clinstack.studies.report.figures import Axis, Series, Style
from clinstack.studies.report.findings import Cell, TaskFindings
from clinstack.studies.report.gather import Predictions, Run
from clinstack.studies.report.setups import Setup

MOST_LINES = 6
MOST_POINTS = 60


@dataclass(frozen=True)
class Figure:
    """A panel with its caption. legend: what its lines are, where the page does not say it elsewhere."""

    drawing: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...] = ()


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


def roc_figure(task: TaskFindings, names: Mapping[Setup, str], looks: Mapping[Setup, Style]) -> list[Figure]:
    """The ROC curves of a binary task; nothing for another kind or without predictions."""
    series = []
    for cell, predictions in _drawn(task) if task.kind == "binary" else []:
        label = predictions.labels[:, 1]
        if not np.isfinite(predictions.logits).all() or label.all() or not label.any():
            continue
        curve = roc_curve(KINDS["binary"].scores(predictions.logits)[:, 1], label)
        points = tuple(zip(curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist(), strict=True))
        series.append(Series(names[cell.setup], points, looks[cell.setup]))
    if not series:
        return []
    share = Axis("1 − specificity", 0, 1), Axis("sensitivity", 0, 1)
    description = "ROC curves of " + ", ".join(one.label for one in series)
    return [
        Figure(
            figures.line_panel(f"{task.task}: ROC", description, series, *share, diagonal=True),
            f"{task.task}: sensitivity against 1 − specificity for “{task.classes[1]}” on the test notes"
            f"{_which_seed(task)}. Dotted: chance.",
        )
    ]


def reliability_figure(task: TaskFindings, names: Mapping[Setup, str], looks: Mapping[Setup, Style]) -> list[Figure]:
    """Predicted against observed, with the expected calibration error; nothing without predictions."""
    series, errors = [], []
    for cell, predictions in _drawn(task):
        if not np.isfinite(predictions.logits).all():
            continue
        said, labels = foretold(task.kind, predictions.logits, predictions.labels)
        table = reliability(said, labels)
        points = tuple(zip(table.mean_probability.tolist(), table.observed_fraction.tolist(), strict=True))
        shares = tuple((table.entries / table.entries.sum()).tolist())
        series.append(Series(names[cell.setup], points, looks[cell.setup], shares))
        errors.append(f"{names[cell.setup]} {expected_calibration_error(said, labels):.3f}")
    if not series:
        return []
    share = Axis("predicted probability", 0, 1), Axis("observed fraction", 0, 1)
    said_of = {"binary": f"of “{task.classes[-1]}”", "multiclass": "of the decided class"}.get(
        task.kind, "of every label"
    )
    return [
        Figure(
            figures.line_panel(
                f"{task.task}: calibration", "Calibration of " + ", ".join(errors), series, *share, diagonal=True
            ),
            f"{task.task}: probability {said_of} in ten bins{_which_seed(task)}; larger marks hold more notes. "
            f"Dotted: perfect. Expected calibration error: {'; '.join(errors)}.",
        )
    ]


def decision_figure(task: TaskFindings, names: Mapping[Setup, str], looks: Mapping[Setup, Style]) -> list[Figure]:
    """Net benefit by threshold of a binary task, beside acting on everybody; nothing for another kind."""
    series: list[Series] = []
    for cell, predictions in _drawn(task) if task.kind == "binary" else []:
        label = predictions.labels[:, 1]
        if not np.isfinite(predictions.logits).all() or not label.any():
            continue
        curve = decision_curve(probabilities("binary", predictions.logits)[:, 1], label, _thresholds(label))
        if not series:
            series.append(Series("acting on everybody", _of_use(curve.thresholds, curve.everybody), _EVERYBODY))
        series.append(Series(names[cell.setup], _of_use(curve.thresholds, curve.model), looks[cell.setup]))
    if not series:
        return []
    axes = Axis("act from this probability on", 0), Axis("net benefit a note")
    return [
        Figure(
            figures.line_panel(
                f"{task.task}: net benefit", "Net benefit of " + ", ".join(one.label for one in series), series, *axes
            ),
            f"{task.task}: what acting on “{task.classes[1]}” is worth{_which_seed(task)}, if who acts from a probability of t "
            "on holds a missed one to be as bad as (1 − t) / t needless actions. Grey: acting on everybody. On nobody: 0.",
        )
    ]


def _thresholds(label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """From 1 % to twice the share of notes with the label, where acting on everybody begins to do harm, and 99 % at most."""
    return np.linspace(0.01, min(0.99, max(0.1, 2 * float(label.mean()))), 50)


def _of_use(thresholds: NDArray[np.float64], benefit: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """A line that ends a little below 0: how much harm is done further down is of no interest."""
    floor = -0.1 * float(benefit.max())
    return tuple(zip(thresholds.tolist(), np.maximum(benefit, floor).tolist(), strict=True))


_EVERYBODY = Style("#8a8f98", "", "none")


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


def _drawn(task: TaskFindings) -> list[tuple[Cell, Predictions]]:
    kept = task.first_predictions
    return [(cell, kept[cell.setup]) for cell in _highest(task) if cell.setup in kept]


def _which_seed(task: TaskFindings) -> str:
    return " (lowest seed)" if any(len(cell.runs) > 1 for cell in task.cells) else ""
