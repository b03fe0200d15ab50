from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clinstack.data.columns import TableNote
from clinstack.data.split_rules import choose_rule
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


# By time and by site: what a rule makes of notes.

DAY = datetime(2020, 1, 1)


def notes_of(*rows):
    """Notes from (patient, day or None, site or None)."""
    return [
        TableNote(f"n{i}", patient, "text", None, (), (), (), None if day is None else DAY + timedelta(day), site)
        for i, (patient, day, site) in enumerate(rows)
    ]


def settled(notes, **options):
    rule = choose_rule(**options)
    for note in notes:
        rule.see(note)
    rule.settle()
    return rule


LETTER = {"train": "t", "valid": "v", "test": "T", None: "-"}


def splits_of(notes, **options):
    """A letter a note: train, valid, Test, or - where it is left out."""
    rule = settled(notes, **options)
    return "".join(LETTER[rule.split_of(note)] for note in notes)


DATES = {"by": "time", "valid_from": "2020-02-01", "test_from": "2020-03-01"}


@pytest.mark.parametrize(
    ("days", "splits"),
    [
        ((0, 30, 31, 59, 60, 400), "ttvvTT"),
        ((-9_999, 40, 80), "tvT"),
    ],
)
def test_a_note_is_in_the_period_that_its_time_falls_in(days, splits):
    assert splits_of(notes_of(*((f"p{i}", day, None) for i, day in enumerate(days))), **DATES) == splits


@pytest.mark.parametrize(
    ("days", "splits"),
    [
        ((0, 5, 10), "ttt"),
        ((0, 40, 50), "-vv"),
        ((0, 40, 80), "--T"),
        ((80, 0, 90), "T-T"),
        ((40, 10, 41), "v-v"),
    ],
    ids=str,
)
def test_a_patient_is_in_the_split_of_the_last_note_and_earlier_periods_are_left_out(days, splits):
    others = notes_of(("a", 0, None), ("b", 40, None), ("c", 80, None))
    notes = notes_of(*(("back", day, None) for day in days)) + others
    assert splits_of(notes, **DATES) == f"{splits}tvT"


def test_fractions_by_time_are_shares_of_the_patients_in_the_order_of_their_last_notes():
    notes = notes_of(*((f"p{i}", i, None) for i in range(10)), *((f"p{i}", i - 10, None) for i in range(10)))
    rule = settled(notes, by="time", fractions=(0.6, 0.3, 0.1))
    assert [rule.patients[f"p{i}"] for i in range(10)] == ["train"] * 6 + ["valid"] * 3 + ["test"]
    assert rule.how() == {
        "by": "time",
        "valid_from": "2020-01-07T00:00:00",
        "test_from": "2020-01-10T00:00:00",
        "fractions": [0.6, 0.3, 0.1],
    }


