"""The library: what goes in is whole, stays as it was, and one version answers, whoever else is writing."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from pyarrow import parquet

from clinstack import cli
from clinstack.config import TrainOptions
from clinstack.errors import BadInput, WrongParents
from clinstack.models.note_classifier import load
from clinstack.serving.entry_names import parse_entry
from clinstack.serving.library import Library
from clinstack.serving.run_check import check_run
from clinstack.serving.service import Service
from clinstack.training.classification import train


@pytest.fixture(scope="module")
def runs(small_base, small_task, clinical_run, tmp_path_factory):
    """Two stacked runs of one task that share a frozen clinical adapter, and a baseline."""
    root = tmp_path_factory.mktemp("runs")
    shared = {"task": small_task("binary"), "resamples": 100, "epochs": 1, "max_tokens": 48, "device": "cpu"}
    for seed in (1, 2):
        train(TrainOptions(base=str(small_base), out=root / f"seed-{seed}", clinical=clinical_run, seed=seed, **shared))
    train(TrainOptions(base="majority", out=root / "majority", task=shared["task"], resamples=100))
    return root


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "library")


def test_versions_are_counted_promoted_and_rolled_back(library, runs):
    first, second = library.add(runs / "seed-1", "mortality"), library.add(runs / "seed-2", "mortality")
    assert [first.name, second.name] == ["mortality@1", "mortality@2"]
    with pytest.raises(BadInput) as caught:
        library.entry("mortality")
    assert str(caught.value) == "No version of mortality is promoted. Promote one of mortality@1, mortality@2."
    library.promote(first)
    library.promote(second)
    library.promote(second)
    assert library.entry("mortality").name == "mortality@2"
    assert library.rollback("mortality").name == "mortality@1"
    with pytest.raises(BadInput) as caught:
        library.rollback("mortality")
    assert str(caught.value) == (
        "There is nothing to go back to: no other version of mortality was promoted before this one."
    )
    log = json.loads(library.layout.state.read_text())["log"]
    assert [one["what"] for one in log] == ["promote", "promote", "rollback"]
    assert [one.since for one in library.entries()] == [log[2]["time"], log[1]["time"]]
    assert [(one.name, one.promoted) for one in library.entries()] == [("mortality@1", True), ("mortality@2", False)]


def test_a_number_that_was_promoted_is_never_anothers(library, runs):
    """What the log says of it would be said of the other."""
    for run in ("seed-1", "seed-2"):
        library.promote(library.add(runs / run, "mortality"))
    library.rollback("mortality")
    shutil.rmtree(library.layout.version("mortality", 2))
    again = library.add(runs / "seed-2", "mortality")
    assert (again.name, again.since) == ("mortality@3", None)


def test_a_version_predicts_the_bits_of_its_run_and_holds_no_note_and_no_id(library, runs):
    entry = library.add(runs / "seed-1", "mortality")
    texts = ["patient is stable", "woman with shock and pain"]
    assert np.array_equal(load(library.run(entry)).score_texts(texts), load(runs / "seed-1").score_texts(texts))
    assert parquet.read_table(library.run(entry) / "scores.parquet").column_names == ["split", "labels", "logits"]
    assert not (library.run(entry) / "predictions.parquet").exists()
    for file in library.run(entry).rglob("*"):
        if file.suffix in (".json", ".toml", ".md", ".csv", ".jsonl"):
            assert "test-p0" not in file.read_text()
    library.verify(library.add(runs / "majority", "mortality"))


def test_an_adapter_that_versions_share_lies_on_the_disk_once(library, runs):
    folders = [library.run(library.add(runs / f"seed-{seed}", "mortality")) for seed in (1, 2)]
    places = [(one / "adapters/clinical/adapter_model.safetensors").stat() for one in folders]
    assert places[0].st_ino == places[1].st_ino
    assert len(list((library.layout.root / "adapters").iterdir())) == 3  # one clinical, two task


def damage(run, what: str) -> None:
    if what == "a changed weight":
        file = run / "adapters/task/adapter_model.safetensors"
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
    elif what == "a missing parent":
        shutil.rmtree(run / "adapters/clinical")
    elif what == "a changed head":
        file = run / "head.safetensors"
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
    elif what == "half a file":
        file = run / "adapters/task/adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif what == "no result":
        (run / "result.json").unlink()


DAMAGES = {
    "a changed weight": "adapters/task/adapter_model.safetensors has been changed since the run was finished",
    "a missing parent": "adapters/clinical/adapter_config.json is missing",
    "a changed head": "head.safetensors has been changed since the run was finished",
    "half a file": "adapters/task/adapter_model.safetensors has been changed since the run was finished",
    "no result": "result.json is missing",
}
UNSEALED = {
    "a changed weight": "adapters/task has been changed",
    "a missing parent": "lacks its adapter 'clinical'",
    "a changed head": "head.safetensors has been changed",
    "half a file": "is not a whole safetensors file",
    "no result": "is not finished: run its command again.",
}


def refused(library, run) -> str:
    """Why a run is not added; nothing may be left of it."""
    with pytest.raises((BadInput, WrongParents)) as caught:
        library.add(run, "mortality")
    assert library.entries() == []
    assert not (library.layout.root / "tasks").exists()
    return str(caught.value)


@pytest.mark.parametrize("what", DAMAGES)
def test_a_run_that_is_not_whole_is_refused_and_leaves_nothing(what, library, runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "seed-1", run)
    damage(run, what)
    assert refused(library, run) == f"{run / DAMAGES[what]}. Restore it, or train again."
    (run / "manifest.json").unlink()
    assert UNSEALED[what] in refused(library, run)


def edit(file, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


EDITS = {
    "figures": ("result.json", {"metrics": {"test": {"auroc": {"value": 1.0, "low": 1.0, "high": 1.0}}}}),
    "the order of classes": ("result.json", {"classes": ["dead", "alive"]}),
    "terms": ("lineage.json", {"terms": []}),
    "an adapter's terms": ("adapters/clinical/lineage.json", {"terms": []}),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_run_that_was_edited_is_refused(what, library, runs, tmp_path):
    shutil.copytree(runs / "seed-1", tmp_path / "run")
    file, changes = EDITS[what]
    edit(tmp_path / "run" / file, **changes)
    assert refused(library, tmp_path / "run") == (
        f"{tmp_path / 'run' / file} has been changed since the run was finished. Restore it, or train again."
    )


@pytest.mark.parametrize("file", ["predictions.parquet", "labels.csv", "config.toml", "README.md"])
def test_every_file_that_says_what_a_run_is_is_sealed(file, library, runs, tmp_path):
    shutil.copytree(runs / "majority", tmp_path / "run")
    with (tmp_path / "run" / file).open("ab") as out:
        out.write(b"\n")
    assert refused(library, tmp_path / "run") == (
        f"{tmp_path / 'run' / file} has been changed since the run was finished. Restore it, or train again."
    )


def test_files_of_ones_own_beside_a_run_are_no_matter_and_do_not_get_into_the_library(library, runs, tmp_path):
    shutil.copytree(runs / "seed-1", tmp_path / "run")
    (tmp_path / "run" / "answers.csv").write_text("note_id\n")
    entry = library.add(tmp_path / "run", "mortality")
    assert entry.about["sealed"] is True
    assert not (library.run(entry) / "answers.csv").exists()


def test_a_run_without_a_seal_is_taken_in_as_such_with_the_terms_of_its_adapters(library, runs, tmp_path):
    shutil.copytree(runs / "seed-1", tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    edit(tmp_path / "run" / "lineage.json", terms=[])
    entry = library.add(tmp_path / "run", "mortality")
    assert entry.about["sealed"] is False
    assert entry.about["terms"] == library.terms(entry) == ["for tests only"]
    library.verify(entry)


def test_half_a_copy_without_a_seal_is_refused(library, runs, tmp_path):
    shutil.copytree(runs / "seed-1", tmp_path / "run")
    for name in ("manifest.json", "predictions.parquet"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(BadInput) as refused:
        library.add(tmp_path / "run", "mortality")
    assert str(refused.value) == (
        f"{tmp_path / 'run' / 'predictions.parquet'} is missing: the run is half a copy. Copy it again, whole, or train again."
    )
    assert library.entries("mortality") == []


def test_what_a_damaged_shared_adapter_spoils_is_mended_by_adding_the_run_again(library, runs):
    first = library.add(runs / "seed-1", "mortality")
    damage(library.run(first), "a changed weight")
    second = library.add(runs / "seed-1", "mortality")
    library.verify(second)
    library.promote(second)
    with pytest.raises(WrongParents) as caught:
        library.verify(first)
    folder = library.run(first)
    assert str(caught.value) == (
        f"{folder / 'adapters/task/adapter_model.safetensors'} has been changed since the version was added. Restore it, "
        f"or add the run again and remove {folder}."
    )


def test_a_file_that_was_put_into_a_version_is_noticed(library, runs):
    entry = library.add(runs / "seed-1", "mortality")
    file = library.run(entry) / "adapters" / "other.safetensors"
    file.write_bytes(b"")
    with pytest.raises(WrongParents) as caught:
        library.verify(entry)
    assert str(caught.value) == (
        f"{file} was not there when the version was added. Remove it, or restore {library.run(entry) / 'manifest.json'}."
    )


def gone(library, entry, what: str) -> str:
    """Takes something away from a version; returns what is said of it."""
    folder = library.run(entry)
    if what == "all of it":
        shutil.rmtree(folder)
        return f"{entry.name} is broken: {folder} is missing. Restore it, or promote another version."
    (folder / what).unlink()
    mend = f"Restore it, or add the run again and remove {folder}."
    return f"{entry.name} is broken: {folder / what} is missing. {mend}"


@pytest.mark.parametrize("what", ["entry.json", "manifest.json", "all of it"])
def test_a_promoted_version_that_is_half_there_is_named_passed_over_and_mended_as_is_said(what, library, runs):
    entry = library.add(runs / "seed-1", "mortality")
    library.promote(entry)
    said = gone(library, entry, what)
    assert [(one.name, one.promoted, one.broken) for one in library.entries()] == [("mortality@1", True, said)]
    for refuses in (lambda: library.entry("mortality"), lambda: library.verify(library.entries()[0])):
        with pytest.raises(WrongParents) as caught:
            refuses()
        assert str(caught.value) == said
    again = library.add(runs / "seed-1", "mortality")
    assert again.name == "mortality@2"
    library.promote(again)
    shutil.rmtree(library.run(entry), ignore_errors=True)
    assert [(one.name, one.promoted, one.broken) for one in library.entries()] == [("mortality@2", True, None)]


def test_a_broken_version_is_rolled_back_from(library, runs):
    first, second = library.add(runs / "seed-1", "mortality"), library.add(runs / "seed-2", "mortality")
    library.promote(first)
    library.promote(second)
    gone(library, second, "entry.json")
    assert library.rollback("mortality").name == "mortality@1"


def test_an_entry_that_was_edited_says_nothing(library, runs):
    entry = library.add(runs / "seed-1", "mortality")
    edit(library.run(entry) / "entry.json", terms=[])
    with pytest.raises(WrongParents) as caught:
        library.entry("mortality", 1)
    folder = library.run(entry)
    assert str(caught.value) == (
        f"mortality@1 is broken: {folder / 'entry.json'} has been changed since the version was added. Restore it, or add the "
        f"run again and remove {folder}."
    )


def test_a_service_goes_on_with_what_it_has_where_a_version_breaks(library, runs):
    for task in ("mortality", "other"):
        library.promote(library.add(runs / "majority", task))
    with Service(library.layout.root, every=3600) as service:
        gone(library, library.entry("mortality"), "entry.json")
        library.promote(library.add(runs / "seed-2", "other"))
        service.refresh()
        assert {task: one.entry.name for task, one in service.versions.items()} == {
            "mortality": "mortality@1",
            "other": "other@2",
        }
        library.promote(library.add(runs / "seed-1", "mortality"))
        said = gone(library, library.entry("mortality"), "entry.json")
        service.refresh()
        assert service.failures == {"mortality@2": said}
        assert sorted(service.versions) == ["mortality", "other"]


def until(true) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_what_is_promoted_while_a_service_starts_answers_soon(library, runs, monkeypatch):
    library.promote(library.add(runs / "majority", "mortality"))
    load = Service._load

    def slowly(service, entry):
        monkeypatch.undo()
        loaded = load(service, entry)
        library.promote(library.add(runs / "seed-1", "mortality"))
        return loaded

    monkeypatch.setattr(Service, "_load", slowly)
    with Service(library.layout.root, every=0.05) as service:
        assert until(lambda: service.versions["mortality"].entry.name == "mortality@2")


def test_a_version_that_fails_in_a_way_nobody_foresaw_leaves_the_service_at_work(library, runs, monkeypatch):
    for task in ("mortality", "other"):
        library.promote(library.add(runs / "majority", task))
    load = Service._load

    def fails(service, entry):
        if entry.name == "mortality@2":
            raise RuntimeError("out of memory while it read Xylophia's note")
        return load(service, entry)

    with Service(library.layout.root, every=0.05) as service:
        monkeypatch.setattr(Service, "_load", fails)
        library.promote(library.add(runs / "seed-1", "mortality"))
        assert until(lambda: service.failures == {"mortality@2": "an unexpected RuntimeError"})
        library.promote(library.add(runs / "seed-2", "other"))
        assert until(lambda: service.versions["other"].entry.name == "other@2")
        assert service.versions["mortality"].entry.name == "mortality@1"


def test_a_base_that_moved_is_not_that_of_versions_with_a_base_of_their_own(
    library, runs, small_base, small_task, tmp_path
):
    options = {"task": small_task("binary"), "resamples": 100, "epochs": 1, "max_tokens": 48, "device": "cpu"}
    train(TrainOptions(base="transformer", out=tmp_path / "own", **options))
    moved = shutil.copytree(small_base, tmp_path / "moved")
    for run, task in ((tmp_path / "own", "own"), (runs / "seed-1", "stacked"), (runs / "majority", "majority")):
        library.promote(library.add(run, task))
    with Service(library.layout.root, base=str(moved), every=3600) as service:
        assert service.failures == {}
        assert sorted(service.versions) == ["majority", "own", "stacked"]


@pytest.mark.parametrize("what", DAMAGES)
def test_a_version_that_was_changed_later_is_noticed_and_never_promoted(what, library, runs):
    first, entry = library.add(runs / "seed-2", "mortality"), library.add(runs / "seed-1", "mortality")
    damage(library.run(entry), what)
    with pytest.raises((BadInput, WrongParents)):
        library.verify(entry)
    with pytest.raises((BadInput, WrongParents)):
        library.promote(entry)
    library.promote(first)
    assert library.entry("mortality") == library.entry("mortality", 1)


def test_a_run_that_answers_another_question_is_no_version_of_a_task(library, runs, small_task, tmp_path):
    library.add(runs / "majority", "mortality")
    options = TrainOptions(base="majority", task=small_task("multiclass"), out=tmp_path / "other", resamples=100)
    train(options)
    with pytest.raises(BadInput) as caught:
        library.add(tmp_path / "other", "mortality")
    assert str(caught.value) == (
        f"mortality is made-up-binary here (binary, 2 classes), and {tmp_path / 'other'} was trained on made-up-multiclass "
        "(multiclass, 3 classes, not the same). Give it another --name."
    )
    assert [one.name for one in library.entries()] == ["mortality@1"]


def test_another_base_is_refused(library, runs, other_base):
    with pytest.raises(WrongParents) as caught:
        library.add(runs / "seed-1", "mortality", base=str(other_base))
    assert "was made on the base" in str(caught.value)
    assert "Give the base it was made on with --base." in str(caught.value)


ADDS = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from clinstack.serving.library import Library
    library = Library(Path(sys.argv[1]))
    print("ready", flush=True)
    for _ in range(int(sys.argv[3])):
        entry = library.add(Path(sys.argv[2]), "mortality")
        library.promote(entry)
    """
)


