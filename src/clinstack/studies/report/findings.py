"""Groups runs into setups, averages their seeds, and says which differences the test patients can tell from nothing.

A *setup* is everything of a step-2 run but its task and seed: base, profile, variant, PEFT methods, and whatever
settings differ between runs that are otherwise alike (a search's ranks, a study's heads). The figure of a setup is
the mean over its seeds. Its interval, and that of the difference of two setups, come from one bootstrap over the test
patients in which every setup is scored on the same drawn patients, so that the difference is paired; where a setup has
several seeds, they are drawn too.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.intervals import RESAMPLES, Draws, Interval, bootstrap_draws, delong_difference, over_seeds
from clinstack.metrics.many import holm, p_of_draws
from clinstack.metrics.scorecard import headline, headline_statistic
from clinstack.models.method import method_fields
from clinstack.studies.published import VARIANTS
from clinstack.studies.report.gather import Predictions, Run, read_predictions

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

_PLACES = frozenset({"out", "task", "base", "clinical", "corpus", "seed", "device", "config", "checkpoint_seconds"})
"""Settings that say where or on what and not how; two runs that differ only in them are of one setup."""

_MOST_CELLS = 5_000_000_000
"""Notes x classes x runs x resamples of one task's bootstrap, about 20 s on one core."""


@dataclass(frozen=True)
class Setup:
    """What is compared: a step-2 run without its task and seed."""

    base: str
    base_hash: str
    profile: str
    variant: str
    methods: tuple[tuple[str, str], ...]
    extras: tuple[tuple[str, str], ...]


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
            return Interval(-turned.value, -turned.high, -turned.low, turned.dropped)
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

    def not_distinguishable_from_highest(self) -> tuple[Cell, ...]:
        """The other cells whose difference from the highest has an interval with 0 in it, or has none."""
        best = self.highest
        if best is None:
            return ()
        others = [cell for cell in self.cells if cell is not best]
        return tuple(cell for cell in others if not _told_apart(self.difference(best.setup, cell.setup)))


