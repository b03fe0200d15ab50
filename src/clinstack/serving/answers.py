"""Logits -> what a person is told: probabilities that mean what they say, how sure they are, and what follows from them.

All of it is read off the version's own validation notes: the temperature that calibrates, the threshold of each class (highest
F1), how often a class was true of the notes that scored most alike (with an interval), and how frequent it is.

Other validation notes would have put a threshold elsewhere. Within the interval of where they would (the bootstrap's) no
decision is taken; below it the answer is no and above it yes, so a higher probability never takes a decision back. Of several
classes the likeliest is decided, unless the runner-up may be as likely by the validation notes that scored like the likeliest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from clinstack.metrics.intervals import Interval
from clinstack.metrics.scorecard import probabilities
from clinstack.metrics.thresholds import Neighbours, best_f1_band, best_f1_threshold
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout

_FEWEST_POSITIVES = 5
"""Of a class among the validation notes, for a threshold to be chosen on them."""
_NEAR_SHARE, _FEWEST_NEAR, _MOST_NEAR = 0.1, 30, 200


@dataclass(frozen=True)
class ClassAnswer:
    """What is said of one class of one note.

    title: what the class stands for, if its task said so.
    probability: calibrated, 0-1.   alike: how many of the validation notes that scored most alike had the class: a share with
    its 95 % interval, of `notes_alike` notes.   base_rate: of the class among all validation notes.
    threshold: of the highest F1; None if there is none.   open_low, open_high: where that threshold may lie.
    decided: yes from `open_high` on, no below `open_low`, None where it is left open.
    """

    name: str
    title: str | None
    probability: float
    alike: Interval
    notes_alike: int
    base_rate: float
    threshold: float | None
    open_low: float | None
    open_high: float | None
    decided: bool | None


class Interpreter:
    """What the logits of one version of a task mean.

    kind, classes: of the task.   temperature: that its logits are divided by.   logits, labels: (N, C) of the validation notes,
    whose calibrated probabilities are `validation`.   titles: class -> what it stands for, where that is known.
    """

    def __init__(
        self,
        kind: str,
        classes: tuple[str, ...],
        temperature: float,
        logits: NDArray[np.float32],
        labels: NDArray[np.bool_],
        titles: Mapping[str, str] | None = None,
    ):
        self.kind, self.classes, self.temperature = kind, classes, temperature
        self.titles = [(titles or {}).get(name) for name in classes]
        self.validation = self.probabilities(logits)
        self._labels = labels
        self._neighbours: dict[int, Neighbours] = {}
        self._bands: dict[int, Interval | None] = {}

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, C) of logits (N, C)."""
        return probabilities(self.kind, logits / self.temperature)

    @cached_property
    def base_rates(self) -> list[float]:
        """How frequent each class is among the validation notes."""
        return self._labels.mean(axis=0).tolist()  # type: ignore[no-any-return]

    @cached_property
    def thresholds(self) -> list[float | None]:
        """Of each class; None where too few validation notes have it, and where the likeliest of several classes is decided."""
        found = [
            best_f1_threshold(self.validation[:, column], self._labels[:, column])
            if self._has_threshold(column)
            else None
            for column in range(len(self.classes))
        ]
        if self.kind == "binary":  # one decision, not two
            found[0] = None if found[1] is None else 1 - found[1]
        return found

    def read(self, logits: NDArray[np.float32], most: int | None = None) -> list[ClassAnswer]:
        """What the logits (C,) of a note say of its classes, the likeliest first. most: of so many classes at most."""
        likely = self.probabilities(logits[None])[0]
        order = np.argsort(-likely, kind="stable")
        chosen = self._choose(likely, order) if self.kind == "multiclass" else None
        return [self._of_class(int(column), likely, chosen) for column in order[:most]]

    def _of_class(self, column: int, likely: NDArray[np.float64], chosen: int | None) -> ClassAnswer:
        share, notes = self._alike(column, likely[column])
        band = self._band(column)
        return ClassAnswer(
            self.classes[column],
            self.titles[column],
            float(likely[column]),
            share,
            notes,
            self.base_rates[column],
            None if band is None else band.value,
            None if band is None else band.low,
            None if band is None else band.high,
            self._decide(column, likely, chosen),
        )

    def _decide(self, column: int, likely: NDArray[np.float64], chosen: int | None) -> bool | None:
        if self.kind == "multiclass":
            return None if chosen is None else column == chosen
        if self.kind == "binary" and column == 0:
            positive = self._decide(1, likely, chosen)
            return None if positive is None else not positive
        band = self._band(column)
        if band is None or band.low <= likely[column] < band.high:
            return None
        return bool(likely[column] >= band.high)

    def _has_threshold(self, column: int) -> bool:
        return self.kind != "multiclass" and int(self._labels[:, column].sum()) >= _FEWEST_POSITIVES

    def _band(self, column: int) -> Interval | None:
        """Where the threshold of a class may lie."""
        if column not in self._bands:
            found = None
            if self.kind == "binary" and column == 0:
                other = self._band(1)
                found = None if other is None else Interval(1 - other.value, 1 - other.high, 1 - other.low)
            elif self._has_threshold(column):
                found = best_f1_band(self.validation[:, column], self._labels[:, column])
            self._bands[column] = found
        return self._bands[column]

    def _choose(self, likely: NDArray[np.float64], order: NDArray[np.intp]) -> int | None:
        """Of several classes the likeliest, unless the runner-up is as likely as that may be."""
        first, second = int(order[0]), int(order[1])
        share, _ = self._alike(first, likely[first])
        return None if share.low <= likely[second] else first

    def _alike(self, column: int, probability: float) -> tuple[Interval, int]:
        if column not in self._neighbours:
            notes = len(self.validation)
            near = int(min(max(_NEAR_SHARE * notes, _FEWEST_NEAR), _MOST_NEAR))
            self._neighbours[column] = Neighbours(self.validation[:, column], self._labels[:, column], near)
        return self._neighbours[column].share(float(probability))


def interpreter_of(version: Path) -> Interpreter:
    """The interpreter of a version in a library, from the scores that were kept with it."""
    layout = RunLayout(version)
    result: dict[str, Any] = read_json(layout.result)
    classes = tuple(result["classes"])
    table = parquet.read_table(layout.scores, filters=[("split", "=", "valid")])
    place = {name: column for column, name in enumerate(classes)}
    labels = np.zeros((table.num_rows, len(classes)), dtype=bool)
    for row, names in enumerate(table.column("labels").to_pylist()):
        labels[row, [place[name] for name in names]] = True
    logits = np.array(table.column("logits").to_pylist(), dtype=np.float32).reshape(labels.shape)
    return Interpreter(result["kind"], classes, result["temperature"], logits, labels, result.get("titles"))
