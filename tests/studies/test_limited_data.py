"""The limited-data study, whole: parts that are nested, one reading by an encoder, rates chosen by validation, going on, refusals."""

import json
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from model_families import make_family
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from clinstack import cli
from clinstack.config import LimitedDataOptions, make_options
from clinstack.data.sources.table import build_table
from clinstack.data.subsets import draw_split, strata
from clinstack.data.task import TaskWriter, open_task
from clinstack.errors import BadInput, CannotWrite
from clinstack.runs.layout import RunLayout, StudyLayout
from clinstack.studies.limited_data import limited_data
from clinstack.studies.limited_data.parts import draw_parts
from clinstack.studies.limited_data.scores import validation_of

WORDS = {"faible": ["œdème", "dyspnée", "furosémide"], "normale": ["eupnéique", "stable", "réveillé"]}


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> Path:
    """240 lines of 80 children, in a task folder with parts of its own, which the study does not keep to."""
    import random

    chance, folder = random.Random(3), tmp_path_factory.mktemp("tasks") / "lines"
    with TaskWriter(folder, name="lines", kind="binary", classes=list(WORDS), source="tests") as out:
        for split, patients in {"train": range(60), "valid": range(60, 70), "test": range(70, 80)}.items():
            rows = [(f"{patient}-{line}", f"p{patient}") for patient in patients for line in range(3)]
            labels = [list(WORDS)[chance.random() < 0.6] for _ in rows]
            texts = [
                " ".join(chance.choices([*WORDS[one], "FC", "120", "enfant", "ce", "matin"], k=9)) for one in labels
            ]
            ids, whose = zip(*rows, strict=True)
            out.write(split, ids, whose, texts, [[one] for one in labels])
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return make_family(tmp_path_factory.mktemp("encoders") / "petit", "camembert")


def options(lines: Path, out: Path, **changed) -> LimitedDataOptions:
    given = {
        "tasks": [lines],
        "out": out,
        "sizes": "40,all",
        "seeds": 2,
        "heads": "none,adapter",
        "arms": ["native"],
        "lora": "none",
        "scratch": "transformer",
        "baselines": "majority,tf-idf",
        "steps": 10,
        "max_tokens": 24,
        "resamples": 100,
        "workers": 1,
        "device": "cpu",
    }
    return make_options(LimitedDataOptions, {**given, **changed})


