"""A grid's file: every variant by its name, and every mistake in one sentence that names file, table and key."""

from pathlib import Path

import pytest

from clinstack.errors import BadInput
from clinstack.studies.grid import read_grid
from clinstack.training.variants import VARIANTS, variant_name

TABLES = {
    "all": "epochs = 1",
    "clinical": 'corpus = "corpus"',
    "grid": 'base = ["small"]\ntask = ["mor"]\nvariant = ["task"]',
}


@pytest.fixture
def grid(tmp_path):
    """Reads the grid of some tables; of those that are not given, the plainest. A name that is a whole line stands alone."""

    def read(**tables: str):
        given = {**TABLES, **tables}
        lines = [text for name, text in given.items() if text.startswith(f"{name} =")]
        lines += [f"[{name}]\n{text}" for name, text in given.items() if text and not text.startswith(f"{name} =")]
        (tmp_path / "grid.toml").write_text("\n".join(lines))
        return read_grid(tmp_path / "grid.toml", tmp_path / "runs")

    return read


def refusal(read, tmp_path, **tables) -> str:
    """What is said of a grid, without the name of its file, which must begin it."""
    with pytest.raises(BadInput) as caught:
        read(**tables)
    assert caught.value.exit_code == 2
    file, _, told = str(caught.value).partition(": ")
    assert file == str(tmp_path / "grid.toml")
    return told


def axes(**changed: str) -> str:
    values = {"base": '["small"]', "task": '["mor"]', "variant": '["task"]', **changed}
    return "\n".join(f"{axis.replace('_', '-')} = {value}" for axis, value in values.items())


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("more", ["", "learning-rate = 1e-3"])
def test_every_known_variant_is_trained_as_it_is_called(name, more, grid):
    tables = {"grid": axes(variant=f'["{name}"]'), "all": "epochs = 1\nrank = 4"}
    cell = grid(**tables, **({f'variants."{name}"': more} if more else {})).cells[-1]
    options = cell.options
    assert variant_name(options.clinical, options.clinical_mode, options.task_adapter) == name == cell.variant
    assert cell.name == f"{name}, small, mor, seed 1"


def test_the_known_variants_are_those_of_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "step-2.md").read_text()
    rows = page.partition("## Variants")[2].partition("## ")[0].splitlines()
    named = [name for row in rows if row.startswith("| ") for name in row.split("|")[1].strip().split(", ")]
    assert sorted(named[1:]) == sorted(VARIANTS)


def test_a_variant_of_ones_own_says_what_its_stack_is(grid):
    tables = {
        "grid": axes(variant='["upper", "stack"]'),
        "variants.upper": 'task-adapter = "lora"\ntop-layers = 2',
        "variants.stack": 'clinical-mode = "frozen"',
    }
    upper, below, stack = (cell.options for cell in grid(**tables).cells)
    assert (upper.clinical, upper.method_options) == (None, {"top_layers": 2})
    assert (stack.clinical, stack.clinical_mode) == (below.out, "frozen")


@pytest.mark.parametrize(("more", "seeds"), [("", [1, 1]), ("\nseed = 7", [7, 7]), ("\nper-seed = true", [3, 4])])
def test_seeds_share_a_clinical_adapter_unless_each_has_its_own(more, seeds, grid):
    variants = '["clinical-frozen", "clinical-frozen+task"]'
    cells = grid(clinical=f'corpus = "corpus"{more}', grid=axes(variant=variants, seed="[3, 4]")).cells
    below = {cell.key: cell.options for cell in cells if cell.after is None}
    assert sorted(options.seed for options in below.values()) == sorted(set(seeds))
    stacks = [cell for cell in cells if cell.after is not None]
    assert [below[cell.after].seed for cell in stacks] == 2 * seeds
    assert all(cell.options.clinical == below[cell.after].out for cell in stacks)


def test_baselines_are_chosen_by_what_everything_else_is(grid):
    cells = grid(all='epochs = 1\nselect-by = "f1-macro"', baselines='names = ["tf-idf"]').cells
    assert {cell.options.select_by for cell in cells} == {"f1-macro"}


