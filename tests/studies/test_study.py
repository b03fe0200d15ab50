"""A study: every cell once, whatever is killed or fails, and one table of all."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.torch import load_file, save_file

from clinstack import cli
from clinstack.config import AdaptOptions, StudyOptions
from clinstack.data.corpus import open_corpus
from clinstack.data.task import Task, open_task
from clinstack.errors import BadInput, CannotWrite
from clinstack.runs.layout import AdapterLayout, RunLayout, StudyLayout
from clinstack.runs.lineage import short
from clinstack.studies import cells
from clinstack.studies.grid import read_grid
from clinstack.studies.study import study
from clinstack.training.language import adapt

GRID = """
title = "Does it work?"

[all]
epochs = 1
learning-rate = 5e-3
max-tokens = 48
resamples = 100
device = "cpu"
precision = "float32"

[clinical]
corpus = "{corpus}"
rank = 2
max-tokens = 48
device = "cpu"
precision = "float32"

[grid]
base = ["{base}"]
task = ["{task}"]
variant = {variants}
seed = {seeds}

{more}
"""


@pytest.fixture
def grid(small_base, small_corpus, small_task, tmp_path):
    """Writes a grid file."""

    def write(
        name: str = "grid", variants=("head-only", "clinical-frozen+task"), seeds=(1, 2), more: str = "", task=None
    ):
        file = tmp_path / f"{name}.toml"
        names = json.dumps(list(variants))
        task = task or small_task("binary")
        file.write_text(
            GRID.format(base=small_base, corpus=small_corpus, task=task, variants=names, seeds=list(seeds), more=more)
        )
        return file

    return write


def rows(out: Path) -> list[dict]:
    return json.loads((out / "table.json").read_text())


def test_every_combination_is_a_run_and_one_clinical_adapter_lies_below_those_that_need_one(grid, tmp_path):
    found = study(StudyOptions(grid=grid(more='[baselines]\nnames = ["majority"]'), out=tmp_path / "study", workers=1))
    assert (found["cells"], found["finished"], found["failed"]) == (6, 6, {})
    table = rows(tmp_path / "study")
    assert sorted(str(row.get("variant", "step 1")) for row in table) == [
        "baseline", "clinical-frozen+task", "clinical-frozen+task", "head-only", "head-only", "step 1"
    ]  # fmt: skip
    assert len({row["clinical_hash"] for row in table if row.get("variant") == "clinical-frozen+task"}) == 1
    page = (tmp_path / "study" / "report.html").read_text()
    assert "Does it work?" in page
    heads = [row for row in table if row.get("variant") == "head-only"]
    assert {row["seed"] for row in heads} == {1, 2}


def test_each_seed_may_have_a_step_1_of_its_own_and_they_stay_one_setup(grid, tmp_path):
    file, out = grid(), tmp_path / "study"
    file.write_text(file.read_text().replace("[clinical]\n", "[clinical]\nper-seed = true\n"))
    assert study(StudyOptions(grid=file, out=out, workers=1))["finished"] == 6
    table = rows(out)
    below = {
        tomllib.loads(run.config.read_text())["seed"]: json.loads(run.lineage.read_text())["adapters"][0]["hash"]
        for run in map(RunLayout, out.glob("runs/*"))
        if json.loads(run.result.read_text())["step"] == 1
    }
    assert len(set(below.values())) == 2
    stacks = {row["seed"]: row["clinical_hash"] for row in table if row.get("variant") == "clinical-frozen+task"}
    assert stacks == below
    page = (out / "report.html").read_text()
    assert "lie on one run of step 1" not in page
    assert (
        "clinical adapter" not in page.partition("<tbody>")[2].partition("</tbody>")[0]
    )  # no setup by its adapter's hash


def test_what_is_finished_is_never_done_again_and_a_grid_may_grow(grid, tmp_path):
    out = tmp_path / "study"
    study(StudyOptions(grid=grid(seeds=[1]), out=out, workers=1))
    before = {file: file.stat().st_mtime_ns for file in out.glob("runs/*/result.json")}
    found = study(StudyOptions(grid=grid(seeds=[1, 2]), out=out, workers=1))
    assert found["finished"] == 5
    assert {file: file.stat().st_mtime_ns for file in before} == before
    with pytest.raises(CannotWrite) as caught:
        study(StudyOptions(grid=grid(seeds=[2]), out=out, workers=1))
    assert "2 of its finished cells are not in this grid, such as head-only, small, binary, seed 1." in str(
        caught.value
    )


def test_several_workers_give_the_same_runs_as_one(grid, tmp_path):
    file = grid()
    one = study(StudyOptions(grid=file, out=tmp_path / "one", workers=1))
    two = study(StudyOptions(grid=file, out=tmp_path / "two", workers=2))
    assert one["finished"] == two["finished"] == 5

    def heads(out: Path) -> dict[str, bytes]:
        found = {}
        for result in out.glob("runs/*/result.json"):
            content = json.loads(result.read_text())
            if content["step"] == 2:
                found[content["variant"], content["seed"]] = RunLayout(result.parent).head.read_bytes()
        return found

    # A head is bound to its stack by hash; those are equal where the same clinical adapter came out.
    assert heads(tmp_path / "one") == heads(tmp_path / "two")


def test_a_cell_that_fails_is_shown_with_its_reason_and_stops_nothing(grid, tmp_path, small_task):
    more = '[variants."too long"]\ntask-adapter = "lora"\nmax-tokens = 5000\n'
    file = grid(variants=["head-only", "too long"], more=more)
    found = study(StudyOptions(grid=file, out=tmp_path / "study", workers=1))
    reason = "--max-tokens 5000 is more than base small can read (256). Choose at most that."
    assert found["failed"] == {f"too long, small, binary, seed {seed}": reason for seed in (1, 2)}
    assert found["finished"] == 2
    assert [row["reason"] for row in rows(tmp_path / "study") if row["status"] == "unfinished"] == [
        f"failed: {reason}"
    ] * 2
    failed = [[row[key] for key in ("variant", "base_name", "task", "seed")] for row in rows(tmp_path / "study")[-2:]]
    assert sorted(failed) == [["too long", "small", "binary", seed] for seed in (1, 2)]
    page, markdown = ((tmp_path / "study" / name).read_text() for name in ("report.html", "table.md"))
    results = page.partition('id="results"')[2].partition("</section>")[0].replace("\n", "")
    for seed in (1, 2):
        cells = ("too long", "small", "binary", str(seed))
        assert f"| {' | '.join(cells)} | {reason} |" in markdown
        row = "".join(f'<th scope="row">{cell}</th>' for cell in cells) + f"<td>{reason}</td>"
        assert row in results


@pytest.fixture
def grown_over_other_notes(grid, small_corpus, small_task, tmp_path):
    """Trains a study, exchanges its task or its corpus for another in the same place, and lets the grid grow."""

    def grow(what: str):
        places = {"task": tmp_path / "task", "corpus": tmp_path / "corpus"}
        shutil.copytree(small_task("binary"), places["task"])
        shutil.copytree(small_corpus, places["corpus"])
        file, out = grid(seeds=[1], task=places["task"]), tmp_path / "study"
        file.write_text(file.read_text().replace(str(small_corpus), str(places["corpus"])))
        study(StudyOptions(grid=file, out=out, workers=1))
        kept = tmp_path / "kept"
        places[what].rename(kept)
        shutil.copytree(kept, places[what])
        notes = parquet.read_table(kept / "train.parquet")
        parquet.write_table(notes.slice(1), places[what] / "train.parquet")
        file.write_text(file.read_text().replace("seed = [1]", "seed = [1, 2]"))
        return StudyOptions(grid=file, out=out, workers=1), kept, places[what]

    return grow


@pytest.mark.parametrize(
    ("what", "cell"), [("task", "head-only, small, task, seed 1"), ("corpus", "step 1, small, seed 1")]
)
def test_a_study_does_not_grow_over_other_notes_than_it_was_trained_on(what, cell, grown_over_other_notes):
    options, kept, place = grown_over_other_notes(what)
    then, now = (
        short((open_task if what == "task" else open_corpus)(folder).content_hash()) for folder in (kept, place)
    )
    with pytest.raises(CannotWrite) as caught:
        study(options)
    assert str(caught.value) == (
        f"{place} holds another {what} than finished cells of {options.out} were trained on, such as {cell}: {then} then, {now} now. "
        f"Choose another --out, or put the {what} back."
    )
    assert caught.value.exit_code == 2
    shutil.rmtree(place)
    kept.rename(place)
    assert study(options)["finished"] == 5


@pytest.mark.parametrize("what", ["task", "corpus"])
def test_notes_that_are_not_there_are_told_before_anything_is_trained(what, grid, small_task, small_corpus, tmp_path):
    place, gone = {"task": small_task("binary"), "corpus": small_corpus}[what], tmp_path / "misspelled"
    file, out = grid(seeds=[1]), tmp_path / "study"
    file.write_text(file.read_text().replace(str(place), str(gone)))
    with pytest.raises(BadInput) as caught:
        study(StudyOptions(grid=file, out=out, workers=1))
    assert str(caught.value) == (
        f"{gone} is not a {what} folder: {what}.json is missing. `clinstack data` makes {what} folders."
    )
    assert not out.exists()


def test_a_task_is_read_once_to_see_that_it_is_the_same(grid, tmp_path, monkeypatch):
    file, out = grid(variants=["head-only"]), tmp_path / "study"
    study(StudyOptions(grid=file, out=out, workers=1))
    opened = []
    hashed = Task.content_hash
    monkeypatch.setattr(Task, "content_hash", lambda task: opened.append(task.folder) or hashed(task))
    assert study(StudyOptions(grid=file, out=out, workers=1))["finished"] == 2
    assert len(opened) == 1


@pytest.mark.parametrize("inner", ["", "adapters/clinical"])
def test_a_study_does_not_go_on_over_another_clinical_adapter(
    inner, grid, clinical_run, small_base, small_corpus, tmp_path
):
    place, out = tmp_path / "clinical", tmp_path / "study"
    shutil.copytree(clinical_run, place)
    file = with_clinical(grid(seeds=[1]), place / inner)
    assert study(StudyOptions(grid=file, out=out, workers=1))["finished"] == 2
    shutil.rmtree(place)
    adapt(AdaptOptions(base=str(small_base), corpus=small_corpus, out=place, max_tokens=64, seed=2, device="cpu"))
    then, now = (
        short(json.loads(AdapterLayout(RunLayout(run).adapter("clinical")).lineage.read_text())["hash"])
        for run in (clinical_run, place)
    )
    with pytest.raises(CannotWrite) as caught:
        study(StudyOptions(grid=file, out=out, workers=1))
    assert str(caught.value) == (
        f"{place / inner} holds another clinical adapter than finished cells of {out} were trained on, such as clinical-frozen+task, small, "
        f"binary, seed 1: {then} then, {now} now. Choose another --out, or put the clinical adapter back."
    )
    shutil.rmtree(place)  # what is gone is mixed with nothing
    assert study(StudyOptions(grid=file, out=out, workers=1))["finished"] == 2


def with_clinical(file: Path, run: Path) -> Path:
    """The grid with a finished run of step 1 instead of one of its own."""
    text = file.read_text()
    file.write_text(f'{text.split("[clinical]")[0]}[clinical]\nrun = "{run}"\n\n[grid]{text.split("[grid]")[1]}')
    return file


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clinical_run_that_was_edited_fails_its_cells_alone(workers, grid, clinical_run, tmp_path):
    edited = tmp_path / "edited"
    shutil.copytree(clinical_run, edited)
    weights = AdapterLayout(RunLayout(edited).adapter("clinical")).weights
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    file = with_clinical(grid(seeds=[1]), edited)
    found = study(StudyOptions(grid=file, out=tmp_path / "study", workers=workers))
    assert (found["finished"], list(found["failed"])) == (1, ["clinical-frozen+task, small, binary, seed 1"])
    assert f"{weights.parent} has been changed" in str(found["failed"])


def test_a_cell_that_runs_out_of_memory_says_so_and_stops_nothing(grid, tmp_path):
    more = '[variants.huge]\ntask-adapter = "none"\nhead-hidden = 1000000000000\n'
    file = grid(variants=["huge", "head-only"], seeds=[1], more=more)
    found = study(StudyOptions(grid=file, out=tmp_path / "study", workers=1))
    assert found["finished"] == 1
    assert found["failed"] == {"huge, small, binary, seed 1": "Memory ran out. Lower --batch-size or --max-tokens."}


def test_as_many_workers_as_the_largest_cell_allows(grid, monkeypatch, tmp_path):
    more = "".join(f'[variants."{length}"]\ntask-adapter = "lora"\nmax-tokens = {length}\n' for length in (200, 48, 24))
    found = read_grid(grid(variants=["200", "48", "24"], seeds=[1, 2], more=more), tmp_path / "runs").cells
    monkeypatch.setattr(cells, "free_memory", lambda: 1000)
    monkeypatch.setattr(cells, "cores", lambda: 16)
    assert cells.fitting_workers(found, lambda cell: 2.0 * cell.options.max_tokens) == 2  # of 800 bytes, 400 each
    elsewhere = [replace(cell, options=cell.options.model_copy(update={"device": "cuda:7"})) for cell in found]
    monkeypatch.setattr(cells, "choose_device", lambda device: device)
    assert cells.fitting_workers([*found, *elsewhere], lambda cell: 1.0) == 1


def test_cells_that_begin_together_read_the_notes_once(grid, tmp_path):
    file = grid(variants=["head-only"], seeds=[1, 2, 3, 4])
    study(StudyOptions(grid=file, out=tmp_path / "study", workers=2))
    used = [json.loads(one.read_text())["features"] for one in (tmp_path / "study").glob("runs/*/result.json")]
    assert sorted(one["computed"] for one in used)[:3] == [0, 0, 0]
    assert len({one["found"] + one["computed"] for one in used}) == 1


def test_a_folder_in_which_another_grid_is_being_trained_is_refused(grid, tmp_path):
    out = tmp_path / "study"
    command = ["study", str(grid("first", seeds=[1, 2, 7])), "--out", str(out), "--workers", "1"]  # step 1 is in both
    process = subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not list(out.glob("claims/*/.lock")) and time.monotonic() < until:
        time.sleep(0.01)
    hold(process.pid)
    before = StudyLayout(out).grid.read_text()
    try:
        with pytest.raises(CannotWrite) as caught:
            study(StudyOptions(grid=grid("second", seeds=[7]), out=out, workers=1))
        assert str(caught.value).startswith("Another command trains ")
        assert "by a grid that has cells which this one has not. Wait for it, or choose" in str(caught.value)
        assert StudyLayout(out).grid.read_text() == before
    finally:
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=120) == 0


def test_a_study_that_was_killed_at_its_first_file_goes_on(grid, tmp_path):
    layout, file = StudyLayout(tmp_path / "study"), grid(seeds=[1], variants=["head-only"])
    layout.root.mkdir()
    layout.grid.write_text("# somebody's own")
    with pytest.raises(CannotWrite, match="is not empty and is not a study"):
        study(StudyOptions(grid=file, out=layout.root, workers=1))
    assert layout.grid.read_text() == "# somebody's own"
    layout.grid.write_text(file.read_text())
    (layout.root / ".cells.json.partial-999999").write_text("{")
    assert study(StudyOptions(grid=file, out=layout.root, workers=1))["finished"] == 1


def test_a_known_variant_may_be_given_further_options(grid, tmp_path):
    more = "[variants.clinical-frozen]\nepochs = 9\n"
    cells = read_grid(grid(variants=["clinical-frozen", "task"], seeds=[1], more=more), tmp_path / "runs").cells
    chosen = {cell.name.split(",")[0]: cell.options for cell in cells}
    frozen = chosen["clinical-frozen"]
    assert (frozen.epochs, frozen.task_adapter, frozen.clinical_mode) == (9, "none", "frozen")
    assert chosen["task"].epochs == 1


def test_a_run_is_the_variant_that_its_cell_is_called(grid, tmp_path):
    names = ["clinical-continued", "clinical-merged", "clinical-trainable+full"]
    file = grid(variants=names, seeds=[1], more="[variants.clinical-merged]\nhead-rate = 2.0\n")
    assert study(StudyOptions(grid=file, out=tmp_path / "study", workers=1))["failed"] == {}
    assert sorted(row["variant"] for row in rows(tmp_path / "study") if row["step"] == 2) == names


def test_every_cell_that_cannot_be_trained_says_why_and_none_spoils_another(
    grid, small_task, small_base, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    odd = tmp_path / "odd"
    shutil.copytree(small_task("binary"), odd)
    table = parquet.read_table(odd / "test.parquet")
    labels = pa.array([["unheard of"], *table.column("labels").to_pylist()[1:]], table.schema.field("labels").type)
    parquet.write_table(
        table.set_column(table.schema.get_field_index("labels"), "labels", labels), odd / "test.parquet"
    )
    more = (
        '[variants."too fast"]\ntask-adapter = "lora"\nlearning-rate = 1e30\nclip-norm = 0.0\n'
        '[variants."too deep"]\ntask-adapter = "lora"\ntop-layers = 99\n'
    )
    file = grid(variants=["head-only", "too fast", "too deep"], seeds=[1], more=more)
    text = file.read_text()
    several = text.replace(f'base = ["{small_base}"]', f'base = ["{small_base}", "nobody/nothing", "here/nowhere/"]')
    file.write_text(several.replace('task = ["', f'task = ["{odd}", "'))
    found = study(StudyOptions(grid=file, out=tmp_path / "study"))  # as many workers as fit
    assert found["finished"] == 1
    reasons = found["failed"]
    assert len(reasons) == found["cells"] - 1 == 17
    of = lambda start: {reason for name, reason in reasons.items() if name.startswith(start)}  # noqa: E731
    assert all("neither a folder here nor to be had from the hub" in one for one in of("head-only, nothing"))
    assert "the weights' norm became inf" in " ".join(of("too fast, small, binary")).lower()
    assert of("too deep, small, binary") == {"--top-layers 99: base small has 2 layers. Choose at most that."}
    assert of("head-only, small, odd") == {
        f"{odd}: labels that are not among the task's classes. Make the folder again."
    }
    page = (tmp_path / "study" / "report.html").read_text()
    assert page.count("failed: ") == 17


def test_two_commands_share_a_study(grid, tmp_path):
    file, out = grid(seeds=[1, 2, 3]), tmp_path / "study"
    command = [sys.executable, "-m", "clinstack.cli", "study", str(file), "--out", str(out), "--workers", "1", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=180) for process in both]
    for process, (shown, told) in zip(both, said, strict=True):
        assert process.returncode == 0, told
        assert json.loads(shown)["finished"] == 7
    assert "Going on after step" not in said[0][1] + said[1][1]
    begun = [told.count(" of 7: ") for _, told in said]
    assert sum(begun) == 7
    assert min(begun) >= 1


def test_a_grid_whose_cells_failed_may_be_mended(grid, tmp_path):
    more = '[variants."too long"]\ntask-adapter = "lora"\nmax-tokens = {}\n'
    out = tmp_path / "study"
    variants = ["head-only", "too long"]
    assert (
        study(StudyOptions(grid=grid(variants=variants, more=more.format(5000)), out=out, workers=1))["finished"] == 2
    )
    mended = study(StudyOptions(grid=grid(variants=variants, more=more.format(24)), out=out, workers=1))
    assert (mended["finished"], mended["failed"]) == (4, {})
    assert {row["status"] for row in rows(out)} == {"finished"}


def test_several_grids_share_a_study_and_options_of_a_method_go_to_those_that_have_one(grid, small_base, tmp_path):
    file = grid(variants=["head-only", "task"], seeds=[1])
    text = file.read_text().replace("epochs = 1", "epochs = 1\nrank = 2")
    second = (
        f'[[grid]]\nbase = ["{small_base}"]\ntask = {text.split("task = ")[1].splitlines()[0]}\nvariant = ["full"]\n'
    )
    file.write_text(text.replace("[grid]", "[[grid]]") + second)
    cells = read_grid(file, tmp_path / "runs").cells
    ranks = {cell.name.split(",")[0]: cell.options.method_options for cell in cells}
    assert ranks == {"head-only": {}, "task": {"rank": 2}, "full": {}}
    assert study(StudyOptions(grid=file, out=tmp_path / "study", workers=1))["finished"] == 3
    file.write_text(file.read_text().replace('"full"', '"task"'))
    with pytest.raises(BadInput) as caught:
        read_grid(file, tmp_path / "runs")
    assert str(caught.value) == (
        f"{file}: Two cells are the same run: task, small, binary, seed 1 ([[grid]] 1), and task, small, binary, seed 1 ([[grid]] "
        "2). Remove one of them."
    )


def test_where_the_clinical_adapter_fails_so_does_what_needs_it(grid, tmp_path):
    file = grid()
    file.write_text(file.read_text().replace("rank = 2", 'rank = 2\ntargets = "nowhere"'))
    found = study(StudyOptions(grid=file, out=tmp_path / "study", workers=2))
    assert found["finished"] == 2
    assert sorted(found["failed"].values())[0] == "Its clinical adapter failed."
    assert any("finds no layers" in reason for reason in found["failed"].values())


def test_a_study_that_is_killed_at_any_time_goes_on_and_ends_the_same(grid, tmp_path):
    file, out = grid(seeds=[1, 2, 3]), tmp_path / "killed"
    chance, kills = random.Random(5), 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "clinstack.cli", "study", str(file), "--out", str(out), "--workers", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        begun = len(list(out.glob("runs/*/metrics.jsonl")))
        until = time.monotonic() + 60
        while (
            process.poll() is None and len(list(out.glob("runs/*/metrics.jsonl"))) <= begun and time.monotonic() < until
        ):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        kills += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert kills >= 2
    found = study(StudyOptions(grid=file, out=out, workers=1))
    whole = study(StudyOptions(grid=file, out=tmp_path / "whole", workers=1))
    assert found["finished"] == whole["finished"] == 7

    def figures(folder: Path) -> list:
        return sorted(
            (
                str(row.get("variant")),
                row["seed"],
                row.get("test_auroc"),
                row.get("task_hash"),
                row.get("clinical_hash"),
            )
            for row in rows(folder)
        )

    assert figures(out) == figures(tmp_path / "whole")


def test_workers_end_with_a_study_whose_command_alone_was_killed(grid, tmp_path):
    file, out = grid(seeds=list(range(1, 9))), tmp_path / "study"
    process = subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", "study", str(file), "--out", str(out), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not list(out.glob("runs/*/metrics.jsonl")) and time.monotonic() < until:
        time.sleep(0.05)
    own = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [one for one in own if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{one}").exists() for one in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{one}").exists() for one in workers)
    assert len(list(out.glob("runs/*/result.json"))) < 17


def hold(process: int) -> None:
    """Returns when a process stands still: it may end what it is at with the disk first."""
    os.kill(process, signal.SIGSTOP)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.001)
    raise AssertionError("it goes on")


def kill_at_work(layout: StudyLayout) -> Path:
    """Kills a worker while its cell is not finished; it is held still meanwhile, so that this is sure. Its cell's run."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for found in layout.root.glob("claims/*/worker.json"):
            with contextlib.suppress(FileNotFoundError):
                process = json.loads(found.read_text())["process"]
                hold(process)
                at = layout.run(found.parent.name)
                if found.is_file() and not RunLayout(at).result.is_file():
                    os.kill(process, signal.SIGKILL)
                    return at
                os.kill(process, signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("no worker was met at work")


@pytest.mark.parametrize("first", ["the command", "another worker"])
def test_a_worker_that_is_killed_fails_its_cell_alone(first, grid, tmp_path):
    file, out = grid(seeds=[1, 2, 3], variants=["head-only", "task"]), tmp_path / "study"
    process = subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", "study", str(file), "--out", str(out), "--workers", "2", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    layout = StudyLayout(out)
    if first == "another worker":  # the command sees nothing of it until the cell is settled
        until = time.monotonic() + 60
        while not list(layout.root.glob("claims/*/worker.json")) and time.monotonic() < until:
            time.sleep(0.01)
        hold(process.pid)
    at = kill_at_work(layout)
    if first == "another worker":
        until = time.monotonic() + 60
        while not RunLayout(at).failure.is_file() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGCONT)
    found = json.loads(process.communicate(timeout=120)[0])
    assert found["finished"] == 5
    (reason,) = found["failed"].values()
    assert reason == (
        "Its process was killed, as where memory runs out. Use fewer --workers, or lower --batch-size or --max-tokens."
    )
    assert study(StudyOptions(grid=file, out=out, workers=1))["finished"] == 6


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[all]", "[al]", "Unknown table 'al'. Did you mean 'all'?"),
        ("epochs = 1", "epoch = 1", "Unknown option 'epoch' in [all]. Did you mean 'epochs'?"),
        ('"head-only"', '"head-onli"', "Unknown variant 'head-onli'. Did you mean 'head-only'?"),
        ("epochs = 1", "epochs = 0", "[all] epochs: Input should be greater than or equal to 1, not 0."),
        ("seed = [1, 2]", "seed = [1, 1]", "[grid] seed names a value twice."),
        ("seed = [1, 2]", "seed = 1", "[grid] seed must be a list with at least one value."),
        (
            "[grid]",
            "[baselines]\nname = []\n[grid]",
            "Unknown option 'name' in [baselines]. Did you mean 'names'? Known: names.",
        ),
        (
            "[grid]",
            '[baselines]\nnames = ["tfidf"]\n[grid]',
            "Unknown baseline 'tfidf' in [baselines]. Did you mean 'tf-idf'?",
        ),
        ("[grid]", "[grid", "is not valid TOML"),
        ("[all]", 'published = "table5"\n[all]', "Unknown table of published figures 'table5'. Did you mean 'table4'?"),
        ("rank = 2", "rang = 2", "Unknown option 'rang' in [clinical]. Did you mean 'rank'?"),
    ],
)
def test_a_mistake_in_a_grid_is_found_before_anything_is_trained(old, new, expected, grid, tmp_path):
    file = grid()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadInput) as caught:
        read_grid(file, tmp_path / "runs")
    assert str(caught.value).startswith(str(file))
    assert expected in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_variant_that_needs_step_1_says_so_and_may_be_given_a_run(grid, clinical_run, tmp_path):
    file = grid()
    text = file.read_text()
    head, tail = text.split("[clinical]")[0], "[grid]" + text.split("[grid]")[1]
    file.write_text(head + tail)
    with pytest.raises(BadInput) as caught:
        read_grid(file, tmp_path / "runs")
    assert "Variant 'clinical-frozen+task' needs a clinical adapter." in str(caught.value)
    file.write_text(text)
    with_clinical(file, clinical_run)
    assert len(read_grid(file, tmp_path / "runs").cells) == 4


def test_the_command_says_what_became_of_the_cells(grid, tmp_path, capsys):
    file = grid(variants=["head-only"], seeds=[1])
    with pytest.raises(SystemExit) as end:
        cli.main(["study", str(file), "--out", str(tmp_path / "study"), "--workers", "1"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "1 of 1 cells finished" in shown
    assert "report.html" in shown
