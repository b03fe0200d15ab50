"""Logits -> what a person is told: probabilities that mean what they say, how sure they are, and what follows from them.

All of it is read off the version's own validation notes: the temperature that calibrates, the threshold of each class (highest
F1), how often a class was true of the notes that scored most alike (with an interval), and how frequent it is. Where that
interval holds the threshold the validation notes cannot tell on which side a note lies, and no decision is taken.
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
from clinstack.metrics.thresholds import Neighbours, best_f1_threshold
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
    threshold: from which on the class is decided; None if there is none.   decided: None where that is left open.
    """

    name: str
    title: str | None
    probability: float
    alike: Interval
    notes_alike: int
    base_rate: float
    threshold: float | None
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
        if self.kind == "multiclass":
            return [None] * len(self.classes)
        found = [
            best_f1_threshold(self.validation[:, column], self._labels[:, column])
            if self._labels[:, column].sum() >= _FEWEST_POSITIVES
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
        decided = self._decide(likely, order)
        return [self._of_class(int(column), likely, decided) for column in order[:most]]

    def _of_class(self, column: int, likely: NDArray[np.float64], decided: Mapping[int, bool | None]) -> ClassAnswer:
        share, notes = self._alike(column, likely[column])
        answer = decided.get(column)
        threshold = self.thresholds[column]
        if self.kind != "multiclass" and threshold is not None:
            answer = None if share.low < threshold < share.high else bool(likely[column] >= threshold)
        return ClassAnswer(
            self.classes[column],
            self.titles[column],
            float(likely[column]),
            share,
            notes,
            self.base_rates[column],
            threshold,
            answer,
        )

    def _decide(self, likely: NDArray[np.float64], order: NDArray[np.intp]) -> dict[int, bool | None]:
        """Of several classes: the likeliest, unless the runner-up is as likely as that may be."""
        if self.kind != "multiclass":
            return {}
        first, second = int(order[0]), int(order[1])
        share, _ = self._alike(first, likely[first])
        if share.low <= likely[second]:
            return {}
        return {column: column == first for column in range(len(likely))}

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
