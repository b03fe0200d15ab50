"""The plan: its counts are those of the run, its bases need no weights, and its errors are shown."""

import json
import subprocess
import sys

import pytest
from pyarrow import csv, parquet

from clinstack import cli
from clinstack.config import (
    AdaptOptions,
    EvaluateOptions,
    PredictOptions,
    SearchAdaptOptions,
    Table2Options,
    TrainOptions,
)
from clinstack.errors import BadInput
from clinstack.models.method import methods
from clinstack.models.note_classifier import load
from clinstack.studies.plan import check, plan
from clinstack.training.classification import train
from clinstack.training.language import adapt


def adapt_options(small_base, small_corpus, out, **changed) -> AdaptOptions:
    given = {
        "base": str(small_base),
        "corpus": small_corpus,
        "out": out,
        "max_tokens": 64,
        "epochs": 2,
        "device": "cpu",
        "precision": "float32",
        "validation_tokens": 64,
    }
    return AdaptOptions(**{**given, **changed})


@pytest.mark.parametrize("method", methods())
def test_a_plan_counts_what_the_run_then_has(small_base, small_corpus, tmp_path, method):
    options = adapt_options(small_base, small_corpus, tmp_path / "run", method=method)
    planned = plan(options)
    assert not (tmp_path / "run").exists()
    result = adapt(options)
    assert planned["parameters"] == result["parameters"]["total"]
    assert planned["trainable"] == result["parameters"]["trainable"]
    # The plan's tokens come from a sample of the notes; start tokens and the last block's empty places are not in it.
    assert planned["tokens"]["trained"] == pytest.approx(result["cost"]["train"]["tokens"], rel=0.05)
    assert planned["peak_bytes"] > 2**27
    written = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert written / 1.5 < planned["disk_bytes"] < 3 * written  # at its fullest a run holds two checkpoints


@pytest.fixture(scope="module")
def step_2(small_base, small_task, clinical_run, tmp_path_factory) -> TrainOptions:
    options = TrainOptions(
        base=str(small_base),
        task=small_task("binary"),
        out=tmp_path_factory.mktemp("step-2") / "run",
        clinical=clinical_run,
        epochs=1,
        max_tokens=48,
        resamples=100,
        device="cpu",
        precision="float32",
    )
    train(options)
    return options


def test_a_plan_of_step_2_counts_the_stack(step_2):
    planned, result = plan(step_2), json.loads((step_2.out / "result.json").read_text())
    assert planned["trainable"] == result["parameters"]["trainable"] - 2 * 33  # the head is small beside any estimate
    assert planned["tokens"]["trained"] == pytest.approx(result["cost"]["train"]["tokens"], rel=0.1)


def test_a_plan_of_answers_counts_what_is_read(step_2, tmp_path):
    run, input_file = step_2.out, tmp_path / "notes.csv"
    notes = parquet.read_table(step_2.task / "test.parquet", columns=["text"])
    csv.write_csv(notes, input_file)
    classifier = load(run)
    read = sum(len(chunk) for note in classifier.encode(notes.column("text").to_pylist()) for chunk in note)
    again = plan(EvaluateOptions(run=run))
    new = plan(PredictOptions(run=run, input=input_file, output=tmp_path / "out.csv"), measure=True)
    for planned in (again, new):
        assert planned["tokens"] == {"trained": 0, "read": pytest.approx(read, rel=0.1)}
        assert planned["parameters"] == classifier.stack.weights_total
        assert (planned["disk_bytes"], planned["flops"]["training"]) == (0, 0)
        assert planned["memory_bytes"]["gradients and moments"] == planned["memory_bytes"]["kept for the way back"] == 0
    assert not (tmp_path / "out.csv").exists()
    with pytest.raises(BadInput) as caught:
        plan(PredictOptions(run=run, input=input_file, output=tmp_path / "out.csv", text="words"))
    assert str(caught.value) == f"{input_file} has no column 'words'. Say which holds the notes with --text."


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"method": "p-tuning", "max_tokens": 250},
            "--max-tokens 250 is more than base small can read behind 20 virtual tokens (236). Choose at most that.",
        ),
        ({"max_tokens": 300}, "--max-tokens 300 is more than base small can read (256). Choose at most that."),
        (
            {"method_options": {"targets": "nothere"}},
            "Method lora finds no layers 'nothere' in base small. Use --targets all, or names of its layers.",
        ),
    ],
    ids=["behind virtual tokens", "alone", "targets"],
)
def test_a_plan_refuses_what_the_run_would(small_base, small_corpus, tmp_path, changed, expected):
    options = adapt_options(small_base, small_corpus, tmp_path / "run", **changed)
    for command in (plan, adapt):
        with pytest.raises(BadInput) as caught:
            command(options)
        assert str(caught.value) == expected
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["frozen", "trainable", "merged", "continued"])
def test_every_use_of_a_clinical_adapter_is_planned(step_2, mode):
    options = step_2.model_copy(update={"clinical_mode": mode})
    assert plan(options)["trainable"] > 0


