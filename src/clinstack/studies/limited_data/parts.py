"""Tasks drawn from a task: for each seed a split by patient, for each size a nested subset, each a task folder of its own.

Beside these all notes may be split by line, and in the task's own parts, the same for every seed.

Of all the notes of a task, whatever parts they were in, 80, 10 and 10 percent train, select and test. A subset of n notes
brings n/8 notes for selection, in the same proportion, since a hospital that has labelled fifty lines has no five hundred more
to select by; the test part is the same for every size of a seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clinstack.data.notes import SPLITS
from clinstack.data.subsets import draw_split, nested_order, strata, take_subset
from clinstack.data.task import Task, TaskWriter, open_task
from clinstack.errors import BadInput
from clinstack.runs.layout import StudyLayout, TaskLayout
from clinstack.runs.lineage import short

SplitBy = Literal["patient", "line", "own"]

SIZES = (50, 100, 200, 400, 800, 1600, 3200)
"""Training notes where nothing else is asked for: those of them that there are."""
_SELECTED_BY = 8
_LEAST_SELECTED_BY = 20
_NOISE = 8
"""Sets the random numbers of wrong labels apart from those of the splits."""


@dataclass(frozen=True)
class Part:
    """A task folder that was drawn. size: its training notes.   whole: they are all that the split has.

    noise: share of its training and validation notes whose labels are not theirs.
    """

    task: str
    by: SplitBy
    seed: int
    size: int
    whole: bool
    folder: Path
    noise: float = 0.0


@dataclass(frozen=True)
class _Notes:
    """All notes of a task. hash: of its files.   split: the task's own part of each."""

    hash: str
    table: pa.Table
    labels: NDArray[np.bool_]
    patients: list[str]
    split: NDArray[np.str_]


def parse_sizes(given: str) -> list[int] | None:
    """Numbers of training notes from a list joined by commas, 0 for all; None for `auto`.

    Raises BadInput for what is no number, or if all is not among them.
    """
    if given == "auto":
        return None
    sizes = []
    for word in (one.strip() for one in given.split(",")):
        if word != "all" and (not word.isdecimal() or int(word) < 1):
            raise BadInput(f"--sizes {given}: {word!r} is neither a number of notes nor all. Write such as 50,400,all.")
        sizes.append(0 if word == "all" else int(word))
    if 0 not in sizes:
        raise BadInput(f"--sizes {given} lacks all, which arms are compared with. Write {given.strip(', ')},all.")
    return list(dict.fromkeys(sizes))


def draw_parts(
    task: Task,
    by: SplitBy,
    seeds: Sequence[int],
    sizes: Sequence[int] | None,
    study: StudyLayout,
    noises: Sequence[float] = (),
) -> list[Part]:
    """The parts of a task, written where they are missing.

    sizes: of the training part, 0 for all; None for those of `SIZES` that each split has and that hold every class.
    noises: shares of wrong labels, each of which all notes are drawn with once more.
    Raises BadInput if a size is more than there is, or leaves a class without a note, or if parts of the same name were drawn
    from other notes; split as its own, if the task lacks a part.
    """
    notes = _read(task)
    if by == "own" and (lacking := [name for name in SPLITS if not task.counts[name]["notes"]]):
        raise BadInput(f"Task {task.name} has no {lacking[0]} notes of its own. Leave out --own-split.")
    found = []
    for seed in seeds:
        split = notes.split if by == "own" else draw_split(notes.patients, strata(notes.labels), seed, by)
        train, valid, test = (np.flatnonzero(split == name) for name in SPLITS)
        what = f"Task {task.name}, split {seed}"
        orders = {
            name: rows[nested_order(notes.labels[rows], seed)] for name, rows in (("train", train), ("valid", valid))
        }
        wanted = _fitting(notes.labels[train], seed) if sizes is None else sizes
        clean = [(size, 0.0) for size in dict.fromkeys(size or len(train) for size in wanted)]
        for size, noise in [*clean, *((len(train), noise) for noise in noises)]:
            order = orders["train"]
            chosen = order[take_subset(np.arange(len(order)), notes.labels[order], size, task.classes, what)]
            folder = study.part(task.name, by, seed, size, noise)
            part = Part(task.name, by, seed, size, size == len(train), folder, noise)
            if TaskLayout(part.folder).task.is_file():
                _require_same(part, notes.hash)
            else:
                selected = max(round(size / _SELECTED_BY), _LEAST_SELECTED_BY, 2 * len(task.classes))
                rows = {"train": chosen, "valid": orders["valid"][:selected], "test": test}
                mistaken = _mistake(notes.labels, task.kind, noise, seed)
                _write(task, notes, rows, part, {"train": mistaken, "valid": mistaken, "test": notes.labels})
            found.append(part)
    return found