@pytest.fixture(scope="module")
def done(lines, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "study"
    asked = options(lines, out, encoders=[str(encoder)], label_noise=[0.1, 0.4])
    return asked, limited_data(asked)


def double_weights(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    save_file({name: 2 * weight for name, weight in weights.items()}, base / "model.safetensors", {"format": "pt"})


def rows_of(out: Path) -> list[dict]:
    return json.loads((out / "table.json").read_text())


def scores_of(out: Path) -> list[tuple]:
    """What does not depend on how long anything took."""
    return sorted(
        (
            row["arm"],
            row["split_by"],
            row["seed"],
            row["notes"],
            row["learning_rate"] or 0.0,
            row["auroc"],
            row["f1_macro"],
        )
        for row in rows_of(out)
    )


def test_every_arm_is_scored_on_every_part(done):
    asked, found = done
    rows = rows_of(asked.out)
    arms = {"majority", "tf-idf", "transformer", "petit + linear probe", "petit + adapter"}
    assert {row["arm"] for row in rows} == arms
    main = [
        (row["arm"], row["seed"], row["all_notes"], row["label_noise"]) for row in rows if row["split_by"] == "patient"
    ]
    assert len(main) == len(set(main)) == 5 * 2 * (2 + 2)
    assert sum(row["split_by"] == "line" for row in rows) == 5 * 2
    assert found["failed"] == {}
    assert set(found["hypotheses"]["lines"]) == {"H1", "H2", "H3", "H4"}
    page = (asked.out / "report.html").read_text()
    headings = ("Limited data: which model to use", "Asked before it ran", "What a split by line would have claimed")
    for text in (
        *headings,
        "Do the probabilities hold?",
        "lines: net benefit",
        "lines: surest notes",
        "On which notes it fails",
        "If labels are wrong",
    ):
        assert text in page
    assert "| petit + adapter |" in (asked.out / "table.md").read_text()


def test_an_encoder_reads_each_note_once_whatever_the_arms(done):
    asked, _ = done
    layout = StudyLayout(asked.out)
    encoding = json.loads(layout.encoding.read_text())["petit"]["lines"]
    assert 200 < encoding["computed"] <= encoding["notes"]  # what is cut to the same tokens is read once
    for run in layout.runs.iterdir():
        result = json.loads(RunLayout(run).result.read_text())
        if result["variant"] == "head-only":
            assert result["features"]["computed"] == 0
    a_note = encoding["cpu_seconds"] / encoding["computed"]  # on a processor runs are compared by seconds of one core
    for row in rows_of(asked.out):
        if row["backbone"] == "petit":
            notes = row["notes"] + 20 + 24  # with those to select by (at least so many) and the test part
            itself = json.loads(RunLayout(layout.run(row["run"])).result.read_text())["cost"]["encode"]["cpu_seconds"]
            assert row["seconds_encode"] - itself == pytest.approx(a_note * notes, rel=0.25, abs=0.05)


def test_a_row_says_what_made_it(done):
    asked, _ = done
    rows = rows_of(asked.out)
    for row in rows:
        lineage = json.loads(RunLayout(StudyLayout(asked.out).run(row["run"])).lineage.read_text())
        assert (row["base_hash"], row["data_hash"]) == (lineage["base"]["hash"], lineage["data"]["hash"])
        assert row["version_torch"] == lineage["versions"]["torch"]
        assert row["device"].endswith("cores")
    operations = {
        row["arm"]: row["flops_estimated"] for row in rows if row["all_notes"] and row["split_by"] == "patient"
    }
    assert 0 < operations["petit + linear probe"] < operations["petit + adapter"]
    assert all(row["flops_estimated"] is None for row in rows if row["family"] == "baseline")


def test_the_rate_is_the_one_that_validation_prefers(done):
    asked, _ = done
    chosen = {row["run"]: row for row in rows_of(asked.out) if not row["label_noise"]}
    for name in ("petit + linear probe", "transformer"):
        for row in (
            one for one in chosen.values() if one["arm"] == name and one["seed"] == 1 and one["split_by"] == "patient"
        ):
            mine = RunLayout(StudyLayout(asked.out).run(row["run"]))
            task = next(line for line in mine.config.read_text().splitlines() if line.startswith("task "))
            rivals = [
                validation_of(json.loads(RunLayout(run).result.read_text()))
                for run in StudyLayout(asked.out).runs.iterdir()
                if task in RunLayout(run).config.read_text()
                and ("head_adapter" not in RunLayout(run).config.read_text())
                and (json.loads(RunLayout(run).result.read_text())["base"]["name"] == row["backbone"])
            ]
            assert len(rivals) == 3
            assert validation_of(json.loads(mine.result.read_text())) == max(rivals)
    rates = {}
    for row in chosen.values():  # other splits are trained with what the first one prefers, and so is a split by line
        rates.setdefault((row["arm"], row["all_notes"]), set()).add(row["learning_rate"])
    assert all(len(found) == 1 for found in rates.values())
    assert rates["transformer", True] < {3e-4, 1e-3, 3e-3}


def test_of_two_sizes_not_far_from_one_another_the_larger_takes_the_rate_over(lines, tmp_path):
    asked = options(lines, tmp_path / "study", scratch="transformer:mean", baselines="", sizes="40,80,all", seeds=1)
    found = limited_data(asked.model_copy(update={"line_split": "none"}))
    assert found["finished"] == found["cells"] == 3 + 1 + 3
    tried = Counter(
        tomllib.loads(RunLayout(run).config.read_text())["task"].rpartition("/")[2]
        for run in StudyLayout(asked.out).runs.iterdir()
    )
    assert tried == {"40": 3, "80": 1, "192": 3}
    rates = {row["notes"]: row["learning_rate"] for row in rows_of(asked.out)}
    assert rates[80] == rates[40]


def test_parts_are_nested_and_no_child_is_in_two(done):
    asked, _ = done
    layout = StudyLayout(asked.out)
    for seed in (1, 2):
        drawn = (layout.root / "tasks" / "lines" / f"patient-{seed}").iterdir()
        folders = sorted((one for one in drawn if "noise" not in one.name), key=lambda one: int(one.name))
        tasks = [open_task(folder) for folder in folders]
        ids = [
            {split: set(task.read(split).column("note_id").to_pylist()) for split in ("train", "valid", "test")}
            for task in tasks
        ]
        assert len(ids[0]["train"]) == 40
        assert ids[0]["train"] < ids[1]["train"]
        assert ids[0]["valid"] <= ids[1]["valid"]
        assert len(ids[0]["valid"]) < len(ids[1]["valid"]) + 1
        assert ids[0]["test"] == ids[1]["test"]
        whose = [
            {split: set(task.read(split).column("patient_id").to_pylist()) for split in ("train", "test")}
            for task in tasks
        ]
        assert not whose[1]["train"] & whose[1]["test"]


def test_wrong_labels_are_of_training_and_validation_and_grow(done):
    asked, _ = done
    whole = max(
        (one for one in (asked.out / "tasks" / "lines" / "patient-1").iterdir() if one.name.isdigit()),
        key=lambda one: int(one.name),
    )
    clean, some, more = (open_task(whole.parent / f"{whole.name}{end}") for end in ("", "-noise-0.1", "-noise-0.4"))

    def labels(task, split):
        table = task.read(split)
        return dict(zip(table.column("note_id").to_pylist(), table.column("labels").to_pylist(), strict=True))

    assert labels(clean, "test") == labels(some, "test") == labels(more, "test")
    for split in ("train", "valid"):
        assert labels(clean, split).keys() == labels(more, split).keys()
    wrong = [
        {note for note, label in labels(clean, "train").items() if labels(noisy, "train")[note] != label}
        for noisy in (some, more)
    ]
    assert wrong[0] < wrong[1]
    notes = clean.counts["train"]["notes"]
    assert len(wrong[0]) / notes == pytest.approx(0.1, abs=0.06)
    assert len(wrong[1]) / notes == pytest.approx(0.4, abs=0.1)


def test_the_same_command_trains_nothing_anew(done):
    asked, found = done
    runs = {run: RunLayout(run).result.stat().st_mtime_ns for run in StudyLayout(asked.out).runs.iterdir()}
    assert limited_data(asked) == found
    assert {run: RunLayout(run).result.stat().st_mtime_ns for run in StudyLayout(asked.out).runs.iterdir()} == runs


def test_a_study_that_is_killed_goes_on_and_ends_the_same(lines, encoder, tmp_path):
    asked = options(lines, tmp_path / "killed", encoders=[str(encoder)], scratch="", baselines="tf-idf", seeds=1)
    words = ["--tasks", str(lines), "--encoders", str(encoder), "--sizes", "40,all", "--seeds", "1"]
    words += ["--heads", "none,adapter", "--arms", "native", "--lora", "none", "--scratch", "", "--baselines", "tf-idf"]
    words += ["--steps", "10", "--max-tokens", "24", "--resamples", "100", "--workers", "1", "--device", "cpu"]
    finished = []
    for wanted in (1, 5, 9):
        process = subprocess.Popen(
            [sys.executable, "-m", "clinstack.cli", "study", "limited-data", *words, "--out", str(asked.out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if len(list(asked.out.glob("runs/*/result.json"))) >= wanted:
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
        finished.append({run: run.stat().st_mtime_ns for run in asked.out.glob("runs/*/result.json")})
    assert [len(runs) >= wanted for runs, wanted in zip(finished, (1, 5, 9), strict=True)] == [True] * 3
    assert finished[0].items() <= finished[1].items() <= finished[2].items()
    limited_data(asked)
    limited_data(asked.model_copy(update={"out": tmp_path / "whole"}))
    assert scores_of(asked.out) == scores_of(tmp_path / "whole")


def test_a_task_that_was_split_by_time_is_tested_on_its_later_notes_too(tmp_path):
    rows = [
        (f"{number}", f"p{number}", list(WORDS)[number % 2], f"2020-01-{1 + number // 8:02}") for number in range(240)
    ]
    table = tmp_path / "notes.csv"
    body = [
        f"{note},{patient},{label},{when},{WORDS[label][int(note) % 3]} matin" for note, patient, label, when in rows
    ]
    table.write_text("\n".join(["note_id,patient_id,label,when,text", *body]))
    columns = {"text": "text", "label": "label", "patient": "patient_id", "note_id": "note_id", "time": "when"}
    build_table([table], tmp_path / "task", split_by="time", name="dated", **columns)
    later = set(open_task(tmp_path / "task").read("test").column("note_id").to_pylist())
    small = {"scratch": "", "baselines": "majority,tf-idf", "sizes": "all"}
    limited_data(options(tmp_path / "task", tmp_path / "study", **small))
    own = [row for row in rows_of(tmp_path / "study") if row["split_by"] == "own"]
    assert sorted((row["arm"], row["seed"]) for row in own) == [
        (arm, seed) for arm in ("majority", "tf-idf") for seed in (1, 2)
    ]
    for seed in (1, 2):
        (folder,) = (tmp_path / "study" / "tasks" / "dated" / f"own-{seed}").iterdir()
        assert set(open_task(folder).read("test").column("note_id").to_pylist()) == later
    page = (tmp_path / "study" / "report.html").read_text()
    assert "In the task&#39;s own parts" in page
    assert "192 and 168 training notes" in page


def test_a_task_split_by_chance_is_tested_in_its_own_parts_if_asked(lines, tmp_path):
    small = {"scratch": "", "baselines": "majority", "sizes": "all", "line_split": "none", "seeds": 1}
    limited_data(options(lines, tmp_path / "study", own_split="largest", **small))
    assert {row["split_by"]: row["notes"] for row in rows_of(tmp_path / "study")} == {"patient": 192, "own": 180}
    with TaskWriter(tmp_path / "task", name="whole", kind="binary", classes=list(WORDS), source="tests") as out:
        ids = [str(number) for number in range(100)]
        out.write("train", ids, ids, [f"ligne {one}" for one in ids], [[list(WORDS)[int(one) % 2]] for one in ids])
    with pytest.raises(BadInput, match=r"^Task whole has no valid notes of its own\. Leave out --own-split\.$"):
        limited_data(options(tmp_path / "task", tmp_path / "other", own_split="largest", **small))


def test_ray_finds_the_same(lines, encoder, tmp_path):
    pytest.importorskip("ray")
    few = {"encoders": [str(encoder)], "scratch": "", "baselines": "tf-idf", "seeds": 1, "line_split": "none"}
    for engine in ("local", "ray"):
        limited_data(options(lines, tmp_path / engine, engine=engine, **few))
    assert scores_of(tmp_path / "local") == scores_of(tmp_path / "ray")


def test_setfit_learns_from_few_notes_alone(lines, encoder, tmp_path):
    pytest.importorskip("setfit")
    few = {"scratch": "", "baselines": "tf-idf", "seeds": 1, "line_split": "none", "label_noise": [0.2]}
    own = shutil.copytree(encoder, tmp_path / "petit")
    found = limited_data(options(lines, tmp_path / "study", setfit=[str(own)], **few))
    assert found["failed"] == {}
    rows = [row for row in rows_of(tmp_path / "study") if row["arm"] == "petit + SetFit"]
    assert [(row["family"], row["notes"], row["label_noise"]) for row in rows] == [
        ("setfit", 40, 0.0),
        ("setfit", 192, 0.0),
    ]
    assert not StudyLayout(tmp_path / "study").features.exists()  # what only one run reads by is not kept for others
    assert "Encoders tuned by SetFit" in (tmp_path / "study" / "table.md").read_text()
    assert "encoders tuned by SetFit" in (tmp_path / "study" / "table.md").read_text()
    double_weights(own)
    with pytest.raises(CannotWrite, match=r"petit holds another base than finished cells of .* \+ SetFit, lines, "):
        limited_data(options(lines, tmp_path / "study", setfit=[str(own)], **few))


def test_a_study_may_grow_under_its_protocol_and_not_under_another(lines, tmp_path):
    small = {"scratch": "", "baselines": "tf-idf", "line_split": "none"}
    limited_data(options(lines, tmp_path / "study", seeds=1, **small))
    grown = limited_data(options(lines, tmp_path / "study", seeds=2, sizes="40,80,all", **small))
    assert grown["finished"] == 6
    with pytest.raises(CannotWrite) as refused:
        limited_data(options(lines, tmp_path / "study", steps=30, **small))
    assert str(refused.value) == (
        f"{tmp_path / 'study'} holds another study, or this one under another protocol: see study.toml there. Choose another "
        "--out."
    )


def test_a_task_that_was_made_again_is_noticed(lines, tmp_path):
    small = {"scratch": "", "baselines": "majority", "line_split": "none", "seeds": 1}
    limited_data(options(lines, tmp_path / "study", **small))
    with TaskWriter(tmp_path / "other", name="lines", kind="binary", classes=list(WORDS), source="tests") as out:
        ids = [str(number) for number in range(200)]
        out.write("train", ids, ids, [f"ligne {one}" for one in ids], [[list(WORDS)[int(one) % 2]] for one in ids])
    with pytest.raises(BadInput, match=r"was drawn from .* and task lines is .* now\."):
        limited_data(options(tmp_path / "other", tmp_path / "study", **small))


def test_an_encoder_that_was_replaced_is_noticed(lines, encoder, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(encoder, own)
    small = {"scratch": "", "baselines": "", "heads": "none", "line_split": "none", "seeds": 1, "encoders": [str(own)]}
    limited_data(options(lines, tmp_path / "study", **small))
    before = rows_of(tmp_path / "study")
    double_weights(own)
    with pytest.raises(CannotWrite) as refused:
        limited_data(options(lines, tmp_path / "study", sizes="40,80,all", **small))
    assert f"{own} holds another base than finished cells of {tmp_path / 'study'} were trained on, such as " in str(
        refused.value
    )
    assert str(refused.value).endswith(" now. Choose another --out, or put the base back.")
    assert rows_of(tmp_path / "study") == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], r"petit: its tokenizer knows 5 special tokens and no words\. Its files are missing"),
        (
            [f"λόγος{number}" for number in range(60)],
            r"petit does not know \d+% of the notes' tokens: its tokenizer is",
        ),
    ],
    ids=["none", "of another language"],
)
def test_an_encoder_that_knows_no_word_of_the_notes_is_refused(words, sentence, lines, encoder, tmp_path):
    names = {
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
        "unk_token": "<unk>",
    }
    own = tmp_path / "petit"
    shutil.copytree(encoder, own)
    model = models.WordLevel({word: number for number, word in enumerate([*names.values(), *words])}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(own)
    with pytest.raises(BadInput, match=sentence):
        limited_data(options(lines, tmp_path / "study", scratch="", baselines="", encoders=[str(own)]))


def test_the_page_says_what_was_compared_and_a_report_is_not_written_over_it(done, capsys):
    asked, found = done
    said = (asked.out / "table.md").read_text()
    (task,) = [line for line in said.splitlines() if line.startswith("| lines | 2, binary |")]
    like = {"split_by": "patient", "all_notes": True, "arm": "tf-idf", "label_noise": 0.0}
    notes = [row["notes"] for row in rows_of(asked.out) if like.items() <= row.items()]
    assert f"| {np.mean(notes):,.0f} |" in task
    assert (
        "| Encoder | Task | Its hash | Notes read | Tokens of a note, mean | Notes cut at 24 | Unknown tokens |" in said
    )
    assert "petit reads no more than 24 tokens, and 100% of the notes are longer" in said
    assert "*Macro F1 on test with all training notes*" in said
    assert "In bold: better than all others" in said
    page = Path(found["report"]).read_bytes()
    with pytest.raises(SystemExit) as end:
        cli.main(["report", str(asked.out)])
    assert end.value.code == 2
    assert "report.html is a study's own page, which its command writes. Give --out" in capsys.readouterr().err
    assert Path(found["report"]).read_bytes() == page


def test_where_one_patient_has_a_class_alone_every_split_says_what_it_can(tmp_path):
    """Whichever part that patient is in, another one lacks the class; in the first split it is training."""

    def rows(heavy: int) -> list[tuple[str, str]]:
        many = [(f"h{number % heavy}", "no") for number in range(20 * heavy)]
        return [*(("ill", "yes") for _ in range(12)), *many, *((f"p{number % 60}", "no") for number in range(180))]

    def part_of_patient(heavy: int, seed: int) -> str:
        labels = np.array([[label == "yes", label == "no"] for _, label in rows(heavy)])
        return str(draw_split([patient for patient, _ in rows(heavy)], strata(labels), seed, "patient")[0])

    heavy = next(count for count in range(10) if part_of_patient(count, 1) != "train" == part_of_patient(count, 2))
    with TaskWriter(tmp_path / "task", name="alone", kind="binary", classes=["yes", "no"], source="tests") as out:
        patients, labels = zip(*rows(heavy), strict=True)
        texts = [f"note {label} {number % 7}" for number, label in enumerate(labels)]
        ids = [str(number) for number in range(len(labels))]
        out.write("train", ids, patients, texts, [[one] for one in labels])
    asked = options(tmp_path / "task", tmp_path / "study", scratch="transformer:mean", sizes="all", line_split="none")
    found = limited_data(asked)
    rows_made = {(row["arm"], row["seed"]): row for row in rows_of(asked.out)}
    assert sorted(rows_made) == [("majority", 2), ("tf-idf", 2), ("transformer:mean", 2)]
    assert all(row["auroc"] is None for row in rows_made.values())  # its test part has one class
    assert {name.rpartition(" ")[2] for name in found["failed"]} == {"1"}
    assert "transformer:mean" in (asked.out / "report.html").read_text()


def test_the_imitation_splits_by_line_once(lines, tmp_path, capsys):
    words = [
        "study",
        "limited-data",
        "--tasks",
        str(lines),
        "--profile",
        "as-described",
        "--scratch",
        "transformer:keras",
    ]
    words += ["--baselines", "majority", "--steps", "10", "--max-tokens", "24", "--resamples", "100", "--workers", "1"]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--out", str(tmp_path / "study"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert not found["failed"]
    assert end.value.code == 0
    assert found["finished"] == 1 + 3
    assert {(row["split_by"], row["seed"], row["all_notes"]) for row in rows_of(tmp_path / "study")} == {
        ("line", 1, True)
    }
    page = (tmp_path / "study" / "report.html").read_text()
    assert "This is an imitation of the published protocol" in page
    assert "Everything was split and trained once." in page


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_notes_of_several_classes_and_of_several_labels_are_compared_too(kind, small_task, encoder, tmp_path):
    asked = options(
        small_task(kind), tmp_path / "study", sizes="all", encoders=[str(encoder)], scratch="", line_split="largest",
        baselines="majority,tf-idf,tf-idf-svm",
    )  # fmt: skip
    found = limited_data(asked)
    assert not found["failed"]
    rows = [row for row in rows_of(asked.out) if row["split_by"] == "patient"]
    assert {row["arm"] for row in rows} == {
        "majority", "tf-idf", "tf-idf-svm", "petit + linear probe", "petit + adapter"
    }  # fmt: skip
    assert all(
        row["f1_macro_valid"] is not None and row["wall_seconds"] > 0 for row in rows if row["arm"] != "majority"
    )
    assert all(("threshold_tuned" in row) == (kind == "multilabel") for row in rows)
    page, (advice,) = (asked.out / "report.html").read_text(), found["recommendation"]
    assert advice.startswith(f"made-up-{kind}, with all ")
    assert ("What is taken for what" in page) == (kind == "multiclass")
    assert "in 15 bins of as many notes each" in page


def test_a_class_that_is_rare_limits_the_sizes(tmp_path):
    labels = ["a"] * 150 + ["b"] * 60 + ["c"] * 10
    with TaskWriter(tmp_path / "task", name="rare", kind="multiclass", classes=["a", "b", "c"], source="tests") as out:
        ids = [str(number) for number in range(len(labels))]
        out.write("train", ids, ids, [f"note {one}" for one in ids], [[one] for one in labels])
    parts = draw_parts(open_task(tmp_path / "task"), "patient", [1], None, StudyLayout(tmp_path / "study"))
    assert [(part.size, part.whole) for part in parts] == [(50, False), (100, False), (176, True)]
    assert open_task(parts[0].folder).counts["train"]["classes"]["c"] > 0


def test_of_several_labels_as_many_notes_are_wrong_as_are_said_to_be(tmp_path):
    """Most notes have the same labels: those of any other note would often be their own."""
    labels = [["a"]] * 400 + [["b"]] * 60 + [["a", "b"]] * 20 + [[]] * 20
    ids = [str(number) for number in range(len(labels))]
    with TaskWriter(tmp_path / "task", name="several", kind="multilabel", classes=["a", "b"], source="tests") as out:
        out.write("train", ids, ids, [f"note {one}" for one in ids], labels)
    parts = draw_parts(open_task(tmp_path / "task"), "patient", [1], [0], StudyLayout(tmp_path / "study"), [0.3])
    clean, noisy = (open_task(part.folder).read("train").column("labels").to_pylist() for part in parts)
    wrong = [one != other for one, other in zip(clean, noisy, strict=True)]
    assert np.mean(wrong) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"sizes": "40,many"},
            "--sizes 40,many: 'many' is neither a number of notes nor all. Write such as 50,400,all.",
        ),
        (
            {"sizes": "²,all"},
            "--sizes ²,all: '²' is neither a number of notes nor all. Write such as 50,400,all.",
        ),
        (
            {"encoders": [], "scratch": "", "baselines": ""},
            "There is nothing to compare. Name models with --encoders, --scratch or --baselines.",
        ),
        (
            {"sizes": "40,80"},
            "--sizes 40,80 lacks all, which arms are compared with. Write 40,80,all.",
        ),
        (
            {"sizes": "4000,all"},
            "Task lines, split 1 has 192 notes to train on, and 4,000 are asked for. Leave out that size.",
        ),
        (
            {"sizes": "1,all"},
            "Task lines, split 1: 1 notes hold none of normale. Leave out that size, or classes that are so rare.",
        ),
        (
            {"heads": "none,grnn"},
            "Unknown head adapter 'grnn'. Did you mean 'grn'? Known: adapter, grn, lightweight, none, tiny-attention.",
        ),
        (
            {"baselines": "tfidf"},
            "Unknown baseline 'tfidf'. Did you mean 'tf-idf'? Known: majority, tf-idf, tf-idf-mlp, tf-idf-svm.",
        ),
        (
            {"scratch": "transfomer"},
            "Unknown model from nothing 'transfomer'. Did you mean 'transformer'? Known: moe-transformer, transformer.",
        ),
        ({"heads": "grn:smal"}, "grn has no preset 'smal'. Did you mean 'small'? Known: closed-gate, small."),
        (
            {"scratch": "transformer:kera"},
            "transformer has no preset 'kera'. Did you mean 'keras'? Known: keras, mean.",
        ),
        ({"baselines": "tf-idf:x"}, "tf-idf has no preset 'x'. It has none."),
        (
            {"label_noise": [0.1, 1.5]},
            "--label-noise: Value error, 1.5 is no share of labels. Give numbers between 0 and 1, such as 0.1.",
        ),
    ],
)
def test_bad_options_are_refused_before_anything_is_trained(changed, sentence, lines, encoder, tmp_path):
    with pytest.raises(BadInput) as refused:
        limited_data(options(lines, tmp_path / "study", **{"encoders": [str(encoder)], **changed}))
    assert str(refused.value).replace("hold none of faible", "hold none of normale") == sentence
    assert not (tmp_path / "study" / "runs").exists()


