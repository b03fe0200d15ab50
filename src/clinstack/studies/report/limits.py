"""What the numbers of a report do not say, as sentences; only what applies to its runs."""

from collections.abc import Sequence

from clinstack.models.baseline import BASELINE
from clinstack.studies.report import words
from clinstack.studies.report.findings import TaskFindings
from clinstack.studies.report.gather import Gathered, Run


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
    cells = [cell for task in tasks for cell in task.cells if cell.setup.variant != BASELINE]
    if (once := sum(len(cell.runs) == 1 for cell in cells)) and any(len(cell.runs) > 1 for cell in cells):
        figures = f"{words.count_of(once, 'figure')} of networks {'is' if once == 1 else 'are'}"
        said.append(f"{figures} of one training: how much another seed would change it is in no interval of it.")
    if any(_on_one_step_1(cell.runs) for cell in cells):
        said.append(
            "The seeds of a clinical variant lie on one run of step 1: how much another would change them is in no interval."
        )
    if any(len({run.seed for run in cell.runs}) < len(cell.runs) for task in tasks for cell in task.cells):
        said.append("Some runs share setup, task and seed; they are counted as repetitions.")
    return said


def _on_one_step_1(runs: Sequence[Run]) -> bool:
    return (
        len(runs) > 1
        and len({run.lineage.get("clinical") for run in runs}) == 1
        and bool(runs[0].lineage.get("clinical"))
    )


def _of_comparing(found: Gathered, tasks: Sequence[TaskFindings]) -> list[str]:
    said = []
    if any(len(task.cells) > 1 for task in tasks):
        said.append(
            "“Better” means that the 95 % interval of the paired difference excludes 0 and that its p-value is below 0.05, "
            "corrected for the number of questions that this report asks (Holm) or, of the highest value of a column, of the "
            "others in it. The intervals themselves are not corrected: among twenty differences that are nothing, one is "
            "expected to look like something. The highest of several values is on average somewhat too high."
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