def _mistake(labels: NDArray[np.bool_], kind: str, noise: float, seed: int) -> NDArray[np.bool_]:
    """Labels (N, C) of which a share is wrong: another class, or all the labels of another note where a note may have several,
    of one that has others.

    What is wrong at a smaller share is so at a larger one too.
    """
    chance = np.random.default_rng([seed, _NOISE])
    wrong = chance.random(len(labels)) < noise
    if kind == "multilabel":
        other = labels[_differing(labels, chance)]
    else:
        classes = labels.shape[1]
        moved = (labels.argmax(axis=1) + chance.integers(1, classes, len(labels))) % classes
        other = np.eye(classes, dtype=bool)[moved]
    return np.where(wrong[:, None], other, labels)


def _differing(labels: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.int64]:
    """For each note (N,) another one, drawn from those whose labels are not the same; itself if there is none."""
    alike = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(alike, kind="stable")
    counts = np.bincount(alike)
    first = np.cumsum(counts) - counts
    # In the order of sorted notes those with other labels follow one's own group, and go round.
    step = np.floor(chance.random(len(labels)) * (len(labels) - counts[alike])).astype(np.int64)
    found = order[(first[alike] + counts[alike] + step) % len(labels)]
    return np.where(counts[alike] < len(labels), found, np.arange(len(labels)))


def _fitting(labels: NDArray[np.bool_], seed: int) -> list[int]:
    """The sizes that a training part has, and in which every class has a note; and all of it."""
    order, classes = nested_order(labels, seed), labels.any(axis=0)
    fitting = [size for size in SIZES if size < len(labels) and (labels[order[:size]].any(axis=0) == classes).all()]
    return [*fitting, 0]


def _read(task: Task) -> _Notes:
    table = task.read_all()
    content = task.content_hash()
    split = np.repeat(SPLITS, [task.counts[name]["notes"] for name in SPLITS])
    return _Notes(content, table, task.label_matrix(table), table.column("patient_id").to_pylist(), split)


def _require_same(part: Part, content: str) -> None:
    drawn = open_task(part.folder).build["drawn"]["hash"]
    if drawn != content:
        raise BadInput(
            f"{part.folder} was drawn from {short(drawn)} and task {part.task} is {short(content)} now. Choose another --out, "
            "or restore the task."
        )


def _write(
    task: Task,
    notes: _Notes,
    rows: dict[str, NDArray[np.int64]],
    part: Part,
    labels: dict[str, NDArray[np.bool_]],
) -> None:
    """A drawn task; split by line, every line counts as a patient of its own, or the folder would be refused.

    labels: what each part says of all notes (N, C).
    """
    about = {
        "of": task.name,
        "hash": notes.hash,
        "by": part.by,
        "seed": part.seed,
        "size": part.size,
        "noise": part.noise,
    }
    classes = np.array(task.classes, dtype=object)
    with TaskWriter(
        part.folder,
        name=task.name,
        kind=task.kind,
        classes=task.classes,
        titles=task.titles,
        source=task.source,
        mode="drawn",
        terms=task.terms,
        seed=part.seed,
        build={"drawn": about},
    ) as out:
        for split, chosen in rows.items():
            chosen = np.sort(chosen)
            table, said = notes.table.take(chosen), [classes[row].tolist() for row in labels[split][chosen]]
            ids = table.column("note_id").to_pylist()
            patients = ids if part.by == "line" else table.column("patient_id").to_pylist()
            out.write(split, ids, patients, table.column("text").to_pylist(), said)
