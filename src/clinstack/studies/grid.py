"""A grid of runs: read from TOML, multiplied out into cells, each keyed by the hash of its own options.

    title = "Does stacking help?"

    [all]                         # options of every run of step 2
    epochs = 5

    [clinical]                    # options of step 1, one clinical adapter per base; or  run = "FOLDER"
    corpus = "corpus"
    rank = 16
    per-seed = true               # one per base and seed of the grid

    [grid]                        # every combination is a cell; [[grid]], several times, for several grids
    base = ["tiny-base"]
    task = ["tasks/mor", "tasks/los"]
    variant = ["task", "clinical-frozen+task", "top two layers"]
    seed = [1, 2, 3]

    [variants."top two layers"]   # a variant of one's own: options of step 2, among them what its stack is
    task-adapter = "lora"
    top-layers = 2

    [variants.task]               # more options of a known variant
    rank = 4

    [baselines]                   # optional lines that have neither base nor seed
    names = ["majority", "tf-idf"]

`published = "table3"` at the top sets published figures beside the results. Of several bases, `run` is a list in their order.
Paths are relative to the file. `grid_tables` says what its tables may hold. A variant is one of `training.variants` or of
`[variants]`, and a cell whose options would make it another one of `training.variants` than it is called is refused.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions, TrainOptions, make_options
from clinstack.errors import BadInput, did_you_mean
from clinstack.models.base_files import brief_name
from clinstack.models.baseline import baselines
from clinstack.models.method import gather_method_options, method_fields, methods
from clinstack.runs.folder import hash_config
from clinstack.studies.grid_tables import Reader, as_names, as_table, as_text, spelled
from clinstack.studies.published import TABLES
from clinstack.training.running import asked_config, run_config
from clinstack.training.variants import VARIANTS, variant_name

_TABLES = ("title", "published", "all", "clinical", "grid", "variants", "baselines")


@dataclass(frozen=True)
class Cell:
    """A run of the grid. variant: as the grid calls it. after: the key of the cell that must be finished before, if any."""

    options: AdaptOptions | TrainOptions
    key: str
    name: str
    variant: str
    after: str | None = None


@dataclass(frozen=True)
class Grid:
    """A whole grid, read and checked. text: what it was read from, for the record. published: whose figures stand beside."""

    title: str
    cells: tuple[Cell, ...]
    text: str
    published: str | None = None


def read_grid(file: Path, runs: Path) -> Grid:
    """The grid of a TOML file; every cell's options are made, so that every mistake is found before anything is trained.

    runs: the folder that holds a run folder per cell, by key.
    Raises BadInput naming the file and what is wrong in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
        given = tomllib.loads(text)
    except FileNotFoundError:
        raise BadInput(f"{file} does not exist. Give a TOML file of a grid, or the name of a table.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not valid TOML: {error}.") from error
    try:
        return make_grid(given, text, file.resolve().parent, runs)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error


