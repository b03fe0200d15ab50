"""Composes what a report shows, and fills the template: findings in, one HTML page out."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinstack.studies.report import figures, panels, tables, words
from clinstack.studies.report.average import average_over_tasks
from clinstack.studies.report.findings import TaskFindings, answers, setup_labels
from clinstack.studies.report.gather import Gathered
from clinstack.studies.report.limits import limits
from clinstack.studies.report.plain_page import as_markdown, environment


def compose(found: Gathered, tasks: Sequence[TaskFindings], title: str, published: str | None) -> dict[str, Any]:
    """Everything that the page shows, by its name in the template."""
    names = setup_labels([cell.setup for task in tasks for cell in task.cells])
    looks = {setup: figures.style(number) for number, setup in enumerate(names)}
    answered = answers(tasks)
    adapting, adapting_lines = panels.step_one_figures(found.language)
    return {
        "title": title,
        "summary": words.summary(found, tasks, answered, names),
        "headline": tables.headline_table(tasks, names, average_over_tasks(tasks)) if tasks else None,
        "published": tables.published_table(published) if published else None,
        "legend": [(figures.swatch(looks[setup]), names[setup]) for setup in panels.drawn_setups(tasks)],
        "intervals": [panels.interval_figure(task, names, looks) for task in tasks],
        "answers": tables.answer_table(answered, names) if answered else None,
        "metrics": [tables.metric_table(task, names) for task in tasks],
        "step_one": tables.step_one_table(found.language) if found.language else None,
        "roc": [figure for task in tasks for figure in panels.roc_figure(task, names, looks)],
        "calibration": [figure for task in tasks for figure in panels.reliability_figure(task, names, looks)],
        "decisions": [figure for task in tasks for figure in panels.decision_figure(task, names, looks)],
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
        "versions": tables.versions(found),
    }


def render(view: Mapping[str, Any]) -> str:
    """The whole page as text."""
    page, css = environment()
    return page.get_template("report.html.j2").render(css=css, **view)


def render_markdown(view: Mapping[str, Any]) -> str:
    """The tables of results for a document."""
    shown = [view["headline"], view["published"], view["answers"]]
    return "\n".join([f"# {view['title']}\n", *(f"{one.caption}:\n\n{as_markdown(one)}" for one in shown if one)])
