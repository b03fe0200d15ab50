"""Numbers as people read them, and the sentences of the summary, which say "better" only where the interval does."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from clinstack.metrics.intervals import Interval
from clinstack.studies.report.answers import QUESTIONS, Answer, like_highest
from clinstack.studies.report.findings import TaskFindings
from clinstack.studies.report.gather import Gathered
from clinstack.studies.report.setups import Setup

NONE = "–"
MARKS = (
    "Bold: better than every other variant in that column, also when the number of comparisons is allowed for. ≈: the highest, "
    "and those that are not distinguishable from it; there nobody has won."
)

METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "ece": "calibration error",
    "ece_scaled": "calibration error, scaled",
    "bits_per_byte": "bits per byte",
}
_AVERAGES = {
    "macro": "macro",
    "micro": "micro",
    "ovo": "one-vs-one",
    "ovr": "one-vs-rest",
    "positive": "positive-class",
}


def metric_name(name: str) -> str:
    """`auroc_ovo_macro` as `one-vs-one macro AUROC`."""
    if name in METRICS:
        return METRICS[name]
    first, *rest = name.split("_")
    return " ".join([*(_AVERAGES.get(word, word) for word in rest), METRICS.get(first, first)])


def figure(value: Any, digits: int = 3) -> str:
    """A number to so many decimals, or a dash if there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) and isfinite(value) else NONE


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a dash for none; the minus is a real one, and a rounded zero has none."""
    if not isfinite(value):
        return NONE
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


def limits(low: Any, high: Any) -> str:
    """`0.812–0.873`; a dash if there is no interval."""
    return NONE if NONE in (figure(low), figure(high)) else f"{figure(low)}–{figure(high)}"


def signed_limits(interval: Interval) -> str:
    """The limits of a difference."""
    if not (isfinite(interval.low) and isfinite(interval.high)):
        return NONE
    return f"{signed(interval.low)} to {signed(interval.high)}"


def p_value(value: float) -> str:
    """To three decimals; what is smaller is said to be."""
    return NONE if not isfinite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def small(values: Sequence[Any]) -> str:
    """The range of a measured change over runs, to three digits; exactly 0 stays visibly exact."""
    numbers = [value for value in values if isinstance(value, int | float) and isfinite(value)]
    if not numbers:
        return NONE
    shown = list(dict.fromkeys(f"{number:.3g}" if number else "0" for number in (min(numbers), max(numbers))))
    return "–".join(shown)


def whole(value: Any) -> str:
    """A count with its thousands apart."""
    return f"{value:,.0f}" if isinstance(value, int | float) and isfinite(value) else NONE


def duration(seconds: Any) -> str:
    """`48 s`, `12 min 5 s`, `3 h 20 min`."""
    if not isinstance(seconds, int | float) or not isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(number_of_bytes: Any) -> str:
    """Bytes in MiB or GiB."""
    if not isinstance(number_of_bytes, int | float) or not isfinite(number_of_bytes):
        return NONE
    mebibytes = number_of_bytes / 2**20
    return f"{mebibytes:,.0f} MiB" if mebibytes < 10_000 else f"{mebibytes / 1024:,.1f} GiB"


def operations(flops: Any) -> str:
    """Floating-point operations, in tera or peta."""
    if not isinstance(flops, int | float) or not isfinite(flops):
        return NONE
    return f"{flops / 1e12:,.2f} TFLOP" if flops < 1e15 else f"{flops / 1e15:,.2f} PFLOP"


def count_of(number: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def summary(
    found: Gathered, tasks: Sequence[TaskFindings], answered: Sequence[Answer], names: dict[Setup, str]
) -> list[str]:
    """The report in a few sentences: what was run, what is best where, whether stacking helped, what step 1 did."""
    return [
        _what_was_run(found, tasks, names),
        *(_best_of(task, names) for task in tasks),
        *_stacking(answered, names),
        *_step_one(found),
    ]


def _what_was_run(found: Gathered, tasks: Sequence[TaskFindings], names: dict[Setup, str]) -> str:
    bases = sorted({str(run.result["base"].get("name")) for run in found.finished})
    parts = []
    if found.language:
        parts.append(f"{count_of(len(found.language), 'adaptation run')} (step 1)")
    if found.classification:
        seeds = {run.seed for run in found.classification}
        parts.append(
            f"{count_of(len(found.classification), 'classification run')} (step 2: {count_of(len(names), 'setup')} on "
            f"{count_of(len(tasks), 'task')}, {count_of(len(seeds), 'seed')})"
        )
    text = f"This report covers {listed(parts)} on {listed(bases)}."
    if tasks:
        repeated = any(len(cell.runs) > 1 for task in tasks for cell in task.cells)
        text += f" Brackets hold 95 % intervals over test patients{' and seeds' if repeated else ''}."
    if found.unfinished:
        left = count_of(len(found.unfinished), "further run")
        text += f" {left} did not finish and {'is' if len(found.unfinished) == 1 else 'are'} not counted."
    return text


def _best_of(task: TaskFindings, names: dict[Setup, str]) -> str:
    metric = metric_name(task.metric)
    best = task.highest
    if best is None:
        return f"On {task.task}, the test notes allow no {metric}: no class is both present and absent."
    own = next(cell.interval for cell in task.cells if cell.setup == best)
    value = f"{figure(own.value)} ({limits(own.low, own.high)})"
    name = names[best]
    if len(task.cells) == 1:
        return f"On {task.task}, {name} reaches a test {metric} of {value}."
    alike = like_highest(task)
    beaten = [setup for setup in task.setups if setup != best and setup not in alike]
    text = f"On {task.task}, {name} has the highest test {metric}, {value}"
    if not alike:
        others = "the other setup" if len(beaten) == 1 else f"each of the {len(beaten)} other setups"
        return f"{text}, and is better than {others}."
    if not beaten:
        others = "the other setup" if len(alike) == 1 else f"any of the {len(alike)} other setups"
        return f"{text}, but is not distinguishable from {others}."
    return f"{text}; it is better than {_names(beaten, names)}, and not distinguishable from {_names(alike, names)}."


def _stacking(answered: Sequence[Answer], names: dict[Setup, str]) -> list[str]:
    sentences = []
    for mode in ("frozen", "trainable"):
        about = [
            one
            for one in answered
            if (one.question, one.first.variant, one.second.variant) in QUESTIONS
            and (one.first.variant, one.second.variant) == (f"clinical-{mode}+task", "task")
        ]
        if not about:
            continue
        tasks = [one.task for one in about]
        said = []
        for verdict, words in (
            ("better", "better"),
            ("worse", "worse"),
            ("not distinguishable", "not distinguishable from"),
        ):
            # Where a task has several such pairs, each is told by what the first of them is.
            where = [
                one.task + (names[one.first].removeprefix(one.first.variant) if tasks.count(one.task) > 1 else "")
                for one in about
                if one.verdict == verdict
            ]
            if where:
                said.append(
                    f"{words} {'' if verdict.startswith('not') else 'than '}the task adapter alone on {listed(where)}"
                )
        sentences.append(f"Stacking the task adapter on a {mode} clinical adapter was {listed(said)}.")
    return sentences


def _step_one(found: Gathered) -> list[str]:
    sentences = []
    for run in found.language[:4]:
        test = run.result["bits_per_byte"].get("test", {})
        before, after = test.get("before"), test.get("after")
        if isinstance(before, int | float) and isinstance(after, int | float):
            verb = "lowered" if after < before else "raised" if after > before else "left"
            change = f"from {before:.3f} to {after:.3f}" if after != before else f"at {after:.3f}"
            sentences.append(f"Step 1 ({run.result['method']}, {run.name}) {verb} test bits per byte {change}.")
    return sentences


def _names(setups: Sequence[Setup], names: dict[Setup, str]) -> str:
    return listed([names[setup] for setup in setups]) if len(setups) <= 4 else f"{len(setups)} others"
