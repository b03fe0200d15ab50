"""Parts of a task drawn anew for each seed, and nested subsets of its training part: what a study of limited data varies.

A split is by patient (scikit-learn's StratifiedGroupKFold: eight, one and one of ten folds) or, to show what leaks, by line.
Chance says which folds: the first ones hold the patients with the most notes, in whatever order these come.
Subsets are prefixes of one order, so that each is contained in the next, and every prefix has each class in its share.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from clinstack.data.classes import listed
from clinstack.errors import BadInput

FOLDS = 10
"""One is the test part, one the validation part, and the others train."""


def strata(labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The class of each note that its stratum is: its one class, or the rarest of several; C for a note without any.

    labels: (N, C).   Returns (N,).
    """
    rarity = np.where(labels, labels.sum(axis=0), np.iinfo(np.int64).max)
    found = np.asarray(rarity.argmin(axis=1))
    return np.where(labels.any(axis=1), found, labels.shape[1])


def draw_split(
    patients: Sequence[str], stratum: NDArray[np.int64], seed: int, by: Literal["patient", "line"]
) -> NDArray[np.str_]:
    """train, valid or test of each note (N,): about 80, 10 and 10 percent.

    by: patient keeps all notes of one together.
    Raises BadInput if there are fewer patients (or notes) than folds.
    """
    units = len(set(patients)) if by == "patient" else len(patients)
    if units < FOLDS:
        raise BadInput(f"{units} {by}s are too few for a split into {FOLDS} folds. Give {FOLDS} or more.")
    notes, stratum = np.arange(len(stratum)), _without_rare(stratum)
    if by == "patient":
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(notes, stratum, patients)
    else:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(notes, stratum)
    split = np.full(len(stratum), "train", dtype="<U5")
    parts = [chosen for _, chosen in folds]
    for name, fold in zip(("test", "valid"), np.random.default_rng(seed).permutation(FOLDS), strict=False):
        split[parts[fold]] = name
    return split


def _without_rare(stratum: NDArray[np.int64]) -> NDArray[np.int64]:
    """Strata of fewer notes than folds as one; they cannot be in every fold anyway."""
    numbers, counts = np.unique(stratum, return_counts=True)
    rare = np.isin(stratum, numbers[counts < FOLDS])
    often = numbers[counts >= FOLDS]
    if rare.sum() >= FOLDS or not len(often):
        return np.where(rare, -1, stratum)
    return np.where(rare, often[0], stratum)


def nested_order(labels: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """An order of notes (N,) every prefix of which is a stratified subset; all classes are there as early as can be.

    labels: (N, C). The first notes are one of each class, the rarest class first; then every class keeps its share.
    """
    chance = np.random.default_rng(seed)
    shuffled = chance.permutation(len(labels))
    classes = strata(labels)[shuffled]
    # A note's place within its class, spread evenly over 0-1: sorted, every prefix has the classes in their shares.
    place = np.empty(len(shuffled))
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        place[rows] = (np.arange(len(rows)) + chance.random()) / len(rows)
    order = shuffled[np.argsort(place, kind="stable")]
    first: list[int] = []
    for column in np.argsort(labels.sum(axis=0), kind="stable"):
        having = order[labels[order, column]]
        if len(having) and not labels[first, column].any():
            first.append(int(having[0]))
    rest = order[~np.isin(order, first)]
    return np.concatenate([np.array(first, dtype=np.int64), rest])


def take_subset(
    order: NDArray[np.int64], labels: NDArray[np.bool_], size: int, classes: Sequence[str], what: str
) -> NDArray[np.int64]:
    """The first `size` notes of an order.

    what: whose subset it is, for messages.
    Raises BadInput if there are fewer notes, or a class that has notes has none among them.
    """
    if size > len(order):
        raise BadInput(f"{what} has {len(order):,} notes to train on, and {size:,} are asked for. Leave out that size.")
    chosen = order[:size]
    absent = [classes[int(column)] for column in np.flatnonzero(labels.any(axis=0) & ~labels[chosen].any(axis=0))]
    if absent:
        raise BadInput(
            f"{what}: {size} notes hold none of {listed(absent)}. Leave out that size, or classes that are so rare."
        )
    return chosen
