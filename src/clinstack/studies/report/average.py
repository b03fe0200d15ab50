"""The mean of the headline metric over tasks, for setups that were trained on all of them, from the predictions themselves.

A patient may be in several tasks, so tasks are not independent: in each resample a patient weighs the same in all of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.intervals import RESAMPLES, Draws, Interval, mean_of, over_seeds, shared_weights
from clinstack.metrics.many import p_of_draws
from clinstack.studies.report.findings import TaskFindings, headline_draws
from clinstack.studies.report.gather import Run
from clinstack.studies.report.setups import Setup

_MOST_CELLS = 3_000_000_000
"""Notes x classes x runs x resamples, about 15 s on one core."""


@dataclass(frozen=True)
class Average:
    """Over which tasks; the mean of each setup, and the difference of any two with its interval."""

    tasks: tuple[str, ...]
    intervals: Mapping[Setup, Interval]
    differences: Mapping[tuple[Setup, Setup], Interval]
    p_values: Mapping[tuple[Setup, Setup], float]

    @property
    def setups(self) -> tuple[Setup, ...]:
        """Those that were trained on all tasks."""
        return tuple(self.intervals)

    @property
    def highest(self) -> Setup:
        """The setup with the highest mean."""
        return max(self.intervals, key=lambda one: self.intervals[one].value)

    def difference(self, first: Setup, second: Setup) -> Interval:
        """`first` minus `second`."""
        if (first, second) in self.differences:
            return self.differences[first, second]
        return self.differences[second, first].negative()

    def p_value(self, first: Setup, second: Setup) -> float:
        """Of no difference between the two, not adjusted."""
        return self.p_values.get((first, second), self.p_values.get((second, first), float("nan")))


def average_over_tasks(tasks: Sequence[TaskFindings]) -> Average | None:
    """None if there is one task only, or no setup was trained on all of them and kept its predictions."""
    if len(tasks) < 2:
        return None
    runs: dict[Setup, dict[str, tuple[Run, ...]]] = defaultdict(dict)
    for task in tasks:
        for cell in task.cells:
            if cell.bootstrapped:
                runs[cell.setup][task.task] = cell.runs
    complete = {setup: of_task for setup, of_task in runs.items() if len(of_task) == len(tasks)}
    if not complete:
        return None
    cells = sum(task.notes * len(task.classes) for task in tasks) * sum(
        len(some) for of_task in complete.values() for some in of_task.values()
    )
    resamples = int(np.clip(_MOST_CELLS * len(tasks) // max(1, cells), 200, RESAMPLES))
    means = _means([_draws(task, complete, resamples) for task in tasks])
    apart = {(first, second): means[first].minus(means[second]) for first, second in combinations(means, 2)}
    return Average(
        tasks=tuple(task.task for task in tasks),
        intervals={setup: draws.interval() for setup, draws in means.items()},
        differences={pair: draws.interval() for pair, draws in apart.items()},
        p_values={pair: p_of_draws(draws) for pair, draws in apart.items()},
    )


def _draws(
    task: TaskFindings, complete: Mapping[Setup, Mapping[str, tuple[Run, ...]]], resamples: int
) -> dict[Setup, Draws]:
    """Each setup on one task, over its seeds."""
    drawn: list[NDArray[np.int32]] = []  # once for all runs: each patient has a random generator of its own

    def weights(patients: Sequence[str], resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
        drawn.extend(() if drawn else shared_weights(patients, resamples, seed))
        return iter(drawn)

    return {
        setup: over_seeds([headline_draws(task.kind, run, resamples, weights) for run in runs[task.task]], place)
        for place, (setup, runs) in enumerate(complete.items())
    }


def _means(by_task: Sequence[Mapping[Setup, Draws]]) -> dict[Setup, Draws]:
    """The mean over tasks in every resample; NaN where one of them does not exist."""
    return {setup: mean_of([one[setup] for one in by_task]) for setup in by_task[0]}
