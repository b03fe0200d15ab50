"""A study: a grid of runs in one folder, and the table and page of all of them.

The same command goes on with what is there; a grid may grow, and what is finished is never done again.
"""

from collections.abc import Sequence
from typing import Any

from clinstack.config import EngineOptions
from clinstack.errors import CannotWrite
from clinstack.runs.atomic import is_held, is_partial, read_json, wait_for_turn, write_json, write_text
from clinstack.runs.layout import StudyLayout
from clinstack.studies.cells import Work, fitting_workers, require_same_bases, work_local
from clinstack.studies.comparison import grid_of
from clinstack.studies.grid import Cell, Grid
from clinstack.studies.plan import peak_bytes
from clinstack.studies.ray_engine import work_ray
from clinstack.studies.report import write_report
from clinstack.training.running import Silent, Witness


def study(options: EngineOptions, witness: Witness | None = None) -> dict[str, Any]:
    """Trains the cells of a grid that are not finished, and writes table and page.

    options: of a grid file, or of one of the built-in tables (StudyOptions, Table3Options, Table4Options).

    Returns how many cells there are, which failed and why, and where the report is. Raises BadInput, CannotWrite or
    Interrupted, each with the sentence to show; a cell that fails stops nothing.
    """
    grid, layout, witness = grid_of(options), StudyLayout(options.out), witness or Silent()
    work = train_cells(grid, layout, options, witness)
    failed = {cell.name: reason for cell in grid.cells if (reason := work.reason(cell.key)) is not None}
    finished = sum(work.finished(cell.key) for cell in grid.cells)
    if finished:
        witness.says("Comparing the runs")
        write_report(layout.root, title=grid.title, published=grid.published)
    return {
        "title": grid.title,
        "cells": len(grid.cells),
        "finished": finished,
        "failed": failed,
        "report": str(layout.report) if finished else None,
    }


def begin_study(layout: StudyLayout, text: str) -> None:
    """Takes a new folder for a study, or finds it begun. text: what makes it this study and must stay the same.

    Raises CannotWrite if the folder is another study's or holds something else.
    """
    with wait_for_turn(layout.turn):
        if layout.cells.is_file():
            if layout.grid.read_text(encoding="utf-8") != text:
                raise CannotWrite(
                    f"{layout.root} holds another study, or this one under another protocol: see {layout.grid.name} there. "
                    "Choose another --out."
                )
            return
        _require_empty(layout, text)
        write_text(layout.grid, text)
        write_json(layout.cells, {})


def train_more(grid: Grid, layout: StudyLayout, options: EngineOptions, witness: Witness) -> Work:
    """Trains what is not finished of a grid that is a part of a study begun before. Raises Interrupted."""
    work = Work(grid, layout)
    with wait_for_turn(layout.turn):
        write_json(layout.cells, {**read_json(layout.cells), **{cell.key: cell.name for cell in grid.cells}})
    return _work_through(work, options, witness)


def train_cells(grid: Grid, layout: StudyLayout, options: EngineOptions, witness: Witness) -> Work:
    """Trains what is not finished of a grid in its folder. Raises BadInput if a task or corpus is not there, CannotWrite if the
    folder is another study's, or was trained on other notes or bases; Interrupted.
    """
    work = Work(grid, layout)
    work.require_data()
    work.require_same_adapters()
    require_same_bases(layout)
    _take_folder(work)
    return _work_through(work, options, witness)


def _work_through(work: Work, options: EngineOptions, witness: Witness) -> Work:
    work.forget_failures()
    if left := work.left():
        _train(work, left, options, witness)
    return work


def _train(work: Work, left: Sequence[Cell], options: EngineOptions, witness: Witness) -> None:
    told = f"{len(left)} of {len(work.grid.cells)} cells to train"
    if options.engine == "ray":
        witness.says(f"{told} on Ray")
        work_ray(work, options.address, witness)
        return
    fitting = options.workers or fitting_workers(left, lambda cell: peak_bytes(cell, work.grid))
    workers = min(len(left), fitting)
    witness.says(f"{told}, {workers} at a time")
    work_local(work, workers, witness, apart=options.workers == 0 and len(work.grid.cells) > 1)


def _take_folder(work: Work) -> None:
    """Makes sure that the folder is this study's. Raises CannotWrite if it is another's or holds something else.

    A grid may be mended: cells that failed may leave it, finished ones may not.
    """
    grid, layout = work.grid, work.layout
    cells = {cell.key: cell.name for cell in grid.cells}
    with wait_for_turn(layout.turn):
        if layout.cells.is_file():
            missing = {key: name for key, name in read_json(layout.cells).items() if key not in cells}
            if trained := [name for key, name in missing.items() if work.finished(key)]:
                raise CannotWrite(
                    f"{layout.root} holds another study: {len(trained)} of its finished cells are not in this grid, such as "
                    f"{trained[0]}. Choose another --out."
                )
            if missing:
                _require_idle(layout)
            for key in missing:
                work.forget_failure(key)
        else:
            _require_empty(layout, grid.text)
        write_text(layout.grid, grid.text)
        write_json(layout.cells, cells)


def _require_idle(layout: StudyLayout) -> None:
    """Raises CannotWrite if another command trains a cell there: it would train on, and find its study another one."""
    for key, name in read_json(layout.cells).items():
        if is_held(layout.claim(key)):
            raise CannotWrite(
                f"Another command trains {name} in {layout.root}, by a grid that has cells which this one has not. Wait for "
                "it, or choose another --out."
            )


def _require_empty(layout: StudyLayout, text: str) -> None:
    # This study may have been killed between its first files.
    begun = [layout.turn.name]
    if layout.grid.is_file() and layout.grid.read_text(encoding="utf-8") == text:
        begun.append(layout.grid.name)
    if any(entry.name not in begun and not is_partial(entry) for entry in layout.root.iterdir()):
        raise CannotWrite(f"{layout.root} exists, is not empty and is not a study. Choose another --out.")
