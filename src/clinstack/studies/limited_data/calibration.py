"""Do the probabilities of the arms with all notes hold? Calibration error before and after scaling, and Brier's score in parts.

Bins hold as many notes each, since a few thousand lines leave bins of equal width nearly empty. The temperature is that of the
run, fitted on its validation part (`metrics.temperature`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.calibration import BinnedNotes, brier_parts, equal_mass, squared_error
from clinstack.metrics.intervals import Draws, Interval, bootstrap_draws, over_seeds, shared_weights
from clinstack.metrics.scorecard import foretold, log_loss
from clinstack.studies.limited_data.arms import Arm
from clinstack.studies.limited_data.findings import Point
from clinstack.studies.limited_data.scores import Scored, predictions_of, together
from clinstack.studies.report.gather import Predictions

BINS = 15


@dataclass(frozen=True)
class Calibrated:
    """An arm, over splits. error, scaled: expected calibration error as it is and with the run's temperature.

    log_loss: nats a note or label.   brier: mean squared error of the probabilities, and its parts (`BrierParts`).
    """

    arm: Arm
    error: Interval
    scaled: Interval
    log_loss: float
    brier: float
    reliability: float
    resolution: float


def calibrated(points: Sequence[Point], resamples: int) -> list[Calibrated]:
    """How well each point's probabilities hold, in the order of points."""
    drawn: dict[str, list[tuple[Draws, Draws]]] = {}
    figures: dict[str, list[tuple[float, ...]]] = {}
    for runs in together(one for point in points for one in point.runs):
        said = [predictions_of(one) for one in runs]
        for one, both, found in zip(runs, _draws(runs, said, resamples), said, strict=True):
            drawn.setdefault(one.trained.arm.name, []).append(both)
            figures.setdefault(one.trained.arm.name, []).append(_figures(one.kind, found))
    return [
        Calibrated(
            point.arm,
            over_seeds([error for error, _ in drawn[point.arm.name]]).interval(),
            over_seeds([scaled for _, scaled in drawn[point.arm.name]]).interval(),
            *np.mean(figures[point.arm.name], axis=0).tolist(),
        )
        for point in points
    ]


def _draws(runs: Sequence[Scored], said: Sequence[Predictions], resamples: int) -> list[tuple[Draws, Draws]]:
    """The calibration error of runs on the same notes, as it is and scaled."""
    binned: dict[tuple[int, bool], BinnedNotes] = {}
    for number, (one, found) in enumerate(zip(runs, said, strict=True)):
        for scaled in (False, True):
            likely, truths = foretold(one.kind, found.logits / (one.temperature if scaled else 1.0), found.labels)
            binned[number, scaled] = BinnedNotes(likely, truths, equal_mass(likely, BINS))

    def errors(weights: NDArray[np.int32]) -> dict[tuple[int, bool], NDArray[np.float64]]:
        return {key: one.error(weights) for key, one in binned.items()}

    draws = bootstrap_draws(errors, runs[0].patients, resamples, weights=shared_weights)
    return [(draws[number, False], draws[number, True]) for number in range(len(runs))]


def _figures(kind: str, found: Predictions) -> tuple[float, ...]:
    likely, truths = foretold(kind, found.logits, found.labels)
    parts = brier_parts(likely, truths, equal_mass(likely, BINS))
    error = float(squared_error(likely, truths).mean())
    return log_loss(kind, found.logits, found.labels), error, parts.reliability, parts.resolution
