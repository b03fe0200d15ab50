"""What a person is told: calibrated, with its interval, and undecided where validation cannot tell."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.config import TrainOptions
from clinstack.metrics.scorecard import probabilities
from clinstack.serving.answers import Interpreter, interpreter_of
from clinstack.serving.library import Library
from clinstack.training.classification import train


@pytest.fixture
def binary():
    """A thousand validation notes whose label is as likely as the logit says, after division by 2."""
    chance = np.random.default_rng(1)
    odds = chance.normal(-1, 2, 1000)
    truths = chance.random(1000) < 1 / (1 + np.exp(-odds))
    logits = np.stack([np.zeros(1000), 2 * odds], axis=1).astype(np.float32)
    return Interpreter("binary", ("no", "yes"), 2.0, logits, np.stack([~truths, truths], axis=1))


def of(answers, name):
    return next(one for one in answers if one.name == name)


def test_probabilities_are_divided_by_the_temperature(binary):
    yes = of(binary.read(np.array([0.0, 3.0], np.float32)), "yes")
    assert yes.probability == pytest.approx(1 / (1 + np.exp(-1.5)))


def test_the_share_of_notes_alike_is_near_the_probability_where_that_is_calibrated(binary):
    answers = [of(binary.read(np.array([0.0, 2 * odds], np.float32)), "yes") for odds in np.linspace(-4, 3, 50)]
    assert {one.notes_alike for one in answers} == {100}
    inside = [one.alike.low <= one.probability <= one.alike.high for one in answers]
    assert np.mean(inside) >= 0.85


def test_a_note_outside_of_the_band_is_decided_and_one_within_is_not(binary):
    band = of(binary.read(np.array([0, 0], np.float32)), "yes")
    assert band.open_low < band.threshold < band.open_high
    assert band.threshold == binary.thresholds[1]
    edges = [2 * np.log(one / (1 - one)) for one in (band.open_low, band.threshold, band.open_high)]
    beyond = [-9, edges[0] - 0.01, edges[0] + 0.01, edges[1], edges[2] - 0.01, edges[2] + 0.01, 9]
    decisions = []
    for z in beyond:
        answers = binary.read(np.array([0, z], np.float32))
        decisions.append(of(answers, "yes").decided)
        assert (of(answers, "yes").decided, of(answers, "no").decided) in [(True, False), (False, True), (None, None)]
    assert decisions == [False, False, None, None, None, True, True]
    no = of(binary.read(np.array([0, 0], np.float32)), "no")
    mirrored = (1 - band.open_high, 1 - band.threshold, 1 - band.open_low)
    assert (no.open_low, no.threshold, no.open_high) == pytest.approx(mirrored)


NOTES = st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=5, max_size=40)


@given(NOTES, st.sampled_from(["binary", "multilabel"]))
@settings(max_examples=60)
def test_a_higher_probability_never_takes_a_decision_back(notes, kind):
    odds, truths = np.array([one[0] for one in notes]), np.array([one[1] for one in notes])
    logits = np.stack([np.zeros(len(odds)), odds], axis=1).astype(np.float32)
    interpreter = Interpreter(kind, ("no", "yes"), 1.0, logits, np.stack([~truths, truths], axis=1))
    asked = np.sort(np.concatenate([odds, np.linspace(-7, 7, 60)])).astype(np.float32)
    decided = [of(interpreter.read(np.array([0, one], np.float32)), "yes").decided for one in asked]
    place = {False: 0, None: 1, True: 2}
    assert decided == sorted(decided, key=place.__getitem__)
    if truths.sum() < 5:
        assert set(decided) == {None}


def test_the_likeliest_come_first_and_no_more_than_asked(binary):
    assert [one.name for one in binary.read(np.array([0.0, -3.0], np.float32))] == ["no", "yes"]
    assert [one.name for one in binary.read(np.array([0.0, -3.0], np.float32), most=1)] == ["no"]


def test_a_label_that_hardly_any_validation_note_has_gets_no_threshold():
    chance = np.random.default_rng(2)
    labels = np.stack([chance.random(200) < 0.3, np.arange(200) < 4], axis=1)
    logits = (labels * 3 - 2 + chance.normal(size=labels.shape)).astype(np.float32)
    interpreter = Interpreter("multilabel", ("common", "rare"), 1.0, logits, labels)
    rare = of(interpreter.read(np.array([5.0, 5.0], np.float32)), "rare")
    assert (rare.threshold, rare.decided) == (None, None)
    assert of(interpreter.read(np.array([5.0, 5.0], np.float32)), "common").decided is True
    assert rare.base_rate == 0.02


def test_of_several_classes_the_likeliest_is_decided_unless_another_is_as_likely():
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 3, 600)
    labels = np.eye(3, dtype=bool)[truth]
    logits = (labels * 4 + chance.normal(size=labels.shape)).astype(np.float32)
    interpreter = Interpreter("multiclass", ("a", "b", "c"), 1.0, logits, labels)
    sure = interpreter.read(np.array([5.0, 0, 0], np.float32))
    assert [(one.name, one.decided) for one in sure] == [("a", True), ("b", False), ("c", False)]
    assert {one.decided for one in interpreter.read(np.array([1.0, 1.01, 0], np.float32))} == {None}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_version_in_a_library_says_what_its_run_found(kind, small_base, small_task, tmp_path):
    options = {"base": str(small_base), "task_adapter": "none", "resamples": 100, "max_tokens": 32, "device": "cpu"}
    train(TrainOptions(task=small_task(kind), out=tmp_path / "run", epochs=1, **options))
    library = Library(tmp_path / "library")
    version = library.run(library.add(tmp_path / "run", "task"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    interpreter = interpreter_of(version)
    assert interpreter.classes == tuple(result["classes"])
    logits = np.linspace(-1, 1, len(interpreter.classes)).astype(np.float32)
    expected = probabilities(kind, logits[None] / result["temperature"])[0]
    found = {one.name: one.probability for one in interpreter.read(logits)}
    assert found == pytest.approx(dict(zip(result["classes"], expected, strict=True)))
