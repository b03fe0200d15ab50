"""Averages the seeds of each setup, and measures every difference of two setups on one task.

The figure of a setup is the mean over its seeds. Its interval, and that of the difference of two setups, come from one
bootstrap over the test patients in which every setup is scored on the same drawn patients, so that the difference is paired;
where a setup has several seeds, they are drawn too.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.intervals import (
    RESAMPLES,
    Draws,
    Interval,
    bootstrap_draws,
    delong_difference,
    over_seeds,
    patient_weights,
)
from clinstack.metrics.many import p_of_draws
from clinstack.metrics.scorecard import headline, headline_statistic
from clinstack.runs.lineage import short
from clinstack.studies.report.gather import Predictions, Run, read_predictions
from clinstack.studies.report.setups import Setup, setups_of, table_order, task_key

_MOST_CELLS = 5_000_000_000
"""Notes x classes x runs x resamples of one task's bootstrap, about 20 s on one core."""


@dataclass(frozen=True)
class Cell:
    """One setup on one task: the headline metric on the test split.

    interval: of the mean over seeds; if `bootstrapped`, from the predictions of all seeds, else the mean of the runs'
    limits. by_seed:  (seed, value) of each run.
    """

    setup: Setup
    runs: tuple[Run, ...]
    interval: Interval
    bootstrapped: bool
    by_seed: tuple[tuple[int | None, float], ...]


@dataclass(frozen=True)
class TaskFindings:
    """One task: a cell per setup, and the paired difference of any two cells that share their test notes.

    delong: p-values of DeLong's test, where it holds: of two answers, one note a patient, one run each.
    """

    task: str
    kind: str
    classes: tuple[str, ...]
    metric: str
    cells: tuple[Cell, ...]
    differences: Mapping[tuple[Setup, Setup], Interval]
    p_values: Mapping[tuple[Setup, Setup], float]
    delong: Mapping[tuple[Setup, Setup], float]
    notes: int
    patients: int
    resamples: int

    def difference(self, first: Setup, second: Setup) -> Interval | None:
        """`first` minus `second`, or None if their test notes differ or are not kept."""
        if (first, second) in self.differences:
            return self.differences[first, second]
        if (turned := self.differences.get((second, first))) is not None:
            return turned.negative()
        return None

    def p_value(self, first: Setup, second: Setup) -> float:
        """Of no difference between the two, not adjusted; NaN where there is no difference to speak of."""
        return _either_way(self.p_values, first, second)

    def p_delong(self, first: Setup, second: Setup) -> float:
        """The same by DeLong's test; NaN where it does not hold."""
        return _either_way(self.delong, first, second)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """Of the cells, in their order."""
        return tuple(cell.setup for cell in self.cells)

    @property
    def highest(self) -> Setup | None:
        """The setup with the highest value, if any has one."""
        values = {cell.setup: cell.interval.value for cell in self.cells if not np.isnan(cell.interval.value)}
        return max(values, key=lambda one: values[one], default=None)


