"""Draws the parts, reads every note once by every encoder, trains the arms, and writes the findings.

The first split tries every learning rate of every arm; of two sizes of which one has at least half as many notes as the other
only at the smaller. What its validation part prefers is what the other splits, and the larger size, are trained with. So all
arms that have a rate have the same number of tries; baselines choose their strength anew in every split, which costs them
nothing. The same command goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import tomli_w

from clinstack.config import LimitedDataOptions, TrainOptions
from clinstack.data.notes import SPLITS
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput
from clinstack.runs.atomic import read_json
from clinstack.runs.layout import RunLayout, StudyLayout
from clinstack.studies.cells import Work, require_same_bases
from clinstack.studies.comparison import task_folders
from clinstack.studies.grid import Cell, Grid, make_cell
from clinstack.studies.limited_data.arms import Arm, make_arms
from clinstack.studies.limited_data.costs import clock_of
from clinstack.studies.limited_data.encoding import encode_once
from clinstack.studies.limited_data.findings import findings_of
from clinstack.studies.limited_data.latency import time_single_notes
from clinstack.studies.limited_data.page import Findings, write_findings
from clinstack.studies.limited_data.parts import Part, SplitBy, draw_parts, parse_sizes
from clinstack.studies.limited_data.scores import Trained, score, validation_of
from clinstack.studies.study import begin_study, train_more
from clinstack.training.machine import choose_device
from clinstack.training.running import Silent, Witness

_TITLE = "Limited data"
_PROTOCOL = ("profile", "steps", "patience", "batch_size", "max_tokens", "precision")
"""What must stay the same in one folder; tasks, sizes, seeds and arms may be added."""
_CELL_RESAMPLES = 100
"""A cell's own intervals are not shown; the study's come from all cells together."""


@dataclass(frozen=True)
class _Slot:
    """What the cells of one learning rate have in common: arm, task, split and place on the curve (0 for all notes)."""

    arm: Arm
    task: str
    by: SplitBy
    place: int


def limited_data(options: LimitedDataOptions, witness: Witness | None = None) -> dict[str, Any]:
    """Runs the study, or goes on with it; returns its findings and where its page is.

    Raises BadInput, CannotWrite or Interrupted, each with the sentence to show; a cell that fails stops nothing.
    """
    witness, layout = witness or Silent(), StudyLayout(options.out)
    arms = make_arms(options)
    tasks = _open(task_folders(options.tasks))
    protocol = options.model_dump(include=set(_PROTOCOL))
    begin_study(layout, tomli_w.dumps({"title": _TITLE, **protocol}))
    require_same_bases(layout)
    parts = _draw(options, tasks, layout, witness)
    notes: dict[str, list[Path]] = {}
    for part in parts:
        if part.whole and not part.noise:
            notes.setdefault(part.task, []).append(part.folder)
    encoding = encode_once(options, notes, layout, witness)
    cells: dict[tuple[_Slot, Part, float | None], Cell] = {}
    best: dict[_Slot, float | None] = {}
    main = _largest_first(part for part in parts if part.by == _main(options) and not part.noise)
    tried_at = _tried_at({_slot(arm, part): part.size for part in main for arm in arms if arm.learns_from(part)})
    # The first split, and the next one for what the first cannot train, or has no part for.
    for seed, own in product(range(1, options.seeds + 1), (True, False)):
        tried = {
            (slot, part, rate): _cell(arm, part, rate, layout)
            for part in main
            for arm in arms
            if part.seed == seed and arm.learns_from(part)
            if (slot := _slot(arm, part)) not in best and (tried_at[slot] == slot) == own
            for rate in arm.rates or (None,)
        }
        if tried:
            cells |= tried
            best |= _best_rates(tried, train_more(_grid(tried.values()), layout, options, witness))
            best |= {slot: best[place] for slot, place in tried_at.items() if slot not in best and place in best}
    chosen = {
        (_slot(arm, part), part): _cell(arm, part, best[like], layout)
        for part in _largest_first(parts)
        for arm in arms
        if arm.learns_from(part) and (like := replace(_slot(arm, part), by=_main(options))) in best
    }
    whole = {cell.key: cell for cell in [*cells.values(), *chosen.values()]}
    begun = {cell.key for cell in cells.values()}  # what failed just now would fail again
    train_more(_grid(cell for key, cell in whole.items() if key not in begun), layout, options, witness)
    work = Work(_grid(whole.values()), layout)
    failed = {cell.name: reason for cell in whole.values() if (reason := work.reason(cell.key)) is not None}
    trained = [
        Trained(slot.arm, part, slot.place, best[replace(slot, by=_main(options))], RunLayout(layout.run(cell.key)))
        for (slot, part), cell in sorted(chosen.items(), key=lambda one: parts.index(one[0][1]))
        if work.finished(cell.key)
    ]
    witness.says("Comparing the arms")
    patients = {task.name: _patients(task) for task in tasks}
    scored = score(trained, patients, encoding, options.resamples, clock_of(choose_device(options.device)))
    findings = findings_of(scored, _main(options))
    seconds = {one.task: time_single_notes(one.at(0), layout, witness) for one in findings}
    runs = [layout.run(cell.key) for cell in whole.values()]
    return write_findings(options, Findings(scored, findings, _main(options), encoding, seconds, runs, failed), layout)


def _largest_first(parts: Iterable[Part]) -> list[Part]:
    """As they are trained: no worker is left with a long training when the others are done."""
    return sorted(parts, key=lambda part: part.size, reverse=True)


def _patients(task: Task) -> dict[str, str]:
    """Whose each note is."""
    notes = task.read_all()
    return dict(zip(notes.column("note_id").to_pylist(), notes.column("patient_id").to_pylist(), strict=True))


def _open(folders: Sequence[str]) -> list[Task]:
    tasks = [open_task(Path(folder)) for folder in folders]
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise BadInput(f"Two tasks have the same name: {', '.join(names)}. Make one of them again with another --name.")
    return tasks


def _main(options: LimitedDataOptions) -> SplitBy:
    """How the curves' parts are split; the imitation of the published protocol splits by line."""
    return "line" if options.profile == "as-described" else "patient"


