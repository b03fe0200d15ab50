"""Tables 3 and 4 of Gema et al. 2023 as grids: the variants of step 2 on each task, beside encoders and simple baselines.

Each is written out as the grid that it is, so `study.toml` in its folder may be read, changed and run as one's own.
"""

import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from clinstack.config import ComparisonOptions, EngineOptions, StudyOptions, Table3Options, Table4Options
from clinstack.errors import BadInput
from clinstack.runs.layout import StudyLayout, TaskLayout
from clinstack.studies.grid import Grid, make_grid, read_grid
from clinstack.studies.grid_tables import as_table, by_option
from clinstack.studies.published import VARIANTS as PUBLISHED_VARIANTS
from clinstack.training.variants import VARIANTS

_SIMPLE = ["majority", "tf-idf"]
_STEP_1_DESCRIBED = {
    "max_tokens": 128,
    "note_tokens": 128,
    "learning_rate": 3e-4,
    "warmup_ratio": 0.06,
    "schedule": "linear",
    "batch_size": 10,
    "accumulation": 4,
    "epochs": 1,
}
"""Of the published step 1; as released it has no warm-up either."""


def grid_of(options: EngineOptions) -> Grid:
    """The grid that a command asks for: a file's, or that of a table. Raises BadInput naming what is wrong in it."""
    runs = StudyLayout(options.out).runs
    if isinstance(options, StudyOptions):
        return read_grid(options.grid, runs)
    if isinstance(options, Table3Options):
        return _written_out(_table3(options), runs)
    if isinstance(options, Table4Options):
        return _written_out(_table4(options), runs)
    raise TypeError(f"{type(options).__name__} asks for no grid")


def _written_out(given: dict[str, Any], runs: Path) -> Grid:
    return make_grid(given, tomli_w.dumps(given), Path.cwd(), runs)


def _table3(options: Table3Options) -> dict[str, Any]:
    """The six variants on each base and task, variants of one's own, encoders in full and simple baselines."""
    if options.corpus is None and not options.clinical:
        raise BadInput(
            "Table 3 needs a clinical adapter for each base. Give --corpus, or --clinical for each of --bases."
        )
    if options.corpus is not None and options.clinical:
        raise BadInput("Give --corpus or --clinical, not both: a base has one clinical adapter.")
    if options.clinical and options.clinical_per_seed:
        raise BadInput("--clinical-per-seed trains clinical adapters. Give --corpus instead of --clinical.")
    below = {"run": [_path(run) for run in options.clinical]} if options.clinical else _step_1(options)
    own = [name for name in _settings(options, "variants") if name not in VARIANTS]
    stacks = {"base": _bases(options.bases), "variant": [*PUBLISHED_VARIANTS, *own]}
    title = f"Table 3: what each adapter of a stack gives ({options.profile})"
    return {**_shared(options, title, "table3", [stacks, *_encoders(options)]), "clinical": below}


def _table4(options: Table4Options) -> dict[str, Any]:
    """Encoders with a task LoRA and in full, and simple baselines."""
    lora = {"base": _bases(options.encoders), "variant": ["task"], "pooling": ["first"]}
    title = f"Table 4: encoders with LoRA and in full ({options.profile})"
    return _shared(options, title, "table4", [lora, *_encoders(options)])


def _shared(options: ComparisonOptions, title: str, published: str, grids: list[dict[str, Any]]) -> dict[str, Any]:
    """What both tables say: options of all cells, and every grid over all tasks and seeds."""
    axes = {"task": task_folders(options.tasks), "seed": list(range(1, options.seeds + 1))}
    return {
        "title": title,
        "published": published,
        "all": {"profile": options.profile, **_chosen(options), **_settings(options, "all")},
        "grid": [{**grid, **axes} for grid in grids],
        "baselines": {"names": _SIMPLE},
        "variants": _settings(options, "variants"),
    }


def _step_1(options: Table3Options) -> dict[str, Any]:
    """What all clinical adapters are trained with; in the published profiles as described, and as released."""
    described = {} if options.profile == "correct" else _STEP_1_DESCRIBED
    released = {"warmup_ratio": 0.0} if options.profile == "as-released" else {}
    assert options.corpus is not None, "asked before"
    machine = {key: value for key in ("device", "precision") if (value := getattr(options, key)) is not None}
    per_seed = {"per_seed": True} if options.clinical_per_seed else {}
    given = {**described, **released, **machine, **per_seed, **_settings(options, "clinical")}
    return {"corpus": _path(options.corpus), **given}


def _encoders(options: Table3Options | Table4Options) -> list[dict[str, Any]]:
    """Encoders in full, as they are commonly trained: at a rate of their own, the head on the first token."""
    if not options.encoders:
        return []
    rate = options.encoder_learning_rate
    return [
        {
            "base": _bases(options.encoders),
            "variant": ["full"],
            "pooling": ["first"],
            "learning_rate": [rate],
            "head_rate": [1.0],
        }
    ]


def _chosen(options: ComparisonOptions) -> dict[str, Any]:
    """The numbers of step 2 that are given; the others are the profile's."""
    keys = ("epochs", "learning_rate", "batch_size", "max_tokens", "pooling", "resamples", "device", "precision")
    return {key: value for key in keys if (value := getattr(options, key)) is not None}


def _settings(options: ComparisonOptions, table: str) -> dict[str, Any]:
    """One of the tables of --settings. Raises BadInput if the file cannot be read or has another."""
    if options.settings is None:
        return {}
    try:
        found = tomllib.loads(options.settings.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"--settings {options.settings} cannot be read. Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"--settings {options.settings} is not valid TOML: {error}.") from None
    if other := sorted(set(found) - {"all", "clinical", "variants"}):
        raise BadInput(f"{options.settings}: {other[0]!r} is none of the tables all, clinical and variants.")
    try:
        given = found.get(table, {})
        return dict(as_table(given, table)) if table == "variants" else by_option(given, table)
    except BadInput as error:
        raise BadInput(f"{options.settings}: {error}") from error


def task_folders(folders: list[Path]) -> list[str]:
    """Task folders, and those in folders of them. Raises BadInput for a folder that is neither."""
    found = []
    for folder in folders:
        inside = (
            [folder] if TaskLayout(folder).task.is_file() else sorted(one.parent for one in folder.glob("*/task.json"))
        )
        if not inside:
            raise BadInput(f"--tasks {folder} is no task folder and holds none. `clinstack data` makes them.")
        found += [_path(one) for one in inside]
    return found


def _bases(names: list[str]) -> list[str]:
    """Folders by their whole path, as a grid has them; other names as they are."""
    return [_path(Path(name)) if Path(name).is_dir() else name for name in names]


def _path(folder: Path) -> str:
    return str(folder.resolve())
