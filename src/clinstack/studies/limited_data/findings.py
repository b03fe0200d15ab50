"""What the scores of a limited-data study come to: curves, differences with intervals, hypotheses, crossing points, costs.

Where the best of several arms is meant, validation chooses it, never test. A difference is the mean over the splits of what two
arms differ by on the same notes; its interval holds the chance of the patients and of the splits.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.decisions import Counts
from clinstack.metrics.intervals import Draws, Interval, bootstrap_draws, over_seeds, shared_weights
from clinstack.metrics.many import holm, mcnemar, of_highest, p_of_draws, p_of_splits, told_apart
from clinstack.metrics.scorecard import probabilities
from clinstack.studies.limited_data.arms import EQUAL, PROBE, Arm
from clinstack.studies.limited_data.crossing import Crossing, crossing_of
from clinstack.studies.limited_data.parts import SplitBy
from clinstack.studies.limited_data.scores import HEADLINE, Scored, predictions_of

Verdict = Literal["supported", "refuted", "undecided", "not asked"]

FEW = 400
"""Training notes up to which hypothesis 3 speaks."""
NEAR = 0.01
"""Macro F1 by which hypothesis 4 lets the simple baseline lie behind."""
MAJORITY = "majority"
_SIMPLE, _NETWORK = "tf-idf", "tf-idf-mlp"


@dataclass(frozen=True)
class Point:
    """An arm at a place of its curve: the mean over splits. notes: training notes, also a mean, where all are taken."""

    arm: Arm
    place: int
    notes: float
    runs: tuple[Scored, ...]

    @cached_property
    def draws(self) -> Draws:
        """Of the headline metric. Splits drawn otherwise are others, whatever their number."""
        return over_seeds([one.draws for one in self.runs], seed=get_args(SplitBy).index(self.runs[0].part.by))

    @property
    def validation(self) -> tuple[float, float]:
        """The mean validation score, by which the best arm is chosen, and what decides between equals."""
        value, tie = np.mean([one.validation for one in self.runs], axis=0).tolist()
        return value, tie

    @property
    def seconds(self) -> float:
        """Of one run, the mean over splits."""
        return float(np.mean([one.cost.total for one in self.runs]))

    def mean(self, metric: str) -> float:
        """A metric's mean over splits; NaN if a run lacks it."""
        return float(np.mean([one.metrics.get(metric, math.nan) for one in self.runs]))

    def spread(self, metric: str) -> float:
        """Its standard deviation over splits; NaN of one."""
        values = [one.metrics.get(metric, math.nan) for one in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def minus(self, other: "Point") -> Draws:
        """The mean paired difference, over the splits that both have; it does not exist where they have none in common."""
        pairs = self._paired(other)
        if not pairs:
            return Draws(math.nan, np.full_like(self.runs[0].draws.draws, math.nan))
        return over_seeds([mine.draws.minus(theirs.draws) for mine, theirs in pairs], least=-1.0)

    def p_mcnemar(self, other: "Point") -> float:
        """That both are as often right, by McNemar's test on single notes, of all splits (`p_of_splits`)."""
        return p_of_splits([mcnemar(mine.right, theirs.right) for mine, theirs in self._paired(other)])

    def _paired(self, other: "Point") -> list[tuple[Scored, Scored]]:
        theirs = {one.trained.part.seed: one for one in other.runs}
        return [(one, theirs[seed]) for one in self.runs if (seed := one.trained.part.seed) in theirs]


@dataclass(frozen=True)
class Difference:
    """Two arms at one place. p_value, p_holm: two-sided, before and after Holm's correction over its family.

    p_mcnemar: a second view, see `Point.p_mcnemar`.
    """

    first: str
    second: str
    place: int
    interval: Interval
    p_value: float
    p_holm: float
    p_mcnemar: float


@dataclass(frozen=True)
class Hypothesis:
    """A question asked before the study ran. compared: what was set against what.   interval: of the difference."""

    name: str
    statement: str
    verdict: Verdict
    compared: str
    interval: Interval | None


@dataclass(frozen=True)
class TaskFindings:
    """All that is said of one task.

    points: by arm and place, of the main split.   other_splits: all notes, split otherwise, by how and arm.   noisy: all notes,
    by arm and share of wrong labels.
    """

    task: str
    points: dict[tuple[str, int], Point] = field(default_factory=dict)
    other_splits: dict[tuple[SplitBy, str], Point] = field(default_factory=dict)
    noisy: dict[tuple[str, float], Point] = field(default_factory=dict)

    @cached_property
    def places(self) -> list[int]:
        """The places of the curves, rising; all notes, 0, last."""
        return sorted({place for _, place in self.points}, key=lambda place: place or math.inf)

    def at(self, place: int, chosen: Callable[[Arm], bool] = lambda arm: True) -> list[Point]:
        """The arms that have a point at a place."""
        return [point for (_, where), point in self.points.items() if where == place and chosen(point.arm)]

    @cached_property
    def candidates(self) -> list[Point]:
        """With all notes, the arms that may be advised: those that no split lacks, the majority apart."""
        return _of_most_splits(self.at(0, lambda arm: arm.name != MAJORITY))

    def within(self, seconds: float) -> Point | None:
        """The candidate that validation prefers of those whose run takes no longer."""
        return _preferred([one for one in self.candidates if one.seconds <= seconds])

    def best(self, place: int, chosen: Callable[[Arm], bool] = lambda arm: True) -> Point | None:
        """The arm that validation prefers at a place."""
        return _preferred(self.at(place, chosen))

    @cached_property
    def highest(self) -> Point | None:
        """With all notes, the arm of the highest figure on test, of those that no split lacks."""
        return max(_of_most_splits(self.at(0)), key=lambda point: point.draws.value, default=None)

    @cached_property
    def like_highest(self) -> list[Point]:
        """The other arms that are not told apart from the highest, by the interval of the difference and by `of_highest`."""
        best = self.highest
        others = [one for one in self.at(0) if one is not best]
        if best is None:
            return []
        gaps = [(one, best.minus(one)) for one in others]
        return [one for one, gap in gaps if not told_apart(gap.interval(), of_highest(p_of_draws(gap), len(others)))]

    @cached_property
    def unread(self) -> Point | None:
        """With all notes, the highest macro F1 that is to be had without reading any; None if no majority was trained.

        The majority scores 0 for every class that it never decides, so whatever decides each at times is above it. Of one class
        a note, the best is to guess each as often as it is; of several labels, to decide every one.
        """
        majority = self.points.get((MAJORITY, 0))
        if majority is None:
            return None
        blind = _every_label if majority.runs[0].kind == "multilabel" else _guessed
        return replace(majority, runs=tuple(map(blind, majority.runs)))

    @cached_property
    def shown(self) -> list[Point]:
        """The candidates that are shown to be better than `unread`, one among all that are asked (Holm)."""
        if self.unread is None:
            return []
        gaps = [one.minus(self.unread) for one in self.candidates]
        adjusted = holm({number: p_of_draws(gap) for number, gap in enumerate(gaps)})
        return [
            one
            for number, (one, gap) in enumerate(zip(self.candidates, gaps, strict=True))
            if gap.value > 0 and told_apart(gap.interval(), adjusted[number])
        ]

    def beside_probe(self) -> list[Difference]:
        """Every head adapter, and LoRA, against the linear probe of its encoder, at every place."""
        pairs = []
        for place in self.places:
            probes = {point.arm.backbone: point for point in self.at(place, _is_probe)}
            pairs += [
                (one, probes[one.arm.backbone])
                for one in self.at(place, lambda arm: _is_structure(arm) or arm.family == "lora")
                if one.arm.backbone in probes
            ]
        return _differences(pairs)

    def split_otherwise(self, by: SplitBy) -> list[tuple[Point, Point, Interval]]:
        """Arms on all notes split otherwise and in the main way, and the difference, which pairs nothing: test notes differ."""
        last = {point.arm.name: point for point in self.at(0)}
        return [
            (point, last[name], point.draws.minus(last[name].draws).interval())
            for (how, name), point in self.other_splits.items()
            if how == by and name in last
        ]

    def best_of_families(self) -> list[Point]:
        """With all notes, the arm of each family that validation prefers."""
        families = dict.fromkeys(point.arm.family for point in self.at(0))
        return [best for family in families if (best := self.best(0, _of(family))) is not None]

    def hypotheses(self) -> list[Hypothesis]:
        """The four that were written down before the study ran (specification of the study, section 8.9)."""
        return [self._first(), self._second(), self._third(), self._fourth()]

    def crossing(self) -> Crossing | None:
        """Where the curves of the best frozen encoder and of the best model from nothing meet."""
        pairs = [(self.best(place, _of("head")), self.best(place, _of("scratch"))) for place in self.places]
        both = [(frozen, scratch) for frozen, scratch in pairs if frozen is not None and scratch is not None]
        if len(both) < 2:
            return None
        return crossing_of([frozen.notes for frozen, _ in both], [frozen.minus(scratch) for frozen, scratch in both])

    def _first(self) -> Hypothesis:
        pairs = []
        for probe in self.at(0, _is_probe):
            own = [one for one in self.at(0, _is_structure) if one.arm.backbone == probe.arm.backbone]
            best = _preferred(own)
            pairs += [(best, probe)] if best is not None else []
        return _judged(
            "H1",
            "A head adapter beats the linear probe.",
            pairs,
            "of each encoder the head adapter that validation prefers, minus the probe; mean over encoders",
        )

    def _second(self) -> Hypothesis:
        adapters = {one.arm.backbone: one for one in self.at(0, lambda arm: arm.head == "adapter")}
        gated = self.at(0, lambda arm: arm.head == f"grn ({EQUAL})")
        pairs = [(one, adapters[one.arm.backbone]) for one in gated if one.arm.backbone in adapters]
        return _judged(
            "H2",
            "GRN beats the bottleneck adapter of as many weights.",
            pairs,
            "grn of equal size, minus adapter; mean over encoders",
        )

    def _third(self) -> Hypothesis:
        pairs = []
        for place in self.places:
            scratch, frozen = self.best(place, _of("scratch")), self.best(place, _of("head"))
            if scratch is not None and frozen is not None and scratch.notes <= FEW:
                pairs.append((scratch, frozen))
        statement = f"With up to {FEW} notes a model from nothing beats the best frozen encoder."
        return _judged("H3", statement, pairs, f"the better of each kind by validation, mean over sizes up to {FEW}")

    def _fourth(self) -> Hypothesis:
        simple = self.points.get((_SIMPLE, 0))
        neural = self.best(0, lambda arm: arm.family != "baseline" or arm.backbone == _NETWORK)
        pairs = [(simple, neural)] if simple is not None and neural is not None else []
        statement = f"TF-IDF with logistic regression is within {NEAR} macro F1 of the best neural model."
        compared = f"tf-idf, minus the neural model ({_NETWORK} is one) that validation prefers"
        return _judged("H4", statement, pairs, compared, -NEAR)


def findings_of(scored: Iterable[Scored], main: str) -> list[TaskFindings]:
    """The findings of every task. main: how the curves' parts were split."""
    groups: dict[tuple[str, SplitBy, float, str, int], list[Scored]] = {}
    for one in scored:
        key = (one.part.task, one.part.by, one.part.noise, one.trained.arm.name, one.trained.place)
        groups.setdefault(key, []).append(one)
    tasks: dict[str, TaskFindings] = {}
    for (task, by, noise, name, place), runs in groups.items():
        found = tasks.setdefault(task, TaskFindings(task))
        if by != main:
            found.other_splits[by, name] = _point(runs)
        elif noise:
            found.noisy[name, noise] = _point(runs)
        else:
            found.points[name, place] = _point(runs)
    return list(tasks.values())


def _point(runs: Sequence[Scored]) -> Point:
    ordered = tuple(sorted(runs, key=lambda one: one.trained.part.seed))
    first = ordered[0].trained
    return Point(first.arm, first.place, float(np.mean([one.trained.part.size for one in ordered])), ordered)


def _differences(pairs: Sequence[tuple[Point, Point]]) -> list[Difference]:
    draws = [first.minus(second) for first, second in pairs]
    values = {number: p_of_draws(one) for number, one in enumerate(draws)}
    adjusted = holm(values)
    return [
        Difference(
            first.arm.name,
            second.arm.name,
            first.place,
            draws[number].interval(),
            values[number],
            adjusted[number],
            first.p_mcnemar(second),
        )
        for number, (first, second) in enumerate(pairs)
    ]


def _judged(
    name: str, statement: str, pairs: Sequence[tuple[Point, Point]], compared: str, margin: float = 0.0
) -> Hypothesis:
    """Supported if the mean difference lies above the margin with its interval, refuted if below."""
    differences = [first.minus(second) for first, second in pairs]
    differences = [one for one in differences if math.isfinite(one.value)]  # two without a common split have none
    if not differences:
        return Hypothesis(name, statement, "undecided" if pairs else "not asked", compared, None)
    together = Draws(
        float(np.mean([one.value for one in differences])), np.mean([one.draws for one in differences], axis=0)
    )
    interval = together.interval()
    verdict: Verdict = "supported" if interval.low > margin else "refuted" if interval.high < margin else "undecided"
    if interval.low == interval.high:  # nothing that was drawn made any difference: too few notes to say anything
        verdict = "undecided"
    return Hypothesis(name, statement, verdict, compared, interval)


def _preferred(points: Sequence[Point]) -> Point | None:
    """Of arms, that which validation prefers."""
    return max(_of_most_splits(points), key=lambda point: point.validation, default=None)


def _of_most_splits(points: Sequence[Point]) -> list[Point]:
    """Without arms that some splits lack, which must not be compared with others on the rest."""
    most = max((len(one.runs) for one in points), default=0)
    return [one for one in points if len(one.runs) == most]


def _every_label(one: Scored) -> Scored:
    """As if a run had decided every label of every test note."""
    labels = predictions_of(one).labels
    decided = np.ones_like(labels)
    draws = bootstrap_draws(
        lambda weights: {HEADLINE: Counts(labels, decided, weights).f1_macro()},
        one.patients,
        len(one.draws.draws),
        weights=shared_weights,
    )
    return replace(one, draws=draws[HEADLINE])


def _guessed(one: Scored) -> Scored:
    """As if a run of the majority had guessed the classes of test notes, each as often as it was in training: on average.

    Where a share p of notes has a class and a share q is guessed to have it, a share p q is guessed rightly: 2 p q / (p + q) is
    its F1.
    """
    said = predictions_of(one)
    likely = probabilities(one.kind, said.logits[:1])[0]

    def score(weights: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        share = weights @ said.labels / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        share = np.where(share > 0, share, said.labels.mean(axis=0))  # a class that a resample misses has not moved
        return {HEADLINE: (2 * share * likely / (share + likely)).mean(axis=1)}

    draws = bootstrap_draws(score, one.patients, len(one.draws.draws), weights=shared_weights)
    return replace(one, draws=draws[HEADLINE])


def _is_probe(arm: Arm) -> bool:
    return arm.head == PROBE


def _is_structure(arm: Arm) -> bool:
    return arm.family == "head" and arm.head != PROBE


def _of(family: str) -> Callable[[Arm], bool]:
    return lambda arm: arm.family == family
