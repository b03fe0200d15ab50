"""Which classes an arm takes for which others, and which it never decides."""

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.scorecard import decide
from clinstack.studies.limited_data.findings import Point
from clinstack.studies.limited_data.scores import predictions_of
from clinstack.studies.report.tables import Table


def has_one(point: Point) -> bool:
    """Whether one class of several is decided; labels of which several may hold are not taken for each other."""
    return point.runs[0].kind != "multilabel"


def matrix(point: Point) -> NDArray[np.float64]:
    """(C, C): test notes by class and decided class, the mean over splits."""
    found = []
    for one in point.runs:
        said = predictions_of(one)
        found.append(said.labels.astype(np.float64).T @ decide(one.kind, said.logits))
    return np.asarray(np.mean(found, axis=0))


def table(point: Point) -> Table:
    """The matrix, with a column per decided class."""
    classes = [str(one) for one in point.runs[0].result["classes"]]
    rows = [
        [name, *(f"{notes:.1f}" if notes else "" for notes in row)]
        for name, row in zip(classes, matrix(point), strict=True)
    ]
    return Table(f"{point.runs[0].part.task}: {point.arm.name}", ["Is, and is decided as", *classes], rows)


def never_decided(point: Point) -> list[str]:
    """The classes that some test notes are of, and that are decided of no note in any split."""
    truths, decided = (np.zeros(len(point.runs[0].result["classes"]), bool) for _ in range(2))
    for one in point.runs:
        said = predictions_of(one)
        truths |= said.labels.any(axis=0)
        decided |= decide(one.kind, said.logits).any(axis=0)
    return [
        str(name) for name, is_one in zip(point.runs[0].result["classes"], truths & ~decided, strict=True) if is_one
    ]
