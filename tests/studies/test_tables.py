"""The built-in tables: grids that are written out, the published figures beside them, and plans of them."""

import json

import pytest
from model_families import make_family

from clinstack import cli
from clinstack.config import StudyOptions, Table1Options, Table3Options
from clinstack.data.sources.hospital import write_hospital
from clinstack.errors import BadInput, CannotWrite
from clinstack.studies.comparison import grid_of
from clinstack.studies.grid import read_grid
from clinstack.studies.plan import plan
from clinstack.studies.published import TABLES, TASKS
from clinstack.studies.study import study
from clinstack.studies.table1 import table1

SIX = ("head-only", "task", "clinical-frozen", "clinical-frozen+task", "clinical-trainable", "clinical-trainable+task")
QUICK = {"epochs": 1, "max_tokens": 48, "resamples": 100, "device": "cpu", "precision": "float32", "workers": 1}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_family(tmp_path_factory.mktemp("encoder") / "bert", "bert")


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[all]\nrank = 2\n[clinical]\nrank = 2\nmax-tokens = 48\n")
    return file


@pytest.fixture
def options(small_base, small_corpus, small_task, encoder, settings, tmp_path):
    def make(**changed) -> Table3Options:
        given = {
            "bases": [str(small_base)],
            "encoders": [str(encoder)],
            "tasks": [small_task("binary")],
            "corpus": small_corpus,
            "seeds": 2,
            "settings": settings,
            "out": tmp_path / "table3",
            **QUICK,
        }
        return Table3Options(**{**given, **changed})

    return make


def test_table_3_has_six_variants_encoders_in_full_and_simple_baselines(options):
    asked = options()
    found = study(asked)
    assert found["failed"] == {}
    rows = json.loads((asked.out / "table.json").read_text())
    setups = {(row["variant"], row["base_name"]) for row in rows if row["step"] == 2}
    assert setups == {
        *((variant, "small") for variant in SIX),
        ("full", "bert"),
        ("baseline", "majority"),
        ("baseline", "tf-idf"),
    }
    (full, _) = (row for row in rows if row.get("variant") == "full")
    assert (full["pooling"], full["learning_rate"], full["epochs"]) == ("first", 5e-5, 1)
    page = (asked.out / "report.html").read_text()
    assert "As published: Table 3 of Gema et al. 2023" in page
    markdown = (asked.out / "table.md").read_text()
    assert "| clinical-trainable+task | 56.72 | 77.36 | 66.32 | 78.52 | 87.15 | 73.21 |" in markdown
    assert "| head-only | 51.38 | 66.80 | 57.65 | 60.06 | 63.83 | 59.94 (printed as 58.61) |" in markdown
    assert "**Does step 1 help by itself?** (clinical-frozen" in markdown


def test_a_variant_of_ones_own_is_a_row_more(options, settings, small_base, encoder):
    settings.write_text(
        settings.read_text() + '[variants.task-large]\ntask-adapter = "lora"\nrank = 4\ntargets = "all"\n'
    )
    asked = options(seeds=1)
    cells = [cell.options for cell in grid_of(asked).cells if cell.variant == "task-large"]
    assert [(cell.base, cell.clinical, cell.method_options["rank"]) for cell in cells] == [(str(small_base), None, 4)]
    assert len(grid_of(asked).cells) == 11


def test_a_built_in_table_may_be_changed_and_run_as_a_grid_of_ones_own(options, tmp_path):
    asked = options(seeds=1)
    study(asked)
    own = tmp_path / "own.toml"
    own.write_text((asked.out / "study.toml").read_text())
    again = study(StudyOptions(grid=own, out=asked.out, workers=1))
    assert again["finished"] == again["cells"] == 10  # nothing was trained anew
    assert len({cell.key for cell in read_grid(own, asked.out / "runs").cells}) == 10


def test_a_profile_decides_what_is_not_given(options):
    def cells(profile):
        found = grid_of(options(profile=profile, epochs=None, max_tokens=None, settings=None))
        (below,) = (cell.options for cell in found.cells if cell.name.startswith("step 1"))
        stack = next(cell.options for cell in found.cells if cell.name.startswith("clinical-trainable+task"))
        return below, stack

    below, stack = cells("correct")
    assert (below.max_tokens, stack.max_tokens, stack.epochs, stack.inert_task_adapter) == (512, 512, 5, False)
    assert below.note_tokens is None
    below, stack = cells("as-described")
    assert (below.max_tokens, below.learning_rate, below.batch_size, below.accumulation) == (128, 3e-4, 10, 4)
    assert below.note_tokens == 128
    assert (below.warmup_ratio, stack.warmup_ratio, stack.select) == (0.06, 0.06, "best")
    assert (stack.max_tokens, stack.epochs, stack.learning_rate, stack.inert_task_adapter) == (128, 10, 5e-5, False)
    below, stack = cells("as-released")
    assert (below.warmup_ratio, stack.warmup_ratio, stack.select, stack.inert_task_adapter) == (0.0, 0.0, "last", True)


@pytest.mark.parametrize(("per_seed", "seeds"), [(False, [1]), (True, [1, 2])])
def test_step_1_may_be_trained_for_each_seed(per_seed, seeds, options):
    cells = grid_of(options(clinical_per_seed=per_seed)).cells
    assert [cell.options.seed for cell in cells if cell.name.startswith("step 1")] == seeds


