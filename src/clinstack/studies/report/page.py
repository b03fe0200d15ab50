"""Composes what a report shows, and fills the template: findings in, one HTML page out."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinstack.studies.report import figures, panels, tables, words
from clinstack.studies.report.answers import answers
from clinstack.studies.report.average import average_over_tasks
from clinstack.studies.report.findings import TaskFindings
from clinstack.studies.report.gather import Gathered
from clinstack.studies.report.limits import limits
from clinstack.studies.report.plain_page import as_markdown, environment
from clinstack.studies.report.setups import setup_labels

_TOLD = ("headline", "failed", "published", "answers")
"""The tables of a page that are written for a document too."""


def compose(found: Gathered, tasks: Sequence[TaskFindings], title: str, published: str | None) -> dict[str, Any]:
    """Everything that the page shows, by its name in the template."""
    names = setup_labels([cell.setup for task in tasks for cell in task.cells])
    looks = {setup: figures.style(number) for number, setup in enumerate(names)}
    average = average_over_tasks(tasks)
    answered = answers(tasks)
    said = [panels.prediction_figures(task, names, looks) for task in tasks]
    adapting, adapting_lines = panels.step_one_figures(found.language)
    return {
        "title": title,
        "summary": words.summary(found, tasks, answered, names),
        "headline": tables.headline_table(tasks, names, average) if tasks else None,
        "marks": words.MARKS,
        "failed": tables.failed_table(found),
        "published": tables.published_table(published) if published else None,
        "legend": [(figures.swatch(looks[setup]), names[setup]) for setup in panels.drawn_setups(tasks)],
        "intervals": [panels.interval_figure(task, names, looks) for task in tasks],
        "answers": tables.answer_table(answered, names) if answered else None,
        "metrics": [tables.metric_table(task, names) for task in tasks],
        "step_one": tables.step_one_table(found.language) if found.language else None,
        "roc": [figure for one in said for figure in one.roc()],
        "calibration": [figure for one in said for figure in one.reliability()],
        "decisions": [figure for one in said for figure in one.net_benefit()],
        "abstention": [figure for one in said for figure in one.abstention()],
        "learning": panels.learning_figures(tasks, names, looks),
        "adapting": adapting,
        "adapting_legend": [(figures.swatch(look), name) for name, look in adapting_lines],
        "costs": tables.cost_table(found, tasks, names),
        "proofs": tables.proof_table(found, tasks, names),
        "chains": tables.chains(found, tasks),
        "more_chains": len(found.finished) - min(tables.MOST_CHAINS, len(tables.first_runs(found, tasks))),
        "unfinished": found.unfinished,
        "limits": limits(found, tasks),
        "terms": sorted({str(term) for run in found.finished for term in run.lineage.get("terms", [])}),
        "settings": tables.settings_table(found),
        "versions": [*tables.devices(found), *tables.versions(found)],
    }


def render(view: Mapping[str, Any]) -> str:
    """The whole page as text."""
    page, css = environment()
    return page.get_template("report.html.j2").render(css=css, **view)


def render_markdown(view: Mapping[str, Any]) -> str:
    """The tables of results for a document."""
    tables_of = {name: f"{view[name].caption}:\n\n{as_markdown(view[name])}" for name in _TOLD if view[name]}
    if "headline" in tables_of:
        tables_of["headline"] += f"\nIn brackets: the 95 % interval. {view['marks']}\n"
    limits_told = "Limits:\n\n" + "".join(f"* {one}\n" for one in view["limits"])
    return "\n".join([f"# {view['title']}\n", *tables_of.values(), limits_told])
