"""The limited-data study as a page, as Markdown and as rows: a section per question, and before them what to use."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinstack.config import LimitedDataOptions
from clinstack.runs.atomic import read_json, write_json, write_text
from clinstack.runs.layout import RunLayout, StudyLayout
from clinstack.studies.limited_data import confusion, cost_tables, description, pictures, tables
from clinstack.studies.limited_data.calibration import calibrated
from clinstack.studies.limited_data.costs import naive_passes
from clinstack.studies.limited_data.encoding import Encoding
from clinstack.studies.limited_data.findings import TaskFindings
from clinstack.studies.limited_data.parts import SplitBy
from clinstack.studies.limited_data.recommendation import recommend
from clinstack.studies.limited_data.scores import HEADLINE, Scored
from clinstack.studies.limited_data.slices import slices
from clinstack.studies.report.plain_page import Section, as_markdown, render_sections
from clinstack.studies.report.tables import Table
from clinstack.training.machine import WATTS_PER_CORE, assumed_joules

_IMITATION = (
    "This is an imitation of the published protocol: one split by line, batches of 8, all notes. Learning rate, epochs, widths "
    "and dropout, where layers begin and what was frozen are not published and are guesses here. Do not compare its figures "
    "with the published."
)
_MARKS = (
    "Weights are those that train. In bold: better than all others; ≈: not distinguishable from the highest, by the interval "
    "of the difference and a p-value that is corrected for the number of the others."
)
_ONCE = (
    "Everything was split and trained once. Intervals and verdicts hold the chance of the test patients alone: another split "
    "or another training may say otherwise."
)
_SECOND_VIEW = (
    "McNemar: a second view, which asks how often each is right instead of macro F1, and takes notes to be independent; twice "
    "the median of the splits' p-values, which holds however these depend on each other."
)
_VERDICTS = (
    "Written down before the study ran. Supported: the whole 95 % interval of the difference is on the side of the statement; "
    "refuted: it is on the other; undecided: neither, or no resample made any difference. Where the best of several is meant, "
    "validation chose it."
)
_COSTS = (
    "A run's seconds are those of one training, at the learning rate that was chosen; on a processor those of one core, "
    "whatever number of cores it had. Encode: what reading all its notes by a "
    "frozen encoder takes whoever trains this one model; the study reads them once for all, as the totals show. Energy assumes "
    f"{WATTS_PER_CORE:g} watts a busy core and is no measurement; an accelerator's is not in it. One note: the median of 30, "
    "one by one on the processor. Operations: two for each weight and token read, and twice that again for each weight that "
    "learns; baselines and SetFit do not count theirs. Peak memory is that of the whole process, which trained others before. "
    "Never compare a total of many runs with one run."
)
_LEAKAGE = "Split by line, a patient's other lines are in the training part. What that adds is learned by heart."
_SHIFT = (
    "Where the task's own test part is of a later time or of another site, what is lost against the split by patient, which "
    "chance draws, is what a model loses when it is used there; as far as it has as many notes to learn from."
)
_CALIBRATION = (
    "Error: what the probabilities and the outcomes differ by, 0 best; scaled: with the temperature that the validation part "
    "gave. The Brier score (of several classes, of the one that is decided) is, but for what probabilities differ by within "
    "a bin, reliability (0 best) minus resolution (high best) plus what no model can change."
)
_CONFUSION = "Of the arm that validation prefers; test notes of a split, mean over splits. A row is what notes are."
_NOISE = (
    "What has a learning rate is trained at the one that right labels chose; baselines choose their strength by wrong ones. "
    "That favours the former."
)
_ABSTENTION = (
    "How often a model is wrong that answers only the notes it is surest of: by the probability of the class it decides, or of "
    "its least sure label, all of which must be right. Drawn: the arm of each family that validation prefers."
)
_SLICES = (
    "The arm of each family that validation prefers. Nearly a training note: four fifths of the groups of three words of both "
    "are shared. Negation is found by a list of words, in French and English."
)


@dataclass(frozen=True)
class Findings:
    """All that is written. main: how the curves' parts were split.   failed: cell -> why.

    seconds: task -> arm -> for one note.
    runs: the folders of all cells, those of learning rates that were not chosen included.
    """

    scored: Sequence[Scored]
    tasks: Sequence[TaskFindings]
    main: SplitBy
    encoding: Encoding
    seconds: Mapping[str, Mapping[str, float]]
    runs: Sequence[Path]
    failed: Mapping[str, str]


def write_findings(options: LimitedDataOptions, found: Findings, layout: StudyLayout) -> dict[str, Any]:
    """Writes `table.json`, `table.md` and `report.html`; returns a short account of them."""
    encoding = found.encoding
    write_json(layout.table, [_row(one) for one in found.scored])
    sections = [section for section in _sections(options, found, encoding) if section.tables]
    advice = [recommend(one) for one in found.tasks]
    imitated = [_IMITATION] if options.profile == "as-described" else []
    once = [_ONCE] if options.seeds == 1 else []
    summary = [*imitated, *once, *advice, *description.warnings(found.tasks, encoding, options.max_tokens)]
    write_text(layout.report, render_sections("Limited data: which model to use", summary, sections))
    write_text(layout.markdown, "\n\n".join([*summary, *map(_section_as_markdown, sections)]))
    return {
        "notes_read": cost_tables.notes_read(encoding),
        "notes_read_naively": naive_passes(found.runs),
        "cells": len(found.runs),
        "finished": sum(RunLayout(run).result.is_file() for run in found.runs),
        "failed": dict(found.failed),
        "recommendation": advice,
        "hypotheses": {one.task: {h.name: h.verdict for h in one.hypotheses()} for one in found.tasks},
        "report": str(layout.report),
    }


def _section_as_markdown(section: Section) -> str:
    parts = [f"## {section.title}", *map(as_markdown, section.tables), str(section.note)]
    return "\n\n".join(part for part in parts if part)


def _sections(options: LimitedDataOptions, found: Findings, encoding: Encoding) -> list[Section]:
    """In the order in which a reader asks."""
    tasks = found.tasks
    trusted = [(one.task, calibrated(one.at(0), options.resamples)) for one in tasks]
    told = [best for one in tasks if (best := one.best(0)) is not None and confusion.has_one(best)]
    sliced = [(one.task, slices(one.best_of_families(), options.resamples)) for one in tasks]
    said = [pictures.best_arms_say(one) for one in tasks if one.at(0)]
    holding = [figure for one in said for figure in [*one.reliability(), *one.net_benefit()]]
    leaving = [figure for one in said for figure in one.abstention()]
    costs = [
        cost_tables.cost_table(tasks, found.seconds),
        cost_tables.budget_table(tasks),
        cost_tables.total_table(found.runs, encoding),
    ]
    return [
        Section("All notes", [tables.headline_table(tasks)], note=_how_sure(options)),
        Section(
            "What was compared",
            [description.task_table(tasks), *_if_any(description.encoder_table(encoding, options.max_tokens))],
            note=description.how(options),
        ),
        Section("Learning curves", [tables.curve_table(tasks)], pictures.curves(tasks)),
        Section("Does a head adapter help, or a LoRA?", [tables.structure_table(tasks)], note=_SECOND_VIEW),
        Section("Asked before it ran", [tables.hypothesis_table(tasks)], note=_VERDICTS),
        Section("Where encoders overtake", _if_any(tables.crossing_table(tasks))),
        Section(
            "What a split by line would have claimed",
            _if_any(tables.split_table(tasks, "line", found.main)),
            note=_LEAKAGE,
        ),
        Section("In the task's own parts", _if_any(tables.split_table(tasks, "own", found.main)), note=_SHIFT),
        Section("What it cost", costs, pictures.cost_pictures(tasks), _COSTS),
        Section("Do the probabilities hold?", [tables.calibration_table(trusted)], holding, _CALIBRATION),
        Section("If it leaves notes to a person", [tables.abstention_table(trusted)], leaving, _ABSTENTION),
        Section("On which notes it fails", _if_any(tables.slice_table(sliced)), note=_SLICES),
        Section("If labels are wrong", _if_any(tables.noise_table(tasks)), note=_NOISE),
        Section("What is taken for what", [confusion.table(best) for best in told], note=_CONFUSION),
        Section("Every metric, all notes", tables.metric_tables(tasks)),
        Section("What failed", _if_any(_failure_table(found.failed))),
    ]


def _if_any(table: Table | None) -> list[Table]:
    return [table] if table else []


def _failure_table(failed: Mapping[str, str]) -> Table | None:
    rows = [[name, reason] for name, reason in failed.items()]
    return Table("Cells without a result.", ("cell", "reason"), rows, numbers=False) if rows else None


def _how_sure(options: LimitedDataOptions) -> str:
    several = f", the mean over {options.seeds} splits, with 95 % intervals over patients and splits"
    held = several if options.seeds > 1 else " of one split, with 95 % intervals over patients"
    return f"Macro F1 on test{held}. {_MARKS}"


def _row(one: Scored) -> dict[str, Any]:
    """A run as flat values, for spreadsheets. run: hash of its options.   base_hash: of weights and tokenizer."""
    trained, cost = one.trained, one.cost
    lineage = read_json(trained.run.lineage)
    return {
        "arm": trained.arm.name,
        "family": trained.arm.family,
        "backbone": trained.arm.backbone,
        "head": trained.arm.head,
        "task": trained.part.task,
        "split_by": trained.part.by,
        "seed": trained.part.seed,
        "notes": trained.part.size,
        "all_notes": trained.place == 0,
        "label_noise": trained.part.noise,
        "learning_rate": trained.rate,
        "parameters": one.result["parameters"]["total"],
        "parameters_trainable": one.result["parameters"]["trainable"],
        one.result["validation"]["name"] + "_valid": one.validation[0],
        **{name: value if math.isfinite(value) else None for name, value in one.metrics.items()},
        **{f"seconds_{phase}": seconds for phase, seconds in cost.seconds.items()},
        "wall_seconds": sum(float(phase["seconds"]) for phase in one.result["cost"].values()),
        "cpu_seconds": cost.cpu_seconds,
        "flops_estimated": cost.flops,
        "peak_bytes": cost.peak_bytes,
        "energy_joules_assumed": assumed_joules(cost.cpu_seconds),
        "run": str(trained.run.root.name),
        "base_hash": lineage["base"]["hash"],
        "data_hash": lineage["data"]["hash"],
        "device": lineage.get("device"),
        **{f"version_{library}": version for library, version in lineage["versions"].items()},
        "headline": HEADLINE,
    }
