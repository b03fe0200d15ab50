"""What a limited-data study compared, for whoever has its page alone: its tasks, and what encoders read of their notes."""

from collections.abc import Sequence

import numpy as np

from clinstack.config import LimitedDataOptions
from clinstack.data.task import Task, open_task
from clinstack.runs.lineage import short
from clinstack.studies.limited_data.arms import RATES
from clinstack.studies.limited_data.confusion import never_decided
from clinstack.studies.limited_data.encoding import Encoding
from clinstack.studies.limited_data.findings import Point, TaskFindings
from clinstack.studies.limited_data.slices import share_nearly_trained
from clinstack.studies.report import words
from clinstack.studies.report.tables import Table

_MANY = 0.05
"""Share of notes that are nearly a training note, or cut, from which on the page says so before all else."""


def task_table(findings: Sequence[TaskFindings]) -> Table:
    """How large the parts of each task are with all training notes."""
    rows = [_task_row(task.task, task.at(0)[0]) for task in findings if task.at(0)]
    columns = (
        "Task",
        "Classes",
        "Training notes",
        "To select by",
        "Test notes",
        "of patients",
        "Commonest class",
        "Rarest",
    )
    return Table("Tasks; notes of each part with all training notes, means over splits", columns, rows)


def _task_row(name: str, point: Point) -> list[str]:
    parts = [open_task(one.part.folder) for one in point.runs]
    counts = [_notes(parts, split) for split in ("train", "valid", "test")]
    patients = float(np.mean([len(set(one.patients)) for one in point.runs]))
    shares = {
        label: float(np.mean([one.counts["train"]["classes"][label] / one.counts["train"]["notes"] for one in parts]))
        for label in parts[0].classes
    }
    ends = (
        f"{label} {shares[label]:.1%}"
        for label in (max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__))
    )
    return [name, f"{len(shares)}, {point.runs[0].kind}", *(f"{one:,.0f}" for one in counts), f"{patients:,.0f}", *ends]


def _notes(parts: Sequence[Task], split: str) -> float:
    return float(np.mean([one.counts[split]["notes"] for one in parts]))


def encoder_table(encoding: Encoding, max_tokens: int) -> Table | None:
    """What each encoder reads of each task's notes; None without encoders."""
    rows = [
        [
            name,
            task,
            short(one.hash),
            f"{one.notes:,}",
            f"{one.tokens / one.notes:,.0f}",
            f"{one.shortened:.1%}",
            f"{one.unknown:.2%}",
        ]
        for name, by_task in encoding.items()
        for task, one in by_task.items()
    ]
    columns = (
        "Encoder",
        "Task",
        "Its hash",
        "Notes read",
        "Tokens of a note, mean",
        f"Notes cut at {max_tokens}",
        "Unknown tokens",
    )
    return (
        Table("Encoders; words that are counted (tf-idf) are those of whole notes", columns, rows, headings=2)
        if rows
        else None
    )


def how(options: LimitedDataOptions) -> str:
    """How everything was trained, in a sentence."""
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    several = "by the first split's validation notes, some of which other splits test on"
    by = several if options.seeds > 1 else "by validation"
    return (
        f"{words.count_of(options.seeds, 'split')}; trainings of about {options.steps} steps of {options.batch_size} notes, or "
        "three readings of all notes if that is more (on frozen encoders half as many steps, or two readings); at most "
        f"{options.max_tokens} tokens of a note; learning rates tried: {rates} (a mean of embeddings: higher ones), chosen "
        f"{by}. table.json has every run with its rate, encoder and notes."
    )


def warnings(findings: Sequence[TaskFindings], encoding: Encoding, max_tokens: int) -> list[str]:
    """Sentences on tasks whose test notes say less than they seem to, and on encoders that do not read whole notes."""
    points = {task.task: task.at(0)[0] for task in findings if task.at(0)}
    said = [one for task in findings for one in of_some_splits(task)]
    said += [one for task, point in points.items() for one in (_not_tested(task, point), _known(task, point))]
    said += [_not_decided(task.task, best) for task in findings if (best := task.best(0)) is not None]
    said += [
        _cut(task, name, one.shortened, max_tokens)
        for name, by_task in encoding.items()
        for task, one in by_task.items()
    ]
    return [one for one in said if one]


def of_some_splits(task: TaskFindings) -> list[str]:
    """Arms that some splits lack: their figures are of others than those of the rest."""
    said = []
    for place in task.places:
        points = task.at(place)
        most = max(len(one.runs) for one in points)
        fewer = [f"{one.arm.name} ({len(one.runs)} of {most})" for one in points if len(one.runs) < most]
        if fewer:
            notes = f"{place:,} notes" if place else "all notes"
            said.append(
                f"{task.task}, {notes}: {words.listed(fewer)} were not trained in all splits. Their figures are the mean of "
                "the others, and they are not chosen as the best."
            )
    return said


def _not_tested(task: str, point: Point) -> str:
    """Where a class is in no test note of some split, and its F1 counts as 0 for every arm."""
    parts = [open_task(one.part.folder) for one in point.runs]
    lacking = {label: sum(not one.counts["test"]["classes"][label] for one in parts) for label in parts[0].classes}
    listed = [f"{label} ({number} of {len(parts)})" for label, number in lacking.items() if number]
    if not listed:
        return ""
    return (
        f"{task}: in some splits no test note is of {words.listed(listed)}. There its F1 counts as 0 for every arm, so that "
        "macro F1 is low by as much, and differences between arms are smaller in the same proportion."
    )


def _not_decided(task: str, best: Point) -> str:
    """Where even the best arm never decides a class."""
    lacking = never_decided(best)
    if not lacking:
        return ""
    return (
        f"{task}: {best.arm.name}, which validation prefers, decides {words.listed(lacking)} of no test note in any split. "
        "Precision, recall and F1 of what is never decided count as 0."
    )


def _cut(task: str, name: str, share: float, max_tokens: int) -> str:
    """Where an encoder does not read many notes to their end."""
    if share < _MANY:
        return ""
    return (
        f"{task}: {name} reads no more than {max_tokens} tokens, and {share:.0%} of the notes are longer. Of these it did not "
        "see the end, while words are counted in whole notes. More --max-tokens is a fairer comparison."
    )


def _known(task: str, point: Point) -> str:
    """Where many test notes were all but trained on, whoever's they are."""
    share = share_nearly_trained(point)
    if share < _MANY:
        return ""
    return (
        f"{task}: {share:.0%} of the test notes are nearly a training note. What is scored is in part what was learned by "
        "heart, and new notes will do worse."
    )
