"""Likely identifiers: what is found, what is not, and what the guard does about them."""

import csv
import gzip
import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.data.corpus import open_corpus
from clinstack.data.identifiers import KINDS, Guard, find_identifiers, mask
from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.table import build_table
from clinstack.errors import BadInput

FOUND = [
    ("Seen by Dr. Alice Jones today", [("Dr. Alice Jones", "name")]),
    ("Mr. O'Connor was informed", [("Mr. O'Connor", "name")]),
    ("Name:  Smith, John   Sex: M", [("Smith, John", "name")]),
    ("signed, Jane Q. Doe, MD", [("Jane Q. Doe", "name")]),
    ("Attending: Wei Nguyen", [("Wei Nguyen", "name")]),
    ("on 03/12/2019", [("03/12/2019", "date")]),
    ("on 2019-03-12.", [("2019-03-12", "date")]),
    ("on March 3rd, 2019", [("March 3rd, 2019", "date")]),
    ("on 3 March 2019", [("3 March 2019", "date")]),
    ("call (617) 555-0199", [("(617) 555-0199", "phone")]),
    ("MRN: 1234567", [("MRN: 1234567", "record-number")]),
    ("SSN 123-45-6789", [("123-45-6789", "record-number")]),
    ("to a.b-c@mail.example.org.", [("a.b-c@mail.example.org", "email")]),
]
CLINICAL = [
    "BP 120/80, HR 70, T 98.6, RR 16, O2 97% on 2L",
    "ABG 7.18/8/60, lactate 4.5-5.0",
    "3/6 systolic murmur, strength 5/5, A&O x3",
    "Parkinson disease, Foley catheter, Hodgkin lymphoma, Crohn colitis, Babinski down",
    "furosemide 40 mg PO BID, day 3 of 7, 70 yo M, 10/10 pain",
    "Name:  ___    Unit No:   ___   Attending: ___.",
    "Mr./Ms. ___ and Dr. [**Last Name (STitle) 5**] on [**2150-1-3**]",
    "WBC-8.6 Hct-30.3 Plt-383 Na-137 CK 12345678",
    "May repeat in 2 hours. MR. In the ED.",
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_identifiers_are_found_with_their_place(text, expected):
    assert [(text[start:end], kind) for start, end, kind in find_identifiers(text)] == expected


@pytest.mark.parametrize("text", CLINICAL)
def test_clinical_numbers_eponyms_and_placeholders_are_none(text):
    assert find_identifiers(text) == []


@settings(max_examples=150)
@given(st.text(alphabet=st.sampled_from("aDr. MJSmith19/-@:\n_[*]MRN0é")))
def test_places_are_in_the_text_and_apart_and_masking_leaves_nothing_to_mask_at_them(text):
    found = find_identifiers(text)
    assert all(0 <= start < end <= len(text) and kind in KINDS for start, end, kind in found)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))
    masked = mask(text)
    assert masked.count("___") >= len(found)


def test_a_text_without_capitals_and_digits_is_left_alone():
    assert mask("seen by nobody, stable, home") == "seen by nobody, stable, home"


def test_counting_lets_everything_through():
    guard = Guard("count")
    guard.read(["seen by Dr. Smith on 03/12/2019", "stable"])
    guard.decide("notes")
    assert guard.passed(["seen by Dr. Smith"]) == ["seen by Dr. Smith"]
    report = guard.report()
    assert report["found"] == {"name": 1, "date": 1, "phone": 0, "record-number": 0, "email": 0}
    assert report["per_thousand"]["name"] == 500.0
    assert not report["masked"]


def test_refusing_says_how_many_and_what_to_do():
    guard = Guard("refuse", per_thousand=900)
    guard.read(["seen by Dr. Smith on 03/12/2019", "stable"])
    with pytest.raises(BadInput) as caught:
        guard.decide("notes.csv")
    assert str(caught.value) == (
        "notes.csv has 1,000.0 likely identifiers per 1,000 notes (name 500.0, date 500.0), more than the 900 allowed. "
        "De-identify the notes first, or use --identifiers mask."
    )
    allowed = Guard("refuse", per_thousand=1000)
    allowed.read(["seen by Dr. Smith on 03/12/2019", "stable"])
    allowed.decide("notes.csv")


def test_masking_begins_above_the_limit():
    for limit, expected in ((0, "seen by ___"), (1000, "seen by Dr. Smith")):
        guard = Guard("mask", per_thousand=limit)
        guard.read(["seen by Dr. Smith"])
        guard.decide("notes")
        assert guard.passed(["seen by Dr. Smith"]) == [expected]


def test_an_unknown_action_and_a_missing_library_are_one_sentence(monkeypatch):
    with pytest.raises(BadInput, match=r"^Unknown action 'hide' \(--identifiers\)\. Known: count, mask, refuse\.$"):
        Guard("hide")
    from clinstack.data import identifiers

    identifiers._recognisers.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(BadInput, match=r"needs presidio-analyzer\. Install clinstack\[guard\]\.$"):
        Guard("count")
    monkeypatch.undo()
    identifiers._recognisers.cache_clear()


def test_finding_asks_no_network(monkeypatch):
    import socket

    from clinstack.data import identifiers

    def refuse(*_):
        raise AssertionError("a connection was tried")

    identifiers._recognisers.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert find_identifiers("Dr. Smith, a@b.org, 617-555-0199")


def test_most_of_what_a_hospital_plants_is_found_and_little_else(tmp_path):
    write_hospital(tmp_path / "out", patients=120, seed=4, identifiers=0.4)
    planted: dict[str, list[tuple[int, int]]] = {}
    for row in csv.DictReader((tmp_path / "out" / "mimic4" / "planted.csv").read_text().splitlines()):
        planted.setdefault(row["note_id"], []).append((int(row["start"]), int(row["end"])))
    hits = misses = false = 0
    for kind in ("discharge", "radiology"):
        with gzip.open(tmp_path / "out" / "mimic4" / f"{kind}.csv.gz", "rt", newline="") as file:
            for note in csv.DictReader(file):
                true = planted.get(note["note_id"], [])
                found = find_identifiers(note["text"])
                overlap = [any(start < last and first < end for start, end, _ in found) for first, last in true]
                hits += sum(overlap)
                misses += len(overlap) - sum(overlap)
                false += sum(not any(start < last and first < end for first, last in true) for start, end, _ in found)
    assert hits + misses > 200
    assert hits / (hits + misses) > 0.75
    assert hits / (hits + false) > 0.95


def test_the_guard_stands_before_a_table_too(tmp_path):
    rows = "".join(f"p{n},seen by Dr. Smith {n}\n" for n in range(30))
    (tmp_path / "notes.csv").write_text("who,note\n" + rows)
    options = {"text": "note", "patient": "who"}
    about = build_table([tmp_path / "notes.csv"], tmp_path / "masked", guard=Guard("mask"), **options)
    assert about["build"]["identifiers"]["found"]["name"] == 30
    assert open_corpus(tmp_path / "masked").read("train")["text"].to_pylist()[0].startswith("seen by ___ ")
    with pytest.raises(BadInput, match=r"notes\.csv has 1,000\.0 likely identifiers per 1,000 notes \(name 1,000\.0\)"):
        build_table([tmp_path / "notes.csv"], tmp_path / "refused", guard=Guard("refuse"), **options)
    assert not (tmp_path / "refused").exists()
