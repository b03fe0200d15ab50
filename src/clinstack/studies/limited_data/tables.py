"""The tables of a limited-data study that say how good the arms are, one per question."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clinstack.metrics.intervals import Interval
from clinstack.studies.limited_data.calibration import BINS, COVERAGES, Calibrated
from clinstack.studies.limited_data.crossing import Crossing
from clinstack.studies.limited_data.findings import Difference, Hypothesis, Point, TaskFindings
from clinstack.studies.limited_data.parts import SplitBy
from clinstack.studies.limited_data.slices import Slice, share_nearly_trained
from clinstack.studies.report import words
from clinstack.studies.report.tables import Group, Measured, Table

_FAMILIES = {
    "baseline": "Baselines",
    "scratch": "From nothing",
    "head": "Frozen encoders",
    "lora": "Encoders with LoRA",
    "setfit": "Encoders tuned by SetFit",
}


def headline_table(findings: Sequence[TaskFindings]) -> Table:
    """Every arm on every task with all notes, by family."""
    rows: list[Any] = []
    heading = None
    for name, points in _at_all(findings).items():
        first = next(iter(points.values()))
        if first.arm.family != heading:
            heading = first.arm.family
            rows.append(Group(_FAMILIES[heading]))
        cells = [_measured(points.get(task.task), task) for task in findings]
        rows.append([name, _weights(points.values()), *cells])
    columns = ["Arm", "Weights", *(task.task for task in findings)]
    return Table("Macro F1 on test with all training notes", columns, rows)


def _at_all(findings: Sequence[TaskFindings]) -> dict[str, dict[str, Point]]:
    """Arm name -> task -> point on all notes, by family."""
    found: dict[str, dict[str, Point]] = {}
    for family in _FAMILIES:
        for task in findings:
            for point in task.at(0):
                if point.arm.family == family:
                    found.setdefault(point.arm.name, {})[task.task] = point
    return found


def _measured(point: Point | None, task: TaskFindings) -> Measured | str:
    if point is None:
        return words.NONE
    best = point is task.highest and not task.like_highest
    near = point in task.like_highest or (point is task.highest and not best)
    return with_limits(point.draws.interval(), best=best, near=near)


def with_limits(interval: Interval, *, best: bool = False, near: bool = False) -> Measured:
    """A figure with its interval, as a cell."""
    limits = words.limits(interval.low, interval.high)
    return Measured(words.figure(interval.value), limits, best=best, near=near)


def _weights(points: Iterable[Point]) -> str:
    """How many weights train: of several tasks from the fewest to the most, since they differ in words and classes."""
    trained = [float(np.mean([one.result["parameters"]["trainable"] for one in point.runs])) for point in points]
    ends = dict.fromkeys(words.whole(one) for one in (min(trained), max(trained)))
    return "–".join(ends)


def curve_table(findings: Sequence[TaskFindings]) -> Table:
    """Macro F1 by number of training notes."""
    places = sorted({place for task in findings for place in task.places}, key=lambda place: place or math.inf)
    rows: list[Any] = []
    for task in findings:
        rows.append(Group(task.task))
        for name in dict.fromkeys(name for name, _ in task.points):
            points = [task.points.get((name, place)) for place in places]
            rows.append([name, *(words.figure(point.draws.value) if point else words.NONE for point in points)])
    columns = ["Arm", *(f"{place:,}" if place else "all" for place in places)]
    return Table("Macro F1 on test by number of training notes, mean over splits", columns, rows)


def structure_table(findings: Sequence[TaskFindings]) -> Table:
    """Every head adapter, and LoRA, against the probe."""
    rows: list[Any] = []
    for task in findings:
        differences = task.beside_probe()
        rows += [Group(task.task), *map(_difference_row, differences)] if differences else []
    caption = (
        "Each head adapter, and LoRA, minus the linear probe of its encoder; Holm's correction over all rows of a task"
    )
    columns = ("Arm", "Notes", "Difference", "95 % interval", "p", "p (Holm)", "p (McNemar)")
    return Table(caption, columns, rows)


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
        words.p_value(one.p_mcnemar),
    ]


def hypothesis_table(findings: Sequence[TaskFindings]) -> Table:
    """What was asked before the study ran, and the answers."""
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


def crossing_table(findings: Sequence[TaskFindings]) -> Table | None:
    """Where the curves of frozen encoders and of models from nothing meet; None where not both were trained at two sizes."""
    rows = []
    for task in findings:
        found = task.crossing()
        if found:
            since = _range(found.since, least="the fewest", most="not with all")
            until = _range(found.until, least="not with the fewest", most="all")
            nowhere = words.NONE if math.isnan(found.nowhere) else f"{found.nowhere:.0%}"
            rows.append([task.task, _ahead(found), *since, *until, nowhere])
    caption = "Training notes with which the best frozen encoder is ahead of the best model from nothing"
    columns = ("Task", "Ahead", "From", "95 % interval", "Up to", "95 % interval", "With no size, of resamples")
    return Table(caption, columns, rows, headings=2) if rows else None


def _ahead(found: Crossing) -> str:
    """In words, without its uncertainty."""
    if found.since.value == 0:
        return "with any number of notes"
    if math.isfinite(found.since.value):
        return f"with {found.since.value:,.0f} notes and more"
    return f"with up to {found.until.value:,.0f} notes" if found.until.value else "neither with the fewest nor with all"


def _range(found: Interval, least: str, most: str) -> tuple[str, str]:
    """A number of notes and its interval; least, most: what 0 and infinity are called."""

    def said(value: float) -> str:
        if math.isnan(value):
            return words.NONE
        return most if math.isinf(value) else least if value == 0 else f"{value:,.0f}"

    return said(found.value), f"{said(found.low)} to {said(found.high)}"


def split_table(findings: Sequence[TaskFindings], by: SplitBy, main: SplitBy) -> Table | None:
    """All notes split as the curves' parts are (`main`) and otherwise; None where no task was."""
    called = {"patient": "by patient", "line": "by line", "own": "in the task's own parts"}
    rows: list[Any] = []
    for task in findings:
        found = task.split_otherwise(by)
        if found:
            both = found[0][1], found[0][0]
            shares = " and ".join(f"{share_nearly_trained(point):.1%}" for point in both)
            trained = " and ".join(f"{point.notes:,.0f}" for point in both)
            rows.append(
                Group(task.task, f"{trained} training notes; {shares} of test notes are nearly a training note")
            )
        rows += [
            [
                other.arm.name,
                words.figure(usual.draws.value),
                words.figure(other.draws.value),
                words.signed(gap.value),
                words.signed_limits(gap),
            ]
            for other, usual, gap in found
        ]
    columns = ("Arm", f"Split {called[main]}", f"Split {called[by]}", "Difference", "95 % interval")
    return Table("Macro F1, all notes", columns, rows) if rows else None


