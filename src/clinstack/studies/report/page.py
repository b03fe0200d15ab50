"""Fills the template: findings in, one HTML page out."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clinstack.studies.report import figures, panels, tables, words
from clinstack.studies.report.average import average_over_tasks
from clinstack.studies.report.findings import TaskFindings, answers, setup_labels
from clinstack.studies.report.gather import Gathered
from clinstack.studies.report.limits import limits


def render(found: Gathered, tasks: Sequence[TaskFindings], title: str) -> str:
    """The whole page as text."""
    names = setup_labels([cell.setup for task in tasks for cell in task.cells])
    looks = {setup: figures.style(number) for number, setup in enumerate(names)}
    answered = answers(tasks)
    adapting, adapting_lines = panels.step_one_figures(found.language)
    loader = PackageLoader("clinstack.studies.report", ".")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("report.html.j2").render(
        title=title,
        css=Markup(loader.get_source(page, "report.css")[0]),
        summary=words.summary(found, tasks, answered, names),
        headline=tables.headline_table(tasks, names, average_over_tasks(tasks)) if tasks else None,
        legend=[(figures.swatch(looks[setup]), names[setup]) for setup in panels.drawn_setups(tasks)],
        intervals=[panels.interval_figure(task, names, looks) for task in tasks],
        answers=tables.answer_table(answered, names) if answered else None,
        metrics=[tables.metric_table(task, names) for task in tasks],
        step_one=tables.step_one_table(found.language) if found.language else None,
        roc=[figure for task in tasks for figure in panels.roc_figure(task, names, looks)],
        calibration=[figure for task in tasks for figure in panels.reliability_figure(task, names, looks)],
        decisions=[figure for task in tasks for figure in panels.decision_figure(task, names, looks)],
        learning=panels.learning_figures(tasks, names, looks),
        adapting=adapting,
        adapting_legend=[(figures.swatch(look), name) for name, look in adapting_lines],
        costs=tables.cost_table(found, tasks, names),
        proofs=tables.proof_table(found, tasks, names),
        chains=tables.chains(found, tasks),
        more_chains=len(found.finished) - min(tables.MOST_CHAINS, len(tables.first_runs(found, tasks))),
        unfinished=found.unfinished,
        limits=limits(found, tasks),
        terms=sorted({str(term) for run in found.finished for term in run.lineage.get("terms", [])}),
        settings=tables.settings_table(found),
        versions=tables.versions(found),
    )