def test_patients_of_one_time_stay_together_in_the_later_split():
    days = [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    rule = settled(
        notes_of(*((f"p{i}", day, None) for i, day in enumerate(days))), by="time", fractions=(0.3, 0.3, 0.4)
    )
    assert [rule.patients[f"p{i}"] for i in range(10)] == ["train"] + ["valid"] * 3 + ["test"] * 6


def test_dates_without_a_zone_are_utc_where_the_times_have_one():
    notes = notes_of(("a", 0, None), ("b", 0, None), ("c", 0, None))
    clocks = ["2020-01-31T23:59+00:00", "2020-02-01T01:30+02:00", "2020-02-01T00:00+00:00"]
    zoned = [
        TableNote(note.note_id, note.patient_id, "", None, (), (), (), datetime.fromisoformat(clock))
        for note, clock in zip(notes, clocks, strict=True)
    ]
    late = [TableNote(f"l{i}", f"l{i}", "", None, (), (), (), datetime(2020, 2 + i, 9, tzinfo=UTC)) for i in range(2)]
    assert splits_of(zoned + late, **DATES) == "ttvvT"


@given(
    rows=st.lists(st.tuples(st.integers(0, 15).map(str), st.integers(0, 30), st.none()), min_size=25, max_size=60),
    cuts=st.none() | st.lists(st.integers(5, 29), min_size=2, max_size=2, unique=True).map(sorted),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.3, 0.3, 0.4), (0.2, 0.3, 0.5)]),
)
def test_by_time_no_patient_is_in_two_splits_and_no_test_note_before_a_train_note(rows, cuts, shares):
    notes = notes_of(*rows)
    options = {"fractions": shares}
    if cuts:
        dates = [str((DAY + timedelta(cut)).date()) for cut in cuts]
        options = {"valid_from": dates[0], "test_from": dates[1]}
    try:
        rule = settled(notes, by="time", **options)
    except BadInput:
        assume(False)
    kept = [(note, split) for note in notes if (split := rule.split_of(note))]
    of_patient = {}
    for note, split in kept:
        assert of_patient.setdefault(note.patient_id, split) == split
    assert set(of_patient) == {note.patient_id for note in notes}
    when = {split: [note.when for note, part in kept if part == split] for split in ("train", "valid", "test")}
    valid_from, test_from = (datetime.fromisoformat(rule.how()[key]) for key in ("valid_from", "test_from"))
    assert max(when["train"]) < valid_from <= min(when["valid"])
    assert max(when["valid"]) < test_from <= min(when["test"])
    assert when["test"] == [note.when for note in notes if note.when >= test_from]


def brute_force_sites(rows, tested, seed, fractions):
    """Patients one after the other: who was ever at a tested site is test, there alone; the rest by hash."""
    patients = {patient for patient, _, _ in rows}
    others = [p for p in patients if all(site not in tested for patient, _, site in rows if patient == p)]
    others.sort(key=lambda patient: sha256(f"{seed}:{patient}".encode()).hexdigest())
    train = others[
        : int(len(others) * round(10 * fractions[0]) / (round(10 * fractions[0]) + round(10 * fractions[1])))
    ]
    answer = ""
    for patient, _, site in rows:
        if patient in others:
            answer += "t" if patient in train else "v"
        else:
            answer += "T" if site in tested else "-"
    return answer


@given(
    rows=st.lists(st.tuples(st.integers(0, 20).map(str), st.none(), st.sampled_from("ABCD")), min_size=1, max_size=60),
    tested=st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3),
    seed=st.integers(0, 3),
    fractions=st.sampled_from([(0.7, 0.1, 0.2), (0.5, 0.5, 0.0), (0.1, 0.6, 0.3)]),
)
def test_by_site_the_splits_are_those_of_an_exhaustive_search(rows, tested, seed, fractions):
    assume(set(tested) <= {site for _, _, site in rows})
    expected = brute_force_sites(rows, tested, seed, fractions)
    options = {"by": "site", "test_sites": tested, "seed": seed, "fractions": fractions}
    if not set("tvT") <= set(expected):
        with pytest.raises(BadInput):
            splits_of(notes_of(*rows), **options)
        return
    assert splits_of(notes_of(*rows), **options) == expected


def test_the_rule_by_site_says_who_is_on_which_side():
    rows = [(f"p{i}", None, "ABC"[i % 3]) for i in range(30)]
    rule = settled(notes_of(*rows), by="site", test_sites=["C", "C"], seed=7)
    assert rule.how() == {
        "by": "site",
        "test_sites": ["C"],
        "other_sites": ["A", "B"],
        "seed": 7,
        "fractions": [0.7, 0.1, 0.2],
    }


# Options and data that make no splits.

