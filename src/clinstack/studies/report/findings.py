"""Averages the seeds of each setup, and measures every difference of two setups on one task.

The figure of a setup is the mean over its seeds. Its interval, and that of the difference of two setups, come from one
bootstrap over the test patients in which every setup is scored on the same drawn patients, so that the difference is paired;
where a setup has several seeds, they are drawn too.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.intervals import RESAMPLES, Draws, Interval, bootstrap_draws, delong_difference, over_seeds
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
    first_predictions: Mapping[Setup, Predictions]

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
    def highest(self) -> Cell | None:
        """The cell with the highest value, if any has one."""
        scored = [cell for cell in self.cells if not np.isnan(cell.interval.value)]
        return max(scored, key=lambda cell: cell.interval.value) if scored else None


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
    kept = {run.name: read_predictions(run) for runs in groups.values() for run in runs}
    shared = _shared_notes(kept)
    complete = [s for s in setups if all(_on(kept[run.name], shared) for run in groups[s])] if shared else []
    draws: dict[tuple[Setup, ...], Draws] = {}
    resamples = 0
    if shared and complete:
        runs = sum(len(groups[setup]) for setup in complete)
        resamples = int(np.clip(_MOST_CELLS // (shared.labels.size * runs), 200, RESAMPLES))
        logits = {setup: [_logits(kept[run.name]) for run in groups[setup]] for setup in complete}
        draws = _bootstrap(kind, logits, shared, resamples)
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
        delong=_delong(
            kind, shared, {setup: kept[groups[setup][0].name] for setup in complete if len(groups[setup]) == 1}
        ),
        notes=len(shared.note_ids) if shared else 0,
        patients=len(set(shared.patient_ids)) if shared else 0,
        resamples=resamples,
        first_predictions={cell.setup: first for cell in cells if (first := kept[cell.runs[0].name]) is not None},
    )


def _bootstrap(
    kind: str, logits: Mapping[Setup, list[NDArray[np.float64]]], notes: Predictions, resamples: int
) -> dict[tuple[Setup, ...], Draws]:
    """Each setup, keyed (setup,), and each difference, keyed (first, second), in every resample."""
    statistics = {
        (setup, number): headline_statistic(kind, one, notes.labels)
        for setup, many in logits.items()
        for number, one in enumerate(many)
    }

    def compute(weights: NDArray[np.int32]) -> dict[tuple[Setup, int], NDArray[np.float64]]:
        return {key: statistic(weights) for key, statistic in statistics.items()}

    by_run = bootstrap_draws(compute, notes.patient_ids, resamples)
    by_setup = {
        setup: over_seeds([by_run[setup, number] for number in range(len(many))], place)
        for place, (setup, many) in enumerate(logits.items())
    }
    found: dict[tuple[Setup, ...], Draws] = {(setup,): draws for setup, draws in by_setup.items()}
    for first, second in combinations(by_setup, 2):
        found[first, second] = by_setup[first].minus(by_setup[second])
    return found


def _delong(
    kind: str, notes: Predictions | None, predictions: Mapping[Setup, Predictions | None]
) -> dict[tuple[Setup, Setup], float]:
    """DeLong's p-value of any two setups; none where a patient has several notes, or the task more than two answers."""
    if notes is None or kind != "binary" or len(set(notes.patient_ids)) < len(notes.patient_ids):
        return {}
    scores = {setup: _logits(one)[:, 1] - _logits(one)[:, 0] for setup, one in predictions.items()}
    return {
        (first, second): delong_difference(scores[first], scores[second], notes.labels[:, 1])[1]
        for first, second in combinations(scores, 2)
    }


def _either_way(values: Mapping[tuple[Setup, Setup], float], first: Setup, second: Setup) -> float:
    """What is known of a pair, whichever comes first; NaN if nothing is."""
    return values.get((first, second), values.get((second, first), float("nan")))


def _shared_notes(kept: Mapping[str, Predictions | None]) -> Predictions | None:
    """The test notes that most runs were scored on."""
    by_notes: dict[tuple[str, ...], list[Predictions]] = defaultdict(list)
    for predictions in kept.values():
        if predictions is not None:
            by_notes[predictions.note_ids].append(predictions)
    return max(by_notes.values(), key=len)[0] if by_notes else None


def _on(predictions: Predictions | None, shared: Predictions) -> bool:
    return (
        predictions is not None
        and predictions.note_ids == shared.note_ids
        and np.array_equal(predictions.labels, shared.labels)
        and bool(np.isfinite(predictions.logits).all())
    )


def _logits(predictions: Predictions | None) -> NDArray[np.float64]:
    assert predictions is not None
    return predictions.logits


def _figure(run: Run, metric: str, limit: str) -> float:
    value = run.result["metrics"].get("test", {}).get(metric, {}).get(limit)
    return float("nan") if value is None else float(value)


def _mean_of_limits(runs: Sequence[Run], metric: str) -> Interval:
    value, low, high = (
        float(np.mean([_figure(run, metric, part) for run in runs])) for part in ("value", "low", "high")
    )
    return Interval(value, low, high)
