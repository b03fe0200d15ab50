"""A page of tables and pictures that are not comparisons of runs, and any table as Markdown for a document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clinstack.studies.report.figures import Figure
from clinstack.studies.report.tables import Group, Measured, Table

GENERATOR = Markup('<meta name="generator" content="clinstack study">')
"""In every page that is made here, and in no other."""


@dataclass(frozen=True)
class Section:
    """A part of a page under its own heading; its note may be marked up."""

    title: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    note: str | Markup = ""


def environment() -> tuple[Environment, Markup]:
    """The templates of all pages, and their style sheet."""
    loader = PackageLoader("clinstack.studies.report", ".")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made, Markup(loader.get_source(made, "report.css")[0])


def render_sections(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page as text."""
    made, css = environment()
    return made.get_template("tables.html.j2").render(
        title=title, summary=summary, sections=sections, css=css, generator=GENERATOR
    )


def as_markdown(table: Table) -> str:
    """A table in Markdown under its caption; of a measured cell the value and, in brackets, its interval."""
    lines = [f"*{table.caption}*", "", *_rows_as_markdown(table)]
    return "\n".join(lines) + "\n"


def _rows_as_markdown(table: Table) -> list[str]:
    lines = [f"| {' | '.join(table.columns)} |", "|" + "---|" * len(table.columns)]
    for row in table.rows:
        if isinstance(row, Group):
            cells = [f"**{row.title}**{f' ({row.note})' if row.note else ''}"]
            cells += [""] * (len(table.columns) - 1)
        else:
            cells = [_markdown_cell(cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _markdown_cell(cell: Any) -> str:
    if isinstance(cell, Measured):
        value = f"**{cell.value}**" if cell.best else f"{cell.value} ≈" if cell.near else cell.value
        return f"{value} ({cell.limits})" if cell.limits else value
    return str(cell).replace("|", "\\|")