NONSENSE = {
    "column and rule": (
        {"column": "part", "by": "time"},
        "--split and --split-by time were both given. The splits come from a column or from a rule.",
    ),
    "dates by hash": (
        {"valid_from": "2020-01-01", "test_from": "2021-01-01"},
        "--valid-from and --test-from are dates of a split by time. Add --split-by time.",
    ),
    "one date": (
        {"by": "time", "test_from": "2021-01-01"},
        "A split by dates needs both --valid-from and --test-from.",
    ),
    "site without site": ({"by": "site"}, "A split by site needs both --split-by site and --test-site."),
    "test site by hash": ({"test_sites": ["B"]}, "A split by site needs both --split-by site and --test-site."),
    "fractions and column": (
        {"column": "part", "fractions": (0.7, 0.1, 0.2)},
        "--fractions has no say where --split decides. Leave one out.",
    ),
    "fractions and dates": (
        DATES | {"fractions": (0.7, 0.1, 0.2)},
        "--fractions has no say where --test-from decides. Leave one out.",
    ),
    "a date that is none": (
        DATES | {"test_from": "1.3.2020"},
        "--test-from '1.3.2020' is no date. Write it as 2020-01-31 or 2020-01-31T10:15.",
    ),
    "dates in the wrong order": (
        DATES | {"valid_from": "2020-03-01"},
        "--valid-from 2020-03-01 00:00:00 is not before --test-from 2020-03-01 00:00:00. "
        "Train, valid, test is the order.",
    ),
    "one zone": (
        DATES | {"valid_from": "2020-02-01T00:00Z"},
        "One of --valid-from and --test-from has a time zone and one has none. Write them one way.",
    ),
    "no share elsewhere": (
        {"by": "site", "test_sites": ["B"], "fractions": (0.0, 0.0, 1.0)},
        "By site, the first two of --fractions share the other sites' patients. Both cannot be 0.",
    ),
    "unknown rule": (
        {"by": "patients"},
        "--split-by patients is not known. Did you mean 'patient'? Known: patient, site, time.",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_options_that_contradict_each_other_are_refused(case):
    options, message = NONSENSE[case]
    with pytest.raises(BadInput) as error:
        choose_rule(**options)
    assert str(error.value) == message


EMPTY = {
    "by patient": (
        [("a", None, None)] * 3,
        {},
        "1 patients are too few to split: 0 train, 0 valid, 1 test. Every split needs one; give more patients, or "
        "--split.",
    ),
    "by one time": (
        [(f"p{i}", 5, None) for i in range(20)],
        {"by": "time"},
        "20 patients cannot be split at 2020-01-06T00:00:00 and 2020-01-06T00:00:00: 0 train, 0 valid, 20 test. "
        "Every split needs one; give other --fractions, or --valid-from and --test-from.",
    ),
    "by dates": (
        [(f"p{i}", i, None) for i in range(20)],
        DATES,
        "20 patients cannot be split at 2020-02-01T00:00:00 and 2020-03-01T00:00:00: 20 train, 0 valid, 0 test. "
        "Every split needs one; give other --fractions, or --valid-from and --test-from.",
    ),
    "zone of the dates alone": (
        [(f"p{i}", i, None) for i in range(20)],
        DATES | {"valid_from": "2020-02-01T00:00Z", "test_from": "2020-03-01T00:00Z"},
        "--valid-from and --test-from have a time zone, and the times of the notes have none.",
    ),
    "site that is not there": (
        [(f"p{i}", None, "North" if i % 2 else "South") for i in range(20)],
        {"by": "site", "test_sites": ["Nort"]},
        "--test-site Nort: no note is of that site. Did you mean 'North'? Known: North, South.",
    ),
    "all sites tested": (
        [(f"p{i}", None, "AB"[i % 2]) for i in range(20)],
        {"by": "site", "test_sites": ["A", "B"]},
        "20 patients cannot be split by site (test: A, B): 0 train, 0 valid, 20 test. Every split needs one; "
        "choose another --test-site.",
    ),
    "a site a row": (
        [(f"p{i}", None, f"s{i}") for i in range(1001)],
        {"by": "site", "test_sites": ["s0"]},
        "--site names a column of more than 1,000 sites. It is probably another column.",
    ),
}


@pytest.mark.parametrize("case", EMPTY)
def test_notes_that_cannot_be_split_are_refused(case):
    rows, options, message = EMPTY[case]
    with pytest.raises(BadInput) as error:
        settled(notes_of(*rows), **options)
    assert str(error.value) == message
