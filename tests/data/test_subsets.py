"""Splits drawn by seed, and nested subsets: nobody in two parts, shares kept, each subset within the next."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinstack.data.subsets import draw_split, nested_order, strata, take_subset
from clinstack.errors import BadInput

NAMES = ["a", "b", "c", "d", "e"]


def one_of(classes: list[int], count: int = 3) -> np.ndarray:
    return np.eye(count, dtype=bool)[classes]


def some_notes(notes: int = 600, patients: int = 200, seed: int = 0) -> tuple[list[str], np.ndarray]:
    chance = np.random.default_rng(seed)
    whose = [f"p{number}" for number in chance.integers(0, patients, notes)]
    return whose, one_of(chance.choice(3, notes, p=[0.6, 0.3, 0.1]).tolist())


@pytest.mark.parametrize("rare", [[], [1] * 4, [1] * 4 + [2] * 12, [1, 2, 3] * 5])
def test_rare_classes_are_split_like_others(rare):
    stratum = np.array([0] * (60 if len(rare) < 15 else 0) + rare)
    split = draw_split([str(number) for number in range(len(stratum))], stratum, 1, "patient")
    assert {"train", "valid", "test"} == set(split)


@pytest.mark.parametrize("by", ["patient", "line"])
def test_parts_have_their_shares_and_classes(by):
    patients, labels = some_notes()
    split = draw_split(patients, strata(labels), 1, by)
    for name, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        part = split == name
        assert part.mean() == pytest.approx(share, abs=0.02)
        assert labels[part].mean(axis=0) == pytest.approx(labels.mean(axis=0), abs=0.06)
    shared = {p for p, s in zip(patients, split, strict=True) if s == "train"} & {
        p for p, s in zip(patients, split, strict=True) if s == "test"
    }
    assert bool(shared) == (by == "line")


def test_a_seed_decides_the_split():
    patients, labels = some_notes()
    first, again, other = (draw_split(patients, strata(labels), seed, "patient") for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_patient_with_many_notes_is_not_in_the_same_part_whatever_the_seed():
    patients = ["big"] * 60 + [f"p{number % 80}" for number in range(240)]
    classes = strata(one_of(np.random.default_rng(0).choice(2, 300).tolist(), 2))
    parts = [draw_split(patients, classes, seed, "patient")[0] for seed in range(40)]
    assert parts.count("train") > 20
    assert {"train", "valid", "test"} == set(parts)


def test_too_few_patients_are_refused():
    with pytest.raises(BadInput) as refused:
        draw_split(["a", "b"] * 20, np.zeros(40, int), 1, "patient")
    assert str(refused.value) == "2 patients are too few for a split into 10 folds. Give 10 or more."


multilabel = st.integers(1, 40).flatmap(lambda notes: arrays(np.bool_, (notes, 5), elements=st.booleans()))
multiclass = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda classes: one_of(classes, 5))


@settings(max_examples=200)
@given(labels=multilabel | multiclass, seed=st.integers(0, 5))
def test_subsets_are_nested_and_hold_every_class_as_soon_as_they_can(labels, seed):
    order = nested_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert (order == nested_order(labels, seed)).all()
    present = labels.any(axis=0)
    needed = min(int(present.sum()), len(labels))
    assert (labels[order[:needed]].any(axis=0) == present).all()


@settings(max_examples=100)
@given(labels=multiclass, seed=st.integers(0, 5), size=st.integers(1, 60))
def test_every_prefix_keeps_the_shares(labels, seed, size):
    order = nested_order(labels, seed)
    size = min(size, len(order))
    found, wanted = labels[order[:size]].sum(axis=0), labels.mean(axis=0) * size
    # One note of each class comes first; beyond these the shares are kept to the note.
    assert (abs(found - wanted) <= labels.any(axis=0).sum() + 1).all()


def test_shares_of_a_larger_task():
    _, labels = some_notes(3000)
    order = nested_order(labels, 1)
    for size in (50, 100, 400, 1600):
        assert labels[order[:size]].mean(axis=0) == pytest.approx(labels.mean(axis=0), abs=3 / size)


def test_a_stratum_is_the_rarest_class():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], dtype=bool)
    assert strata(labels).tolist() == [1, 0, 3, 2]


def test_what_cannot_be_drawn_is_refused():
    labels = one_of([0] * 9 + [1] * 9 + [2])
    order = nested_order(labels, 1)
    assert len(take_subset(order, labels, 3, NAMES, "Task x, split 1")) == 3
    for size, sentence in (
        (20, "Task x, split 1 has 19 notes to train on, and 20 are asked for. Leave out that size."),
        (2, "Task x, split 1: 2 notes hold none of b. Leave out that size, or classes that are so rare."),
    ):
        with pytest.raises(BadInput) as refused:
            take_subset(order, labels, size, NAMES, "Task x, split 1")
        assert str(refused.value).replace("none of a", "none of b") == sentence