def test_bases_may_bring_their_clinical_adapters(options, small_base, other_base, clinical_run, tmp_path):
    bases = [str(small_base), str(other_base)]
    runs = [clinical_run, tmp_path / "another"]
    found = grid_of(options(bases=bases, corpus=None, clinical=runs))  # encoders have none
    below = {cell.options.base: cell.options.clinical for cell in found.cells if cell.name.startswith("clinical-")}
    assert below == dict(zip(bases, runs, strict=True))
    with pytest.raises(BadInput, match=r"\[clinical\] run has 2 runs, but there are 3 bases with a clinical adapter\."):
        grid_of(options(bases=[*bases, "tiny-base"], corpus=None, clinical=runs))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"corpus": None}, "Table 3 needs a clinical adapter for each base. Give --corpus, or --clinical"),
        ({"clinical": ["run"]}, "Give --corpus or --clinical, not both"),
        (
            {"clinical": ["run"], "corpus": None, "clinical_per_seed": True},
            "--clinical-per-seed trains clinical adapters. Give --corpus instead of --clinical.",
        ),
        ({"tasks": ["nowhere"]}, "--tasks nowhere is no task folder and holds none."),
        ({"settings": "nowhere.toml"}, "--settings nowhere.toml cannot be read."),
    ],
)
def test_what_cannot_be_made_a_table_is_refused_before_anything_is_trained(options, changed, expected):
    asked = options(**changed)
    with pytest.raises(BadInput) as caught:
        study(asked)
    assert expected in str(caught.value)
    assert not asked.out.exists()


def test_settings_of_another_kind_are_refused(options, settings):
    settings.write_text("[everything]\nrank = 2\n")
    with pytest.raises(BadInput, match="'everything' is none of the tables all, clinical and variants"):
        grid_of(options())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('all = "x"', "[all] must be a table, not 'x'. Write [all], and its keys below."),
        ("variants = [3]", "[variants] must be a table, not [3]. Write [variants], and its keys below."),
        (
            "[all]\nmax-tokens = 8\nmax_tokens = 9",
            "[all] has max-tokens twice, once with an underscore. Remove one of them.",
        ),
    ],
)
def test_settings_of_another_shape_are_refused_by_their_table(text, expected, options, settings):
    settings.write_text(text)
    with pytest.raises(BadInput) as caught:
        grid_of(options())
    assert str(caught.value) == f"{settings}: {expected}"


def test_table_4_trains_encoders_with_lora_and_in_full(options, encoder, settings, small_task, tmp_path, capsys):
    out = tmp_path / "table4"
    command = ["study", "table4", "--encoders", str(encoder), "--tasks", str(small_task("multiclass").parent)]
    quick = [word for key, value in QUICK.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--seeds", "1", "--settings", str(settings), "--out", str(out), *quick, "--json"])
    assert end.value.code == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["failed"] == {}
    rows = json.loads((out / "table.json").read_text())
    assert {(row["variant"], row["pooling"]) for row in rows if row["base_name"] == "bert"} == {
        ("task", "first"),
        ("full", "first"),
    }
    assert "| task | 56.59 | 80.33 | 69.03 | 69.68 | 77.53 | 70.63 |" in (out / "table.md").read_text()


def test_a_plan_of_a_table_counts_its_cells_before_anything_is_there(options):
    asked = options(seeds=3)
    planned = plan(asked)
    assert planned["runs"] == 1 + 6 * 3 + 3  # step 1, the variants, the encoder
    assert planned["peak_bytes"] > 2**27
    assert not asked.out.exists()
    one, three = (plan(options(seeds=seeds))["flops"]["training"] for seeds in (1, 3))
    assert 2.5 < three / one < 3  # step 1 is trained once


def test_only_three_rows_were_printed_with_another_mean():
    odd = {(name, one.base, one.variant) for name, rows in TABLES.items() for one in rows if not one.as_printed}
    assert odd == {
        ("table3", "LLaMA-7B", "head-only"),
        ("table3", "PMC-LLaMA-7B", "clinical-frozen"),
        ("table4", "BlueBERT", "task"),
    }
    assert all(len(one.auroc) == len(TASKS) for rows in TABLES.values() for one in rows)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    write_hospital(folder, patients=300, seed=3)
    return folder / "mimic3"


@pytest.mark.parametrize(("profile", "mode"), [("correct", "strict"), ("as-released", "reference")])
def test_table_1_makes_the_tasks_by_the_profile_s_rules(hospital, profile, mode, tmp_path):
    asked = Table1Options(source=hospital, out=tmp_path / "table1", profile=profile)
    found = table1(asked)
    about = json.loads((tmp_path / "table1" / "tasks" / "mor" / "task.json").read_text())
    assert about["mode"] == mode
    (row,) = (row for row in json.loads((tmp_path / "table1" / "table.json").read_text()) if row["task"] == "mor")
    assert row["train_notes"] == about["counts"]["train"]["notes"]
    assert (row["classes_published"], row["test_notes_published"]) == (2, 9822)
    assert f"| mor | binary | 2 (2) | {row['train_notes']} (33,954) |" in (tmp_path / "table1" / "table.md").read_text()
    assert "33,954" in (tmp_path / "table1" / "report.html").read_text()
    written = (tmp_path / "table1" / "tasks" / "build.json").stat().st_mtime_ns
    assert table1(asked)["rows"] == found["rows"]
    assert (tmp_path / "table1" / "tasks" / "build.json").stat().st_mtime_ns == written
    with pytest.raises(CannotWrite, match="holds the tasks of another source or of other options"):
        table1(asked.model_copy(update={"seed": 5}))


def test_table_1_writes_nothing_where_the_source_is_wrong(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(BadInput, match="ADMISSIONS"):
        table1(Table1Options(source=source, out=tmp_path / "table1"))
    assert list(tmp_path.rglob("*.*")) == []