@dataclass(frozen=True)
class Answer:
    """One of the QUESTIONS on one task: the difference of two variants that are otherwise alike."""

    question: str
    task: str
    first: Setup
    second: Setup
    difference: Interval
    p_value: float
    """Adjusted for all answers of the report (Holm)."""
    p_delong: float
    """By DeLong's test, not adjusted; NaN where it does not hold."""

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `not distinguishable`, of the first against the second."""
        if not _told_apart(self.difference):
            return "not distinguishable"
        return "better" if self.difference.value > 0 else "worse"


def compare_runs(runs: Sequence[Run]) -> tuple[TaskFindings, ...]:
    """The findings of every task among step-2 runs, tasks by name, setups in the order of VARIANTS."""
    setups = _setups(runs)
    tasks: dict[str, dict[Setup, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        tasks[_task_key(run)][setups[run.name]].append(run)
    return tuple(_task_findings(groups) for _, groups in sorted(tasks.items()))


def answers(findings: Sequence[TaskFindings]) -> list[Answer]:
    """The QUESTIONS that two setups of a task can answer: alike in base, profile, settings and methods they share."""
    found = []
    for question, variant, against in (*QUESTIONS, SAME_SIZE):
        fit = _of_same_size if question == SAME_SIZE[0] else _alike
        for task in findings:
            for first in (cell for cell in task.cells if cell.setup.variant == variant):
                for second in (cell for cell in task.cells if cell.setup.variant == against):
                    difference = task.difference(first.setup, second.setup) if fit(first, second) else None
                    if difference is not None and not np.isnan(difference.value):
                        pair = (first.setup, second.setup)
                        tests = (task.p_value(*pair), task.p_delong(*pair))
                        found.append(Answer(question, task.task, *pair, difference, *tests))
    adjusted = holm({place: one.p_value for place, one in enumerate(found)})
    return [replace(one, p_value=adjusted[place]) for place, one in enumerate(found)]


def setup_labels(setups: Sequence[Setup]) -> dict[Setup, str]:
    """A name for each setup: its variant, and in brackets whatever else tells it from the others."""
    distinct = list(dict.fromkeys(setups))
    parts: list[Callable[[Setup], str]] = []
    if len({setup.base_hash for setup in distinct}) > 1:
        parts.append(lambda setup: setup.base)
    if len({setup.profile for setup in distinct}) > 1:
        parts.append(lambda setup: setup.profile)
    methods: dict[str, set[str]] = defaultdict(set)
    for setup in distinct:
        for adapter, method in setup.methods:
            methods[adapter].add(method)
    several = {adapter for adapter, used in methods.items() if len(used) > 1}
    parts.append(lambda setup: ", ".join(f"{a} {m}" for a, m in setup.methods if a in several))
    parts.append(lambda setup: ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setup.extras))
    labels = {}
    for setup in distinct:
        told = ", ".join(text for text in (part(setup) for part in parts) if text)
        labels[setup] = f"{setup.variant} ({told})" if told else setup.variant
    return labels


def _task_key(run: Run) -> str:
    return f"{run.result['task']}\0{run.result['kind']}\0{run.result['classes']}"


def _setups(runs: Sequence[Run]) -> dict[str, Setup]:
    """The setup of each run, by the run's name.

    A setting is part of it if two runs of one task, alike in base, profile, variant and methods, differ in it.
    """
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        alike[(_task_key(run), *_identity(run))].append(run)
    differing: set[str] = set()
    for group in alike.values():
        keys = {key for run in group for key in run.settings} - _PLACES
        differing |= {key for key in keys if len({str(run.settings.get(key)) for run in group}) > 1}
    setups = {}
    for run in runs:
        extras = tuple((key, str(run.settings[key])) for key in sorted(differing) if key in run.settings)
        setups[run.name] = Setup(*_identity(run), extras)
    return setups


def _identity(run: Run) -> tuple[str, str, str, str, tuple[tuple[str, str], ...]]:
    base = run.result["base"]
    methods = tuple((str(one.get("name")), str(one.get("method"))) for one in run.lineage.get("adapters", []))
    profile, variant = str(run.result.get("profile", "correct")), str(run.result["variant"])
    return str(base.get("name")), str(base.get("hash")), profile, variant, methods


def _task_findings(groups: Mapping[Setup, list[Run]]) -> TaskFindings:
    setups = sorted(groups, key=_table_order)
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
        task=str(about["task"]),
        kind=kind,
        classes=tuple(about["classes"]),
        metric=metric,
        cells=tuple(cells),
        differences={(key[0], key[1]): found.interval() for key, found in draws.items() if len(key) == 2},
        p_values={(key[0], key[1]): p_of_draws(found.draws) for key, found in draws.items() if len(key) == 2},
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


def _table_order(setup: Setup) -> tuple[Any, ...]:
    known = VARIANTS.index(setup.variant) if setup.variant in VARIANTS else len(VARIANTS)
    extras = tuple((key, *_numbers_first(value)) for key, value in setup.extras)
    return setup.base, setup.profile, known, setup.variant, setup.methods, extras


def _numbers_first(value: str) -> tuple[bool, float, str]:
    """Sorts rank 4 before rank 16."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _alike(first: Cell, second: Cell) -> bool:
    mine, theirs = dict(first.setup.methods), dict(second.setup.methods)
    shared = mine.keys() & theirs.keys()
    same_methods = all(mine[adapter] == theirs[adapter] for adapter in shared)
    # What a task adapter is made of says nothing where one side has none.
    ignored = set() if TASK_ADAPTER in shared else set(method_fields())
    settings = [tuple(one for one in cell.setup.extras if one[0] not in ignored) for cell in (first, second)]
    return _same_base(first, second) and same_methods and settings[0] == settings[1]


def _of_same_size(first: Cell, second: Cell) -> bool:
    sizes = {cell.runs[0].result.get("parameters", {}).get("trainable") for cell in (first, second)}
    others = [tuple(one for one in cell.setup.extras if one[0] not in method_fields()) for cell in (first, second)]
    return _same_base(first, second) and len(sizes) == 1 and None not in sizes and others[0] == others[1]


def _same_base(first: Cell, second: Cell) -> bool:
    return (first.setup.base_hash, first.setup.profile) == (second.setup.base_hash, second.setup.profile)


def _told_apart(difference: Interval | None) -> bool:
    return difference is not None and difference.excludes(0)