def _draw(options: LimitedDataOptions, tasks: Sequence[Task], layout: StudyLayout, witness: Witness) -> list[Part]:
    seeds, sizes, by = range(1, options.seeds + 1), parse_sizes(options.sizes), _main(options)
    parts: list[Part] = []
    for task in tasks:
        witness.says(f"Drawing parts of {task.name}")
        parts += draw_parts(task, by, seeds, sizes, layout, list(dict.fromkeys(options.label_noise)))
        if options.line_split == "largest" and by == "patient" and _share_patients(task):
            parts += draw_parts(task, "line", seeds, [0], layout)
        if options.own_split == "largest" or (options.own_split == "auto" and by == "patient" and _shifts(task)):
            parts += draw_parts(task, "own", seeds, [0], layout)
    return parts


def _shifts(task: Task) -> bool:
    """Whether its own test part was written later or elsewhere than what is trained on."""
    rule = task.build.get("split")
    return isinstance(rule, dict) and rule.get("by") in ("time", "site")


def _share_patients(task: Task) -> bool:
    """Whether some notes are of the same patient, so that a split by line can leak."""
    counts = [task.counts[split] for split in SPLITS]
    return bool(sum(one["notes"] for one in counts) > sum(one["patients"] for one in counts))


def _slot(arm: Arm, part: Part) -> _Slot:
    return _Slot(arm, part.task, part.by, 0 if part.whole else part.size)


def _tried_at(notes: Mapping[_Slot, int]) -> dict[_Slot, _Slot]:
    """Where each slot's rate is tried: the larger of two neighbouring sizes takes it over from the smaller, which costs less.

    notes: how many a slot's parts have. A size stands alone beside one that has less than half as many.
    """
    curves: dict[tuple[Arm, str], list[_Slot]] = {}
    for slot in sorted(notes, key=notes.__getitem__, reverse=True):
        curves.setdefault((slot.arm, slot.task), []).append(slot)
    found: dict[_Slot, _Slot] = {}
    for curve in curves.values():
        for slot, smaller in zip_longest(curve, curve[1:]):
            if slot not in found:
                near = smaller is not None and 2 * notes[smaller] >= notes[slot]
                found |= {slot: smaller, smaller: smaller} if near else {slot: slot}
    return found


def _cell(arm: Arm, part: Part, rate: float | None, layout: StudyLayout) -> Cell:
    trained = {"learning_rate": rate} if rate is not None else {}
    if arm.pace is not None:
        trained |= arm.pace.options(part.size)
    options = {**arm.options, **trained, "task": part.folder, "seed": part.seed, "resamples": _CELL_RESAMPLES}
    cell = make_cell(TrainOptions, options, arm.name, layout.runs)
    noise = f", {part.noise:.0%} wrong labels" if part.noise else ""
    return replace(cell, name=f"{arm.name}, {part.task}, {part.size:,} notes{noise}, {part.by} split {part.seed}")


def _grid(cells: Iterable[Cell]) -> Grid:
    return Grid(_TITLE, tuple(cells), "")


def _best_rates(cells: dict[tuple[_Slot, Part, float | None], Cell], work: Work) -> dict[_Slot, float | None]:
    """The rate that each slot's validation part prefers, of those that could be trained; the lower of equals."""
    scores: dict[_Slot, list[tuple[tuple[float, float], float]]] = {}
    for (slot, _, rate), cell in cells.items():
        if work.finished(cell.key):
            result = read_json(RunLayout(work.layout.run(cell.key)).result)
            scores.setdefault(slot, []).append((validation_of(result), -(rate or 0.0)))
    return {slot: -max(found)[1] or None for slot, found in scores.items()}
