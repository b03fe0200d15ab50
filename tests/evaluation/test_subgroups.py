"""Groups of patients: their figures are those of their notes alone, gaps are paired, and nothing small is hidden."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.metrics import roc_auc_score

from clinstack.errors import BadInput
from clinstack.evaluation.subgroups import Split, parse_split, read_attributes, subgroups

RANDOM = np.random.default_rng(0)
COUNT = 240
SEX = ["F" if one else "M" for one in RANDOM.random(COUNT) < 0.5]
AGES = RANDOM.integers(18, 95, COUNT).tolist()
TRUTH = RANDOM.random(COUNT) < 0.4
# The model tells women apart and men hardly.
AHEAD = np.where(np.array(SEX) == "F", 2.5, 0.2) * TRUTH + RANDOM.normal(size=COUNT)
LOGITS = np.stack([-AHEAD, AHEAD], axis=1)
LABELS = np.stack([~TRUTH, TRUTH], axis=1)
PATIENTS = [f"p{number // 2}" for number in range(COUNT)]


def rows(attributes: dict, *words: str) -> list[dict]:
    return subgroups("binary", LOGITS, LABELS, PATIENTS, attributes, [parse_split(word) for word in words], 200)


def test_a_groups_figure_is_that_of_its_notes_and_the_gap_is_to_all_others():
    women, men = rows({"sex": SEX}, "sex")
    inside = np.array(SEX) == "F"
    figures = [roc_auc_score(TRUTH[part], AHEAD[part]) for part in (inside, ~inside)]
    assert (women["value"], men["value"]) == pytest.approx(tuple(figures))
    assert women["gap"] == pytest.approx(figures[0] - figures[1])
    assert men["gap"] == pytest.approx(-women["gap"])
    assert (women["gap_low"], women["gap_high"]) == pytest.approx((-men["gap_high"], -men["gap_low"]))
    assert women["gap_low"] > 0
    assert (women["notes"], women["group"], women["metric"]) == (int(inside.sum()), "F", "auroc")
    assert women["patients"] == len({p for p, one in zip(PATIENTS, inside, strict=True) if one})


def test_bands_hold_their_lower_bound_and_stand_in_order():
    found = rows({"age": AGES}, "age:40,65,80")
    assert [row["group"] for row in found] == ["below 40", "40 to below 65", "65 to below 80", "80 and above"]
    assert [row["notes"] for row in found] == [
        sum(low <= age < high for age in AGES) for low, high in ((0, 40), (40, 65), (65, 80), (80, 200))
    ]
    split = Split("age", (40.0,))
    assert (split.group(39.9), split.group("40"), split.group(" ")) == ("below 40", "40 and above", "unknown")


def test_a_group_without_both_answers_or_without_others_is_shown_without_a_figure():
    ward = ["tiny" if place < 2 else "large" for place in range(COUNT)]
    labels = LABELS.copy()
    labels[:2] = [True, False]
    large, tiny = subgroups("binary", LOGITS, labels, PATIENTS, {"ward": ward}, [Split("ward")], 100)
    assert (tiny["notes"], tiny["value"], tiny["low"], tiny["gap"]) == (2, None, None, None)
    assert large["value"] is not None
    (alone,) = rows({"all": ["same"] * COUNT}, "all")
    assert (alone["gap"], alone["gap_low"]) == (None, None)


def test_what_is_not_known_is_a_group_of_its_own_and_stands_last():
    sex = [None if place % 10 == 0 else one for place, one in enumerate(SEX)]
    assert [row["group"] for row in rows({"sex": sex}, "sex")] == ["F", "M", "unknown"]
    written = ["NaN", "nan", float("nan"), "<NA>", " ", None]
    ages = [written[place] if place < len(written) else age for place, age in enumerate(AGES)]
    bands = {row["group"]: row["notes"] for row in rows({"age": ages}, "age:40,65,80")}
    assert bands["unknown"] == len(written)
    assert bands["80 and above"] == sum(age >= 80 for age in AGES[len(written) :])


NOTES = pa.table(
    {"note_id": ["a", "b", "c"], "patient_id": ["1", "1", "2"], "text": ["", "", ""], "site": ["x", "y", "x"]}
)


def test_attributes_come_from_the_notes_or_from_a_table_of_notes_or_patients(tmp_path):
    assert read_attributes(NOTES, ["site"], None) == {"site": ["x", "y", "x"]}
    (tmp_path / "patients.csv").write_text("patient_id,sex,age\n1,F,40\n3,M,50\n")
    assert read_attributes(NOTES, ["sex"], tmp_path / "patients.csv") == {"sex": ["F", "F", None]}
    (tmp_path / "notes.csv").write_text("note_id,age\nb,60\na,59\n")
    assert read_attributes(NOTES, ["age"], tmp_path / "notes.csv") == {"age": ["59", "60", None]}


@pytest.mark.parametrize(
    ("table", "columns", "expected"),
    [
        (None, ["sit"], "The task's notes have no column 'sit'. Did you mean 'site'?"),
        ("patient_id,sex\n1,F\n", ["sec"], "has no column 'sec'. Did you mean 'sex'?"),
        ("id,sex\n1,F\n", ["sex"], "has neither a column note_id nor patient_id to find its rows by."),
        ("patient_id,sex\n1.0,F\n", ["sex"], "its patient_id are other ones, or written in another way."),
        ("patient_id,sex\n1,F\n1,M\n", ["sex"], "patient_id '1' has other values in an earlier row."),
    ],
)
def test_a_column_that_is_not_there_and_rows_that_disagree_are_refused(table, columns, expected, tmp_path):
    file = None
    if table is not None:
        file = tmp_path / "table.csv"
        file.write_text(table)
    with pytest.raises(BadInput) as caught:
        read_attributes(NOTES, columns, file)
    assert expected in str(caught.value)


@pytest.mark.parametrize("word", ["", "age:", "age:80,40", "age:40,40", "age:old", "age:nan", "age:40,inf"])
def test_bounds_that_are_none_are_refused(word):
    with pytest.raises(BadInput) as caught:
        parse_split(word)
    assert "give a column, or a column and rising bounds of bands, such as age:40,65,80." in str(caught.value)


def test_an_age_that_is_no_number_twice_is_no_contradiction(tmp_path):
    ages = pa.table(
        {"patient_id": ["1", "1", "2"], "age": pa.array([float("nan"), float("nan"), 50.0], from_pandas=False)}
    )
    parquet.write_table(ages, tmp_path / "ages.parquet")
    assert read_attributes(NOTES, ["age"], tmp_path / "ages.parquet")["age"][0] is None


def test_a_column_of_names_is_no_group_and_words_have_no_band():
    with pytest.raises(BadInput) as caught:
        rows({"name": [f"n{place}" for place in range(COUNT)]}, "name")
    assert "--by name has 240 values, too many to be groups." in str(caught.value)
    for wrong in ("F", "> 89", "inf"):
        with pytest.raises(BadInput) as caught:
            rows({"age": [*AGES[1:], wrong]}, "age:40")
        assert str(caught.value) == (
            f"--by age: {wrong!r} is no number, so it has no band. Leave it empty where it is not known, or leave out the bounds."
        )