def compare_runs(runs: Sequence[Run], adapting: Sequence[Run] = ()) -> tuple[TaskFindings, ...]:
    """The findings of every task among step-2 runs, tasks by name, setups in the order of the published comparison.

    adapting: runs of step 1; those of one making tell which clinical adapters differ in the seed alone.
    Runs on other notes are of another task, also under the same name, which then is told from its like by the notes' hash.
    """
    setups = setups_of(runs, adapting)
    tasks: dict[tuple[Any, ...], dict[Setup, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        tasks[task_key(run)][setups[run.name]].append(run)
    alike = Counter(key[0] for key in tasks)
    return tuple(
        _task_findings(groups, key[0] if alike[key[0]] == 1 else f"{key[0]} (notes {short(key[3]) or 'unknown'})")
        for key, groups in sorted(tasks.items())
    )


def _task_findings(groups: Mapping[Setup, list[Run]], name: str) -> TaskFindings:
    setups = sorted(groups, key=table_order)
    about = groups[setups[0]][0].result
    kind, metric = str(about["kind"]), headline(str(about["kind"]))
    tested = _tested(run for runs in groups.values() for run in runs)
    paired = {s: groups[s] for s in setups if tested and all(run.name in tested.runs for run in groups[s])}
    draws: dict[tuple[Setup, ...], Draws] = {}
    resamples = 0
    if tested and paired:
        runs = sum(map(len, paired.values()))
        resamples = int(np.clip(_MOST_CELLS // (tested.labels.size * runs), 200, RESAMPLES))
        draws = _bootstrap(kind, paired, resamples)
    cells = []
    for setup in setups:
        ordered = sorted(groups[setup], key=lambda run: (run.seed is None, run.seed, run.name))
        interval = draws[setup,].interval() if (setup,) in draws else None
        cells.append(
            Cell(
                setup,
                tuple(ordered),
                interval or _mean_of_limits(ordered, metric),
                interval is not None,
                tuple((run.seed, _figure(run, metric, "value")) for run in ordered),
            )
        )
    return TaskFindings(
        task=name,
        kind=kind,
        classes=tuple(about["classes"]),
        metric=metric,
        cells=tuple(cells),
        differences={(key[0], key[1]): found.interval() for key, found in draws.items() if len(key) == 2},
        p_values={(key[0], key[1]): p_of_draws(found) for key, found in draws.items() if len(key) == 2},
        delong=_delong(kind, tested, {setup: runs[0] for setup, runs in paired.items() if len(runs) == 1}),
        notes=len(tested.note_ids) if tested else 0,
        patients=len(set(tested.patient_ids)) if tested else 0,
        resamples=resamples,
    )


@dataclass(frozen=True)
class _Tested:
    """Test notes, without what was said of them. runs: the names of those that were scored on them, every logit finite."""

    note_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: NDArray[np.bool_]
    runs: set[str]

    def are_of(self, predictions: Predictions) -> bool:
        same = self.note_ids == predictions.note_ids and self.patient_ids == predictions.patient_ids
        return same and np.array_equal(self.labels, predictions.labels)


def _tested(runs: Iterable[Run]) -> _Tested | None:
    """The test notes that most runs were scored on; None if none kept what it said."""
    found: list[_Tested] = []
    for run in runs:
        kept = read_predictions(run)
        if kept is None or not np.isfinite(kept.logits).all():
            continue
        same = next((one for one in found if one.are_of(kept)), None)
        if same is None:
            found.append(_Tested(kept.note_ids, kept.patient_ids, kept.labels, {run.name}))
        else:
            same.runs.add(run.name)
    return max(found, key=lambda one: len(one.runs), default=None)


def _bootstrap(kind: str, paired: Mapping[Setup, list[Run]], resamples: int) -> dict[tuple[Setup, ...], Draws]:
    """Each setup, keyed (setup,), and each difference, keyed (first, second), in every resample."""
    by_setup = {
        setup: over_seeds([headline_draws(kind, run, resamples) for run in runs], place)
        for place, (setup, runs) in enumerate(paired.items())
    }
    found: dict[tuple[Setup, ...], Draws] = {(setup,): draws for setup, draws in by_setup.items()}
    for first, second in combinations(by_setup, 2):
        found[first, second] = by_setup[first].minus(by_setup[second])
    return found


def headline_draws(
    kind: str,
    run: Run,
    resamples: int,
    weights: Callable[[Sequence[str], int, int], Iterator[NDArray[np.int32]]] = patient_weights,
) -> Draws:
    """The headline metric of a run in every resample, which are the same for all runs on the same notes.

    Runs are read one at a time: 1,266 labels of 9,829 notes take 100 MB as logits and as much again in their order.
    """
    kept = read_predictions(run)
    assert kept is not None, "asked of runs that kept their predictions"
    statistic = headline_statistic(kind, kept.logits, kept.labels)
    return bootstrap_draws(lambda drawn: {"it": statistic(drawn)}, kept.patient_ids, resamples, weights=weights)["it"]


def _delong(kind: str, tested: _Tested | None, alone: Mapping[Setup, Run]) -> dict[tuple[Setup, Setup], float]:
    """DeLong's p-value of any two setups; none where a patient has several notes, or the task more than two answers."""
    if tested is None or kind != "binary" or len(set(tested.patient_ids)) < len(tested.patient_ids):
        return {}
    said = {setup: one for setup, run in alone.items() if (one := read_predictions(run)) is not None}
    scores = {setup: one.logits[:, 1] - one.logits[:, 0] for setup, one in said.items()}
    return {
        (first, second): delong_difference(scores[first], scores[second], tested.labels[:, 1])[1]
        for first, second in combinations(scores, 2)
    }


def _either_way(values: Mapping[tuple[Setup, Setup], float], first: Setup, second: Setup) -> float:
    """What is known of a pair, whichever comes first; NaN if nothing is."""
    return values.get((first, second), values.get((second, first), float("nan")))


def _figure(run: Run, metric: str, limit: str) -> float:
    value = run.result["metrics"].get("test", {}).get(metric, {}).get(limit)
    return float("nan") if value is None else float(value)


def _mean_of_limits(runs: Sequence[Run], metric: str) -> Interval:
    value, low, high = (
        float(np.mean([_figure(run, metric, part) for run in runs])) for part in ("value", "low", "high")
    )
    return Interval(value, low, high)
