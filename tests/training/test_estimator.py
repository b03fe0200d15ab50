"""`StackClassifier`: what scikit-learn expects of an estimator, and what a run promises."""

import json
import random
import tomllib

import numpy as np
import pytest
import sklearn
from conftest import WORDS, made_up_note
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

import clinstack
from clinstack.errors import BadInput

TOPICS = sorted(WORDS)


def notes(count: int, classes: int = 2, seed: int = 3) -> tuple[list[str], np.ndarray]:
    """Notes whose words tell their class."""
    chance = random.Random(seed)
    y = [number % classes for number in range(count)]
    return [made_up_note(chance, TOPICS[label], TOPICS[label]) for label in y], np.array(y)


@pytest.fixture
def classifier(small_base):
    return clinstack.StackClassifier(
        base=str(small_base),
        rank=2,
        max_tokens=64,
        epochs=2,
        learning_rate=1e-2,
        batch_size=8,
        resamples=100,
        device="cpu",
    )


def test_what_is_left_at_its_default_follows_the_profile_and_what_is_given_beats_it(classifier, tmp_path):
    texts, y = notes(40)
    classifier.set_params(profile="as-described", out=str(tmp_path), epochs=1, device="cpu").fit(texts, y)
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    told = {name: config[name] for name in ("max_tokens", "schedule", "head_rate", "accumulation", "epochs")}
    assert told == {"max_tokens": 64, "schedule": "linear", "head_rate": 1.0, "accumulation": 10, "epochs": 1}
    assert config["rank"] == 2


def test_it_learns_and_gives_a_probability_for_each_class(classifier):
    texts, y = notes(300)
    labels = np.array(["home", "died"])[y]
    classifier.set_params(epochs=5, device="auto").fit(texts, labels)  # as by default
    probabilities = classifier.predict_proba(texts)
    assert classifier.classes_.tolist() == ["died", "home"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (classifier.predict(texts) == classifier.classes_[probabilities.argmax(axis=1)]).all()
    assert classifier.score(texts, labels) > 0.9
    assert classifier.result_["stack_proof"]["task"]["logit_change"] > 0
    assert list(classifier.result_["metrics"]) == ["valid"]


def test_the_run_can_be_kept_and_is_the_same_model(classifier, clinical_run, tmp_path):
    texts, y = notes(40, classes=3)
    classifier.set_params(out=tmp_path / "kept", clinical=clinical_run).fit(np.array(texts, dtype=object), y)
    kept = clinstack.load(str(tmp_path / "kept" / "run"))
    assert kept.classes == ("0", "1", "2")
    assert np.array_equal(kept.predict_proba(texts), classifier.model_.predict_proba(texts))
    assert json.loads((tmp_path / "kept" / "run" / "result.json").read_text())["variant"] == "clinical-frozen+task"
    assert "| valid |" in (tmp_path / "kept" / "run" / "README.md").read_text()


def test_nothing_is_left_of_notes_that_are_not_to_be_kept(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    classifier.fit(*notes(24))
    assert list(tmp_path.iterdir()) == []


def test_several_labels_a_note(classifier):
    texts, y = notes(60, classes=3)
    labels = np.eye(3, dtype=int)[y]
    labels[::4] = 1
    classifier.fit(texts, labels)
    assert classifier.predict_proba(texts).shape == (60, 3)
    assert set(np.unique(classifier.predict(texts))) <= {0, 1}
    assert classifier.predict(texts).shape == (60, 3)


def test_no_patient_is_trained_on_and_selected_by(classifier, tmp_path):
    from clinstack.data.task import open_task

    texts, y = notes(40)
    groups = [f"p{number // 4}" for number in range(40)]
    classifier.set_params(out=tmp_path / "kept", valid_share=0.3).fit(texts, y, groups=groups)
    task = open_task(tmp_path / "kept" / "task")
    trained, selected = (set(task.read(split)["patient_id"].to_pylist()) for split in ("train", "valid"))
    assert len(selected) == 3
    assert trained | selected == set(groups)
    assert not trained & selected


def test_it_works_in_cross_validation_and_search(classifier):
    texts, y = notes(150)
    groups = [number // 3 for number in range(150)]
    classifier.set_params(epochs=6, pooling="mean")
    scores = cross_val_score(
        classifier, texts, y, groups=groups, cv=GroupKFold(3), scoring="roc_auc", error_score="raise"
    )
    assert scores.min() > 0.65
    search = GridSearchCV(classifier, {"rank": [1, 2]}, cv=2, scoring="roc_auc", error_score="raise").fit(
        texts[:40], y[:40]
    )
    assert search.best_params_["rank"] in (1, 2)


def test_groups_reach_fit_through_metadata_routing(classifier, tmp_path):
    texts, y = notes(24)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier.set_fit_request(groups=True)
        with pytest.raises(BadInput, match="1 patients are too few"):
            cross_val_score(classifier, texts, y, params={"groups": ["one"] * 24}, cv=2, error_score="raise")


def test_a_clone_has_the_same_parameters_and_learns_the_same(classifier):
    texts, y = notes(24)
    twin = clone(classifier)
    assert twin.get_params() == classifier.get_params()
    assert {"base", "clinical", "epochs", "rank", "valid_share", "out"} <= set(twin.get_params())
    assert np.array_equal(twin.fit(texts, y).predict_proba(texts), classifier.fit(texts, y).predict_proba(texts))


TEXTS, Y = notes(8)


@pytest.mark.parametrize(
    ("texts", "y", "groups", "said"),
    [
        (TEXTS, Y[:-1], None, "There are 8 texts and 7 labels. Give one for each text."),
        (TEXTS, Y * 0, None, "All labels are '0'. A task needs two classes or more."),
        (TEXTS, Y.reshape(-1, 1) + 0.5, None, "Labels of shape (8, 1) are neither a class for each text nor columns"),
        ([*TEXTS[:-1], None], Y, None, "Text 7 is of type NoneType. Give a list of texts."),
        ([*TEXTS[:-1], " "], Y, None, "Note '7' has no text."),
        (TEXTS, Y, [1, 2], "There are 8 texts and 2 groups. Give one for each text."),
        (TEXTS, Y, [1] * 8, "1 patients are too few to hold some out for validation."),
    ],
)
def test_what_cannot_be_trained_on_is_refused(classifier, texts, y, groups, said):
    with pytest.raises(BadInput) as caught:
        classifier.fit(texts, y, groups=groups)
    assert str(caught.value).startswith(said)


def test_unknown_parameters_and_values_out_of_range_are_refused(classifier):
    with pytest.raises(TypeError, match="StackClassifier has no parameter 'epoch'"):
        clinstack.StackClassifier(epoch=3)
    with pytest.raises(BadInput, match="valid_share is 1"):
        classifier.set_params(valid_share=1).fit(*notes(8))
    with pytest.raises(BadInput, match="epochs"):
        classifier.set_params(epochs=0).fit(*notes(8))
