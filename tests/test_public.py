"""The names of `import clinstack`: the same work as the commands, with options as keywords."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clinstack


@pytest.fixture(scope="module")
def both_runs(small_base: Path, small_corpus: Path, small_task, tmp_path_factory: pytest.TempPathFactory):
    """A step-1 run and a step-2 run stacked on it, made from Python."""
    folder = tmp_path_factory.mktemp("public")
    step1 = clinstack.adapt(
        base=str(small_base), corpus=small_corpus, out=folder / "clinical", rank=2, max_tokens=64, learning_rate=1e-2
    )
    step2 = clinstack.train(
        base=str(small_base), task=small_task("binary"), out=folder / "stack", clinical=folder / "clinical", rank=2,
        max_tokens=64, epochs=1, resamples=100,
    )  # fmt: skip
    return folder, step1, step2


def test_adapt_and_train_return_what_their_run_folders_hold(both_runs):
    folder, step1, step2 = both_runs
    assert json.loads((folder / "clinical" / "result.json").read_text()) == step1
    assert json.loads((folder / "stack" / "result.json").read_text()) == step2
    assert step1["step"] == 1
    assert step2["variant"] == "clinical-frozen+task"


def test_evaluate_gives_the_figures_of_training_again(both_runs):
    folder, _, step2 = both_runs
    again = clinstack.evaluate(run=folder / "stack", split="test", resamples=100)
    assert again["metrics"]["auroc"]["value"] == step2["metrics"]["test"]["auroc"]["value"]


def test_a_loaded_run_predicts_a_probability_for_each_class_of_each_note(both_runs):
    folder, _, _ = both_runs
    classifier = clinstack.load(str(folder / "stack"))
    probabilities = classifier.predict_proba(["patient was intubated", "stable and comfortable"])
    assert probabilities.shape == (2, len(classifier.classes))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_mistakes_of_python_callers_are_named_as_for_the_command_line(small_base: Path, tmp_path: Path):
    with pytest.raises(clinstack.BadInput, match="nowhere"):
        clinstack.train(base=str(small_base), task=tmp_path / "nowhere", out=tmp_path / "run")
    with pytest.raises(clinstack.BadInput, match=r"Unknown option .epoch.\. Did you mean .epochs.\?"):
        clinstack.train(base=str(small_base), task=tmp_path / "nowhere", out=tmp_path / "run", epoch=3)


def test_importing_clinstack_imports_nothing_heavy():
    code = "import sys, clinstack; print([m for m in ('torch', 'duckdb', 'pyarrow', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented():
    for name in clinstack.__all__:
        assert getattr(clinstack, name).__doc__
