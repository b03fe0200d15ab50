"""The one function of the report: folder in, page and table out."""

from pathlib import Path

from clinstack.errors import BadInput
from clinstack.runs.atomic import write_json, write_text
from clinstack.runs.layout import StudyLayout
from clinstack.studies.report.findings import compare_runs
from clinstack.studies.report.gather import gather
from clinstack.studies.report.page import compose, render, render_markdown
from clinstack.studies.report.plain_page import GENERATOR
from clinstack.studies.report.rows import flat_rows


def write_report(folder: Path, out: Path | None = None, title: str | None = None, published: str | None = None) -> Path:
    """Writes one self-contained HTML page about all runs below `folder`, and beside it `table.json` and `table.md`.

    out:       the page to write; by default `report.html` in `folder`.
    title:     its heading; by default the folder's name.
    published: name of a published table that is set beside the results.
    Returns the page's path. Raises BadInput if there is no finished run, or the page is another's. Costs up to a minute for a
    study of large tasks, nearly all of it the bootstrap of paired differences.
    """
    found = gather(folder)
    if not found.finished:
        begun = f" ({len(found.unfinished)} unfinished)" if found.unfinished else ""
        raise BadInput(
            f"{folder} holds no finished run{begun}: no folder in it has a readable result.json. "
            "Give the folder in which `adapt`, `train` or `study` wrote its runs."
        )
    page = StudyLayout(folder).report if out is None else out
    _require_own_page(page)
    tasks = compare_runs(found.classification, found.language)
    view = compose(found, tasks, title or f"Report on {folder.resolve().name}", published)
    write_text(page, render(view))
    write_json(StudyLayout(page.parent).table, flat_rows(found))
    write_text(StudyLayout(page.parent).markdown, render_markdown(view))
    return page


def _require_own_page(page: Path) -> None:
    """Raises BadInput if a page is there that a study made of its own tables, which this one would be written over."""
    if page.is_file() and GENERATOR in page.read_text(encoding="utf-8", errors="replace"):
        raise BadInput(
            f"{page} is a study's own page, which its command writes. Give --out, in another folder, for one of its runs."
        )
