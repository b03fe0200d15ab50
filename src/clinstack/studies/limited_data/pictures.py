"""The pictures of a limited-data study: learning curves, cost against quality, and what the best arms say of the test notes."""

from collections.abc import Callable, Sequence

from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.calibration import BINS
from clinstack.studies.limited_data.findings import MAJORITY, TaskFindings
from clinstack.studies.limited_data.scores import predictions_of
from clinstack.studies.report import figures
from clinstack.studies.report.figures import Axis, Figure, Series
from clinstack.studies.report.prediction_panels import Line, PredictionPanels

_REFERENCE = "tf-idf"
"""Stands in every panel."""


def curves(findings: Sequence[TaskFindings]) -> list[Figure]:
    """Macro F1 by the number of notes, in the panels of `_panels`; heads in their usual size alone, for lines cross."""
    panels = [(task, *panel) for task in findings for panel in _panels(task, lambda arm: "(" not in arm.head)]
    return [_curve_panel(title, names, task) for task, title, names in panels]


def cost_pictures(findings: Sequence[TaskFindings]) -> list[Figure]:
    """Macro F1 against the seconds of one run with all notes, in the panels of `_panels`; a task's are on the same axes.

    The majority is left out: it costs nothing, and so far from all others that these would lie on one heap.
    """
    drawn = []
    for task in findings:
        trained = task.at(0, lambda arm: arm.name != MAJORITY)
        places = {point.arm.name: (max(point.seconds, 0.01), point.draws.value) for point in trained}
        if not places:
            continue
        seconds, scores = zip(*places.values(), strict=True)
        axes = (
            Axis("seconds of one run", min(seconds), max(seconds), log=True),
            Axis("macro F1 on test", min(scores), max(scores)),
        )
        for title, names in _panels(task):
            series = [
                Series(name, (places[name],), figures.style(number), (1.0,))
                for number, name in enumerate(name for name in names if name in places)
            ]
            told = "; ".join(f"{one.label}: {one.points[0][0]:.1f} s, {one.points[0][1]:.3f}" for one in series)
            drawing = figures.line_panel(f"{title}, cost", told, series, *axes)
            drawn.append(Figure(drawing, f"{title}: cost against quality.", legend=figures.legend_of(series)))
    return drawn


def _panels(task: TaskFindings, chosen: Callable[[Arm], bool] = lambda arm: True) -> list[tuple[str, list[str]]]:
    """Titles and arms: one panel of baselines and models from nothing, and one for each encoder with its heads.

    More arms than one panel's could not be told apart.
    """
    arms = {point.arm.name: point.arm for point in task.points.values() if chosen(point.arm)}
    simple = [name for name, arm in arms.items() if arm.family in ("baseline", "scratch")]
    panels = [(f"{task.task}: baselines and models from nothing", simple)]
    for encoder in dict.fromkeys(arm.backbone for arm in arms.values() if arm.family in ("head", "lora", "setfit")):
        heads = [name for name, arm in arms.items() if arm.backbone == encoder]
        panels.append((f"{task.task}: heads on {encoder}", [*heads, *([_REFERENCE] if _REFERENCE in arms else [])]))
    return [(title, names) for title, names in panels if names]


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
        legend=figures.legend_of(series),
    )


def best_arms_say(task: TaskFindings) -> PredictionPanels:
    """What the best arm of each family says of the test notes of the first split that all of them have."""
    best = task.best_of_families()
    common = set.intersection(*({one.part.seed for one in point.runs} for point in best))
    split = min(common, default=best[0].runs[0].part.seed)
    runs = [(point.arm.name, one) for point in best for one in point.runs if one.part.seed == split]
    lines = [Line(name, predictions_of(one), figures.style(number)) for number, (name, one) in enumerate(runs)]
    first = runs[0][1].result
    which = f" of split {split}" if len(best[0].runs) > 1 else ""
    return PredictionPanels(task.task, str(first["kind"]), first["classes"], lines, which, keyed=True, bins=BINS)
