"""One paragraph of advice, made of the numbers and saying no more than their intervals allow.

The best arm is the one that validation prefers; a cheaper one is advised only if it is as good up to a margin, with its
interval: not to be told apart is not to be as good.
"""

from collections.abc import Sequence

from clinstack.studies.limited_data.findings import MAJORITY, NEAR, Point, TaskFindings
from clinstack.studies.report import words


def recommend(task: TaskFindings) -> str:
    """What to use for a task: the cheapest arm that is as good as the best one, and what more notes would bring."""
    best = task.best(0, lambda arm: arm.name != MAJORITY)
    if best is None:
        return f"{task.task}: nothing but the majority was trained, so there is nothing to advise."
    others = [one for one in task.candidates if one is not best]
    as_good = [one for one in others if one.minus(best).interval().low > -NEAR]
    used = min([best, *as_good], key=lambda point: point.seconds)
    unread = task.unread
    if unread is not None and not task.shown:
        return _nothing_shown(task.task, used, unread)
    value = used.draws.interval()
    said = (
        f"{task.task}, with all {used.notes:,.0f} training notes: use {used.arm.name}, macro F1 "
        f"{words.figure(value.value)} ({words.limits(value.low, value.high)}), {words.duration(used.seconds)} a run."
    )
    if unread is not None and used not in task.shown:
        said += f" That it is better than {_called(unread)} is not shown, of another arm it is."
    said += f" {_why(used, best)} {_left_open(used, best, others)}".rstrip()
    return f"{said} {_more_notes(task, used)}".strip()


def _called(unread: Point) -> str:
    several = unread.runs[0].kind == "multilabel"
    return "deciding every label of every note" if several else "guessing each class as often as it is"


def _nothing_shown(task: str, used: Point, unread: Point) -> str:
    """Where no arm is shown to be better than no model at all."""
    gap = used.minus(unread).interval()
    return (
        f"{task}, with all {used.notes:,.0f} training notes: no model is shown to be better than {_called(unread)}, "
        f"which scores macro F1 {words.figure(unread.draws.value)}. {used.arm.name}, the first choice by "
        f"validation and cost, scored {words.signed(gap.value)} against it ({words.signed_limits(gap)}). More notes to test "
        "by, or to learn from, may show more."
    )


def _why(used: Point, best: Point) -> str:
    if used is best:
        return "By validation no other is better."
    gap = used.minus(best).interval()
    return (
        f"Against {best.arm.name}, which validation prefers and which takes {words.duration(best.seconds)} a run, it scored "
        f"{words.signed(gap.value)} ({words.signed_limits(gap)}): as good up to {NEAR}."
    )


def _left_open(used: Point, best: Point, others: Sequence[Point]) -> str:
    """The cheapest of those that are cheaper, and neither as good nor worse as far as the interval says."""
    cheaper = [one for one in others if one.seconds < used.seconds]
    open_still = [one for one in cheaper if one.minus(best).interval().high >= 0]
    if not open_still:
        return ""
    one = min(open_still, key=lambda point: point.seconds)
    gap = one.minus(best).interval()
    return (
        f"Whether {one.arm.name} would do, at {words.duration(one.seconds)} a run, is not clear: it scored "
        f"{words.figure(one.draws.value)}, {words.signed(gap.value)} against {best.arm.name} ({words.signed_limits(gap)})."
    )


def _more_notes(task: TaskFindings, chosen: Point) -> str:
    """Whether the last doubling still brought something."""
    earlier = [place for place in task.places if place and (chosen.arm.name, place) in task.points]
    if not earlier:
        return ""
    before = task.points[chosen.arm.name, earlier[-1]]
    gain = chosen.minus(before).interval()
    step = f"From {before.notes:,.0f} to {chosen.notes:,.0f} notes it changed by {words.signed(gain.value)}"
    verdict = "whether more labels would help is not clear"
    if gain.excludes(0):
        verdict = "more labels still help" if gain.value > 0 else "more labels did not help"
    return f"{step} ({words.signed_limits(gain)}): {verdict}."
