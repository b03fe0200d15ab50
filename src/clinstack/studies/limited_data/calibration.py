"""Do the probabilities of the arms with all notes hold? Calibration error before and after scaling, Brier's score in parts, and
what is wrong among the notes that an arm is surest of.

Bins hold as many notes each, since a few thousand lines leave bins of equal width nearly empty. The temperature is that of the
run, fitted on its validation part (`metrics.temperature`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.abstention import Answered
from clinstack.metrics.calibration import BinnedNotes, brier_parts, equal_mass, squared_error
from clinstack.metrics.decisions import right
from clinstack.metrics.intervals import Draws, Interval, bootstrap_draws, over_seeds, shared_weights
from clinstack.metrics.scorecard import decide, foretold, log_loss, surety
from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.findings import Point
from clinstack.studies.limited_data.scores import Scored, predictions_of, together
from clinstack.studies.report.gather import Predictions

BINS = 15
COVERAGES = (1.0, 0.8, 0.5)
"""Shares of the test notes that are answered, the surest ones."""
_AS_IT_IS, _SCALED = "as it is", "scaled"


@dataclass(frozen=True)
class Calibrated:
    """An arm, over splits. error, scaled: expected calibration error as it is and with the run's temperature.

    wrong: the share of notes with a wrong decision, among the surest, for each of `COVERAGES`.
    log_loss: nats a note or label.   brier: mean squared error of the probabilities, and its parts (`BrierParts`).
    """

    arm: Arm
    error: Interval
    scaled: Interval
    wrong: tuple[Interval, ...]
    log_loss: float
    brier: float
    reliability: float
    resolution: float


def calibrated(points: Sequence[Point], resamples: int) -> list[Calibrated]:
    """How well each point's probabilities hold, in the order of points."""
    drawn: dict[str, list[dict[str | float, Draws]]] = {}
    figures: dict[str, list[tuple[float, ...]]] = {}
    for runs in together(one for point in points for one in point.runs):
        said = [predictions_of(one) for one in runs]
        for one, draws, found in zip(runs, _draws(runs, said, resamples), said, strict=True):
            drawn.setdefault(one.trained.arm.name, []).append(draws)
            figures.setdefault(one.trained.arm.name, []).append(_figures(one.kind, found))

    def interval(arm: Arm, key: str | float) -> Interval:
        return over_seeds([draws[key] for draws in drawn[arm.name]]).interval()

    return [
        Calibrated(
            point.arm,
            interval(point.arm, _AS_IT_IS),
            interval(point.arm, _SCALED),
            tuple(interval(point.arm, coverage) for coverage in COVERAGES),
            *np.mean(figures[point.arm.name], axis=0).tolist(),
        )
        for point in points
    ]


def _draws(runs: Sequence[Scored], said: Sequence[Predictions], resamples: int) -> list[dict[str | float, Draws]]:
    """Of runs on the same notes the calibration error, as it is and scaled, and the error at each coverage."""
    binned: dict[tuple[int, str], BinnedNotes] = {}
    answered: dict[int, Answered] = {}
    for number, (one, found) in enumerate(zip(runs, said, strict=True)):
        for how, temperature in ((_AS_IT_IS, 1.0), (_SCALED, one.temperature)):
            likely, truths = foretold(one.kind, found.logits / temperature, found.labels)
            binned[number, how] = BinnedNotes(likely, truths, equal_mass(likely, BINS))
        wrong = ~right(found.labels, decide(one.kind, found.logits))
        answered[number] = Answered(surety(one.kind, found.logits), wrong)

    def errors(weights: NDArray[np.int32]) -> dict[tuple[int, str | float], NDArray[np.float64]]:
        found: dict[tuple[int, str | float], NDArray[np.float64]] = {}
        found |= {key: one.error(weights) for key, one in binned.items()}
        for number, one in answered.items():
            found |= zip([(number, share) for share in COVERAGES], one.risks(COVERAGES, weights), strict=True)
        return found

    draws = bootstrap_draws(errors, runs[0].patients, resamples, weights=shared_weights)
    draws |= {key: draws[key].around_itself() for key in binned}
    keys: tuple[str | float, ...] = (_AS_IT_IS, _SCALED, *COVERAGES)
    return [{key: draws[number, key] for key in keys} for number in range(len(runs))]


def _figures(kind: str, found: Predictions) -> tuple[float, ...]:
    likely, truths = foretold(kind, found.logits, found.labels)
    parts = brier_parts(likely, truths, equal_mass(likely, BINS))
    error = float(squared_error(likely, truths).mean())
    return log_loss(kind, found.logits, found.labels), error, parts.reliability, parts.resolution