def test_a_model_from_nothing_is_planned_for_any_length(small_task, tmp_path):
    options = TrainOptions(base="transformer", task=small_task("binary"), out=tmp_path / "run", max_tokens=1024)
    assert plan(options)["runs"] == 1


def test_table_2_is_planned_without_the_cells_that_cannot_be_done(small_base, small_corpus, tmp_path):
    given = {"bases": [str(small_base)], "corpus": small_corpus, "out": tmp_path / "table2", "device": "cpu"}
    planned = plan(Table2Options(**given, methods="lora,prompt", trials=3, max_tokens=250))
    assert planned["runs"] == 4
    reason = "--max-tokens 250 is more than base small can read behind 20 virtual tokens (236). Choose at most that."
    assert f"small, prompt is not counted, for it cannot be done: {reason}" in planned["assumptions"]
    with pytest.raises(BadInput) as caught:
        plan(Table2Options(**given, methods="prompt", max_tokens=250))
    assert str(caught.value) == reason


def test_a_base_is_planned_from_its_configuration_alone(small_corpus, tmp_path):
    llama = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "vocab_size": 32000,
    }
    base = tmp_path / "llama-7b"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(llama))
    options = AdaptOptions(base=str(base), corpus=small_corpus, out=tmp_path / "run", method_options={"rank": 16})
    planned = plan(options)
    assert planned["parameters"] == 6_738_415_616 + 8_388_608
    assert planned["memory_bytes"]["base"] == 4 * 6_738_415_616
    assert set(planned["hours"]) >= {"A100", "H100", "H200", "this machine"}
    assert "Tokens are bytes of the notes over 4: the base's tokenizer is not here." in planned["assumptions"]


def test_gradient_checkpointing_and_smaller_batches_are_planned_smaller(small_base, small_corpus, tmp_path):
    def kept(**changed) -> int:
        planned = plan(adapt_options(small_base, small_corpus, tmp_path / "run", **changed))
        return planned["memory_bytes"]["kept for the way back"]

    assert kept(gradient_checkpointing=True) < kept()
    assert kept(batch_size=4) == pytest.approx(kept(batch_size=8) / 2, rel=0.1)
    assert kept(precision="bfloat16") < kept()


def test_a_search_is_planned_as_its_trials(small_base, small_corpus, tmp_path):
    once = plan(adapt_options(small_base, small_corpus, tmp_path / "run"))
    run = adapt_options(small_base, small_corpus, tmp_path / "run").model_dump()
    whole = plan(SearchAdaptOptions(**run, trials=7))
    assert whole["runs"] == 7
    assert whole["tokens"]["trained"] == pytest.approx(7 * once["tokens"]["trained"], abs=7)


def test_a_finished_run_is_set_beside_its_plan(clinical_run):
    (row,) = check([clinical_run])["runs"]
    assert row["parameters_agree"]
    assert row["seconds_error"] == pytest.approx(row["seconds_planned"] / row["seconds_taken"] - 1)
    assert -0.9 < row["peak_bytes_error"] < 3
    with pytest.raises(BadInput) as caught:
        check([clinical_run / "adapters"])
    assert str(caught.value) == f"{clinical_run / 'adapters'} holds no finished run: result.json is missing."


def test_the_command_plans_the_command_behind_it(small_base, small_corpus, tmp_path, capsys):
    words = ["adapt", "--base", str(small_base), "--corpus", str(small_corpus), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", *words, "--rank", "2", "--max-tokens", "64", "--json"])
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trainable"] == 2 * 2 * 2 * (32 + 32)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "plan needs a command to plan, such as: plan adapt --base tiny-base --corpus CORPUS --out RUN."),
        (
            ["report", "."],
            "plan knows adapt, train, search adapt, search train, study (a grid or table2 to table4), evaluate and predict: the "
            "others ask no model, or make their own data first.",
        ),
        (["check"], "plan check needs at least one run folder."),
    ],
)
def test_what_cannot_be_planned_is_refused(words, expected):
    done = subprocess.run(
        [sys.executable, "-m", "clinstack.cli", "plan", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (2, f"clinstack: {expected}")
