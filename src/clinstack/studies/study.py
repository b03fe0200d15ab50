"""A study: a grid of runs in one folder, and the table and page of all of them.

The same command goes on with what is there; a grid may grow, and what is finished is never done again.
"""

from typing import Any

from clinstack.config import Options, StudyOptions
from clinstack.errors import CannotWrite
from clinstack.runs.atomic import read_json, wait_for_turn, write_json, write_text
from clinstack.runs.layout import StudyLayout
from clinstack.studies.cells import Work, fitting_workers, work_local
from clinstack.studies.grid import Cell, Grid, read_grid
from clinstack.studies.ray_engine import work_ray
from clinstack.studies.report import write_report
from clinstack.training.running import Silent, Witness


def study(options: StudyOptions, witness: Witness | None = None) -> dict[str, Any]:
    """Trains the cells of a grid file that are not finished, and writes table and page.

    Returns how many cells there are, which failed and why, and where the report is. Raises BadInput, CannotWrite or
    Interrupted, each with the sentence to show; a cell that fails stops nothing.
    """
    layout = StudyLayout(options.out)
    return run_study(read_grid(options.grid, layout.runs), layout, options, witness or Silent())


def run_study(grid: Grid, layout: StudyLayout, options: StudyOptions, witness: Witness) -> dict[str, Any]:
    """What `study` does with a grid that is read."""
    _take_folder(grid, layout)
    work = Work(grid, layout)
    work.forget_failures()
    if left := work.left():
        _train(work, len(left), options, witness)
    failed = {cell.name: reason for cell in grid.cells if (reason := work.reason(cell.key)) is not None}
    finished = sum(work.finished(cell.key) for cell in grid.cells)
    if finished:
        witness.says("Comparing the runs")
        write_report(layout.root, title=grid.title)
    return {
        "title": grid.title,
        "cells": len(grid.cells),
        "finished": finished,
        "failed": failed,
        "report": str(layout.report) if finished else None,
    }


def _train(work: Work, left: int, options: StudyOptions, witness: Witness) -> None:
    cells = len(work.grid.cells)
    if options.engine == "ray":
        witness.says(f"{left} of {cells} cells to train on Ray")
        work_ray(work, options.address, witness)
        return
    workers = min(left, options.workers or fitting_workers(work.grid, _planned_bytes))
    witness.says(f"{left} of {cells} cells to train, {workers} at a time")
    work_local(work, workers, witness)


def _take_folder(grid: Grid, layout: StudyLayout) -> None:
    """Makes sure that the folder is this study's. Raises CannotWrite if it is another's or holds something else."""
    cells = {cell.key: cell.name for cell in grid.cells}
    with wait_for_turn(layout.turn):
        if layout.cells.is_file():
            missing = [name for key, name in read_json(layout.cells).items() if key not in cells]
            if missing:
                raise CannotWrite(
                    f"{layout.root} holds another study: {len(missing)} of its cells are not in this grid, such as "
                    f"{missing[0]}. Choose another --out."
                )
        elif any(entry.name != layout.turn.name for entry in layout.root.iterdir()):
            raise CannotWrite(f"{layout.root} exists, is not empty and is not a study. Choose another --out.")
        write_text(layout.grid, grid.text)
        write_json(layout.cells, cells)


def _planned_bytes(cell: Cell) -> float:
    """What a cell's process needs at once."""
    from clinstack.models.baseline import baselines
    from clinstack.studies.plan import plan

    if cell.options.base in baselines():
        return 2.0**30
    options: Options = cell.options
    if cell.after is not None:  # its clinical adapter is not there yet, and small
        options = cell.options.model_copy(update={"clinical": None, "clinical_mode": "frozen"})
    return float(plan(options)["peak_bytes"])
