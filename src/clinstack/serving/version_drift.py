"""How what was asked and what came true lie beside the validation notes: figures of counts, whoever kept them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.data.text_profile import FEATURES
from clinstack.metrics.drift import Profile, chance, psi
from clinstack.metrics.scorecard import scorecard
from clinstack.serving.answers import Interpreter

_FEWEST_OUTCOMES = 20
"""Before figures are made of them."""


@dataclass(frozen=True)
class Shift:
    """How far one number lies from the validation notes: its PSI, and what that may be by chance (95 %)."""

    name: str
    psi: float
    chance: float


@dataclass(frozen=True)
class Drift:
    """Of a version in some days. notes: answered.   scores: by class.   inputs: by feature; None if its run kept no profile.

    outcomes: how many came back.   metrics: of these, as on test notes; None for fewer than 20.
    """

    notes: int
    scores: list[Shift]
    inputs: list[Shift] | None
    outcomes: int
    metrics: dict[str, dict[str, float | None]] | None


@dataclass(frozen=True)
class Outcome:
    """What was said of a note, as logits (C,), and the labels that came true. note: a hash of its id."""

    note: str
    logits: NDArray[np.float32]
    labels: Sequence[str]


@dataclass(frozen=True)
class Counted:
    """What is kept of a version: notes by what (scores, inputs), number and bin; and its notes with outcomes."""

    notes: dict[str, NDArray[np.int64]]
    outcomes: list[Outcome]


def version_drift(interpreter: Interpreter, scores: Profile, inputs: Profile | None, counted: Counted) -> Drift:
    """A version's counts beside its validation notes. scores, inputs: profiles of these."""
    enough = len(counted.outcomes) >= _FEWEST_OUTCOMES
    return Drift(
        notes=int(counted.notes["scores"][0].sum()),
        scores=_shifts(interpreter.classes, scores, counted.notes["scores"]),
        inputs=None if inputs is None else _shifts(FEATURES, inputs, counted.notes["inputs"]),
        outcomes=len(counted.outcomes),
        metrics=_metrics(interpreter, counted.outcomes) if enough else None,
    )


def _shifts(names: Sequence[str], before: Profile, now: NDArray[np.int64]) -> list[Shift]:
    rows = zip(names, before.notes, now, strict=True)
    return [Shift(name, psi(first, second), chance(first, second)) for name, first, second in rows]


def _metrics(interpreter: Interpreter, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    place = {name: column for column, name in enumerate(interpreter.classes)}
    labels = np.zeros((len(outcomes), len(place)), dtype=bool)
    for row, one in enumerate(outcomes):
        labels[row, [place[name] for name in one.labels]] = True
    logits = np.stack([one.logits for one in outcomes]) / interpreter.temperature
    return scorecard(interpreter.kind, logits, labels, [one.note for one in outcomes], resamples=200).metrics
