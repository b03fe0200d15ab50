"""Tables split by time and by site, through files: what is read, left out, written and said.

What the rules decide is in tests/data/test_splits.py.
"""

import csv
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinstack.data.corpus import open_corpus
from clinstack.data.sources.table import build_table
from clinstack.data.task import open_task
from clinstack.errors import BadInput

SPLITS = ("train", "valid", "test")
BY_DATE = {"time": "day", "split_by": "time", "valid_from": "2020-02-01", "test_from": "2020-03-01"}
BY_SITE = {"site": "ward", "split_by": "site", "test_site": ["B"]}


def write(file: Path, rows) -> Path:
    """Writes a CSV file of (patient, time, site), with an id, a text and a label."""
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["id", "who", "day", "ward", "text", "label"])
        table.writerows([f"n{i}", *row, f"note {i}", "no" if i % 2 else "yes"] for i, row in enumerate(rows))
    return file


def build(tmp_path, files, **options):
    columns = {"text": "text", "label": "label", "note_id": "id", "patient": "who"}
    return build_table(files, tmp_path / "out", **(columns | options))


def refused(tmp_path, files, **options):
    """The message with which a table is refused, once it is sure that nothing was left."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as error:
        build(tmp_path, files, **options)
    assert sorted(tmp_path.rglob("*")) == before
    return str(error.value)


def notes_by_split(folder):
    """split -> (note, patient, time, site), in the order of the files."""
    task = open_task(folder)
    wanted = ("note_id", "patient_id", "time", "site")
    return {s: [tuple(row.get(key) for key in wanted) for row in task.read(s).to_pylist()] for s in SPLITS}


STAYS = [("a", "2020-01-05"), ("a", "2020-01-30"), ("b", "2020-01-31 23:59"), ("c", "2020-01-02"), ("c", "2020-02-01")]
STAYS += [("d", "2020-02-29"), ("e", "2020-03-01"), ("f", "2020-01-09"), ("f", "2020-02-09"), ("f", "2020-03-09")]


def test_by_dates_a_patient_who_came_back_is_tested_and_not_learned_from(tmp_path):
    file = write(tmp_path / "notes.csv", [(*stay, "A") for stay in STAYS])
    about = build(tmp_path, [file], **BY_DATE)
    assert {split: [note for note, *_ in notes] for split, notes in notes_by_split(tmp_path / "out").items()} == {
        "train": ["n0", "n1", "n2"],
        "valid": ["n4", "n5"],
        "test": ["n6", "n9"],
    }
    assert about["seed"] is None
    assert about["warnings"] == [
        "Left out 3 notes of 2 patients: the patient came back later, and is in the split of the last note."
    ]
    assert about["build"] == {
        "split": {
            "by": "time",
            "column": "day",
            "valid_from": "2020-02-01T00:00:00",
            "test_from": "2020-03-01T00:00:00",
        },
        "label_map": None,
        "identifiers": None,
        "dropped": {"label_map": {"rows": 0, "labels": 0}, "split": {"notes": 3, "patients": 2}},
    }
    assert open_task(tmp_path / "out").build == about["build"]


def test_by_fractions_the_dates_are_found_and_give_the_same_task_again(tmp_path):
    rows = [(f"p{i % 20}", date(2020, 1, 1) + timedelta(7 * i), "A") for i in range(50)]
    file = write(tmp_path / "notes.csv", rows)
    build(tmp_path, [file], time="day", split_by="time")
    how = open_task(tmp_path / "out").build["split"]
    assert how["fractions"] == [0.7, 0.1, 0.2]
    dates = {key: how[key] for key in ("valid_from", "test_from")}
    columns = {"text": "text", "label": "label", "note_id": "id", "patient": "who", "time": "day"}
    build_table([file], tmp_path / "again", split_by="time", **columns, **dates)
    assert notes_by_split(tmp_path / "again") == notes_by_split(tmp_path / "out")


def test_by_site_the_test_split_is_one_site_and_its_patients_are_nowhere_else(tmp_path):
    rows = [(f"p{i}", "", "A") for i in range(8)] + [(f"p{i}", "", "B") for i in range(7, 10)] + [("p9", "", "C")]
    file = write(tmp_path / "notes.csv", rows)
    about = build(tmp_path, [file], **BY_SITE)
    notes = notes_by_split(tmp_path / "out")
    assert [note for note, *_ in notes["test"]] == ["n8", "n9", "n10"]
    assert {site for split in ("train", "valid") for *_, site in notes[split]} == {"A"}
    assert (len(notes["train"]), len(notes["valid"])) == (6, 1)
    assert about["seed"] == 123
    assert about["warnings"] == [
        "Left out 2 notes of 2 patients: the patient was at a test site too, and must not be learned from.",
        "The valid split has no note of yes.",
    ]
    assert about["build"]["split"] == {
        "by": "site",
        "column": "ward",
        "test_sites": ["B"],
        "other_sites": ["A", "C"],
        "seed": 123,
        "fractions": [0.7, 0.1, 0.2],
    }


def test_a_corpus_is_split_by_the_same_rules(tmp_path):
    file = write(tmp_path / "notes.csv", [(*stay, "A") for stay in STAYS])
    about = build(tmp_path, [file], label=None, **BY_DATE)
    corpus = open_corpus(tmp_path / "out")
    assert [corpus.counts[split]["notes"] for split in SPLITS] == [3, 2, 2]
    assert corpus.build == about["build"]
    assert corpus.build["dropped"]["split"] == {"notes": 3, "patients": 2}
    assert len(about["warnings"]) == 1


def test_without_patients_the_danger_is_said(tmp_path):
    file = write(tmp_path / "notes.csv", [(*stay, "A") for stay in STAYS])
    about = build(tmp_path, [file], patient=None, **BY_DATE)
    assert about["warnings"] == [
        "Without --patient every note counts as its own patient, and a patient may be in several splits."
    ]


@pytest.mark.parametrize(
    ("written", "time_format"),
    [
        ("%Y-%m-%d", None),
        ("%Y/%m/%d %H:%M", None),
        ("%Y.%m.%dT%H:%M:%S.25", None),
        ("%Y%m%d%H%M%S", None),
        ("%Y-%m-%d %H:%M:%S.123456789+00:00", None),
        ("%Y-%m-%d %H:%M UTC", None),
        ("%Y%m%dT%H%M%SZ", None),
        ("%d.%m.%Y", "%d.%m.%Y"),
        ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p"),
        ("%d-%b-%Y", "%d-%b-%Y"),
    ],
)
def test_times_are_read_as_they_are_written_and_kept_so(tmp_path, written, time_format):
    days = [date(2020, 1, 12), date(2020, 2, 3), date(2020, 3, 2)]
    rows = [(f"p{i}", datetime(day.year, day.month, day.day, 15).strftime(written), "A") for i, day in enumerate(days)]
    options = {"label": None, **BY_DATE}
    build(tmp_path, [write(tmp_path / "notes.csv", rows)], time_format=time_format, **options)
    corpus = open_corpus(tmp_path / "out")
    assert [corpus.read(split)["time"].to_pylist() for split in SPLITS] == [[row[1]] for row in rows]


@pytest.mark.parametrize("time_format", [None, "%d/%m/%Y"])
@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "Europe/Berlin")], ids=str
)
def test_times_of_parquet_are_read_whatever_the_format_of_text(tmp_path, kind, time_format):
    days = [datetime(2020, 1, 12, tzinfo=UTC), datetime(2020, 2, 3, tzinfo=UTC), datetime(2020, 3, 2, tzinfo=UTC)]
    if not pa.types.is_timestamp(kind) or not kind.tz:
        days = [day.replace(tzinfo=None) for day in days]
    table = {"who": ["a", "b", "c"], "id": ["1", "2", "3"], "text": ["x", "y", "z"], "day": pa.array(days, kind)}
    pq.write_table(pa.table(table), tmp_path / "notes.parquet")
    build(tmp_path, [tmp_path / "notes.parquet"], label=None, time_format=time_format, **BY_DATE)
    counts = open_corpus(tmp_path / "out").counts
    assert [counts[split]["notes"] for split in SPLITS] == [1, 1, 1]


def test_zoned_times_are_compared_as_instants(tmp_path):
    """Midnight in Berlin is still January in London."""
    east = timezone(timedelta(hours=1))
    rows = [("a", datetime(2020, 2, 1, 0, 30, tzinfo=east).isoformat(), "A")]
    rows += [
        ("b", "2020-02-01T00:00Z", "A"),
        ("c", "2020-03-01T00:59:59+01:00", "A"),
        ("d", "2020-03-01T01:00+0100", "A"),
    ]
    build(tmp_path, [write(tmp_path / "notes.csv", rows)], label=None, **BY_DATE)
    corpus = open_corpus(tmp_path / "out")
    assert [corpus.read(split)["patient_id"].to_pylist() for split in SPLITS] == [["a"], ["b", "c"], ["d"]]


# What is refused.


def test_all_times_that_do_not_parse_are_told_with_their_rows(tmp_path):
    rows = [(*stay, "A") for stay in STAYS]
    rows += [("g", "31/12/2020", "A"), ("h", "2020-02-30", "A"), ("i", "", "A"), ("j", "1231121500", "A")]
    file = write(tmp_path / "notes.csv", rows)
    cure = "Write it so, or give --time-format."
    assert refused(tmp_path, [file], **BY_DATE) == (
        f"{file}: 4 mistakes.\n"
        f"  row 11: the time '31/12/2020' is not written as 2020-01-31 10:15. {cure}\n"
        f"  row 12: the time '2020-02-30' is not written as 2020-01-31 10:15. {cure}\n"
        "  row 13: the time (column 'day') is empty.\n"
        f"  row 14: the time '1231121500' is not written as 2020-01-31 10:15. {cure}"
    )


def test_a_time_that_the_given_format_does_not_read_is_told(tmp_path):
    file = write(tmp_path / "notes.csv", [("a", "31/12/2020", "A"), ("b", "12/31/2020", "A")])
    message = refused(tmp_path, [file], time_format="%d/%m/%Y", **BY_DATE)
    assert message == f"{file}, row 2: the time '12/31/2020' is not written as --time-format '%d/%m/%Y' says."


def test_a_note_in_the_time_column_is_not_quoted(tmp_path):
    note = "Pt admitted with chest pain radiating to the left arm, troponin positive."
    file = write(tmp_path / "notes.csv", [("a", note, "A")])
    assert refused(tmp_path, [file], **BY_DATE) == (
        f"{file}, row 1: the time of {len(note)} characters is not written as 2020-01-31 10:15. "
        "Write it so, or give --time-format."
    )


def test_times_with_and_without_zone_are_refused_with_both_rows(tmp_path):
    first = write(tmp_path / "first.csv", [("a", "2020-01-01", "A"), ("b", "2020-01-02", "A")])
    rows = [("a", "2020-01-01T10:00Z", "A"), ("b", "2020-01-02 10:00", "A")]
    second = write(tmp_path / "second.csv", rows)
    assert refused(tmp_path, [second], **BY_DATE) == (
        f"{second}, row 2: the time has no time zone, and that of row 1 has one. Write all times one way."
    )
    assert refused(tmp_path, [first, second], note_id=None, **BY_DATE) == (
        f"{second}, row 1: the time has a time zone, and that of row 1 of {first} has none. Write all times one way."
    )


def test_a_row_without_a_site_is_refused(tmp_path):
    file = write(tmp_path / "notes.csv", [("a", "", "A"), ("b", "", " "), ("c", "", "B")])
    assert refused(tmp_path, [file], **BY_SITE) == f"{file}, row 2: the site (column 'ward') is empty."


OPTIONS = {
    "time without column": ({"split_by": "time"}, "--split-by time needs the column: add --time."),
    "site without column": (
        {"split_by": "site", "test_site": ["B"]},
        "--split-by site needs the column: add --site.",
    ),
    "format by hash": (
        {"time": "day", "time_format": "%d.%m.%Y"},
        "--time-format is for --split-by time; else times are kept as they are written.",
    ),
    "format without a day": (
        {"time": "day", "split_by": "time", "time_format": "%H:%M"},
        "--time-format '%H:%M' does not tell the day. Write it with %Y, %m and %d, as '%d/%m/%Y %H:%M'.",
    ),
    "format of nothing": (
        {"time": "day", "split_by": "time", "time_format": "%Y-%Q"},
        "--time-format '%Y-%Q' does not tell the day. Write it with %Y, %m and %d, as '%d/%m/%Y %H:%M'.",
    ),
    "column and rule": (
        {"split": "ward", "time": "day", "split_by": "time"},
        "--split and --split-by time were both given. The splits come from a column or from a rule.",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_make_no_sense_are_refused(tmp_path, case):
    options, message = OPTIONS[case]
    assert refused(tmp_path, [write(tmp_path / "notes.csv", [(*stay, "A") for stay in STAYS])], **options) == message


# Whatever the table and the options.

ROWS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 90), st.sampled_from("ABC")), min_size=20, max_size=40)
RULES = [
    {},
    {"fractions": (0.4, 0.3, 0.3)},
    {"split_by": "time"},
    {"split_by": "time", "fractions": (0.4, 0.3, 0.3)},
    BY_DATE,
    BY_SITE,
    BY_SITE | {"test_site": ["A", "C"], "seed": 5},
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, rule=st.sampled_from(RULES), files=st.sampled_from([1, 2]))
def test_no_patient_is_in_two_splits_and_every_note_is_accounted_for(tmp_path_factory, rows, rule, files):
    folder = tmp_path_factory.mktemp("any")
    table = [(f"p{who}", date(2020, 1, 1) + timedelta(day), site) for who, day, site in rows]
    sources = [write(folder / f"{i}.csv", table[i::files]) for i in range(files)]
    try:
        about = build(folder, sources, **({"note_id": None, "time": "day", "site": "ward"} | rule))
    except BadInput:
        assert sorted(folder.iterdir()) == sources
        return
    notes = notes_by_split(folder / "out")
    patients = {split: {who for _, who, *_ in notes[split]} for split in SPLITS}
    assert all(not patients[one] & patients[other] for one, other in product(SPLITS, SPLITS) if one != other)
    assert set.union(*patients.values()) == {who for who, *_ in table}
    written = sorted(note for split in SPLITS for _, *note in notes[split])
    dropped = about["build"]["dropped"]["split"]["notes"]
    assert len(written) + dropped == len(rows)
    if rule.get("split_by") == "time":
        times = {split: [time for _, _, time, _ in notes[split]] for split in SPLITS}
        assert max(times["train"]) < min(times["valid"])
        assert max(times["valid"]) < min(times["test"])
    if rule.get("split_by") == "site":
        tested = rule["test_site"]
        assert sorted(note for _, *note in notes["test"]) == sorted([w, str(d), s] for w, d, s in table if s in tested)
        assert not {site for split in ("train", "valid") for *_, site in notes[split]} & set(tested)
