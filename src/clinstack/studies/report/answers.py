"""Which differences a report speaks of, and which of them it may call one.

It asks the fixed QUESTIONS, compares every setup that they leave out with the plain one of its base, and marks the highest of
each task and of the mean over tasks. A word or a mark that says "better" needs an adjusted p-value below 0.05: an answer's for
the number of questions (Holm), a highest value's for the number of the others, since the figures themselves chose it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinstack.metrics.intervals import Interval
from clinstack.metrics.many import holm, of_highest, told_apart
from clinstack.models.method import method_fields
from clinstack.studies.report.average import Average
from clinstack.studies.report.findings import Cell, TaskFindings
from clinstack.studies.report.setups import Setup

QUESTIONS = (
    ("Does a task adapter help without step 1?", "task", "head-only"),
    ("Does step 1 help by itself?", "clinical-frozen", "head-only"),
    ("Does stacking help: a frozen clinical adapter under the task adapter?", "clinical-frozen+task", "task"),
    ("Does stacking help: a trainable clinical adapter under the task adapter?", "clinical-trainable+task", "task"),
    (
        "Does a task adapter help on top of a trainable clinical adapter?",
        "clinical-trainable+task",
        "clinical-trainable",
    ),
)
"""What the variants are for: (question, variant, the variant it is measured against), asked of setups alike in all else."""

SAME_SIZE = (
    "Is it step 1, or only more weights that learn? A trainable clinical adapter against a fresh one of the same size",
    "clinical-trainable",
    "task",
)
"""Asked of setups with as many trainable weights, whatever their ranks and layers."""

TASK_ADAPTER = "task"
"""The name of the task adapter in every run's stack."""

REFERENCES = {"task": "Against the task adapter alone", "head-only": "Against the head alone"}
"""What every other setup of a base is compared with: the first of these variants that its base has."""

Pair = tuple[str, frozenset[Setup]]
"""Two setups on one task."""
Asked = tuple[str, TaskFindings, Cell, Cell]
"""A question, and of which cells of a task."""


@dataclass(frozen=True)
class Answer:
    """One question on one task: the difference of two setups."""

    question: str
    task: str
    first: Setup
    second: Setup
    difference: Interval
    p_value: float
    """Adjusted for all questions that the report asks (Holm)."""
    p_delong: float
    """By DeLong's test, not adjusted; NaN where it does not hold."""

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `not distinguishable`, of the first against the second."""
        if not told_apart(self.difference, self.p_value):
            return "not distinguishable"
        return "better" if self.difference.value > 0 else "worse"


def like_highest(found: TaskFindings | Average) -> tuple[Setup, ...]:
    """The other setups that are not told apart from the highest of a task, or of the mean over tasks."""
    best = found.highest
    if best is None:
        return ()
    others = [setup for setup in found.setups if setup != best]
    return tuple(
        other
        for other in others
        if not told_apart(found.difference(best, other), of_highest(found.p_value(best, other), len(others)))
    )


def answers(tasks: Sequence[TaskFindings]) -> tuple[Answer, ...]:
    """What a report answers about these tasks."""
    fixed = list(_fixed(tasks))
    asked = [one for one in (*fixed, *_others(tasks, fixed)) if _defined(one)]
    found = {
        _pair(task.task, one.setup, other.setup): task.p_value(one.setup, other.setup) for _, task, one, other in asked
    }
    adjusted = holm(found)
    return tuple(_answer(*one, adjusted) for one in asked)


def _fixed(tasks: Sequence[TaskFindings]) -> Iterator[Asked]:
    """The QUESTIONS that two setups of a task can answer: alike in base, profile, settings and methods they share."""
    for question, variant, against in (*QUESTIONS, SAME_SIZE):
        fit = _of_same_size if question == SAME_SIZE[0] else _alike
        for task in tasks:
            for first in (cell for cell in task.cells if cell.setup.variant == variant):
                for second in (cell for cell in task.cells if cell.setup.variant == against):
                    if fit(first, second):
                        yield question, task, first, second


def _others(tasks: Sequence[TaskFindings], fixed: Sequence[Asked]) -> Iterator[Asked]:
    """Every setup against the plain one of its base, where no fixed question does so."""
    for task in tasks:
        for cell in task.cells:
            reference = _reference(cell, task)
            if reference is None or reference is cell:
                continue
            asked = [
                (first, second) for _, on, first, second in fixed if on is task and (cell is first or cell is second)
            ]
            partners = [second if cell is first else first for first, second in asked]
            if not any(partner.setup.variant == reference.setup.variant for partner in partners):
                yield REFERENCES[reference.setup.variant], task, cell, reference


def _reference(cell: Cell, task: TaskFindings) -> Cell | None:
    """The plain setup of a cell's base: the one that is alike in all else, or the first."""
    for variant in REFERENCES:
        if there := [one for one in task.cells if one.setup.variant == variant and _same_base(one, cell)]:
            return next((one for one in there if one is not cell and _alike(one, cell)), there[0])
    return None


def _defined(asked: Asked) -> bool:
    _, task, first, second = asked
    difference = task.difference(first.setup, second.setup)
    return difference is not None and not np.isnan(difference.value)


def _answer(question: str, task: TaskFindings, first: Cell, second: Cell, adjusted: Mapping[Pair, float]) -> Answer:
    pair = first.setup, second.setup
    difference = task.difference(*pair)
    assert difference is not None, "asked of what is defined"
    return Answer(question, task.task, *pair, difference, adjusted[_pair(task.task, *pair)], task.p_delong(*pair))


def _pair(task: str, first: Setup, second: Setup) -> Pair:
    return task, frozenset((first, second))


def _alike(first: Cell, second: Cell) -> bool:
    mine, theirs = dict(first.setup.methods), dict(second.setup.methods)
    shared = mine.keys() & theirs.keys()
    same_methods = all(mine[adapter] == theirs[adapter] for adapter in shared)
    one_clinical = len({first.setup.clinical, second.setup.clinical} - {""}) < 2
    # What a task adapter is made of says nothing where one side has none.
    ignored = set() if TASK_ADAPTER in shared else set(method_fields())
    settings = [tuple(one for one in cell.setup.extras if one[0] not in ignored) for cell in (first, second)]
    return _same_base(first, second) and same_methods and one_clinical and settings[0] == settings[1]


def _of_same_size(first: Cell, second: Cell) -> bool:
    sizes = {cell.runs[0].result.get("parameters", {}).get("trainable") for cell in (first, second)}
    others = [tuple(one for one in cell.setup.extras if one[0] not in method_fields()) for cell in (first, second)]
    return _same_base(first, second) and len(sizes) == 1 and None not in sizes and others[0] == others[1]


def _same_base(first: Cell, second: Cell) -> bool:
    return (first.setup.base_hash, first.setup.profile) == (second.setup.base_hash, second.setup.profile)
