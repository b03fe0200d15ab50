"""A grid of runs: read from TOML, multiplied out into cells, each keyed by the hash of its own options.

    title = "Does stacking help?"

    [all]                         # options of every run of step 2
    epochs = 5

    [clinical]                    # options of step 1, one clinical adapter per base; or  run = "FOLDER"
    corpus = "corpus"
    rank = 16

    [grid]                        # every combination is a cell; [[grid]], several times, for several grids
    base = ["tiny-base"]
    task = ["tasks/mor", "tasks/los"]
    variant = ["task", "clinical-frozen+task", "top two layers"]
    seed = [1, 2, 3]

    [variants."top two layers"]   # variants of one's own, or more options of a known one: options of step 2
    top-layers = 2

    [baselines]                   # optional lines that have neither base nor seed
    names = ["majority", "tf-idf"]

`published = "table3"` at the top sets published figures beside the results. Of several bases, `run` is a list in their order.
Paths are relative to the file. What is not in `VARIANTS` or `[variants]`, and any key that no command knows, is refused.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from clinstack.config import AdaptOptions, TrainOptions, make_options
from clinstack.errors import BadInput, did_you_mean
from clinstack.models.baseline import baselines
from clinstack.models.method import gather_method_options, method_fields
from clinstack.runs.folder import hash_config
from clinstack.studies.published import TABLES
from clinstack.training.running import asked_config

VARIANTS: dict[str, dict[str, Any]] = {
    "head-only": {"task_adapter": "none"},
    "task": {},
    "clinical-frozen": {"clinical_mode": "frozen", "task_adapter": "none"},
    "clinical-frozen+task": {"clinical_mode": "frozen"},
    "clinical-trainable": {"clinical_mode": "trainable", "task_adapter": "none"},
    "clinical-trainable+task": {"clinical_mode": "trainable"},
    "full": {"task_adapter": "full"},
    "clinical-merged+task": {"clinical_mode": "merged"},
    "clinical-continued": {"clinical_mode": "continued"},
}
"""Every variant by name, as options of step 2; those that say what the clinical adapter does have one below them."""

_TABLES = ("title", "published", "all", "clinical", "grid", "variants", "baselines")
_PATHS = ("task", "corpus", "clinical", "general")


@dataclass(frozen=True)
class Cell:
    """A run of the grid. after: the key of the cell that must be finished before, if any."""

    options: AdaptOptions | TrainOptions
    key: str
    name: str
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
    _require_known(given, _TABLES, "table")
    published = given.get("published")
    if published is not None:
        _require_known([published], list(TABLES), "table of published figures")
    grids = [_axes(one) for one in _several(given.get("grid", {}))]
    own = given.get("variants", {})
    variants = VARIANTS | {name: VARIANTS.get(name, {}) | _options(one, where) for name, one in own.items()}
    shared = _options(given.get("all", {}), where)
    bases = list(dict.fromkeys(_base(str(base), where) for axes in grids for base in axes["base"]))
    clinical = _Clinical(given.get("clinical"), bases, where, runs)
    cells: dict[str, Cell] = {}
    for axes in grids:
        for variant, point in _points(axes, variants, where):
            options = {**_fitting({**shared, **point}, variants[variant]), **variants[variant]}
            after = None
            if "clinical_mode" in variants[variant] and "clinical" not in options:
                below = clinical.of(str(options["base"]), variant)
                if isinstance(below, Cell):
                    cells.setdefault(below.key, below)
                    options["clinical"], after = below.options.out, below.key
                else:
                    options["clinical"] = below
            _add(cells, make_cell(TrainOptions, options, variant, runs, after))
    tasks = list(dict.fromkeys(str(task) for axes in grids for task in axes["task"]))
    for cell in _baseline_cells(given.get("baselines", {}), tasks, shared, where, runs):
        _add(cells, cell)
    return Grid(str(given.get("title", "Study")), tuple(cells.values()), text, published)


class _Clinical:
    """Where the clinical adapter of a base comes from: a cell of step 1, or a run that is there already."""

    def __init__(self, given: Mapping[str, Any] | None, bases: Sequence[str], where: Path, runs: Path):
        self._given, self._runs, self._bases = None if given is None else _options(given, where), runs, bases

    def of(self, base: str, variant: str) -> "Cell | Path":
        if self._given is None:
            raise BadInput(
                f"Variant {variant!r} needs a clinical adapter. Add a table [clinical] with the options of step 1, such as "
                "corpus, or with run, a finished step-1 run."
            )
        if "run" in self._given:
            _require_known(self._given, ["run"], "option of [clinical] beside run")
            finished = self._given["run"]
            if len(finished) > 1 and len(finished) != len(self._bases):
                raise BadInput(
                    f"[clinical] run has {len(finished)} runs, but there are {len(self._bases)} bases. Give one for each, in "
                    "their order."
                )
            chosen: Path = finished[self._bases.index(base) if len(finished) > 1 else 0]
            return chosen
        return make_cell(AdaptOptions, {**self._given, "base": base}, "step 1", self._runs, None)


def _several(given: Any) -> list[Mapping[str, Any]]:
    """The grids of [grid] or of [[grid]]."""
    return given if isinstance(given, list) and given else [given or {}]


def _axes(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The axes of one grid and their values."""
    found = {key.replace("-", "_"): value for key, value in given.items()}
    for axis in ("base", "task", "variant"):
        if axis not in found:
            raise BadInput(f"[grid] lacks {axis}. Give a list of what is to be compared, also if it is one.")
    for axis, values in found.items():
        if not isinstance(values, list) or not values:
            raise BadInput(f"[grid] {axis} must be a list with at least one value.")
        if len({str(value) for value in values}) < len(values):
            raise BadInput(f"[grid] {axis} names a value twice.")
    return {"seed": [1], **found}