def test_a_store_of_states_is_found_from_the_grids_file(grid, tmp_path):
    (cell,) = grid(all='epochs = 1\nfeature-store = "kept"', grid=axes(variant='["task"]')).cells
    assert cell.options.feature_store == tmp_path / "kept"


def test_bases_of_one_hub_id_are_told_by_their_revisions(grid):
    names = [cell.name for cell in grid(grid=axes(base='["owner/small@refs/pr/1", "other/large@refs/pr/1"]')).cells]
    assert names == ["task, small@refs/pr/1, mor, seed 1", "task, large@refs/pr/1, mor, seed 1"]


def test_full_takes_what_it_has_of_the_options_that_all_cells_share(grid):
    adapter, full = (
        cell.options for cell in grid(all="top-layers = 2\nrank = 4", grid=axes(variant='["task", "full"]')).cells
    )
    assert adapter.method_options == {"top_layers": 2, "rank": 4}
    assert full.method_options == {"top_layers": 2}


KNOWN = (
    "Known: clinical-continued, clinical-frozen, clinical-frozen+full, clinical-frozen+task, clinical-merged, "
    "clinical-merged+task, clinical-trainable, clinical-trainable+full, clinical-trainable+task, full, head-only, task."
)
BY_THESE = "by its clinical, clinical-mode and task-adapter. Name it"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (
            {"grid": axes(variant='["clinical-merge"]'), "variants.clinical-merge": "rank = 4"},
            "[variants.clinical-merge] is a new variant and does not say what its stack is. Give it task-adapter, clinical-mode "
            f"or both, or the name of a known one. Did you mean 'clinical-merged'? {KNOWN}",
        ),
        (
            {"all": 'task-adapter = "none"'},
            f"Variant 'task' on base small would be 'head-only', {BY_THESE} 'head-only' in [grid], or change those options.",
        ),
        (
            {"variants.task": 'clinical-mode = "frozen"'},
            f"Variant 'task' on base small would be 'clinical-frozen+task', {BY_THESE} 'clinical-frozen+task' in [grid], or "
            "change those options.",
        ),
        (
            {"grid": axes(base='["transformer"]')},
            f"Variant 'task' on base transformer would be 'full', {BY_THESE} 'full' in [grid], or change those options.",
        ),
        (
            {"grid": axes(variant='["x"]'), "variants.x": 'clinical-mode = "merged"\ntask-adapter = "full"'},
            "--clinical-mode merged and --task-adapter full both replace the base's weights. Leave the clinical adapter frozen, "
            "or choose another task adapter.",
        ),
        (
            {"grid": axes(base='["tf-idf"]')},
            "[grid] base: tf-idf is a baseline, which has no variants. Its place is [baselines] names.",
        ),
    ],
)
def test_no_cell_is_called_another_variant_than_it_trains(tables, expected, grid, tmp_path):
    assert refusal(grid, tmp_path, **tables) == expected


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"all": 'all = "x"'}, "[all] must be a table, not 'x'. Write [all], and its keys below."),
        ({"grid": 'grid = "x"'}, "[grid] must be a table, not 'x'. Write [grid], and its keys below."),
        ({"grid": 'grid = ["x"]'}, "[grid] must be a table, not 'x'. Write [grid], and its keys below."),
        (
            {"variants": 'variants = ["x"]'},
            "[variants] must be a table, not ['x']. Write [variants], and its keys below.",
        ),
        (
            {"variants": 'task = "x"'},
            "[variants.task] must be a table, not 'x'. Write [variants.task], and its keys below.",
        ),
        (
            {"clinical": 'clinical = "runs/clin"'},
            "[clinical] must be a table, not 'runs/clin'. Write [clinical], and its keys below.",
        ),
        ({"clinical": "run = 3"}, "[clinical] run must be a list of names, not 3."),
        ({"clinical": "run = []"}, "[clinical] run is empty. Give a finished run of step 1 for each base."),
        (
            {"clinical": 'run = "r"\nrank = 3'},
            "[clinical] run takes finished runs of step 1, so rank says nothing. Remove one of them.",
        ),
        (
            {"clinical": 'run = "x"\nper-seed = true'},
            "[clinical] run takes finished runs of step 1, so per-seed says nothing. Remove one of them.",
        ),
        ({"clinical": "per-seed = 3"}, "[clinical] per-seed must be true or false, not 3."),
        (
            {"clinical": 'corpus = "corpus"\nper-seed = true\nseed = 3'},
            "[clinical] per-seed takes the seeds of [grid], so seed says nothing. Remove one of them.",
        ),
        ({"clinical": 'out = "x"'}, "[clinical] may not hold out: the study gives each run its own folder. Remove it."),
        (
            {"baselines": 'baselines = "x"'},
            "[baselines] must be a table, not 'x'. Write [baselines], and its keys below.",
        ),
        ({"baselines": 'names = "majority"'}, "[baselines] names must be a list of names, not 'majority'."),
        ({"baselines": 'names = ["majority", "majority"]'}, "[baselines] names names a value twice."),
        ({"title": "title = 3"}, "title must be text, not 3."),
        ({"published": "published = 3"}, "published must be text, not 3."),
        ({"grid": axes(variant='[["task"]]')}, "[grid] variant must be text, not ['task']."),
        ({"grid": axes(base="[3]")}, "[grid] base: Input should be a valid string, not 3."),
        ({"grid": axes(task="[3]")}, "[grid] task: Input should be a valid string, not 3."),
        ({"grid": axes(seed="[true]")}, "[grid] seed: Input should be a valid integer, not True."),
        ({"grid": axes(rank='["four"]')}, "[grid] rank: Input should be a valid integer, not 'four'."),
        ({"grid": axes(out='["x"]')}, "[grid] may not hold out: the study gives each run its own folder. Remove it."),
        ({"all": 'out = "x"'}, "[all] may not hold out: the study gives each run its own folder. Remove it."),
        ({"all": "seed = 3"}, "[all] may not hold seed: its place is [grid]."),
        (
            {"all": "max-tokens = 8\nmax_tokens = 9"},
            "[all] has max-tokens twice, once with an underscore. Remove one of them.",
        ),
        (
            {"grid": axes(epochs="[3]"), "variants.task": "epochs = 9"},
            "epochs is given by [grid] and by [variants.task]. Remove one of them.",
        ),
        (
            {"grid": axes(variant='["head-only"]', task_adapter='["lora"]')},
            "task-adapter is given by [grid] and by the variant 'head-only' itself. Remove one of them.",
        ),
        (
            {"grid": axes(variant='["head-only"]', rank="[2, 4]")},
            "Two cells are the same run: head-only, small, mor, seed 1 (rank 2), and head-only, small, mor, seed 1 (rank 4). "
            "Remove one of them.",
        ),
        (
            {"grid": axes(variant='["task", "mine"]'), "variants.mine": 'task-adapter = "lora"\nrank = 8'},
            "Two cells are the same run: task, small, mor, seed 1 (variant task), and mine, small, mor, seed 1 (variant mine). "
            "Remove one of them.",
        ),
        (
            {"grid": axes(variant='["task", "mine"]'), "variants.mine": 'task-adapter = "lora"'},
            "Two cells are the same run: task, small, mor, seed 1 (variant task), and mine, small, mor, seed 1 (variant mine). "
            "Remove one of them.",
        ),
    ],
)
def test_a_table_that_is_none_and_a_value_that_cannot_be_are_one_sentence(tables, expected, grid, tmp_path):
    assert refusal(grid, tmp_path, **tables) == expected


@pytest.mark.parametrize("table", ["all", "variants.task", "grid", "clinical"])
def test_an_unknown_option_names_its_table_and_what_the_table_knows_as_toml_spells_it(table, grid, tmp_path):
    wrong = "maxtokens = [4]" if table == "grid" else "maxtokens = 4"
    told = refusal(grid, tmp_path, **{table: f"{TABLES.get(table, '')}\n{wrong}"})
    assert told.startswith(f"Unknown option 'maxtokens' in [{table}]. Did you mean 'max-tokens'? Known: ")
    known = told.partition("Known: ")[2].rstrip(".").split(", ")
    assert {"max-tokens", "rank", "top-layers"} <= set(known)
    assert not [name for name in known if "_" in name or name in ("out", "method-options")]
