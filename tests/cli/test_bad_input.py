"""Bad input is normal input: one clear message, exit code 2, nothing lost, nothing half-written. Through the real command."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from model_families import make_family

from clinstack import cli
from clinstack.data.corpus import CorpusWriter
from clinstack.models.base_loading import load_backbone

GOOD = [
    {"id": f"n{i}", "who": f"p{i}", "text": f"note {i} {'shock' if i % 2 else 'stable'}", "label": str(i % 2)}
    for i in range(60)
]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused, and gives its message."""

    def run(*words: object) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
        shown = capsys.readouterr()
        assert end.value.code == 2, shown.err
        assert shown.out == ""
        message = shown.err.rpartition("clinstack: ")[2].strip()
        assert "Traceback" not in shown.err
        assert message
        return message

    return run


def table(file: Path, rows: list[dict] | None = None) -> Path:
    file.write_text("id,who,text,label\n" + "".join(",".join(row.values()) + "\n" for row in rows or GOOD))
    return file


def changed(index: int, **values: str) -> list[dict]:
    return [{**row, **(values if i == index else {})} for i, row in enumerate(GOOD)]


COLUMNS = ("--text", "text", "--id", "id", "--patient", "who", "--label", "label")
TABLES = {
    "missing file": (lambda f: None, (), "{file} does not exist"),
    "wrong column": (lambda f: table(f), ("--text", "txt"), "Did you mean 'text'"),
    "empty text": (lambda f: table(f, changed(4, text="  ")), (), "row 5"),
    "label not in classes": (
        lambda f: table(f, changed(4, label="7")),
        ("--classes", "0", "--classes", "1"),
        "'7' is not one of",
    ),
    "one class": (
        lambda f: table(f, [{**row, "label": "0"} for row in GOOD]),
        (),
        "All 60 rows have the label '0'. A task needs two classes or more.",
    ),
    "empty label": (lambda f: table(f, changed(4, label="")), (), "row 5"),
    "NaN label": (lambda f: table(f, changed(4, label="NaN")), (), "row 5"),
    "duplicated id": (lambda f: table(f, changed(4, id="n0")), (), "n0"),
    "not UTF-8": (lambda f: f.write_bytes(table(f).read_bytes() + b"n99,p99,caf\xe9,1\n"), (), "UTF-8"),
    "no rows": (lambda f: f.write_text("id,who,text,label\n"), (), "no rows"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_is_refused_and_nothing_is_left(case, tmp_path, refused):
    make, flags, expected = TABLES[case]
    file = tmp_path / "notes.csv"
    make(file)
    words = dict(zip(COLUMNS[::2], COLUMNS[1::2], strict=True)) | (
        {flags[0]: flags[1]} if flags and flags[0] == "--text" else {}
    )
    given = [word for pair in words.items() for word in pair] + [word for word in flags if flags[0] != "--text"]
    message = refused("data", "table", file, tmp_path / "task", *given)
    assert expected.format(file=file) in message
    assert str(file) in message or case == "one class"
    assert [entry.name for entry in tmp_path.iterdir() if entry != file] == []


def test_a_truncated_gz_is_refused(tmp_path, refused):
    whole = gzip.compress(table(tmp_path / "x.csv").read_bytes() * 50)
    file = tmp_path / "notes.csv.gz"
    file.write_bytes(whole[: len(whole) // 2])
    message = refused("data", "table", file, tmp_path / "task", *COLUMNS)
    assert message.startswith(str(file))
    assert not (tmp_path / "task").exists()


def test_a_patient_in_two_splits_is_refused(tmp_path, refused):
    rows = [{**row, "who": "same" if i < 2 else row["who"]} for i, row in enumerate(GOOD)]
    file = tmp_path / "notes.csv"
    lines = [",".join(row.values()) + f",{('train', 'test', 'valid')[i % 3]}\n" for i, row in enumerate(rows)]
    file.write_text("id,who,text,label,part\n" + "".join(lines))
    message = refused("data", "table", file, tmp_path / "task", *COLUMNS, "--split", "part")
    assert "same" in message
    assert "test" in message
    assert "train" in message


@pytest.fixture(scope="module")
def train_words(small_base: Path, small_task: Callable[[str], Path]) -> list[str]:
    words = [
        "train",
        "--base",
        small_base,
        "--task",
        small_task("binary"),
        "--device",
        "cpu",
        "--max-tokens",
        48,
        "--epochs",
        1,
    ]
    return [str(word) for word in [*words, "--resamples", 100]]


KNOWN = "Known: adaption-prompt, dora, full, ia3, lora, p-tuning, prefix, prompt, rslora."


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--base", "nowhere"],
            "Base nowhere does not exist. Give a model folder, a hub id such as owner/name, or tiny-base.",
        ),
        (["--max-tokens", "9999"], "--max-tokens 9999 is more than base small can read (256). Choose at most that."),
        (["--task-adapter", "lorra"], "Unknown method 'lorra'. Did you mean 'lora'? " + KNOWN),
        (["--rank", "0"], "Method lora, option rank: Input should be greater than or equal to 1."),
        (
            ["--targets", "nothing"],
            "Method lora finds no layers 'nothing' in base small. Use --targets all, or names of its layers.",
        ),
        (
            ["--task-adapter", "none", "--rank", "2"],
            "--task-adapter none takes no method options; leave them out, or choose a task adapter.",
        ),
        (["--epochs", "0"], "--epochs: Input should be greater than or equal to 1."),
        (["--epoch", "3"], "Unknown option: --epoch. Did you mean --epochs?"),
        (["--device", "quantum"], "--device quantum is not known. Use auto, cpu, cuda or cuda:0."),
        (["--clinical", "nowhere"], "--clinical nowhere is not a run folder."),
        (
            ["--loss", "asymmetric"],
            "--loss asymmetric is for tasks of several labels a note; this one is binary. Leave it out.",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_bad_option_is_refused_in_one_sentence(flags, expected, train_words, tmp_path, refused):
    words = list(train_words)
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        if flag in words:
            words[words.index(flag) + 1] = value
        else:
            words += [flag, value]
    assert refused(*words, "--out", tmp_path / "run") == expected
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family(tmp_path_factory.mktemp("bases") / "bert", "bert")


DECODERS = "is for decoders, and base bert is an encoder. Choose one of dora, full, ia3, lora, rslora."


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--targets", "nothere"], "Method lora finds no layers 'nothere' in base small. Use --targets all, or names of its layers."),
        (["--max-tokens", "5000"], "--max-tokens 5000 is more than base small can read (256). Choose at most that."),
        (["--top-layers", "30"], "--top-layers 30: base small has 2 layers. Choose at most that."),
        (
            ["--method", "prompt", "--virtual-tokens", "2000"],
            "--virtual-tokens 2000 leaves no room for notes: base small reads 256 tokens. Choose fewer.",
        ),
        (
            ["--method", "p-tuning", "--max-tokens", "250"],
            "--max-tokens 250 is more than base small can read behind 20 virtual tokens (236). Choose at most that.",
        ),
        (["--method", "prefix", "--base", "bert"], f"Method prefix {DECODERS}"),
        (["--method", "prompt", "--base", "bert"], f"Method prompt {DECODERS}"),
        (["--method", "p-tuning", "--base", "bert"], f"Method p-tuning {DECODERS}"),
        (["--method", "adaption-prompt", "--base", "bert"], f"Method adaption-prompt {DECODERS}"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_step_1_cannot_do_claims_no_folder(flags, expected, small_base, small_corpus, encoder, tmp_path, refused):
    asked = {"--base": str(small_base), "--max-tokens": "64", **dict(zip(flags[::2], flags[1::2], strict=True))}
    asked["--base"] = str(encoder) if asked["--base"] == "bert" else asked["--base"]
    words = [word for pair in asked.items() for word in pair]
    assert refused("adapt", "--corpus", small_corpus, "--out", tmp_path / "run", "--device", "cpu", *words) == expected
    assert not (tmp_path / "run").exists()


def test_a_corpus_with_an_empty_split_claims_no_folder(small_base, tmp_path, refused):
    with CorpusWriter(tmp_path / "corpus", name="short", source="tests") as out:
        for split in ("train", "test"):
            out.write(split, [split], [split], ["a note"])
    words = ("--base", small_base, "--corpus", tmp_path / "corpus", "--out", tmp_path / "run")
    assert refused("adapt", *words) == (
        f"{tmp_path / 'corpus'}: its split valid holds no note, and step 1 needs all three. Add notes."
    )
    assert not (tmp_path / "run").exists()


def test_a_bad_settings_file_is_refused(train_words, tmp_path, refused):
    file = tmp_path / "settings.toml"
    file.write_text("epocs = 3\n")
    message = refused(*train_words, "--out", tmp_path / "run", "--config", file)
    assert message.startswith(f"{file}: unknown option 'epocs'. Did you mean 'epochs'? Known: ")
    file.write_text("epochs = = 3\n")
    assert refused(*train_words, "--out", tmp_path / "run", "--config", file).startswith(
        f"--config {file} is not valid TOML: "
    )
    assert (
        refused(*train_words, "--config", tmp_path / "none.toml")
        == f"--config {tmp_path / 'none.toml'} cannot be read. Give a TOML file."
    )


def test_a_base_without_pad_token_works_and_says_so(small_base, small_corpus, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(small_base, bare)
    for name in ("tokenizer_config.json", "config.json"):
        about = json.loads((bare / name).read_text())
        (bare / name).write_text(json.dumps({k: v for k, v in about.items() if k not in ("pad_token", "pad_token_id")}))
    task = tmp_path / "task"
    from clinstack.data.sources.table import build_table

    build_table([table(tmp_path / "notes.csv")], task, text="text", label="label", patient="who")
    results = []
    for base in (small_base, bare):
        with pytest.raises(SystemExit) as end:
            cli.main(
                [
                    "train",
                    "--base",
                    str(base),
                    "--task",
                    str(task),
                    "--out",
                    str(tmp_path / f"run-{base.name}"),
                    "--device",
                    "cpu",
                    "--max-tokens",
                    "48",
                    "--epochs",
                    "1",
                    "--resamples",
                    "100",
                    "--json",
                ]
            )
        shown = capsys.readouterr()
        assert end.value.code == 0, shown.err
        results.append(json.loads(shown.out)["metrics"])
    assert "Base bare has no padding token; its start token pads, and the mask hides it." in shown.err
    assert results[0] == results[1]


def test_an_adapter_of_another_base_is_refused_with_both_hashes(
    train_words, other_base, small_base, clinical_run, tmp_path, refused
):
    words = [str(other_base) if word == str(small_base) else word for word in train_words]
    message = refused(*words, "--clinical", clinical_run, "--out", tmp_path / "run")
    hashes = [load_backbone(str(base)).hash for base in (small_base, other_base)]
    assert message == (
        f"Adapter 'clinical' was made for the base {hashes[0]} and is given the base {hashes[1]} (other). Give the base it was made for."
    )
    assert not (tmp_path / "run").exists()


def test_a_task_adapter_without_its_clinical_parent_is_refused(train_words, clinical_run, tmp_path, refused, capsys):
    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        cli.main([*train_words, "--clinical", str(clinical_run), "--out", str(run), "--json"])
    capsys.readouterr()
    parent = json.loads((run / "adapters" / "clinical" / "lineage.json").read_text())["hash"]
    message = refused(*train_words, "--clinical", run / "adapters" / "task", "--out", tmp_path / "orphan")
    assert message == (
        f"Adapter 'clinical' was trained on top of adapter {parent}, and the stack below it holds no adapter. "
        "Put its parent below it; without it every logit would be shifted."
    )
    shutil.rmtree(run / "adapters" / "clinical")
    for words in (
        ["evaluate", run, "--device", "cpu"],
        ["predict", run, "--input", table(tmp_path / "n.csv"), "--output", tmp_path / "p.csv", "--device", "cpu"],
    ):
        assert refused(*words) == (
            f"{run} needs adapter 'clinical' ({parent}), and {run / 'adapters' / 'clinical'} is missing. "
            "Restore it; without it every logit would be shifted."
        )
    assert not (tmp_path / "p.csv").exists()


def test_a_folder_that_holds_something_else_is_left_alone(train_words, small_corpus, small_base, tmp_path, refused):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    expected = {
        tuple(train_words): f"{place} exists, is not empty and is not a run. Choose another --out.",
        (
            "adapt",
            "--base",
            small_base,
            "--corpus",
            small_corpus,
            "--device",
            "cpu",
            "--max-tokens",
            32,
        ): f"{place} exists, is not empty and is not a run. Choose another --out.",
    }
    for words, message in expected.items():
        assert refused(*words, "--out", place) == message
    assert refused("data", "table", table(tmp_path / "n.csv"), place, *COLUMNS).startswith(
        f"{place} exists and is not empty."
    )
    assert refused("data", "synthetic", place, "--patients", 300).startswith(f"{place} exists and is not empty.")
    assert [file.name for file in place.iterdir()] == ["thesis.txt"]


def test_what_is_not_a_finished_run_cannot_be_asked(tmp_path, clinical_run, refused):
    assert refused("evaluate", tmp_path) == f"{tmp_path} is not a run folder."
    assert refused("evaluate", clinical_run) == (
        f"{clinical_run} is a step-1 run, which has no head. Give it to `clinstack train --clinical`."
    )
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.toml").write_text("")
    assert refused("evaluate", unfinished) == f"{unfinished} is not finished: run its command again."
    notes = table(tmp_path / "notes.csv")
    assert refused("predict", clinical_run, "--input", notes, "--output", tmp_path / "p.txt") == (
        f"--output {tmp_path / 'p.txt'}: the name must end in .csv, .parquet, .jsonl."
    )


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    tiny_disk, train_words, tmp_path, refused, capsys
):
    filler = tiny_disk / "filler"
    filler.write_bytes(b"x" * (330 * 1024))
    run = tiny_disk / "run"
    words = [*train_words, "--out", str(run), "--checkpoint-seconds", "0"]
    message = refused(*words)
    assert "the disk is full" in message
    assert message.endswith("make room or choose another place and start again.")
    assert not list(tiny_disk.rglob("*.partial-*"))
    assert not (run / "result.json").exists()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny_disk)], check=True)
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--json"])
    assert end.value.code == 0, capsys.readouterr().err
    assert (run / "result.json").exists()


def test_tables_on_a_full_disk_leave_nothing(tiny_disk, tmp_path, refused):
    big = [{**row, "text": os.urandom(12000).hex()} for row in GOOD]
    message = refused("data", "table", table(tmp_path / "n.csv", big), tiny_disk / "task", *COLUMNS)
    assert "the disk is full" in message
    assert "the disk is full" in refused("data", "synthetic", tiny_disk / "hospital", "--patients", 300)
    assert list(tiny_disk.iterdir()) == []


def test_a_read_only_folder_is_one_sentence(tiny_disk, train_words, tmp_path, refused):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    expected = f"{tiny_disk / 'x'}: the file system is read-only."
    assert refused(*train_words, "--out", tiny_disk / "x").startswith(expected)
    assert refused("data", "table", table(tmp_path / "n.csv"), tiny_disk / "x", *COLUMNS).startswith(expected)


def test_the_exit_code_reaches_the_shell(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "clinstack.cli", "evaluate", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (2, "", f"clinstack: {tmp_path} is not a run folder.\n")
