"""Tables as people have them, right and wrong.

Every wrong file asserts the whole message and that neither the folder nor anything temporary is left.
"""

import csv
import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clinstack.data.corpus import open_corpus
from clinstack.data.rows import FORMATS
from clinstack.data.sources.table import build_table
from clinstack.data.splits import split_by_patient
from clinstack.data.task import open_task
from clinstack.errors import BadInput, CannotWrite

SPLITS = ("train", "valid", "test")


def rows_of(labels, **columns):
    """Ten rows and more, enough for three splits: seven train, one valid, two test and on."""
    parts = ["train"] * 7 + ["valid"] + ["test"] * 2
    return [
        {"id": f"n{i}", "text": f"note {i}", "label": label, "part": parts[i % 10]}
        | {name: values[i] for name, values in columns.items()}
        for i, label in enumerate(labels)
    ]


def write(file: Path, rows) -> Path:
    """Writes rows in the format that the file's name asks for; lists are joined by ; in CSV and TSV."""
    if file.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=4)
        return file
    open_file = gzip.open if file.suffix == ".gz" else open
    with open_file(file, "wt", encoding="utf-8", newline="") as out:
        if ".jsonl" in file.name:
            out.writelines(json.dumps(row) + "\n" for row in rows)
            return file
        table = csv.DictWriter(out, rows[0], delimiter="\t" if ".tsv" in file.name else ",")
        table.writeheader()
        for row in rows:
            table.writerow({key: ";".join(value) if isinstance(value, list) else value for key, value in row.items()})
    return file


def everything(folder: Path):
    """The notes of a task by id: text, patient, labels, split."""
    task = open_task(folder)
    return {
        row["note_id"]: (row["text"], row["patient_id"], row["labels"], split)
        for split in SPLITS
        for row in task.read(split).to_pylist()
    }


def refused(tmp_path, files, kind=BadInput, **options):
    """The message with which a table is refused, once it is sure that nothing was left."""
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(kind) as error:
        build_table(files, tmp_path / "out", **({"text": "text", "label": "label"} | options))
    assert sorted(path for path in tmp_path.rglob("*")) == before
    return str(error.value)


# What a table becomes.


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_same_task(tmp_path, extension):
    file = write(tmp_path / f"notes{extension}", rows_of([0, 1] * 10))
    about = build_table([file], tmp_path / "out", text="text", label="label", note_id="id")
    split_of = split_by_patient(f"n{i}" for i in range(20))
    assert everything(tmp_path / "out") == {
        f"n{i}": (f"note {i}", f"n{i}", [str(i % 2)], split_of[f"n{i}"]) for i in range(20)
    }
    assert (about["kind"], about["classes"], about["seed"]) == ("binary", ["0", "1"], 123)
    assert about["name"] == "out"
    assert about["source"] == file.name
    assert about["folder"] == str(tmp_path / "out")
    assert {split: about["counts"][split]["notes"] for split in SPLITS} == {"train": 14, "valid": 2, "test": 4}


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_same_lists_of_labels(tmp_path, extension):
    labels = [["b", "250.0"], [], ["a"], ["a", "b"], ["b"]] * 4
    file = write(tmp_path / f"notes{extension}", rows_of(labels))
    about = build_table([file], tmp_path / "out", text="text", labels="label", note_id="id", split="part")
    assert (about["kind"], about["classes"], about["seed"]) == ("multilabel", ["250.0", "a", "b"], None)
    assert {note: row[2] for note, row in everything(tmp_path / "out").items()} == {
        f"n{i}": names for i, names in enumerate(labels)
    }


def test_files_of_several_formats_make_one_task(tmp_path):
    rows = rows_of([1, 2, 3] * 7)
    files = [write(tmp_path / "a.csv", rows[:7]), write(tmp_path / "b.parquet", rows[7:14])]
    files.append(write(tmp_path / "c.jsonl.gz", [row | {"label": float(row["label"])} for row in rows[14:]]))
    about = build_table(files, tmp_path / "out", text="text", label="label", name="three")
    assert (about["name"], about["kind"], about["classes"]) == ("three", "multiclass", ["1", "2", "3"])
    assert about["source"] == "a.csv and 2 more"
    notes = everything(tmp_path / "out")
    assert set(notes) == {f"{stem}-{row}" for stem in "abc" for row in range(1, 8)}
    assert notes["c-7"][:3] == ("note 20", "c-7", ["3"])


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        (["Yes", "No"], ["No", "Yes"]),
        (["positive", "negative"], ["negative", "positive"]),
        ([True, False], ["False", "True"]),
        (["1.0", "0"], ["0", "1"]),
        ([1.0, 0.0], ["0", "1"]),
        (["dead", " alive "], ["alive", "dead"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["1.5", "1.0"], ["1.0", "1.5"]),
        (["0331", "331"], ["0331", "331"]),
    ],
    ids=str,
)
def test_classes_are_found_and_ordered(tmp_path, written, classes):
    file = write(tmp_path / "notes.csv", rows_of((written * 10)[:20]))
    assert build_table([file], tmp_path / "out", text="text", label="label", split="part")["classes"] == classes