def calibration_table(findings: Sequence[tuple[str, Sequence[Calibrated]]]) -> Table:
    """How well the probabilities hold. findings: of each task."""
    rows: list[Any] = []
    for task, found in findings:
        rows += [Group(task), *map(_calibration_row, found)]
    columns = (
        "Arm",
        "Error",
        "Error, scaled",
        "Log loss",
        "Brier, of what is decided",
        "of it reliability",
        "Resolution",
    )
    return Table(f"Calibration on test with all notes, in {BINS} bins of as many notes each", columns, rows)


def _calibration_row(one: Calibrated) -> list[Any]:
    errors = map(with_limits, (one.error, one.scaled))
    return [one.arm.name, *errors, *map(words.figure, (one.log_loss, one.brier, one.reliability, one.resolution))]


def abstention_table(findings: Sequence[tuple[str, Sequence[Calibrated]]]) -> Table:
    """How much is wrong if only the surest notes are answered. findings: of each task."""
    rows: list[Any] = []
    for task, found in findings:
        rows.append(Group(task))
        rows += [[one.arm.name, *map(with_limits, one.wrong)] for one in found]
    columns = ("Arm", *("all" if share == 1 else f"the surest {share:.0%}" for share in COVERAGES))
    return Table("Share of test notes that are decided wrongly, of those that are answered", columns, rows)


def slice_table(findings: Sequence[tuple[str, Sequence[Slice]]]) -> Table | None:
    """The best arm of each family on the notes that have something and on the others; None where no note has anything."""
    rows: list[Any] = []
    for task, found in findings:
        for what in dict.fromkeys(one.what for one in found):
            of_mark = [one for one in found if one.what == what]
            having, others = of_mark[0].notes
            rows.append(Group(f"{task}: {what}", f"{having:,.0f} test notes are, {others:,.0f} are not"))
            rows += map(_slice_row, of_mark)
    columns = ("Arm", "These notes", "The others", "Difference", "95 % interval")
    return Table("Macro F1 with all training notes", columns, rows) if rows else None


def _slice_row(one: Slice) -> list[Any]:
    sides = map(with_limits, (one.having, one.others))
    return [one.arm.name, *sides, words.signed(one.difference.value), words.signed_limits(one.difference)]


def noise_table(findings: Sequence[TaskFindings]) -> Table | None:
    """Macro F1 by share of wrong labels; None where none were made."""
    shares = sorted({share for task in findings for _, share in task.noisy})
    rows: list[Any] = []
    for task in findings:
        names = list(dict.fromkeys(name for name, _ in task.noisy))
        rows += [Group(task.task)] if names else []
        for name in names:
            clean, noisy = task.points.get((name, 0)), [task.noisy.get((name, share)) for share in shares]
            cells = [words.figure(point.draws.value) if point else words.NONE for point in (clean, *noisy)]
            last = noisy[-1].minus(clean).interval() if clean and noisy[-1] else None
            rows.append([name, *cells, words.signed(last.value) if last else words.NONE, _limits(last)])
    columns = ("Arm", "0 %", *(f"{share:.0%}" for share in shares), "From first to last", "95 % interval")
    return (
        Table("Macro F1 on test by share of wrong labels in training and validation, all notes", columns, rows)
        if rows
        else None
    )


def metric_tables(findings: Sequence[TaskFindings]) -> list[Table]:
    """Every metric of every arm with all notes, a table per task."""
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
