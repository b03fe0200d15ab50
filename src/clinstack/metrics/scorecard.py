"""Every metric of a task with its interval, and the one score that training selects by.

Everything else (training, evaluation, studies) asks here, so that a figure named `auroc_macro` is the same figure
everywhere; which metrics there are says `kinds`. 1,000 resamples of 2,000 notes with 100 labels take about 3 s on one core,
of 300 notes and one label 0.1 s.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clinstack.errors import BadInput
from clinstack.metrics import calibration, decisions
from clinstack.metrics.intervals import RESAMPLES, Interval, Statistic, Statistics, bootstrap, bootstrap_draws
from clinstack.metrics.kinds import Bools, Figure, Floats, kind_of, mean_of_classes, softmax


class Scorecard(NamedTuple):
    """Every metric of a task with its interval.

    metrics:       {name: {"value", "low", "high"}}, None (in JSON: null) where a figure does not exist.
    labels_scored: the number of classes that are both present and absent, the ones a macro average of ranks sees.
    by_class:      the metrics of single classes against the rest, by column; of a binary task the positive one's.
    """

    metrics: dict[str, dict[str, float | None]]
    labels_scored: int
    by_class: dict[int, dict[str, dict[str, float | None]]]


_RAISED_BY_NOISE = frozenset({"ece"})
"""Metrics whose resamples are moved back to them, see `Draws.around_itself`."""

SelectBy = Literal["auroc", "f1-macro"]


class Selection(NamedTuple):
    """What models are selected by. tie: decides between equal values; of both, higher is better."""

    name: str
    value: float
    tie: float = 0.0


def probabilities(kind: str, logits: ArrayLike) -> Floats:
    """(N, C) in float64 from (N, C) logits: softmax over the classes, or for multilabel a sigmoid for each label.

    A binary task may give one column, the logit of its positive class; the result has both classes. Stable for any
    finite logit. Raises BadInput if a logit is not finite.
    """
    return kind_of(kind).probabilities(_finite(logits))


def scorecard(
    kind: str,
    logits: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scorecard:
    """All metrics of the kind with 95 % intervals from a bootstrap over patients.

    logits: (N, C), or (N, 1) for binary.   labels: (N, C) bool, exactly one true per row unless multilabel.
    Raises BadInput if there are no notes, a logit is not finite, or shapes disagree.
    """
    truths = np.asarray(labels).astype(bool)
    drawn = bootstrap_draws(statistics(kind, logits, truths), patient_ids, resamples, seed)
    found = {
        figure: (one.around_itself() if figure in _RAISED_BY_NOISE else one).interval() for figure, one in drawn.items()
    }
    both_values = truths.any(axis=0) & ~truths.all(axis=0)
    by_class: dict[int, dict[str, dict[str, float | None]]] = {}
    for figure, interval in found.items():
        if isinstance(figure, tuple):
            by_class.setdefault(figure[1], {})[figure[0]] = _as_json(interval)
    metrics = {figure: _as_json(interval) for figure, interval in found.items() if isinstance(figure, str)}
    return Scorecard(metrics, int(both_values.sum()), by_class)


def calibration_error(
    kind: str,
    logits: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, float | None]:
    """The expected calibration error with its interval, as the scorecard has it: of the positive class, of the decided one, or
    of every label.
    """
    binned = calibration.BinnedNotes(*foretold(kind, logits, labels))
    drawn = bootstrap_draws(lambda weights: {"ece": binned.error(weights)}, patient_ids, resamples, seed)["ece"]
    return _as_json(drawn.around_itself().interval())


def foretold(kind: str, logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Bools]:
    """The probabilities (N, K) whose calibration is asked about, and which of them came true: of the positive class, of the
    decided one, or of every label.
    """
    chosen = kind_of(kind)
    return chosen.foretold(chosen.probabilities(_finite(logits)), np.asarray(labels).astype(bool))


def auroc_as_released(
    logits: ArrayLike, labels: ArrayLike, patient_ids: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float | None]:
    """The macro AUROC of several labels as the released code of Gema et al. 2023 takes it, with its interval.

    It ranks each label by a softmax over all labels, of a model that was trained with a sigmoid for each: so what a note says
    of one label moves its place in every other label's ranking.
    """
    scores, truths = softmax(_finite(logits)), np.asarray(labels).astype(bool)
    return _as_json(bootstrap(mean_of_classes(scores, truths), patient_ids, resamples, seed))


def statistics(kind: str, logits: ArrayLike, labels: ArrayLike) -> Statistics[Figure]:
    """The metrics of the kind as one function of note weights (B, N), for `bootstrap_draws` and paired differences."""
    chosen = kind_of(kind)
    table, truths = _finite(logits), np.asarray(labels).astype(bool)
    values = chosen.probabilities(table)
    if values.shape != truths.shape:
        raise BadInput(f"The logits give {values.shape} (notes, classes) and the labels {truths.shape}.")
    if kind != "multilabel" and not (truths.sum(axis=1) == 1).all():
        raise BadInput(f"A {kind} task needs exactly one label per note.")
    return chosen.statistics(chosen.scores(table), values, truths)


def headline(kind: str) -> str:
    """The one metric that tables show first and that runs are compared by: the AUROC the published study reports."""
    return kind_of(kind).headline


def headline_statistic(kind: str, logits: ArrayLike, labels: ArrayLike) -> Statistic:
    """The headline metric as a function of note weights; the other metrics are not computed."""
    chosen, table = kind_of(kind), _finite(logits)
    return chosen.headline_statistic(chosen.scores(table), np.asarray(labels).astype(bool))


def selection_name(kind: str, by: SelectBy = "auroc") -> str:
    """The name of the metric that training selects by."""
    return kind_of(kind).selects_by if by == "auroc" else "f1_macro"


def selection_score(kind: str, logits: ArrayLike, labels: ArrayLike, by: SelectBy = "auroc") -> Selection:
    """What training selects by: the AUROC of the kind, or macro F1 and, between equals, log loss.

    Macro F1 stands still while probabilities move without crossing one half, as in the first epochs on few notes.
    Raises BadInput if the AUROC does not exist because no class is both present and absent: then nothing could be selected.
    """
    chosen, truths = kind_of(kind), np.asarray(labels).astype(bool)
    if by == "f1-macro":
        decided = decisions.f1_macro(truths, decide(kind, logits))
        return Selection("f1_macro", decided, -log_loss(kind, logits, truths))
    value = chosen.selection(chosen.scores(_finite(logits)), truths)
    if np.isnan(value):
        raise BadInput(
            f"{chosen.selects_by} cannot be computed: no class has both notes with it and notes without it. "
            "The validation split needs more notes or more patients."
        )
    return Selection(chosen.selects_by, value)


def decide(kind: str, logits: ArrayLike, threshold: float = 0.5) -> Bools:
    """The class or labels that each note is given (N, C): the most likely class, or all labels from a probability on.

    threshold: of a label, or of the positive one of two classes; has no meaning for more.
    """
    likely = probabilities(kind, logits)
    if kind == "multilabel":
        return np.asarray(likely >= threshold)
    if kind == "binary" and threshold != 0.5:
        positive = likely[:, 1] >= threshold
        return np.stack([~positive, positive], axis=1)
    return np.asarray(np.eye(likely.shape[1], dtype=bool)[likely.argmax(axis=1)])


def surety(kind: str, logits: ArrayLike) -> Floats:
    """(N,): how sure a model is of what it decides of each note, as log odds: of its class, or of its least sure label."""
    table = _finite(logits)
    if kind == "multiclass":
        others = table.copy()
        decided = table.argmax(axis=1)
        others[np.arange(len(table)), decided] = -np.inf
        return np.asarray(table.max(axis=1) - np.logaddexp.reduce(others, axis=1))
    return np.asarray(np.abs(kind_of(kind).scores(table)).min(axis=1))


def log_loss(kind: str, logits: ArrayLike, labels: ArrayLike) -> float:
    """The mean negative log-likelihood of a note's class, or of every label, in nats; both (N, C)."""
    values, truths = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(bool)
    likely = np.clip(probabilities(kind, values), 1e-300, 1.0)
    if kind == "multilabel":
        absent = np.clip(probabilities(kind, -values), 1e-300, 1.0)  # 1 - p without its rounding
        return float(-(np.where(truths, np.log(likely), np.log(absent))).mean())
    return float(-np.log(likely[truths]).mean())


def _finite(logits: ArrayLike) -> Floats:
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise BadInput(f"Logits must be a table (notes, classes), not of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise BadInput("Some logits are not finite: the training diverged. Lower the learning rate and start again.")
    return values


def _as_json(interval: Interval) -> dict[str, float | None]:
    figures = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(figure) else figure for name, figure in figures.items()}


def interval_text(found: Mapping[str, float | None]) -> str:
    """A figure of a scorecard with its interval, for people: `0.812 [0.750, 0.870]`."""
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