def test_given_classes_keep_their_order_and_their_names(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["1.0", "0"] * 10))
    about = build_table([file], tmp_path / "out", text="text", label="label", classes=["1", "0"])
    assert about["classes"] == ["1", "0"]
    assert everything(tmp_path / "out")["notes-1"][2] == ["1"]


def test_a_class_that_a_split_lacks_is_a_warning(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["a"] * 3 + ["b"] * 7))
    about = build_table([file], tmp_path / "out", text="text", label="label", split="part", classes=["a", "b", "c"])
    assert about["warnings"] == [
        "The train split has no note of c.",
        "The valid split has no note of a, c.",
        "The test split has no note of a, c.",
    ]


def test_without_labels_a_table_is_a_corpus(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["x"] * 20, ward=["icu"] * 20, day=["2101-02-03", ""] * 10))
    about = build_table([file], tmp_path / "out", text="text", site="ward", time="day", terms=["local"])
    corpus = open_corpus(tmp_path / "out")
    assert about["counts"] == corpus.counts
    assert corpus.terms == ("local",)
    rows = [row for split in SPLITS for row in corpus.read(split).to_pylist()]
    assert {row["note_id"]: (row["time"], row["site"]) for row in rows} == {
        f"notes-{number}": ("2101-02-03" if number % 2 else None, "icu") for number in range(1, 21)
    }


def test_all_notes_of_a_patient_are_in_one_split(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["x", "y"] * 30, who=[i // 3 for i in range(60)]))
    about = build_table([file], tmp_path / "out", text="text", label="label", patient="who", seed=5)
    split_of = split_by_patient((str(i) for i in range(20)), seed=5)
    assert all(split_of[patient] == split for _, patient, _, split in everything(tmp_path / "out").values())
    assert about["counts"]["train"]["patients"] == 14


def test_other_words_for_the_validation_split_are_known(tmp_path):
    words = ["train"] * 7 + ["dev", "Validation", "val", "TEST"]
    file = write(tmp_path / "notes.csv", rows_of(["x", "y"] * 5 + ["x"], where=words))
    counts = build_table([file], tmp_path / "out", text="text", label="label", split="where")["counts"]
    assert [counts[split]["notes"] for split in SPLITS] == [7, 3, 1]


def test_a_byte_order_mark_blank_lines_and_spaces_in_the_header_are_taken_in_stride(tmp_path):
    body = "".join(f"\r\nnote {i},{i % 2}\r\n" for i in range(10))
    (tmp_path / "notes.csv").write_bytes(("\ufefftext, label" + body).encode())
    build_table([tmp_path / "notes.csv"], tmp_path / "out", text="text", label="label")
    assert set(everything(tmp_path / "out")) == {f"notes-{number}" for number in range(1, 11)}


def test_times_of_parquet_are_written_as_text(tmp_path):
    rows = rows_of(["x"] * 10)
    table = pa.Table.from_pylist(rows).append_column("at", pa.array([10**18 + 1] * 10, pa.timestamp("ns")))
    pq.write_table(table, tmp_path / "notes.parquet")
    build_table([tmp_path / "notes.parquet"], tmp_path / "out", text="text", time="at")
    assert open_corpus(tmp_path / "out").read("train").column("time")[0].as_py() == "2001-09-09 01:46:40"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not text.isspace())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS, min_size=10, max_size=14))