def test_two_processes_that_write_at_once_lose_nothing(library, runs):
    words = [sys.executable, "-c", ADDS, str(library.layout.root)]
    writers = [subprocess.Popen([*words, str(runs / f"seed-{seed}"), "6"]) for seed in (1, 2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    entries = library.entries()
    assert [one.version for one in entries] == list(range(1, 13))
    assert sum(one.promoted for one in entries) == 1
    for one in entries:
        library.verify(one)
    log = json.loads(library.layout.state.read_text())["log"]
    assert sorted(int(one["version"].split("@")[1]) for one in log) == list(range(1, 13))


def test_a_writer_that_is_killed_leaves_the_library_whole(library, runs):
    words = [sys.executable, "-c", ADDS, str(library.layout.root), str(runs / "seed-1"), "1000"]
    for wait in (0.05, 0.2, 0.4):
        writer = subprocess.Popen(words, stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for one in library.entries():
            library.verify(one)
    added = library.add(runs / "seed-2", "mortality")
    assert [one.version for one in library.entries()] == list(range(1, added.version + 1))
    library.promote(added)
    assert library.entry("mortality").name == added.name


def test_names_and_versions_are_checked(library, runs):
    with pytest.raises(BadInput) as caught:
        library.add(runs / "seed-1", "../mortality")
    assert str(caught.value) == (
        "'../mortality' is no name for a task. Use lower-case letters, digits, and - _ . between them."
    )
    library.add(runs / "seed-1", "mortality")
    for task, version, expected in (
        ("mortalty", None, "has no task 'mortalty'. Did you mean 'mortality'?"),
        ("mortality", 7, "Task mortality has no version 7. It has mortality@1."),
    ):
        with pytest.raises(BadInput) as caught:
            library.entry(task, version)
        assert expected in str(caught.value)
    assert parse_entry("mortality@2") == ("mortality", 2)
    with pytest.raises(BadInput):
        parse_entry("mortality@two")
    check_run(runs / "seed-1")


def test_the_commands_add_list_promote_verify_and_refuse_to_export_against_terms(runs, tmp_path, capsys):
    def says(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(["library", *words])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    shelf = str(tmp_path / "library")
    assert says("add", str(runs / "seed-1"), "--library", shelf, "--name", "mortality")[0] == 0
    assert says("promote", "mortality@1", "--library", shelf)[1] == "mortality@1 answers now\n"
    listed = says("list", "--library", shelf)[1]
    assert "mortality@1" in listed
    assert "clinical-frozen+task" in listed
    assert says("verify", "--library", shelf)[1] == "mortality@1 is what was added\n"
    assert "# made-up-binary (binary), clinical-frozen+task" in says("show", "mortality", "--library", shelf)[1]
    code, _, error = says("export", "mortality", "--library", shelf, "--out", str(tmp_path / "export"))
    assert code == 2
    assert "mortality@1 was trained on data under these terms: for tests only." in error
    assert not (tmp_path / "export").exists()
    code, _, _ = says("export", "mortality", "--library", shelf, "--out", str(tmp_path / "export"), "--accept-terms")
    assert code == 0
    assert (tmp_path / "export" / "README.md").is_file()
    code, _, error = says("rollback", "mortality", "--library", shelf)
    assert (code, "nothing to go back to" in error) == (2, True)


def test_the_commands_name_a_broken_version_and_a_run_without_a_seal(runs, tmp_path, capsys):
    def says(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(["library", *words, "--library", str(library.layout.root)])
        out, err = capsys.readouterr()
        return end.value.code, out, err.removeprefix("clinstack: ").removesuffix("\n")

    library = Library(tmp_path / "library")
    shutil.copytree(runs / "majority", tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    assert says("add", str(tmp_path / "run"), "--name", "mortality")[1] == (
        "added mortality@1; it answers once it is promoted. The run has no seal, so nobody can tell whether it was edited\n"
    )
    says("promote", "mortality@1")
    said = gone(library, library.entry("mortality"), "entry.json")
    assert says("add", str(runs / "majority"), "--name", "mortality")[1] == (
        "added mortality@2; it answers once it is promoted\n"
    )
    code, listed, _ = says("list")
    assert (code, listed.splitlines()[-1]) == (0, said)
    assert "mortality@2" in listed
    assert json.loads(says("list", "--json")[1])["broken"] == [said]
    for words in (["verify"], ["show", "mortality"], ["promote", "mortality@1"]):
        assert says(*words) == (2, "", said)
    card = library.run(library.entry("mortality", 2)) / "README.md"
    card.write_text(card.read_text().replace("0.500", "0.999"))
    code, shown, edited = says("show", "mortality@2")
    assert (code, shown) == (2, "")
    assert "README.md has been changed since" in edited
    assert says("verify") == (2, "", f"{said}\nmortality@2: {edited}")


def test_a_card_says_how_groups_of_patients_fare_or_that_nobody_looked(runs, tmp_path):
    ids = sorted(set(parquet.read_table(runs / "seed-1" / "predictions.parquet").column("patient_id").to_pylist()))
    rows = "".join(f"{name},{'FM'[place % 2]},{30 + place}\n" for place, name in enumerate(ids))
    (tmp_path / "patients.csv").write_text("patient_id,sex,age\n" + rows)
    command = [sys.executable, "-m", "clinstack.cli", "library", "add", str(runs / "seed-1"), "--name", "mortality"]
    command += ["--library", str(tmp_path / "library")]
    looked = ["--by", "sex", "--by", "age:40", "--attributes", str(tmp_path / "patients.csv")]
    for flags in (looked, []):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    library = Library(tmp_path / "library")
    first, second = ((library.run(entry) / "README.md").read_text() for entry in library.entries())
    assert "| sex | F | 12 | 6 | 0." in first
    assert "| age | below 40 | " in first
    assert second.endswith("None were measured. `clinstack library add --by COLUMN` does.\n")
    for entry in library.entries():
        library.verify(entry)


def test_files_of_a_library_follow_the_umask_whatever_those_of_the_run_do(library, runs, tmp_path, small_task):
    own = tmp_path / "own"
    options = {"task": small_task("binary"), "resamples": 100, "epochs": 1, "max_tokens": 48, "device": "cpu"}
    train(TrainOptions(base="transformer", out=own, **options))
    assert stat.S_IMODE((own / "base/model.safetensors").stat().st_mode) == 0o600  # as safetensors writes it
    before = os.umask(0o027)
    try:
        for run in (own, runs / "seed-1"):
            library.add(run, "mortality")
    finally:
        os.umask(before)
    for place in library.layout.root.rglob("*"):
        assert stat.S_IMODE(place.stat().st_mode) == (0o750 if place.is_dir() else 0o640), place