def make_grid(given: Mapping[str, Any], text: str, where: Path, runs: Path) -> Grid:
    """The grid of what a TOML file says; see `read_grid`. where: what its paths are relative to."""
    for key in given:
        if key not in _TABLES:
            raise BadInput(f"Unknown table {key!r}. {did_you_mean(key, _TABLES)}")
    title, published = as_text(given.get("title", "Study"), "title"), given.get("published")
    if published is not None and as_text(published, "published") not in TABLES:
        raise BadInput(f"Unknown table of published figures {published!r}. {did_you_mean(published, TABLES)}")
    read = Reader(where)
    grids = [read.axes(one) for one in _several(given.get("grid", {}))]
    own = {name: read.variant(one, name) for name, one in as_table(given.get("variants", {}), "variants").items()}
    for name, more in own.items():
        _require_stack(name, more)
    shared = read.shared(given.get("all", {}))
    stacked = [axes for axes in grids if any("clinical_mode" in _variant(name, own, axes) for name in axes["variant"])]
    bases = list(dict.fromkeys(read.point({"base": base})["base"] for axes in stacked for base in axes["base"]))
    clinical = _Clinical(read.clinical(given["clinical"]) if "clinical" in given else None, bases, runs)
    found = _Cells()
    for number, axes in enumerate(grids, 1):
        variants = {name: _variant(name, own, axes) for name in axes["variant"]}
        for point in _points(axes):
            variant = str(point.pop("variant"))
            _require_base(point["base"])
            options = {**_fitting({**shared, **read.point(point)}, variants[variant]), **variants[variant]}
            after = None
            if "clinical_mode" in variants[variant] and "clinical" not in options:
                below = clinical.of(str(options["base"]), options["seed"], variant)
                if isinstance(below, Cell):
                    found.cells.setdefault(below.key, below)
                    options["clinical"], after = below.options.out, below.key
                else:
                    options["clinical"] = below
            cell = make_cell(TrainOptions, options, variant, runs, after)
            _require_its_name(cell)
            found.add(cell, {"variant": variant, **point}, f"[[grid]] {number}")
    tasks = list(dict.fromkeys(task for axes in grids for task in axes["task"]))
    for name, task in product(_baselines(given.get("baselines", {})), tasks):
        kept = {key: value for key, value in shared.items() if key in ("resamples", "profile", "select_by")}
        point = {"base": name, "task": task}
        cell = make_cell(TrainOptions, {**kept, **read.point(point)}, name, runs)
        found.add(cell, point, "[baselines]")
    return Grid(title, tuple(found.cells.values()), text, published)


@dataclass(frozen=True)
class _Cells:
    """The cells by key; by all that decides a run which of them it is, the values of the axes that it stands for, and the table
    that has it.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    places: dict[str, tuple[Cell, dict[str, Any], str]] = field(default_factory=dict)

    def add(self, cell: Cell, point: dict[str, Any], table: str) -> None:
        """Takes a cell in. Raises BadInput, saying which values coincide, if it is there already.

        Also with a default spelled out: the same training would count as another seed.
        """
        run = json.dumps(run_config(cell.options), sort_keys=True)
        if run in self.places:
            there, other, its_table = self.places[run]
            axes = [axis for axis in {**other, **point} if other.get(axis) != point.get(axis)]
            first, second = (
                ", ".join(f"{spelled(axis)} {one[axis]}" if axis in one else f"no {spelled(axis)}" for axis in axes)
                for one in (other, point)
            )
            raise BadInput(
                f"Two cells are the same run: {there.name} ({first or its_table}), and {cell.name} "
                f"({second or table}). Remove one of them."
            )
        self.cells[cell.key], self.places[run] = cell, (cell, point, table)


class _Clinical:
    """Where the clinical adapter of a cell comes from: a cell of step 1 of its base, or a run that is there already."""

    def __init__(self, given: Mapping[str, Any] | None, bases: Sequence[str], runs: Path):
        self._given, self._runs, self._bases = given, runs, bases

    def of(self, base: str, seed: int, variant: str) -> "Cell | Path":
        if self._given is None:
            raise BadInput(
                f"Variant {variant!r} needs a clinical adapter. Add a table [clinical] with the options of step 1, such as "
                "corpus, or with run, a finished step-1 run."
            )
        if "run" in self._given:
            finished = self._given["run"]
            if len(finished) > 1 and len(finished) != len(self._bases):
                raise BadInput(
                    f"[clinical] run has {len(finished)} runs, but there are {len(self._bases)} bases with a clinical "
                    "adapter. Give one for each, in their order."
                )
            chosen: Path = finished[self._bases.index(base) if len(finished) > 1 else 0]
            return chosen
        options = {**self._given, "base": base}
        if options.pop("per_seed"):
            options["seed"] = seed
        return make_cell(AdaptOptions, options, "step 1", self._runs)


def _several(given: Any) -> list[Any]:
    """The grids of [grid] or of [[grid]]."""
    return given if isinstance(given, list) and given else [given or {}]


def _variant(name: str, own: Mapping[str, Mapping[str, Any]], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a variant. Raises BadInput if it is none, or says what an axis says."""
    if name not in VARIANTS and name not in own:
        raise BadInput(f"Unknown variant {name!r}. {did_you_mean(name, {**VARIANTS, **own})}")
    more = own.get(name, {})
    for options, place in ((more, f"[variants.{name}]"), (VARIANTS.get(name, {}), f"the variant {name!r} itself")):
        if twice := [key for key in axes if key in options]:
            raise BadInput(f"{spelled(twice[0])} is given by [grid] and by {place}. Remove one of them.")
    return {**VARIANTS.get(name, {}), **more}


