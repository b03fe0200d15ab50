"""The tables of what a limited-data study cost: one run of each arm, and the whole grid."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinstack.studies.limited_data.costs import Total, grid_totals, naive_passes
from clinstack.studies.limited_data.encoding import Encoding
from clinstack.studies.limited_data.findings import TaskFindings
from clinstack.studies.limited_data.tables import with_limits
from clinstack.studies.report import words
from clinstack.studies.report.tables import Group, Table
from clinstack.training.machine import assumed_joules

_BUDGETS = (1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0)
"""Seconds of one run."""


def cost_table(findings: Sequence[TaskFindings], single: Mapping[str, Mapping[str, float]]) -> Table:
    """One run of each arm with all notes. single: task -> arm -> seconds for one note."""
    rows: list[Any] = []
    for task in findings:
        rows.append(Group(task.task))
        for point in task.at(0):
            costs = [one.cost for one in point.runs]
            phases = [
                words.duration(float(np.mean([one.seconds[phase] for one in costs]))) for phase in costs[0].seconds
            ]
            busy = float(np.mean([one.cpu_seconds for one in costs]))
            peak, energy = max(one.peak_bytes for one in costs), f"{assumed_joules(busy) / 3600:.3f} Wh"
            counted = [one.flops for one in costs if one.flops is not None]
            operations = words.operations(float(np.mean(counted))) if counted else words.NONE
            wait = f"{1000 * single[task.task][point.arm.name]:.1f} ms"
            rows.append([point.arm.name, *phases, words.duration(busy), operations, words.size(peak), energy, wait])
    timed = ("Tokenise", "Encode", "Train", "Evaluate")
    used = ("Processor time", "Operations (estimated)", "Peak memory", "Processor's energy (assumed)")
    columns = ("Arm", *timed, *used, "One note")
    return Table("One run on all notes, mean over splits", columns, rows)


def budget_table(findings: Sequence[TaskFindings]) -> Table:
    """What to train where a run may take so long, and no longer; a budget that buys nothing new is left out."""
    rows: list[Any] = []
    for task in findings:
        rows.append(Group(task.task))
        before = None
        for budget in _BUDGETS:
            best = task.within(budget)
            if best is not None and best is not before:
                before, scored = best, with_limits(best.draws.interval())
                rows.append([words.duration(budget), best.arm.name, scored, words.duration(best.seconds)])
    columns = ("A run may take", "Arm that validation prefers", "Macro F1 on test", "It takes")
    return Table("At equal time, with all training notes", columns, rows)


def notes_read(encoding: Encoding) -> int:
    """How often a note passed through a frozen encoder: once each at least, though a reading that is killed notes nothing."""
    return sum(max(one.computed, one.notes) for by_task in encoding.values() for one in by_task.values())


def total_table(runs: Sequence[Path], encoding: Encoding) -> Table:
    """The sums of all runs by kind, and what reading by each encoder took. encoding: see `encode_once`."""
    totals = grid_totals(runs)
    totals |= {
        f"reading all notes by {name}": Total(
            0, sum(one.seconds for one in by_task.values()), sum(one.cpu_seconds for one in by_task.values())
        )
        for name, by_task in encoding.items()
    }
    if totals:
        totals["all"] = sum(totals.values(), Total())
    rows: list[Any] = [
        [
            family,
            f"{one.runs:,}" if one.runs else "",
            words.duration(one.seconds),
            words.duration(one.cpu_seconds),
            f"{one.joules / 3600:.2f} Wh",
        ]
        for family, one in totals.items()
    ]
    passes = notes_read(encoding)
    if passes:
        naive = naive_passes(runs)
        anew = f"anew in every epoch of every run: {naive:,}, {naive / passes:,.0f} times as many"
        rows.append([f"notes read by frozen encoders: {passes:,}; {anew}", "", "", "", ""])
    columns = ("What", "Runs", "Time, one after the other", "Processor time", "Its energy (assumed)")
    return Table("The whole grid, learning rates that were not chosen included", columns, rows)