def test_it_cannot_be_planned_and_says_why(lines, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", "study", "limited-data", "--tasks", str(lines), "--out", str(tmp_path / "study")])
    assert end.value.code == 2
    assert (
        "The limited-data study cannot be planned: what it trains depends on learning rates" in capsys.readouterr().err
    )


def test_cells_that_failed_are_told_by_the_exit_code(lines, tmp_path, capsys):
    words = f"study limited-data --tasks {lines} --out {tmp_path / 's'} --setfit {tmp_path / 'nowhere'} --json"
    with pytest.raises(SystemExit) as end:
        cli.main([*f"{words} --baselines majority --sizes 40,all --seeds 1".split(), "--scratch", ""])
    assert end.value.code == 1
    failed = json.loads(capsys.readouterr().out)["failed"]
    assert failed
    assert all(" + SetFit, lines, " in name for name in failed)


def test_two_tasks_of_one_name_are_refused(lines, tmp_path):
    with pytest.raises(BadInput, match="Two tasks have the same name: lines, lines"):
        limited_data(options(lines, tmp_path / "study", tasks=[lines, lines]))


def test_a_folder_of_something_else_is_left_alone(lines, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "letter.txt").write_text("mine")
    with pytest.raises(CannotWrite, match="exists, is not empty and is not a study"):
        limited_data(options(lines, tmp_path / "study"))
    assert [entry.name for entry in (tmp_path / "study").iterdir() if entry.name != "turn"] == ["letter.txt"]
