"""What the numbers of a report do not say, as sentences; only what applies to its runs."""

from collections.abc import Sequence

from clinstack.studies.report import words
from clinstack.studies.report.findings import TaskFindings
from clinstack.studies.report.gather import Gathered


def limits(found: Gathered, tasks: Sequence[TaskFindings]) -> list[str]:
    """The limits in the order in which they matter."""
    return [*_of_patients(tasks), *_of_seeds(tasks), *_of_comparing(found, tasks)]


def _of_patients(tasks: Sequence[TaskFindings]) -> list[str]:
    said = []
    if paired := [f"{task.task} {task.patients:,}" for task in tasks if task.notes]:
        resamples = words.listed(sorted({f"{task.resamples:,}" for task in tasks if task.notes}))
        said.append(
            f"Intervals come from {resamples} bootstrap resamples of the test patients ({', '.join(paired)}). They say how "
            "a figure would move with other patients of the same kind, not at another hospital."
        )
    for task in tasks:
        if loose := [cell for cell in task.cells if not cell.bootstrapped]:
            said.append(
                f"{task.task}: {words.count_of(len(loose), 'setup')} could not be paired with others, because predictions "
                "are missing or are of other test notes; the intervals shown are the mean of the runs' own."
            )
    return said


def _of_seeds(tasks: Sequence[TaskFindings]) -> list[str]:
    said = []
    counts = {len(cell.runs) for task in tasks for cell in task.cells}
    if counts == {1}:
        said.append("Each setup was trained once. How much another seed would change a figure is unknown.")
    elif counts:
        said.append(
            "A figure is the mean over the seeds of its setup. Its interval holds the chance of the test patients and, as "
            "far as so few seeds tell it, of training; the range over seeds is shown beside it."
        )
    if any(len({run.seed for run in cell.runs}) < len(cell.runs) for task in tasks for cell in task.cells):
        said.append("Some runs share setup, task and seed; they are counted as repetitions.")
    return said


def _of_comparing(found: Gathered, tasks: Sequence[TaskFindings]) -> list[str]:
    said = []
    if any(len(task.cells) > 1 for task in tasks):
        said.append(
            "“Better” means that the 95 % interval of the paired difference excludes 0 and that its p-value, corrected for the "
            "number of all differences that this report speaks of (Holm), is below 0.05. The intervals themselves are not "
            "corrected: among twenty differences that are nothing, one is expected to look like something. The highest of "
            "several values is on average somewhat too high."
        )
    if len({run.result["task"] for run in found.classification}) < len(tasks):
        said.append(
            "Runs of one task's name were trained on different notes; they are shown as tasks of their own, with the first "
            "digits of the notes' hash, and are not compared."
        )
    if any(task.delong for task in tasks):
        said.append(
            "p-values by DeLong's test, shown where each patient has one note, are not corrected for their number."
        )
    if found.language:
        said.append("Perplexities are comparable only between runs with one tokenizer; bits per byte between any.")
    profiles = sorted({str(run.result.get("profile", "correct")) for run in found.classification} - {"correct"})
    if profiles:
        said.append(
            f"Runs of the profile {words.listed(profiles)} follow published behaviour on purpose, mistakes included."
        )
    if any(adapter.get("inert") for run in found.classification for adapter in run.lineage.get("adapters", [])):
        said.append(
            "As in the released code, a task adapter on a clinical one is there and never switched on: such a stack shows "
            "what the clinical adapter does alone."
        )
    return said