def _require_stack(name: str, options: Mapping[str, Any]) -> None:
    """Raises BadInput for a variant of one's own that leaves its stack open: it might be a known one, misspelled."""
    if name not in VARIANTS and not options.keys() & {"clinical_mode", "task_adapter"}:
        raise BadInput(
            f"[variants.{name}] is a new variant and does not say what its stack is. Give it task-adapter, clinical-mode or "
            f"both, or the name of a known one. {did_you_mean(name, VARIANTS)}"
        )


def _points(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of a grid's axes, variants first."""
    order = ["variant", *(axis for axis in axes if axis != "variant")]
    for values in product(*(axes[axis] for axis in order)):
        yield dict(zip(order, values, strict=True))


def _fitting(options: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """What all cells share, without the options of a PEFT method where a variant has no adapter of its own to take them."""
    own = {**options, **variant}
    chosen = own.get("task_adapter")
    if chosen == "none" or own.get("clinical_mode") == "continued":
        taken = set()
    elif chosen == "full":  # beside adapters of a rank: it takes what it has, and they what they have
        taken = set(methods()["full"].model_fields)
    else:
        taken = set(method_fields())
    return {key: value for key, value in options.items() if key in taken or key not in method_fields()}


def _require_base(name: str) -> None:
    if name in baselines():
        raise BadInput(f"[grid] base: {name} is a baseline, which has no variants. Its place is [baselines] names.")


def _require_its_name(cell: Cell) -> None:
    """Raises BadInput if a cell is called by a known variant and its run would be another one."""
    options = cell.options
    assert isinstance(options, TrainOptions), "cells of step 1 have no variant"
    made = variant_name(options.clinical, options.clinical_mode, options.task_adapter)
    if cell.variant in VARIANTS and made != cell.variant:
        raise BadInput(
            f"Variant {cell.variant!r} on base {brief_name(options.base)} would be {made!r}, by its clinical, clinical-mode "
            f"and task-adapter. Name it {made!r} in [grid], or change those options."
        )


def _baselines(given: Any) -> list[str]:
    """The names of [baselines]. Raises BadInput."""
    if other := [key for key in as_table(given, "baselines") if key != "names"]:
        raise BadInput(f"Unknown option {other[0]!r} in [baselines]. {did_you_mean(other[0], ['names'])}")
    table = baselines()
    for name in (names := as_names(given.get("names", []), "[baselines] names")):
        if name not in table:
            raise BadInput(f"Unknown baseline {name!r} in [baselines]. {did_you_mean(name, table)}")
    return names


def make_cell(
    kind: type[AdaptOptions] | type[TrainOptions],
    given: Mapping[str, Any],
    variant: str,
    runs: Path,
    after: str | None = None,
) -> Cell:
    """A cell whose folder is named by its options; where it lies is no part of them.

    given: its options but for `out`.   variant: begins its name.   runs, after: see `read_grid` and `Cell`.
    Raises BadInput for options that cannot be.
    """
    nowhere = make_options(kind, gather_method_options({**given, "out": runs}))
    key = hash_config(asked_config(nowhere))
    options = nowhere.model_copy(update={"out": runs / key})
    task = [nowhere.task.name] if isinstance(nowhere, TrainOptions) else []
    told = [variant, brief_name(nowhere.base), *task, f"seed {nowhere.seed}"]
    return Cell(options, key, ", ".join(told), variant, after)
