"""What models said of the same test notes, drawn: ROC, calibration, net benefit, and the errors among their surest answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.abstention import risk_curve
from clinstack.metrics.calibration import BINS, equal_mass, expected_calibration_error, reliability
from clinstack.metrics.decision_curve import decision_curve
from clinstack.metrics.decisions import right
from clinstack.metrics.kinds import KINDS
from clinstack.metrics.ranking import roc_curve
from clinstack.metrics.scorecard import decide, foretold, probabilities, surety
from clinstack.studies.report import figures
from clinstack.studies.report.figures import Axis, Figure, Series, Style
from clinstack.studies.report.gather import Predictions

_EVERYBODY = Style("#8a8f98", "", "none")
_COVERAGES = np.linspace(0.1, 1, 37)
"""Shares of the notes that are answered; of fewer, chance alone is seen."""


@dataclass(frozen=True)
class Line:
    """A model's line: its name, what it said, and how the line looks."""

    name: str
    said: Predictions
    look: Style


@dataclass(frozen=True)
class PredictionPanels:
    """The panels of one task. which: of which run they are, for captions, where a line could be of several.

    keyed: whether each panel says whose its lines are, where the page does not.
    bins: into how many bins of as many entries each probabilities are sorted, instead of ten of one width.
    """

    task: str
    kind: str
    classes: Sequence[str]
    lines: Sequence[Line]
    which: str = ""
    keyed: bool = False
    bins: int | None = None

    def roc(self) -> list[Figure]:
        """The ROC curves of a binary task; nothing for another kind."""
        series = []
        for line in self._finite() if self.kind == "binary" else []:
            label = line.said.labels[:, 1]
            if label.all() or not label.any():
                continue
            curve = roc_curve(KINDS["binary"].scores(line.said.logits)[:, 1], label)
            points = tuple(zip(curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist(), strict=True))
            series.append(Series(line.name, points, line.look))
        caption = (
            f"{self.task}: sensitivity against 1 − specificity for “{self.classes[-1]}” on the test notes"
            f"{self.which}. Dotted: chance."
        )
        share = Axis("1 − specificity", 0, 1), Axis("sensitivity", 0, 1)
        return self._panel("ROC", "ROC curves of", series, share, caption, diagonal=True)

    def reliability(self) -> list[Figure]:
        """Predicted against observed, with the expected calibration error."""
        series, errors = [], []
        for line in self._finite():
            said, labels = foretold(self.kind, line.said.logits, line.said.labels)
            edges = BINS if self.bins is None else equal_mass(said, self.bins)
            table = reliability(said, labels, edges)
            points = tuple(zip(table.mean_probability.tolist(), table.observed_fraction.tolist(), strict=True))
            shares = tuple((table.entries / table.entries.sum()).tolist())
            series.append(Series(line.name, points, line.look, shares))
            errors.append(f"{line.name} {expected_calibration_error(said, labels, edges):.3f}")
        of = {"binary": f"of “{self.classes[-1]}”", "multiclass": "of the decided class"}.get(
            self.kind, "of every label"
        )
        bins = f"{BINS} bins, of which larger marks hold more notes"
        if self.bins is not None:
            bins = f"{self.bins} bins of as many notes each"
        caption = (
            f"{self.task}: probability {of} in {bins}{self.which}. "
            f"Dotted: perfect. Expected calibration error in those bins: {'; '.join(errors)}."
        )
        share = Axis("predicted probability", 0, 1), Axis("observed fraction", 0, 1)
        return self._panel("calibration", "Calibration of", series, share, caption, diagonal=True)

    def net_benefit(self) -> list[Figure]:
        """Net benefit by threshold of a binary task, beside acting on everybody; nothing for another kind."""
        series: list[Series] = []
        for line in self._finite() if self.kind == "binary" else []:
            label = line.said.labels[:, 1]
            if not label.any():
                continue
            curve = decision_curve(probabilities("binary", line.said.logits)[:, 1], label, _thresholds(label))
            if not series:
                series.append(Series("acting on everybody", _of_use(curve.thresholds, curve.everybody), _EVERYBODY))
            series.append(Series(line.name, _of_use(curve.thresholds, curve.model), line.look))
        caption = (
            f"{self.task}: what acting on “{self.classes[-1]}” is worth{self.which}, if who acts from a probability of t "
            "on holds a missed one to be as bad as (1 − t) / t needless actions. Grey: acting on everybody. On nobody: 0."
        )
        axes = Axis("act from this probability on", 0), Axis("net benefit a note")
        return self._panel("net benefit", "Net benefit of", series, axes, caption)

    def abstention(self) -> list[Figure]:
        """The share that is wrong among the surest notes, by the share of notes that are answered."""
        series = []
        for line in self._finite():
            wrong = ~right(line.said.labels, decide(self.kind, line.said.logits))
            risk = risk_curve(surety(self.kind, line.said.logits), wrong, _COVERAGES)
            series.append(Series(line.name, tuple(zip(_COVERAGES.tolist(), risk.tolist(), strict=True)), line.look))
        whole = "a label of them is wrong" if self.kind == "multilabel" else "their class is wrong"
        caption = (
            f"{self.task}: of how many of the surest test notes {whole}{self.which}. A line that rises to the right is of a "
            "model that knows which notes to leave to a person."
        )
        axes = Axis("share of notes answered", 0, 1), Axis("share of these that is wrong", 0)
        return self._panel("surest notes", "Errors among the surest notes of", series, axes, caption)

    def _finite(self) -> list[Line]:
        return [line for line in self.lines if np.isfinite(line.said.logits).all()]

    def _panel(
        self,
        what: str,
        described: str,
        series: Sequence[Series],
        axes: tuple[Axis, Axis],
        caption: str,
        diagonal: bool = False,
    ) -> list[Figure]:
        if not series:
            return []
        description = f"{described} {', '.join(one.label for one in series)}"
        drawing = figures.line_panel(f"{self.task}: {what}", description, series, *axes, diagonal=diagonal)
        return [Figure(drawing, caption, figures.legend_of(series) if self.keyed else ())]


def _thresholds(label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """From 1 % to twice the share of notes with the label, where acting on everybody begins to do harm, and 99 % at most."""
    return np.linspace(0.01, min(0.99, max(0.1, 2 * float(label.mean()))), 50)


def _of_use(thresholds: NDArray[np.float64], benefit: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """A line that ends a little below 0: how much harm is done further down is of no interest."""
    floor = -0.1 * float(benefit.max())
    return tuple(zip(thresholds.tolist(), np.maximum(benefit, floor).tolist(), strict=True))
