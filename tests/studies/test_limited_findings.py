"""What is concluded from scores: metrics by name, paired differences, hypotheses, crossing points, advice."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from clinstack.config import LimitedDataOptions
from clinstack.errors import BadInput
from clinstack.metrics.decisions import Counts
from clinstack.metrics.intervals import Draws, bootstrap_draws, shared_weights
from clinstack.runs.layout import RunLayout
from clinstack.studies.limited_data import confusion
from clinstack.studies.limited_data import findings as findings_module
from clinstack.studies.limited_data import slices as slices_of
from clinstack.studies.limited_data.arms import PROBE, Arm, Pace, make_arms
from clinstack.studies.limited_data.cost_tables import budget_table
from clinstack.studies.limited_data.costs import Cost, clock_of, cost_of
from clinstack.studies.limited_data.crossing import ahead_since, ahead_until
from clinstack.studies.limited_data.description import of_some_splits
from clinstack.studies.limited_data.encoding import Reading, took
from clinstack.studies.limited_data.findings import findings_of
from clinstack.studies.limited_data.parts import Part
from clinstack.studies.limited_data.pictures import cost_pictures
from clinstack.studies.limited_data.recommendation import recommend
from clinstack.studies.limited_data.scores import Scored, Trained, named_metrics, tuned_threshold
from clinstack.studies.limited_data.tables import crossing_table
from clinstack.studies.report.gather import Predictions


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
            "kind": "binary",
            "validation": {"value": validation, "tie": 0.0},
            "cost": {"train": {"seconds": who.options["seconds"], "cpu_seconds": 1.0, "peak_bytes": 1}},
        }
        trained = Trained(who, part, place, None, RunLayout(Path("nowhere")))
        draws = Draws(value, value + luck + own)
        found.append(
            Scored(trained, result, {"f1_macro": value}, draws, (), cost_of(result, "seconds"), luck > 1 - value)
        )
    return found


def findings(*runs: list[Scored]):
    (found,) = findings_of([one for some in runs for one in some], "patient")
    return found


def test_differences_are_paired():
    found = findings(scored(PROBED, 0, [0.70, 0.60, 0.80]), scored(BLOCK, 0, [0.75, 0.65, 0.85]))
    (one,) = found.beside_probe()
    assert one.interval.value == pytest.approx(0.05)
    # Of the notes' and the splits' luck, which is five times as large, nothing is left.
    assert 0.02 < one.interval.low < one.interval.high < 0.08
    assert found.points["enc + adapter", 0].draws.interval().low < 0.65
    assert one.p_value == one.p_holm < 0.01


def test_arms_without_a_split_in_common_have_no_difference():
    """One failed in some splits, the other in the rest: the page is written all the same."""
    found = findings(scored(PROBED, 0, [0.7, 0.6])[:1], scored(BLOCK, 0, [0.7, 0.6])[1:])
    (one,) = found.beside_probe()
    assert np.isnan([one.interval.value, one.p_value, one.p_holm, one.p_mcnemar]).all()
    assert found.hypotheses()[0].verdict == "undecided"


def test_what_reading_took_is_that_of_the_task_and_of_notes_that_another_task_had_by_the_token():
    long = Reading(
        "hash", notes=100, tokens=50_000, shortened=0.0, unknown=0.0, computed=100, seconds=50, cpu_seconds=90
    )
    short = Reading(
        "hash", notes=1000, tokens=20_000, shortened=0.0, unknown=0.0, computed=1000, seconds=20, cpu_seconds=40
    )
    again = Reading("hash", notes=1000, tokens=20_000, shortened=0.0, unknown=0.0)
    by_task = {"long": long, "short": short, "again": again}
    assert [took(by_task, "short", 500).seconds, took(by_task, "long", 50).cpu_seconds] == [10, 45]
    assert took(by_task, "again", 500).seconds == pytest.approx(10_000 * 70 / 70_000)
    assert took({"again": again}, "again", 500).seconds == 0  # nothing is kept, and each run's own cost has its reading
    rest = replace(long, computed=10, computed_tokens=500, seconds=2)  # what an interrupted reading left: the shortest
    assert took({"long": rest}, "long", 100).seconds == 200


def test_holm_corrects_over_all_places_of_a_task():
    places = [50, 100, 200, 0]
    pairs = [(scored(PROBED, place, [0.6, 0.6]), scored(BLOCK, place, [0.62, 0.64])) for place in places]
    rows = findings(*(runs for pair in pairs for runs in pair)).beside_probe()
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
    assert found.since.value == pytest.approx(200)  # half way in the logarithm
    assert 150 < found.since.low < found.since.value < found.since.high < 270
    assert (found.until.value, found.nowhere) == (0, 0)


def test_encoders_that_are_ahead_with_few_notes_alone_are_said_to_be():
    runs = []
    for place, frozen, fresh in ((100, 0.7, 0.6), (400, 0.7, 0.8), (0, 0.7, 0.9)):
        runs += [scored(BLOCK, place, [frozen] * 3), scored(FRESH, place, [fresh] * 3)]
    found = findings(*runs)
    meeting = found.crossing()
    assert math.isinf(meeting.since.value)
    assert meeting.until.value == pytest.approx(200)
    assert 150 < meeting.until.low < meeting.until.high < 270
    assert meeting.nowhere == 0
    (row,) = crossing_table([found]).rows
    assert row[1:3] == ["with up to 200 notes", "not with all"]
    assert row[4:] == ["200", row[5], "0%"]


numbers = st.floats(-1, 1, allow_nan=False).filter(lambda value: abs(value) > 1e-6)


@given(ahead=st.lists(numbers, min_size=2, max_size=6))
def test_a_crossing_is_the_last_change_of_sign(ahead):
    notes = np.array([50.0 * 2**step for step in range(len(ahead))])
    found = ahead_since(notes, np.array(ahead))
    backward = ahead_until(1 / notes[::-1], np.array(ahead)[::-1])
    assert backward == pytest.approx(1 / found if found else math.inf)
    if ahead[-1] < 0:
        assert math.isinf(found)
    elif min(ahead) > 0:
        assert found == 0
    else:
        last = max(step for step, value in enumerate(ahead) if value < 0)
        fine = np.exp(np.linspace(np.log(notes[last]), np.log(notes[last + 1]), 4001))
        between = np.interp(np.log(fine), np.log(notes), ahead)
        assert found == pytest.approx(fine[np.argmax(between > 0)], rel=1e-3)


def test_a_head_that_is_right_where_the_probe_is_wrong_is_told_apart_by_mcnemar_too():
    probe, block = scored(PROBED, 0, [0.7] * 3), scored(BLOCK, 0, [0.8] * 3)
    wrong, right = np.zeros(60, dtype=bool), np.ones(60, dtype=bool)
    for ours, expected in ((right, 2 * 2 * 0.5**60), (wrong, 1.0)):
        runs = [[replace(one, right=found) for one in some] for some, found in ((probe, wrong), (block, ours))]
        (found,) = findings(*runs).beside_probe()
        assert found.p_mcnemar == pytest.approx(expected)


def test_what_is_best_within_a_time_is_chosen_by_validation_among_what_fits():
    slow = replace(GATED, options={"seconds": 60.0})
    cheap, lucky = scored(SIMPLE, 0, [0.6] * 3, 0.5), scored(BLOCK, 0, [0.5] * 3, 0.7)
    found = findings(cheap, lucky, scored(slow, 0, [0.9] * 3, 0.8))
    assert found.within(0.01) is None
    assert found.within(0.5).arm.name == "tf-idf"
    rows = [(row[0], row[1], row[3]) for row in budget_table([found]).rows if isinstance(row, list)]
    assert rows == [("1.0 s", "enc + adapter", "1.0 s"), ("1 min 0 s", "enc + grn (equal)", "1 min 0 s")]


SLOW = replace(BLOCK, options={"seconds": 60.0})


def test_advice_takes_the_cheapest_that_is_as_good():
    said = recommend(findings(scored(SIMPLE, 0, [0.699] * 3, spread=0.001), scored(SLOW, 0, [0.7] * 3, 0.6, 0.001)))
    assert said.startswith("task, with all 1,000 training notes: use tf-idf, macro F1 0.699 (")
    assert "Against enc + adapter, which validation prefers and which takes 1 min 0 s a run, it scored −0.001" in said
    assert "): as good up to 0.01." in said


def test_advice_does_not_take_what_is_merely_not_told_apart():
    said = recommend(findings(scored(SIMPLE, 0, [0.65] * 3, spread=0.3), scored(SLOW, 0, [0.7] * 3, 0.6, 0.3)))
    assert said.startswith("task, with all 1,000 training notes: use enc + adapter, macro F1 0.700 (")
    assert (
        "By validation no other is better. Whether tf-idf would do, at 0.1 s a run, is not clear: it scored 0.650, −0.050 "
        "against enc + adapter (" in said
    )


def test_advice_leaves_out_what_is_worse_and_what_only_test_prefers():
    worse, lucky = scored(SIMPLE, 0, [0.5] * 3), scored(GATED, 0, [0.9] * 3, 0.4)
    said = recommend(findings(worse, scored(SLOW, 0, [0.7] * 3, 0.6), scored(PROBED, 0, [0.4] * 3)))
    assert said.endswith("By validation no other is better.")
    assert "tf-idf" not in said
    said = recommend(findings(lucky, scored(SLOW, 0, [0.7] * 3, 0.6)))
    assert "use enc + grn (equal)" in said  # cheaper, and better: only the reference is validation's
    assert "Against enc + adapter, which validation prefers" in said


def test_an_arm_that_failed_in_some_splits_is_not_the_best_by_the_others():
    lucky = replace_seeds(scored(BLOCK, 0, [0.9, 0.9, 0.9], 0.95), {2})
    rest = [scored(PROBED, 0, [0.6] * 3, 0.6), scored(SIMPLE, 0, [0.7] * 3, 0.7), scored(FRESH, 0, [0.5] * 3, 0.5)]
    found = findings(lucky, *rest)
    assert found.best(0).arm == found.highest.arm == SIMPLE
    assert found.within(9.0).arm == SIMPLE
    assert "use tf-idf" in recommend(found)
    assert of_some_splits(found) == [
        "task, all notes: enc + adapter (1 of 3) were not trained in all splits. Their figures are the mean of the others, and "
        "they are not chosen as the best."
    ]


def replace_seeds(runs: list[Scored], seeds: set[int]) -> list[Scored]:
    return [one for one in runs if one.part.seed in seeds]


def test_the_highest_is_better_than_all_others_only_after_correction_for_their_number():
    """Of two arms one is; among eighty the same difference is not, since the figures chose which. What is far behind is told."""
    values = [0.62, 0.60, 0.61, 0.63, 0.62]
    best, other = (
        scored(SIMPLE, 0, [value + 0.016 for value in values], spread=0.008),
        scored(FRESH, 0, values, spread=0.008),
    )
    assert findings(best, other).like_highest == []
    many = [scored(arm("head", f"block {number}"), 0, [v - 0.02 for v in values], spread=0.3) for number in range(80)]
    among = findings(best, other, scored(BLOCK, 0, [0.1] * 5, spread=0.008), *many)
    assert among.highest.arm == SIMPLE
    assert among.highest.minus(among.points[FRESH.name, 0]).interval().low > 0
    assert FRESH in [one.arm for one in among.like_highest]
    assert BLOCK not in [one.arm for one in among.like_highest]


def test_a_lora_stands_beside_the_probe_too_and_answers_no_hypothesis():
    tuned = scored(arm("lora", "LoRA"), 0, [0.8] * 5, 0.9)
    found = findings(scored(PROBED, 0, [0.6] * 5), scored(BLOCK, 0, [0.6] * 5), tuned)
    assert [one.first for one in found.beside_probe()] == ["enc + adapter", "enc + LoRA"]
    assert found.hypotheses()[0].interval.value == pytest.approx(0.0)


@pytest.mark.parametrize(("decided_share", "shown"), [(0.5, False), (None, True)])
def test_where_notes_have_several_labels_a_model_must_beat_deciding_them_all(decided_share, shown, monkeypatch):
    """The majority decides none of labels that are rare, which any decision at random beats."""
    chance, ids = np.random.default_rng(0), tuple(map(str, range(300)))
    labels = chance.random((300, 4)) < 0.3
    decided = labels if decided_share is None else chance.random(labels.shape) < decided_share
    said = {
        "majority": Predictions(ids, ids, labels, np.full(labels.shape, -1.0)),
        "tf-idf": Predictions(ids, ids, labels, np.where(decided, 1.0, -1.0)),
    }
    monkeypatch.setattr(findings_module, "predictions_of", lambda one: said[one.trained.arm.name])
    runs = [
        replace(
            one,
            result={**one.result, "kind": "multilabel"},
            patients=ids,
            draws=bootstrap_draws(
                lambda weights, one=one: {
                    0: Counts(labels, said[one.trained.arm.name].logits >= 0, weights).f1_macro()
                },
                ids,
                400,
                weights=shared_weights,
            )[0],
        )
        for who in (arm("baseline", backbone="majority", seconds=0.1), SIMPLE)
        for one in scored(who, 0, [0.5] * 3)
    ]
    found = findings(runs)
    assert found.points["majority", 0].draws.value == 0.0
    every = oracle.f1_score(labels, np.ones_like(labels), average="macro")
    assert found.unread.draws.value == pytest.approx(every)
    expected = "use tf-idf" if shown else "no model is shown to be better than deciding every label of every note"
    assert expected in recommend(found)


COMMONEST = arm("baseline", backbone="majority", seconds=0.1)


def guessing(monkeypatch, shares: list[float], trained: list[float] | None = None):
    """Lets a majority be of test notes with these shares of classes, and of training notes with those."""
    labels = np.repeat(np.eye(len(shares), dtype=bool), np.round(np.array(shares) * 100).astype(int), axis=0)
    ids = tuple(map(str, range(100)))
    logits = np.tile(np.log(trained or shares), (100, 1))
    monkeypatch.setattr(findings_module, "predictions_of", lambda one: Predictions(ids, ids, labels, logits))
    kind = {"kind": "binary" if len(shares) == 2 else "multiclass"}
    return labels, [replace(one, patients=ids, result=one.result | kind) for one in scored(COMMONEST, 0, [0.1] * 3)]


def test_what_reads_nothing_guesses_each_class_as_often_as_it_is(monkeypatch):
    """The majority scores 0 for all classes but one, which any decision at random beats."""
    trained = [0.2, 0.3, 0.5]
    labels, majority = guessing(monkeypatch, [0.1, 0.3, 0.6], trained)
    chance = np.random.default_rng(0)
    drawn = [
        oracle.f1_score(labels.argmax(axis=1), chance.choice(3, size=100, p=trained), average="macro")
        for _ in range(3000)
    ]
    unread = findings(majority).unread
    assert unread.draws.value == pytest.approx(np.mean(drawn), abs=0.01)
    assert unread.draws.interval().low < unread.draws.value < unread.draws.interval().high


def test_advice_says_where_nothing_is_shown_to_beat_guessing(monkeypatch):
    _, majority = guessing(monkeypatch, [0.3, 0.7])
    said = recommend(findings(majority, scored(SLOW, 0, [0.55] * 3, 0.6, 0.3)))
    assert said.startswith(
        "task, with all 1,000 training notes: no model is shown to be better than guessing each class as often as it is, which "
        "scores macro F1 0.500. enc + adapter, the first choice by validation and cost, scored +0.050 against it ("
    )
    assert "use enc" not in said
    said = recommend(findings(majority, scored(SLOW, 0, [0.9] * 3, 0.6)))
    assert "use enc + adapter" in said


def test_advice_says_where_another_arm_alone_is_shown_to_beat_guessing(monkeypatch):
    """What validation prefers scores as high, with an interval that reaches below guessing."""
    _, majority = guessing(monkeypatch, [0.3, 0.7])
    unsure = scored(SIMPLE, 0, [0.9] * 3, 0.4, spread=1.0)
    said = recommend(findings(majority, unsure, scored(SLOW, 0, [0.9] * 3, 0.3)))
    assert "use tf-idf" in said
    assert "That it is better than guessing each class as often as it is is not shown, of another arm it is." in said


def test_one_of_many_arms_that_are_no_better_than_guessing_is_not_shown_to_be(monkeypatch):
    _, majority = guessing(monkeypatch, [0.5, 0.5])
    lucky = 0
    for number in range(10):
        chance = np.random.default_rng(number)
        arms = [arm("head", f"head-{number}-{which}") for which in range(20)]
        values = 0.5 + chance.normal(size=(20, 3)) * 0.05
        every = [scored(who, 0, list(row), spread=0.05) for who, row in zip(arms, values, strict=True)]
        lucky += bool(findings(majority, *every).shown)
    assert lucky <= 1


def test_an_arm_that_failed_in_some_splits_is_not_advised(monkeypatch):
    """However cheap and lucky: what the other splits would have said is not known."""
    _, majority = guessing(monkeypatch, [0.5, 0.5])
    lucky = replace_seeds(scored(SIMPLE, 0, [0.95] * 5, 0.9), {1})
    found = findings(majority, lucky, scored(SLOW, 0, [0.85] * 5, 0.6))
    assert "use enc + adapter" in recommend(found)
    assert "tf-idf" not in recommend(found)
    assert found.within(1.0) is None


def test_where_no_resample_makes_a_difference_nothing_is_supported():
    same = [replace(one, draws=Draws(0.5, np.full(400, 0.5))) for one in scored(SIMPLE, 0, [0.5])]
    other = [replace(one, trained=replace(one.trained, arm=SLOW)) for one in same]
    verdicts = {one.name: one.verdict for one in findings(same, other).hypotheses()}
    assert verdicts["H4"] == "undecided"


def test_a_network_on_words_is_a_neural_model_and_a_mean_of_embeddings_is_not_one_from_nothing():
    network = arm("baseline", backbone="tf-idf-mlp")
    assert verdict("H4", scored(network, 0, [0.8] * 5), scored(SIMPLE, 0, [0.7] * 5)) == "refuted"
    options = LimitedDataOptions(tasks=[Path("t")], out=Path("o"), scratch="transformer,transformer:mean")
    families = {one.name: one.family for one in make_arms(options)}
    assert (families["transformer"], families["transformer:mean"]) == ("scratch", "baseline")


def test_the_adapter_stands_beside_heads_of_as_many_weights_whatever_arms_are_asked_for(small_base):
    options = LimitedDataOptions(tasks=[Path("t")], out=Path("o"), encoders=[str(small_base)], arms=["equal"])
    names = {one.head for one in make_arms(options)}
    assert {"adapter", "grn (equal)"} < names
    assert "grn" not in names


def test_a_kind_trains_for_as_many_steps_at_all_sizes(small_base):
    asked = LimitedDataOptions(tasks=[Path("t")], out=Path("o"), encoders=[str(small_base)], steps=100, patience=20)
    arms = {one.name: one for one in make_arms(asked)}
    adapter, probe = arms[f"{small_base.name} + adapter"], arms[f"{small_base.name} + linear probe"]
    scratch, lora = arms["transformer"], arms[f"{small_base.name} + LoRA"]
    assert scratch.pace.options(50) == {"epochs": 50, "patience": 10, "batch_size": 32}  # two steps each
    assert scratch.pace.options(4355) == lora.pace.options(4355) == {"epochs": 3, "patience": 2, "batch_size": 32}
    assert adapter.pace.options(50) == {"epochs": 25, "patience": 5, "batch_size": 32}
    assert adapter.pace.options(4355)["epochs"] == 2
    assert lora.options["head_start"] == "fitted"
    whole, noisy = (Part("task", "patient", 1, 900, True, Path("nowhere"), noise) for noise in (0.0, 0.1))
    everywhere = make_arms(asked.model_copy(update={"lora": "all"}))[-1]
    assert [everywhere.learns_from(one) for one in (whole, noisy)] == [True, False]
    assert scratch.learns_from(noisy)
    assert min(arms["transformer:mean"].rates) > max(scratch.rates)
    # A block is the probe with something before it, and can be told from it by nothing else.
    assert (adapter.pace, adapter.rates) == (probe.pace, probe.rates)
    assert adapter.options == {**probe.options, "head_adapter": "adapter"}
    still = asked.model_copy(update={"patience": 0})
    assert make_arms(still)[-1].pace.options(50)["patience"] == 0


@pytest.mark.parametrize(
    ("steps", "least_epochs", "notes", "epochs"),
    [(150, 1, 50, 75), (150, 1, 1600, 3), (150, 1, 3200, 2), (150, 1, 4355, 1), (300, 3, 4355, 3), (10, 1, 4355, 1)],
)
def test_a_training_takes_as_many_steps_as_whole_epochs_allow(steps, least_epochs, notes, epochs):
    pace = Pace(steps, patience=60, batch_size=32, least_epochs=least_epochs)
    assert pace.options(notes)["epochs"] == epochs


def test_two_encoders_of_one_name_are_refused(small_base, tmp_path):
    other = shutil.copytree(small_base, tmp_path / small_base.name)
    with pytest.raises(BadInput) as refused:
        make_arms(LimitedDataOptions(tasks=[Path("t")], out=Path("o"), encoders=[str(small_base), str(other)]))
    assert str(refused.value) == (
        f"{small_base} and {other} would both be called {small_base.name}. Rename one of the folders."
    )


def test_a_head_costs_what_reading_its_notes_by_the_encoder_takes():
    alone = Cost({"encode": 0.5, "train": 2.0}, 3.0, 10)
    taken = Reading("hash", 100, 9000, 0.0, 0.0, seconds=20.0, cpu_seconds=40.0, peak_bytes=50)
    found = alone.with_reading(taken, clock_of("cuda:0"))
    assert found == Cost({"encode": 20.5, "train": 2.0}, 43.0, 50)
    assert found.total == 22.5
    assert alone.with_reading(taken, clock_of("cpu")).total == 42.5  # two cores read, and one trains


def test_a_resample_without_any_patient_says_nothing():
    labels = np.eye(2, dtype=bool)[[0, 1]]
    found = Counts(labels, labels, np.array([[1, 1], [0, 0]], dtype=np.int32))
    assert found.f1_macro().tolist() == [1.0, pytest.approx(math.nan, nan_ok=True)]
    assert found.f1_micro().tolist() == [1.0, pytest.approx(math.nan, nan_ok=True)]


def test_metrics_of_one_label_alone_are_those_of_that_label():
    labels, logits = (one[:, :1] for one in some_predictions("multilabel"))
    found = named_metrics("multilabel", labels, logits)
    assert found["f1_macro"] == pytest.approx(oracle.f1_score(labels[:, 0], logits[:, 0] >= 0))
    assert found["precision_macro"] == pytest.approx(oracle.precision_score(labels[:, 0], logits[:, 0] >= 0))


def test_advice_says_whether_more_labels_would_help():
    runs = [scored(SIMPLE, 400, [0.5] * 3), scored(SIMPLE, 0, [0.7] * 3)]
    assert recommend(findings(*runs)).endswith("more labels still help.")
    same = [scored(SIMPLE, 400, [0.7] * 3), scored(SIMPLE, 0, [0.7] * 3)]
    assert recommend(findings(*same)).endswith("whether more labels would help is not clear.")


def test_slices_compare_the_classes_that_both_sides_have(monkeypatch):
    labels = np.eye(4, dtype=bool)[[0, 1] * 20 + [0, 1, 2, 3] * 10]  # the first forty notes lack two classes
    ids = tuple(str(number) for number in range(80))
    right = Predictions(ids, ids, labels, np.where(labels, 9.0, -9.0))
    monkeypatch.setattr(slices_of, "predictions_of", lambda one: right)
    monkeypatch.setattr(slices_of, "_marks", lambda part: {"with a number": np.arange(80) < 40})
    runs = [
        replace(one, result={**one.result, "kind": "multiclass"}, patients=ids) for one in scored(BLOCK, 0, [0.5] * 2)
    ]
    (found,) = slices_of.slices(findings(runs).at(0), 100)
    assert (found.having.value, found.others.value, found.difference.value) == (1.0, 1.0, 0.0)


def test_a_class_that_a_side_misses_in_a_resample_has_moved_as_that_sides_others(monkeypatch):
    """Whatever the other side scores: here all of it is wrong, and all of this side right."""
    marked = np.arange(80) < 40
    labels = np.eye(2, dtype=bool)[[0] * 39 + [1] + [0, 1] * 20]
    said = np.where(marked[:, None], np.where(labels, 9.0, -9.0), np.where(labels, -9.0, 9.0))
    ids = tuple(str(number) for number in range(80))
    monkeypatch.setattr(slices_of, "predictions_of", lambda one: Predictions(ids, ids, labels, said))
    monkeypatch.setattr(slices_of, "_marks", lambda part: {"with a number": marked})
    runs = [replace(one, patients=ids) for one in scored(BLOCK, 0, [0.5] * 2)]
    (found,) = slices_of.slices(findings(runs).at(0), 100)
    assert (found.having.low, found.having.high) == (1.0, 1.0)


def test_a_confusion_is_scikit_learns_and_what_is_never_decided_is_named(monkeypatch):
    labels, logits = some_predictions("multiclass")
    logits[:, 2] = -9.0
    ids = tuple(map(str, range(len(labels))))
    monkeypatch.setattr(confusion, "predictions_of", lambda one: Predictions(ids, ids, labels, logits))
    about = {"kind": "multiclass", "classes": ["a", "b", "c", "d"]}
    found = findings([replace(one, result={**one.result, **about}) for one in scored(SIMPLE, 0, [0.5] * 2)]).at(0)[0]
    wanted = oracle.confusion_matrix(labels.argmax(axis=1), logits.argmax(axis=1), labels=range(4))
    assert np.array_equal(confusion.matrix(found), wanted)
    assert confusion.never_decided(found) == ["c"]
    assert confusion.table(found).rows[0][:2] == ["a", f"{wanted[0, 0]:.1f}"]


def test_every_arm_has_its_own_mark_beside_its_cost():
    heads = [PROBE, *(f"block {number}" for number in range(11))]
    arms = [arm("head", head, backbone) for backbone in ("one", "two", "three") for head in heads]
    chance = scored(arm("baseline", backbone="majority"), 0, [0.3])
    found = findings(
        chance, scored(SIMPLE, 0, [0.7]), scored(FRESH, 0, [0.6]), *(scored(one, 0, [0.65]) for one in arms)
    )
    drawn = cost_pictures([found])
    assert {name for figure in drawn for _, name in figure.legend} == {one.name for one in [SIMPLE, FRESH, *arms]}
    for figure in drawn:
        assert SIMPLE.name in {name for _, name in figure.legend}
        assert len({mark for mark, _ in figure.legend}) == len(figure.legend)
