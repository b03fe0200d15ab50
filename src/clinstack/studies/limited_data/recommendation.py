"""One paragraph of advice, made of the numbers and saying no more than their intervals allow."""

from clinstack.studies.limited_data.costs import cost_of
from clinstack.studies.limited_data.findings import Point, TaskFindings
from clinstack.studies.report import words


def recommend(task: TaskFindings) -> str:
    """What to use for a task: the cheapest arm that is not told apart from the best one, and what more notes would bring."""
    points = [point for point in task.at(0) if point.arm.name != "majority"]
    if not points:
        return f"{task.task}: nothing but the majority was trained, so there is nothing to advise."
    highest = max(points, key=lambda point: (point.draws.value, -_seconds(point)))
    alike = [one for one in points if one is highest or not highest.minus(one).interval().low > 0]
    cheapest = min(alike, key=_seconds)
    value = cheapest.draws.interval()
    said = (
        f"{task.task}, with all {cheapest.notes:,.0f} training notes: use {cheapest.arm.name}, macro F1 "
        f"{words.figure(value.value)} ({words.limits(value.low, value.high)}), {words.duration(_seconds(cheapest))} a run."
    )
    if cheapest is highest:
        others = len(alike) - 1
        said += " Nothing scored higher" + (
            f"; {words.count_of(others, 'arm')} cannot be told apart from it." if others else "."
        )
    else:
        gap = highest.minus(cheapest).interval()
        said += (
            f" {highest.arm.name} scored {words.signed(gap.value)} ({words.signed_limits(gap)}) and takes "
            f"{words.duration(_seconds(highest))} a run; the interval does not tell them apart."
        )
    return f"{said} {_more_notes(task, cheapest)}".strip()


def _seconds(point: Point) -> float:
    return sum(sum(cost_of(one.result).seconds.values()) for one in point.runs) / len(point.runs)


def _more_notes(task: TaskFindings, chosen: Point) -> str:
    """Whether the last doubling still brought something."""
    earlier = [place for place in task.places if place and (chosen.arm.name, place) in task.points]
    if not earlier:
        return ""
    before = task.points[chosen.arm.name, earlier[-1]]
    gain = chosen.minus(before).interval()
    step = f"From {before.notes:,.0f} to {chosen.notes:,.0f} notes it changed by {words.signed(gain.value)}"
    verdict = "more labels still help" if gain.low > 0 else "whether more labels would help is not clear"
    return f"{step} ({words.signed_limits(gain)}): {verdict}."