@example(['"', '""', "a\r\nb", "\ry", "x\r", "\ny", "a,b\t;", "z\u2028", "\ufeff", "\x00z", "\x85q"])
@example(["#", "'", "\\", '\\"', "NaN", "null", "1.0", "[]", "\x1c.", " lead", "trail "])
def test_any_text_comes_through_every_format_unchanged(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("round")
    rows = [{"id": i, "text": text, "label": "yes" if i % 2 else "no"} for i, text in enumerate(texts)]
    tasks = []
    for extension in (".csv", ".tsv.gz", ".jsonl", ".parquet"):
        file = write(folder / f"notes{extension}", rows)
        out = folder / extension.strip(".")
        build_table([file], out, text="text", label="label", note_id="id", fractions=(0.5, 0.2, 0.3))
        tasks.append(everything(out))
    assert {note: row[0] for note, row in tasks[0].items()} == {str(i): text for i, text in enumerate(texts)}
    assert tasks[1:] == tasks[:1] * 3


def test_memory_does_not_grow_with_the_text(tmp_path):
    def peak(notes):
        rows = rows_of(["x", "y"] * (notes // 2), long=["word " * 2000] * notes)
        file = write(tmp_path / f"notes{notes}.jsonl", rows)
        del rows
        tracemalloc.start()
        build_table([file], tmp_path / f"out{notes}", text="long", label="label")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    small, large = peak(1000), peak(4000)
    assert large - small < 5 * 2**20 < 3000 * 10_000


# What is refused.


def csv_file(tmp_path, content, name="notes.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def good(count=20):
    return "".join(f"note {i},{'yes' if i % 2 else 'no'}\n" for i in range(count))


# Name: (the file's content, what the message says after the file's name).
WRONG_CSV = {
    "empty file": ("", ": the file is empty."),
    "header only": ("text,label\n", ": the file has columns but no rows."),
    "column twice": ("text,label,text\n", ": the header names 'text' more than once. Rename the columns."),
    "empty text": (
        "text,label\n" + good() + "".join(f"{text},no\n" for text in ("", " ", '"\n"', "\u2003", "", "", "")),
        ", rows 21, 22, 23, 24 (line 26), 25 (line 27) and 2 more: the text (column 'text') is empty.",
    ),
    "empty and NaN labels": (
        "text,label\n" + good() + "a,\nb,NaN\n",
        ", rows 21 and 22: the label (column 'label') is empty.",
    ),
    "not UTF-8": (
        b"text,label\ngood,yes\ncaf\xe9,no\n",
        ", row 2: line 3, byte 23 is not UTF-8. Save the file as UTF-8.",
    ),
    "not UTF-8 in the header": (
        b"\xff\xfet\x00",
        ": line 1, byte 0 is not UTF-8. Save the file as UTF-8.",
    ),
    "unclosed quote": (
        'text,label\n"two\nlines",yes\n"open,no\nmore,yes\n',
        ", row 2 (line 4): a quote opens in this row and is never closed. Close it, or double it if it belongs to the"
        " text.",
    ),
    "quote inside quotes": (
        'text,label\n"say "ah"",yes\n',
        ", row 1: a quoted field goes on after its closing quote. Double the quotes that belong to the text.",
    ),
    "line break without quotes": (
        "text,label\nfine,no\na\rb,yes\n",
        ", row 2: a line break stands in a field without quotes. Put quotes around the field.",
    ),
    "endless field": (
        'text,label\n"' + "x" * (16 * 2**20 + 1) + '",no\n',
        ", row 1: a field of more than 16 MiB; probably a quote opens and is never closed.",
    ),
    "too many and too few fields": (
        "text,label\n" + good() + "a, comma,no\nonly\nb, comma,no\n",
        ": 3 mistakes.\n"
        "  rows 21 and 23: 3 fields where the header has 2. "
        "Put quotes around a field that holds the separator, a quote or a line break.\n"
        "  row 22: 1 field where the header has 2. "
        "Put quotes around a field that holds the separator, a quote or a line break.",
    ),
}


@pytest.mark.parametrize("case", WRONG_CSV, ids=str)
def test_a_wrong_csv_file_is_refused(tmp_path, case):
    content, message = WRONG_CSV[case]
    file = csv_file(tmp_path, content)
    assert refused(tmp_path, [file]) == f"{file}{message}"


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    lines = ["id,text,label"] + [f"n{i},note {i},{'yes' if i % 2 else 'no'}" for i in range(20)]
    lines += ["n3,again,yes", ",nobody,no", "n30,,no", "n31,x,maybe", "n32,x,maybe", "n33,x", "n34,x,perhaps", "n1,,"]
    file = csv_file(tmp_path, "\n".join(lines))
    assert refused(tmp_path, [file], note_id="id", classes=["no", "yes"]) == (
        f"{file}: 10 mistakes.\n"
        "  row 21: the id 'n3' is that of row 4 too.\n"
        "  row 22: the id (column 'id') is empty.\n"
        "  rows 23 and 28: the text (column 'text') is empty.\n"
        "  rows 24 and 25: label 'maybe' is not one of no, yes.\n"
        "  row 26: 2 fields where the header has 3. "
        "Put quotes around a field that holds the separator, a quote or a line break.\n"
        "  And 3 more."
    )


def test_a_label_that_is_no_class_is_named(tmp_path):
    file = csv_file(tmp_path, "text,label\n" + good() + "a,maybe\n")
    message = refused(tmp_path, [file], classes=["no", "yes"])
    assert message == f"{file}, row 21: label 'maybe' is not one of no, yes."


def test_a_note_in_the_label_column_is_not_quoted(tmp_path):
    note = "Pt admitted with chest pain radiating to the left arm, troponin positive."
    file = csv_file(tmp_path, f'text,label\n{good()}a,"{note}"\n')
    message = refused(tmp_path, [file], classes=["no", "yes"])
    assert message == f"{file}, row 21: label of {len(note)} characters is not one of no, yes."


def test_a_missing_file_is_named(tmp_path):
    assert refused(tmp_path, [tmp_path / "no.csv"]) == f"{tmp_path / 'no.csv'} does not exist."


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "some.csv").mkdir()
    message = refused(tmp_path, [tmp_path / "some.csv"])
    assert message == f"{tmp_path / 'some.csv'} is a folder, and a file is needed."


def test_an_unknown_extension_lists_the_known_ones(tmp_path):
    file = csv_file(tmp_path, "text,label\n", "notes.xlsx")
    assert refused(tmp_path, [file]) == (
        f"{file}: the extension says no known kind of file. "
        "Known: .csv, .csv.gz, .tsv, .tsv.gz, .jsonl, .jsonl.gz, .parquet."
    )


@pytest.mark.parametrize("extension", FORMATS)
def test_a_wrong_column_offers_the_nearest(tmp_path, extension):
    file = write(tmp_path / f"notes{extension}", rows_of(["a", "b"] * 10))
    assert refused(tmp_path, [file], label="lable") == (
        f"{file} has no column 'lable' (--label). Did you mean 'label'? Known: id, label, part, text."
    )
    assert refused(tmp_path, [file], note_id="zzz") == (
        f"{file} has no column 'zzz' (--id). Known: id, label, part, text."
    )


def test_the_first_note_of_a_file_without_header_is_not_quoted(tmp_path):
    file = csv_file(tmp_path, f'"{"secret " * 20}",yes\nother,no\n')
    assert refused(tmp_path, [file]) == f"{file} has no column 'text' (--text). Known: yes."


@pytest.mark.parametrize(("mark", "called"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_set_apart_by_something_else_are_told(tmp_path, mark, called):
    file = csv_file(tmp_path, f"text{mark}label\nvu ce matin{mark}yes\n")
    assert refused(tmp_path, [file]) == (
        f"{file} has one column only: what stands in its first row is set apart by {called}. Save it again with commas, in UTF-8."
    )


@pytest.mark.parametrize("extension", [end for end in FORMATS if end.endswith(".gz")])
def test_a_truncated_gzip_file_is_refused(tmp_path, extension):
    file = write(tmp_path / f"notes{extension}", rows_of(["a", "b"] * 10))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    message = refused(tmp_path, [file])
    assert message.startswith(f"{file}, row ")
    assert message.endswith(": the gzip file is damaged or cut short here. Copy or compress it again.")


def test_a_file_that_only_is_called_gz_is_refused(tmp_path):
    file = csv_file(tmp_path, "text,label\n" + good(), "notes.csv.gz")
    message = refused(tmp_path, [file])
    assert message == f"{file}: the gzip file is damaged or cut short here. Copy or compress it again."


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text,label\n"])
def test_a_file_that_only_is_called_parquet_is_refused(tmp_path, content):
    file = csv_file(tmp_path, content, "notes.parquet")
    assert refused(tmp_path, [file]) == f"{file}: the file is damaged or is no Parquet. Copy it again."


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path):
    rows = rows_of(["a", "b"] * 10, long=[str(i) * 5000 for i in range(20)])
    file = write(tmp_path / "notes.parquet", rows)
    content = bytearray(file.read_bytes())
    content[2000:6000] = b"\xff" * 4000
    file.write_bytes(content)
    message = refused(tmp_path, [file], text="long")
    assert message.startswith(f"{file}")
    assert message.endswith(": the file is damaged or is no Parquet. Copy it again.")


def test_broken_json_lines_are_told_at_once(tmp_path):
    lines = [json.dumps(row) for row in rows_of(["a", "b"] * 10)]
    lines[2:2] = ["", '{"text": "cut', "[1, 2]", r'{"text": "\ud800", "label": "a"}', '{"text": 5}']
    file = csv_file(tmp_path, "\n".join(lines), "notes.jsonl")
    assert refused(tmp_path, [file]) == (
        f"{file}: 5 mistakes.\n"
        "  row 3 (line 4): the line is not JSON (Unterminated string starting at character 10).\n"
        '  row 4 (line 5): the line is JSON but no object. Write {"column": value, ...}.\n'
        "  row 5 (line 6): half of a surrogate pair (\\ud800 to \\udfff) stands alone. Write the character itself.\n"
        "  row 6 (line 7): the text (column 'text') is no text but a value of type int.\n"
        "  row 6 (line 7): the label (column 'label') is empty."
    )


def test_empty_json_lines_are_refused(tmp_path):
    file = csv_file(tmp_path, "\n\n", "notes.jsonl")
    assert refused(tmp_path, [file]) == f"{file}: the file is empty."


def test_labels_that_are_no_lists_are_refused(tmp_path):
    rows = [*rows_of([["a"], ["b"]] * 10), {"text": "x", "label": None}, {"text": "x", "label": ["a", None]}]
    file = write(tmp_path / "notes.jsonl", rows)
    assert refused(tmp_path, [file], label=None, labels="label") == (
        f"{file}: 2 mistakes.\n"
        "  row 21: the labels (column 'label') are no list. Write an empty list where there is none.\n"
        "  row 22: the labels (column 'label') hold an empty one."
    )
    assert refused(tmp_path, [write(tmp_path / "more.jsonl", rows[:20])]) == (
        f"{tmp_path / 'more.jsonl'}, rows 1, 2, 3, 4, 5 and 15 more: "
        "the label (column 'label') is a list. Use --labels for several labels a note."
    )


def test_lists_that_are_all_empty_are_refused(tmp_path):
    file = write(tmp_path / "notes.parquet", rows_of([pa.scalar([], pa.list_(pa.string())).as_py()] * 20))
    message = refused(tmp_path, [file], label=None, labels="label")
    assert message == "No row has a label: the lists of column 'label' are all empty."


def test_one_class_is_no_task(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes"] * 20))
    message = refused(tmp_path, [file])
    assert message == "All 20 rows have the label 'yes'. A task needs two classes or more."


def test_a_train_split_of_one_class_is_refused(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes"] * 7 + ["no"] * 3))
    assert refused(tmp_path, [file], split="part") == (
        "The train split has only the class 'yes' (7 notes). Give more patients, another --seed, or --split."
    )


def test_labels_that_differ_only_in_case_are_refused(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes", "no", "Yes", "no"] * 5))
    message = refused(tmp_path, [file])
    assert message == "Labels 'Yes' and 'yes' differ only in case. Write them one way."


def test_a_patient_in_two_splits_is_named_with_both_rows(tmp_path):
    rows = rows_of(["yes", "no"] * 10, who=[f"p{i}" for i in range(19)] + ["p0"])
    file = write(tmp_path / "notes.csv", rows)
    assert refused(tmp_path, [file], split="part", patient="who") == (
        f"{file}, row 20: patient 'p0' is in test here and in train in row 1. A patient belongs to one split."
    )


def test_an_id_of_two_files_is_named_with_both(tmp_path):
    rows = rows_of(["yes", "no"] * 10)
    files = [write(tmp_path / "a.csv", rows), write(tmp_path / "b.csv", rows[4:5])]
    message = refused(tmp_path, files, note_id="id")
    assert message == f"{files[1]}, row 1: the id 'n4' is that of row 5 of {files[0]} too."


def test_two_files_of_one_name_need_ids(tmp_path):
    rows = rows_of(["yes", "no"] * 10)
    files = [write(tmp_path / "a.csv", rows), write(tmp_path / "a.parquet", rows)]
    assert refused(tmp_path, files) == (
        "Two files are named 'a', and note ids are made of file names. Rename one, or give --id."
    )


def test_an_unknown_split_lists_what_is_allowed(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes", "no"] * 10, where=["train"] * 18 + ["test2", ""]))
    assert refused(tmp_path, [file], split="where") == (
        f"{file}: 2 mistakes.\n"
        "  row 19: split 'test2' is not one of train, valid (or val, dev, validation), test.\n"
        "  row 20: the split (column 'where') is empty."
    )


@pytest.mark.parametrize("missing", ["valid", "test"])
def test_a_split_column_without_one_of_the_splits_is_refused(tmp_path, missing):
    rows = [row for row in rows_of(["yes", "no"] * 10) if row["part"] != missing]
    file = write(tmp_path / "notes.csv", rows)
    message = refused(tmp_path, [file], split="part")
    assert message == f"No row's split (column 'part') is {missing}. Every split needs notes."


def test_too_few_patients_for_three_splits_are_refused(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes", "no"] * 4))
    assert refused(tmp_path, [file]) == (
        "8 patients are too few to split: 5 train, 0 valid, 3 test. "
        "Every split needs one; give more patients, or --split."
    )


def test_a_column_with_a_label_of_its_own_on_every_row_is_refused(tmp_path):
    file = csv_file(tmp_path, "text,label\n" + "".join(f"x,{i}\n" for i in range(10_001)))
    assert refused(tmp_path, [file]) == (
        f"{file}: column 'label' has more than 10,000 different labels. It is probably not the column of labels."
    )


OPTIONS = {
    "both": (
        {"labels": "label"},
        "Both --label and --labels were given. Use --label for one class a note, --labels for several.",
    ),
    "same column": ({"label": "text"}, "Column 'text' is named as the text and as the label. Name two columns."),
    "separator": ({"label_separator": ""}, "The separator of labels is empty. Give at least one character."),
    "classes without labels": (
        {"label": None, "classes": ["a"]},
        "Classes were given, but no column of labels. Add --label or --labels.",
    ),
    "one class": ({"classes": ["a"]}, "A task of one class a note needs two classes or more, not 1: a."),
    "class twice": ({"classes": ["a", "a"]}, "Class 'a' is named twice. Name each class once."),
    "fractions": (
        {"fractions": (0.5, 0.5, 0.5)},
        "Fractions 0.5, 0.5, 0.5: give three shares (train, valid, test) that sum to 1.",
    ),
}


@pytest.mark.parametrize("case", OPTIONS, ids=str)
def test_options_that_make_no_sense_are_refused(tmp_path, case):
    options, message = OPTIONS[case]
    file = write(tmp_path / "notes.csv", rows_of(["yes", "no"] * 10))
    assert refused(tmp_path, [file], **options) == message


def test_no_file_is_refused(tmp_path):
    message = refused(tmp_path, [])
    assert message == "No file was given. Name at least one CSV, TSV, JSON lines or Parquet file."


def test_an_occupied_folder_is_refused_before_anything_is_read(tmp_path):
    file = write(tmp_path / "notes.csv", rows_of(["yes"] * 20))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    assert refused(tmp_path, [file], kind=CannotWrite) == (
        f"{tmp_path / 'out'} exists and is not empty. Choose another place, or remove it first."
    )


# Real public text.

REAL = {
    "mtsamples/mtsamples_specialty.parquet": ({"label": "label"}, "multiclass", 13, (900, 158, 228)),
    "mtsamples/mtsamples_multilabel.parquet": ({"labels": "labels"}, "multilabel", 40, (1256, 231, 316)),
    "hoc/hoc.parquet": ({"labels": "labels", "note_id": "pmid"}, "multilabel", 10, (1297, 189, 366)),
    "morfitt/morfitt.parquet": ({"labels": "labels", "note_id": "doc_id"}, "multilabel", 12, (1514, 1021, 1088)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_tables_become_tasks(tmp_path, shared, name):
    options, kind, classes, notes = REAL[name]
    about = build_table([shared / "data" / name], tmp_path / "out", text="text", split="split", **options)
    assert (about["kind"], len(about["classes"])) == (kind, classes)
    assert tuple(about["counts"][split]["notes"] for split in SPLITS) == notes
