from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinstack.data.splits import split_by_patient
from clinstack.errors import BadInput

IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=60)


def test_as_many_patients_as_mimic_iii_has_give_the_published_counts():
    """37,321 -> 26,124 / 3,732 / 7,465: Table 1 of the two-step paper, rule C2."""
    counts = Counter(split_by_patient(str(number) for number in range(37_321)).values())
    assert counts == {"train": 26_124, "valid": 3_732, "test": 7_465}


def test_the_order_is_the_hash_of_seed_and_id():
    ids = [str(number) for number in range(10)]
    by_hash = sorted(ids, key=lambda patient: sha256(f"123:{patient}".encode()).hexdigest())
    split_of = split_by_patient(ids)
    assert [patient for patient in by_hash if split_of[patient] == "train"] == by_hash[:7]
    assert [patient for patient in by_hash if split_of[patient] == "valid"] == by_hash[7:8]


@given(IDS, st.randoms(use_true_random=False), st.integers(0, 9))
def test_neither_the_order_nor_repeats_of_rows_matter(ids, random, seed):
    shuffled = ids + ids
    random.shuffle(shuffled)
    assert split_by_patient(shuffled, seed) == split_by_patient(ids, seed)


@given(IDS)
def test_every_patient_is_in_one_split_and_shares_are_rounded_down(ids):
    split_of = split_by_patient(ids)
    counts = Counter(split_of.values())
    assert set(split_of) == set(ids)
    assert (counts["train"], counts["valid"]) == (len(split_of) * 7 // 10, len(split_of) // 10)


def test_fractions_are_exact_where_floating_point_is_not():
    assert Counter(split_by_patient(map(str, range(90))).values())["train"] == 63


def test_another_seed_gives_other_splits():
    ids = [str(number) for number in range(100)]
    assert split_by_patient(ids, 1) != split_by_patient(ids, 2)


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (1.2, -0.2, 0.0)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(BadInput) as error:
        split_by_patient(["a"], fractions=fractions)
    written = ", ".join(map(str, fractions))
    assert str(error.value) == f"Fractions {written}: give three shares (train, valid, test) that sum to 1."
