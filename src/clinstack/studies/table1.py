"""Table 1 of Gema et al. 2023: the tasks made from a hospital's tables, and their sizes beside the published ones."""

from collections.abc import Mapping
from typing import Any

import tomli_w

from clinstack.config import Table1Options
from clinstack.data.notes import SPLITS
from clinstack.data.published import TABLE_1
from clinstack.data.sources.mimic3 import build_mimic3
from clinstack.errors import CannotWrite
from clinstack.runs.atomic import read_json, write_json, write_text
from clinstack.runs.layout import BuildLayout, StudyLayout
from clinstack.studies.report import words
from clinstack.studies.report.plain_page import Section, as_markdown, render_sections
from clinstack.studies.report.tables import Measured, Table
from clinstack.training.running import Silent, Witness

_FOLDER = "tasks"
_MODES = {"correct": "strict", "as-described": "reference", "as-released": "reference"}
_NOTE = (
    "In small type: what Gema et al. 2023 report of MIMIC-III v1.4 under the published rules. Of another hospital, or with the "
    "rules corrected, other figures are to be expected."
)


def table1(options: Table1Options, witness: Witness | None = None) -> dict[str, Any]:
    """Makes the tasks unless they are there already, and writes the table of their sizes.

    Returns the build, the table's rows, and where tasks and report are. Raises what `build_mimic3` does; CannotWrite if the
    folder holds tasks of other options.
    """
    layout = StudyLayout(options.out)
    build = _made(options, layout, witness or Silent())
    rows = [_row(name, task) for name, task in build["tasks"].items()]
    write_json(layout.table, rows)
    table, funnel = _table(rows), _funnel(build)
    title = f"Table 1: tasks and their sizes ({options.profile})"
    summary = [
        f"Rules: {build['mode']}. Split: {build['split']}. Warnings: {len(build['warnings'])}.",
        *build["warnings"],
    ]
    sections = [Section("Tasks", [table], note=_NOTE), Section("What each rule left", [funnel])]
    write_text(layout.report, render_sections(title, summary, sections))
    write_text(layout.markdown, as_markdown(table) + "\n" + as_markdown(funnel))
    return {"build": build, "rows": rows, "tasks": str(options.out / _FOLDER), "report": str(layout.report)}


def _made(options: Table1Options, layout: StudyLayout, witness: Witness) -> dict[str, Any]:
    """The build's record, of this call or of one before it with the same options."""
    asked = tomli_w.dumps({key: str(value) for key, value in options.model_dump(exclude={"out"}).items()})
    folder = options.out / _FOLDER
    record = BuildLayout(folder).build
    if record.is_file():
        if not layout.grid.is_file() or layout.grid.read_text(encoding="utf-8") != asked:
            raise CannotWrite(f"{folder} holds the tasks of another source or of other options. Choose another --out.")
        witness.says("The tasks are there already")
        return dict(read_json(record))
    build = build_mimic3(
        options.source,
        folder,
        tasks=[name.strip() for name in options.tasks.split(",") if name.strip()],
        mode=_MODES[options.profile],
        split_lists=options.split_lists,
        given=options.model_dump(include={"ventilation_labels", "ventilation_durations"}),
        seed=options.seed,
        terms=options.terms,
        says=witness.says,
    )
    write_text(layout.grid, asked)
    return build


def _row(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """A task's sizes under flat names, the published ones beside them."""
    counts = task["counts"]
    row: dict[str, Any] = {"task": name, "kind": task["kind"], "classes": len(counts["train"]["classes"])}
    for split in SPLITS:
        row |= {f"{split}_notes": counts[split]["notes"], f"{split}_patients": counts[split]["patients"]}
    labels = sum(counts["train"]["classes"].values())
    row["labels_per_note"] = labels / max(1, counts["train"]["notes"])
    row["rarest_class_in_train"] = min(counts["train"]["classes"].values(), default=0)
    if name in TABLE_1:
        classes, notes = TABLE_1[name]
        row["classes_published"] = classes
        row |= {f"{split}_notes_published": number for split, number in zip(SPLITS, notes, strict=True)}
    return row


def _table(rows: list[dict[str, Any]]) -> Table:
    def beside(row: Mapping[str, Any], key: str) -> Measured:
        return Measured(words.whole(row[key]), words.whole(row.get(f"{key}_published")))

    shown = [
        [
            row["task"],
            row["kind"],
            beside(row, "classes"),
            *(beside(row, f"{split}_notes") for split in SPLITS),
            words.whole(sum(row[f"{split}_patients"] for split in SPLITS)),
            words.figure(row["labels_per_note"], 2),
            words.whole(row["rarest_class_in_train"]),
        ]
        for row in rows
    ]
    columns = ["task", "kind", "classes", *SPLITS, "patients", "labels a note", "rarest class, train"]
    return Table("Notes by task and split", columns, shown, headings=2)


def _funnel(build: Mapping[str, Any]) -> Table:
    rows = [
        [row["rule"], f"{row['unit']} {row['what']}", words.whole(row["left"]), words.whole(row["dropped"])]
        for row in build["funnel"]
    ]
    columns = ["rule", "what is left", "left", "dropped"]
    return Table("Admission notes: how many each rule left and dropped", columns, rows, headings=2)
