"""What is concluded from scores: metrics by name, paired differences, hypotheses, crossing points, advice."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from clinstack.metrics.intervals import Draws
from clinstack.runs.layout import RunLayout
from clinstack.studies.limited_data.arms import PROBE, Arm
from clinstack.studies.limited_data.findings import crosses, findings_of
from clinstack.studies.limited_data.parts import Part
from clinstack.studies.limited_data.recommendation import recommend
from clinstack.studies.limited_data.scores import Scored, Trained, named_metrics, tuned_threshold


def some_predictions(kind: str, seed: int = 0, notes: int = 80):
    chance, classes = np.random.default_rng(seed), 2 if kind == "binary" else 4
    if kind == "multilabel":
        labels = chance.random((notes, classes)) < 0.3
    else:
        labels = np.eye(classes, dtype=bool)[chance.integers(0, classes, notes)]
    return labels, labels * 1.5 + chance.normal(size=(notes, classes))


def test_binary_metrics_are_scikit_learns_and_say_what_is_positive():
    labels, logits = some_predictions("binary")
    found, truth, said = named_metrics("binary", labels, logits), labels[:, 1], logits.argmax(axis=1)
    ahead = logits[:, 1] - logits[:, 0]
    wanted = {
        "accuracy": oracle.accuracy_score(truth, said),
        "precision_positive": oracle.precision_score(truth, said),
        "recall_positive": oracle.recall_score(truth, said),
        "f1_positive": oracle.f1_score(truth, said),
        "precision_macro": oracle.precision_score(truth, said, average="macro"),
        "recall_macro": oracle.recall_score(truth, said, average="macro"),
        "f1_macro": oracle.f1_score(truth, said, average="macro"),
        "mcc": oracle.matthews_corrcoef(truth, said),
        "auroc": oracle.roc_auc_score(truth, ahead),
        "auprc": oracle.average_precision_score(truth, ahead),
        "brier": oracle.brier_score_loss(truth, 1 / (1 + np.exp(-ahead))),
    }
    (tn, fp), (fn, tp) = oracle.confusion_matrix(truth, said)
    wanted |= {"true_positives": tp, "false_positives": fp, "false_negatives": fn, "true_negatives": tn}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)
    assert set(found) - set(wanted) == {"ece"}


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_metrics_of_several_classes_are_scikit_learns(kind):
    labels, logits = some_predictions(kind)
    found = named_metrics(kind, labels, logits)
    said = logits >= 0 if kind == "multilabel" else np.eye(4, dtype=bool)[logits.argmax(axis=1)]
    for name, score in (
        ("precision", oracle.precision_score),
        ("recall", oracle.recall_score),
        ("f1", oracle.f1_score),
    ):
        assert found[f"{name}_macro"] == pytest.approx(score(labels, said, average="macro", zero_division=0))
    assert ("mcc" in found) == (kind == "multiclass")


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_the_tuned_threshold_is_the_one_of_99_with_the_highest_macro_f1(kind):
    labels, logits = some_predictions(kind)
    likely = 1 / (1 + np.exp(-(logits if kind == "multilabel" else logits[:, 1:] - logits[:, :1])))
    truths = labels if kind == "multilabel" else labels[:, 1]

    def score(threshold: float) -> float:
        decided = likely >= threshold if kind == "multilabel" else likely[:, 0] >= threshold
        return oracle.f1_score(truths, decided, average="macro", zero_division=0)

    found = tuned_threshold(kind, labels, logits)
    assert score(found) == pytest.approx(max(score(number / 100) for number in range(1, 100)))
    named = named_metrics(kind, labels, logits, found)
    assert named["threshold_tuned"] == found
    assert named["f1_macro_tuned"] == pytest.approx(score(found))


def test_a_threshold_has_no_meaning_where_one_of_several_classes_is_decided():
    assert tuned_threshold("multiclass", *some_predictions("multiclass")) is None


def test_of_thresholds_that_are_as_good_the_nearest_to_one_half_is_taken():
    labels = np.eye(2, dtype=bool)[[0, 1, 0, 1]]
    assert tuned_threshold("binary", labels, np.where(labels, 9.0, -9.0)) == pytest.approx(0.5)


def arm(family: str, head: str = "own", backbone: str = "enc", seconds: float = 1.0) -> Arm:
    return Arm(family, backbone, head, {"seconds": seconds})


PROBED, BLOCK = arm("head", PROBE), arm("head", "adapter")
GATED, FRESH = arm("head", "grn (equal)"), arm("scratch", backbone="transformer")
SIMPLE = arm("baseline", backbone="tf-idf", seconds=0.1)


def scored(who: Arm, place: int, values: list[float], validation: float = 0.5, spread: float = 0.01) -> list[Scored]:
    """Runs of one arm, one for each value; all arms of a seed share what the resamples make of the notes."""
    found = []
    for seed, value in enumerate(values, start=1):
        part = Part("task", "patient", seed, place or 1000, place == 0, Path("nowhere"))
        luck = np.random.default_rng([seed, place]).normal(size=400) * 0.05
        own = np.random.default_rng([seed, place, *who.name.encode()]).normal(size=400) * spread
        result = {
            "validation": {"value": validation, "tie": 0.0},
            "cost": {"train": {"seconds": who.options["seconds"], "cpu_seconds": 1.0, "peak_bytes": 1}},
        }
        trained = Trained(who, part, place, None, RunLayout(Path("nowhere")))
        found.append(Scored(trained, result, {"f1_macro": value}, Draws(value, value + luck + own), ()))
    return found


def findings(*runs: list[Scored]):
    (found,) = findings_of([one for some in runs for one in some], "patient")
    return found


def test_differences_are_paired():
    found = findings(scored(PROBED, 0, [0.70, 0.60, 0.80]), scored(BLOCK, 0, [0.75, 0.65, 0.85]))
    (one,) = found.structures()
    assert one.interval.value == pytest.approx(0.05)
    # Of the notes' and the splits' luck, which is five times as large, nothing is left.
    assert 0.02 < one.interval.low < one.interval.high < 0.08
    assert found.points["enc + adapter", 0].draws.interval().low < 0.65
    assert one.p_value == one.p_holm < 0.01


def test_holm_corrects_over_all_places_of_a_task():
    places = [50, 100, 200, 0]
    pairs = [(scored(PROBED, place, [0.6, 0.6]), scored(BLOCK, place, [0.62, 0.64])) for place in places]
    rows = findings(*(runs for pair in pairs for runs in pair)).structures()
    assert [row.place for row in rows] == places
    assert all(row.p_holm >= row.p_value for row in rows)
    assert max(row.p_holm for row in rows) > max(row.p_value for row in rows)


def verdict(name: str, *runs: list[Scored]) -> str:
    return next(one.verdict for one in findings(*runs).hypotheses() if one.name == name)


@pytest.mark.parametrize(("value", "said"), [(0.8, "supported"), (0.6, "refuted"), (0.702, "undecided")])
def test_verdicts_follow_the_interval(value, said):
    assert verdict("H1", scored(PROBED, 0, [0.7] * 3), scored(BLOCK, 0, [value] * 3)) == said
    assert verdict("H2", scored(BLOCK, 0, [0.7] * 3), scored(GATED, 0, [value] * 3)) == said
    assert verdict("H3", scored(PROBED, 50, [0.7] * 3), scored(FRESH, 50, [value] * 3)) == said


def test_the_simple_baseline_may_lie_a_little_behind():
    neural = scored(BLOCK, 0, [0.7] * 5, spread=0.001)
    for value, said in ((0.695, "supported"), (0.68, "refuted")):
        assert verdict("H4", neural, scored(SIMPLE, 0, [value] * 5, spread=0.001)) == said


def test_what_was_not_trained_is_not_asked():
    assert [one.verdict for one in findings(scored(SIMPLE, 0, [0.5])).hypotheses()] == ["not asked"] * 4


def test_the_best_is_chosen_by_validation_and_not_by_test():
    lucky = scored(GATED, 0, [0.9] * 3, validation=0.6)
    chosen = scored(BLOCK, 0, [0.6] * 3, validation=0.7)
    assert verdict("H1", scored(PROBED, 0, [0.7] * 3), lucky, chosen) == "refuted"
    assert findings(lucky, chosen).best(0).arm.name == "enc + adapter"


def test_hypothesis_three_looks_at_few_notes_alone():
    few = [scored(PROBED, place, [0.6] * 3) + scored(FRESH, place, [0.7] * 3) for place in (50, 400)]
    many = [scored(PROBED, place, [0.9] * 3) + scored(FRESH, place, [0.5] * 3) for place in (800, 0)]
    assert verdict("H3", *few, *many) == "supported"


def test_a_crossing_lies_where_the_curves_meet():
    runs = []
    for place, frozen, fresh in ((100, 0.5, 0.6), (400, 0.7, 0.6), (0, 0.9, 0.7)):
        runs += [scored(BLOCK, place, [frozen] * 3), scored(FRESH, place, [fresh] * 3)]
    found = findings(*runs).crossing()
    assert found.notes == pytest.approx(200)  # half way in the logarithm
    assert 150 < found.low < found.notes < found.high < 270
    assert found.never == 0


numbers = st.floats(-1, 1, allow_nan=False).filter(lambda value: abs(value) > 1e-6)


@given(ahead=st.lists(numbers, min_size=2, max_size=6))
def test_a_crossing_is_the_last_change_of_sign(ahead):
    notes = np.array([50.0 * 2**step for step in range(len(ahead))])
    found = crosses(notes, np.array(ahead))
    if ahead[-1] < 0:
        assert math.isinf(found)
    elif min(ahead) > 0:
        assert found == 0
    else:
        last = max(step for step, value in enumerate(ahead) if value < 0)
        fine = np.exp(np.linspace(np.log(notes[last]), np.log(notes[last + 1]), 4001))
        between = np.interp(np.log(fine), np.log(notes), ahead)
        assert found == pytest.approx(fine[np.argmax(between > 0)], rel=1e-3)


def test_advice_takes_the_cheapest_that_is_not_told_apart():
    slow = replace(BLOCK, options={"seconds": 60.0})
    said = recommend(findings(scored(SIMPLE, 0, [0.69] * 3, spread=0.05), scored(slow, 0, [0.7] * 3, spread=0.05)))
    assert said.startswith("task, with all 1,000 training notes: use tf-idf, macro F1 0.690 (")
    assert "enc + adapter scored +0.010" in said
    assert "takes 1 min 0 s a run; the interval does not tell them apart." in said
    said = recommend(findings(scored(SIMPLE, 0, [0.5] * 3), scored(slow, 0, [0.7] * 3)))
    assert said.startswith("task, with all 1,000 training notes: use enc + adapter, macro F1 0.700 (")
    assert "Nothing scored higher." in said


def test_advice_says_whether_more_labels_would_help():
    runs = [scored(SIMPLE, 400, [0.5] * 3), scored(SIMPLE, 0, [0.7] * 3)]
    assert recommend(findings(*runs)).endswith("more labels still help.")
    same = [scored(SIMPLE, 400, [0.7] * 3), scored(SIMPLE, 0, [0.7] * 3)]
    assert recommend(findings(*same)).endswith("whether more labels would help is not clear.")