def _points(
    axes: Mapping[str, Sequence[Any]], variants: Mapping[str, Any], where: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of a grid: the variant and the options that the axes give."""
    for name in axes["variant"]:
        if name not in variants:
            raise BadInput(f"Unknown variant {name!r}. {did_you_mean(str(name), variants)}")
    order = [axis for axis in axes if axis != "variant"]
    for variant, *values in product(axes["variant"], *(axes[axis] for axis in order)):
        yield str(variant), _options(dict(zip(order, values, strict=True)), where)


def _fitting(options: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """What all cells share, without the options of a PEFT method where a variant has no adapter of its own to take them."""
    own = {**options, **variant}
    has_adapter = own.get("task_adapter") not in ("none", "full") and own.get("clinical_mode") != "continued"
    return {key: value for key, value in options.items() if has_adapter or key not in method_fields()}


def _baseline_cells(
    given: Mapping[str, Any], tasks: Sequence[str], shared: Mapping[str, Any], where: Path, runs: Path
) -> Iterator[Cell]:
    _require_known(given, ["names"], "option of [baselines]")
    table = baselines()
    for name, task in product(given.get("names", []), tasks):
        if name not in table:
            raise BadInput(f"Unknown baseline {name!r}. {did_you_mean(str(name), table)}")
        kept = {key: value for key, value in shared.items() if key in ("resamples", "profile")}
        yield make_cell(TrainOptions, {**kept, **_options({"base": name, "task": task}, where)}, name, runs, None)


def make_cell(
    kind: type[AdaptOptions] | type[TrainOptions],
    given: Mapping[str, Any],
    what: str,
    runs: Path,
    after: str | None = None,
) -> Cell:
    """A cell whose folder is named by its options; where it lies is no part of them.

    given: its options but for `out`.   what: begins its name.   runs, after: see `read_grid` and `Cell`.
    Raises BadInput for options that cannot be.
    """
    nowhere = make_options(kind, gather_method_options({**given, "out": runs}))
    key = hash_config(asked_config(nowhere))
    options = nowhere.model_copy(update={"out": runs / key})
    told = [what, Path(nowhere.base).name]
    if isinstance(nowhere, TrainOptions):
        told += [nowhere.task.name, f"seed {nowhere.seed}"]
    return Cell(options, key, ", ".join(told), after)


def _add(cells: dict[str, Cell], cell: Cell) -> None:
    if cell.key in cells:
        raise BadInput(f"Two cells are the same run: {cells[cell.key].name}, and {cell.name}. Remove one of them.")
    cells[cell.key] = cell


def _options(given: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Options under Python's names, paths found from the file."""
    found = {key.replace("-", "_"): value for key, value in given.items()}
    found |= {key: where / str(found[key]) for key in _PATHS if key in found}
    if "run" in found:
        runs = found["run"] if isinstance(found["run"], list) else [found["run"]]
        found["run"] = [where / str(run) for run in runs]
    if "base" in found:
        found["base"] = _base(str(found["base"]), where)
    return found


def _base(name: str, where: Path) -> str:
    """A base's folder, found from the file, or its name."""
    return str(where / name) if (where / name / "config.json").is_file() else name


def _require_known(given: Iterable[str], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise BadInput(f"Unknown {what} {key!r}. {did_you_mean(key, known)}")
