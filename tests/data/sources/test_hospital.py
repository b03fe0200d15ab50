import csv
import gzip
import hashlib
import re
import tracemalloc
from collections import defaultdict
from datetime import datetime
from itertools import combinations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from clinstack.data.sources.hospital import write_hospital
from clinstack.data.sources.hospital.admission import write_admission
from clinstack.data.sources.hospital.codes import DIAGNOSIS_TITLES, PROCEDURE_TITLES
from clinstack.data.sources.hospital.conditions import CONDITION, CONDITIONS
from clinstack.data.sources.hospital.disturbances import DISTURBANCE, DISTURBANCES
from clinstack.data.sources.hospital.drugs import DRUGS
from clinstack.data.sources.hospital.notes import stage
from clinstack.data.sources.hospital.patients import NEWBORN, PROBLEMS, draw_patient
from clinstack.data.sources.hospital.quirks import QUIRKS
from clinstack.data.sources.hospital.writing import MIMIC3, MIMIC4
from clinstack.data.sources.mimic3 import build_mimic3
from clinstack.data.task import open_task
from clinstack.errors import CannotWrite

PATIENTS, SEED = 400, 7
TASKS = ("mor", "los", "pmv", "diag", "proc")

# Written by this generator itself: it says "unchanged on this machine and Python", not "right". Whoever changes words,
# weights or the order of rolls on purpose replaces it, and the demo's figures with it.
GOLDEN = "9941cbc448b9c981af8615c6b857562391b7bc6716da754307664ebda0f9456f"

# The columns of the MIMIC releases' own documentation, in file order.
COLUMNS = {
    "NOTEEVENTS": "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT",
    "ADMISSIONS": "ROW_ID,SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,ADMISSION_LOCATION,"
    "DISCHARGE_LOCATION,INSURANCE,LANGUAGE,RELIGION,MARITAL_STATUS,ETHNICITY,EDREGTIME,EDOUTTIME,DIAGNOSIS,"
    "HOSPITAL_EXPIRE_FLAG,HAS_CHARTEVENTS_DATA",
    "PATIENTS": "ROW_ID,SUBJECT_ID,GENDER,DOB,DOD,DOD_HOSP,DOD_SSN,EXPIRE_FLAG",
    "DIAGNOSES_ICD": "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
    "PROCEDURES_ICD": "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
    "ICUSTAYS": "ROW_ID,SUBJECT_ID,HADM_ID,ICUSTAY_ID,DBSOURCE,FIRST_CAREUNIT,LAST_CAREUNIT,FIRST_WARDID,"
    "LAST_WARDID,INTIME,OUTTIME,LOS",
    "CHARTEVENTS": "ROW_ID,SUBJECT_ID,HADM_ID,ICUSTAY_ID,ITEMID,CHARTTIME,STORETIME,CGID,VALUE,VALUENUM,VALUEUOM,"
    "WARNING,ERROR,RESULTSTATUS,STOPPED",
    "D_ICD_DIAGNOSES": "ROW_ID,ICD9_CODE,SHORT_TITLE,LONG_TITLE",
    "D_ICD_PROCEDURES": "ROW_ID,ICD9_CODE,SHORT_TITLE,LONG_TITLE",
    "discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "radiology": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
}


def content(folder):
    """One hash over all CSV files of a hospital, decompressed, by name."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("mimic*/*.csv*")):
        total.update(file.name.split(".")[0].encode())
        total.update(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())
    return total.hexdigest()


def rows(folder, table):
    release = "mimic3" if table.isupper() else "mimic4"
    with gzip.open(folder / release / f"{table}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    out = tmp_path_factory.mktemp("hospital") / "out"
    counts = write_hospital(out, patients=PATIENTS, seed=SEED)
    return out, counts


@pytest.fixture(scope="module")
def tables(hospital):
    out, _ = hospital
    return {table.name: rows(out, table.name) for table in MIMIC3 + MIMIC4}


@pytest.fixture(scope="module")
def summaries(tables):
    return [row["TEXT"] for row in tables["NOTEEVENTS"] if row["CATEGORY"] == "Discharge summary"]


@pytest.fixture(scope="module")
def patients():
    return [draw_patient(SEED, "mimic3", index) for index in range(PATIENTS)]


# What is written


def test_the_content_of_the_files_is_pinned(tmp_path):
    write_hospital(tmp_path / "out", patients=200, seed=1, compress=False)
    assert content(tmp_path / "out") == GOLDEN


def test_the_same_seed_gives_the_same_content_and_another_seed_does_not(hospital, tmp_path):
    out, _ = hospital
    write_hospital(tmp_path / "again", patients=PATIENTS, seed=SEED, compress=False)
    write_hospital(tmp_path / "other", patients=200, seed=SEED + 1, compress=False)
    write_hospital(tmp_path / "fewer", patients=200, seed=SEED, compress=False)
    assert content(tmp_path / "again") == content(out)
    assert content(tmp_path / "other") != content(tmp_path / "fewer")


def test_a_patient_does_not_depend_on_how_many_there_are(hospital, tmp_path):
    out, _ = hospital
    write_hospital(tmp_path / "fewer", patients=200, seed=SEED)
    fewer = rows(tmp_path / "fewer", "NOTEEVENTS")
    assert rows(out, "NOTEEVENTS")[: len(fewer)] == fewer


def test_every_column_is_there_in_order(hospital):
    out, _ = hospital
    for name, columns in COLUMNS.items():
        release = "mimic3" if name.isupper() else "mimic4"
        with gzip.open(out / release / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            header = file.readline().rstrip("\n")
        assert header == (columns if release == "mimic4" else ",".join(f'"{name}"' for name in columns.split(",")))


def test_counts_are_those_of_the_files(hospital, tables):
    _, counts = hospital
    found = {name: len(table) for name, table in tables.items()}
    assert counts["rows"]["mimic3"] | counts["rows"]["mimic4"] == found
    assert counts["notes"] == {"mimic3": found["NOTEEVENTS"], "mimic4": found["discharge"] + found["radiology"]}
    assert counts["admissions"]["mimic3"] == found["ADMISSIONS"]


def test_ids_are_unique_and_point_to_rows_that_exist(tables):
    people = {row["SUBJECT_ID"] for row in tables["PATIENTS"]}
    stays = {(row["SUBJECT_ID"], row["HADM_ID"]) for row in tables["ADMISSIONS"]}
    assert len(people) == len(tables["PATIENTS"]) == PATIENTS
    assert len({stay for _, stay in stays}) == len(tables["ADMISSIONS"])
    for name in ("NOTEEVENTS", "DIAGNOSES_ICD", "PROCEDURES_ICD", "ICUSTAYS", "CHARTEVENTS", "PROCEDUREEVENTS_MV"):
        assert {(row["SUBJECT_ID"], row["HADM_ID"]) for row in tables[name] if row["HADM_ID"]} <= stays, name
    for name in ("discharge", "radiology"):
        assert len({row["note_id"] for row in tables[name]}) == len(tables[name])
        assert all(
            row["note_id"] == f"{row['subject_id']}-{row['note_type']}-{row['note_seq']}" for row in tables[name]
        )


def test_an_occupied_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(CannotWrite) as caught:
        write_hospital(tmp_path / "out", patients=200, seed=1)
    place = tmp_path / "out"
    assert str(caught.value) == f"{place} exists and is not empty. Choose another place, or remove it first."
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_nothing_is_left_after_an_interruption(tmp_path):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_hospital(tmp_path / "out", patients=200, seed=1, progress=stop)
    assert not list(tmp_path.iterdir())


def test_progress_counts_to_the_end(tmp_path):
    seen = []
    write_hospital(tmp_path / "out", patients=200, seed=1, compress=False, progress=seen.append)
    assert seen == list(range(50, 401, 50))


def test_memory_does_not_grow_with_the_number_of_patients(tmp_path):
    peaks = []
    write_hospital(tmp_path / "warm", patients=200, seed=1)
    for patients in (200, 800):
        tracemalloc.start()
        write_hospital(tmp_path / str(patients), patients=patients, seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 24 * 2**20


# The oddities of the real tables


def moment(text):
    return datetime.fromisoformat(text)


NOTE_ODDITIES = {
    "notes without an admission": lambda row: not row["HADM_ID"],
    "timed notes without a time": lambda row: row["CATEGORY"] != "Discharge summary" and not row["CHARTTIME"],
    "reports without text": lambda row: row["CATEGORY"] == "Discharge summary" and not row["TEXT"],
    "addenda": lambda row: row["CATEGORY"] == "Discharge summary" and row["DESCRIPTION"] == "Addendum",
    "erroneous notes": lambda row: row["ISERROR"] == "1" and row["CATEGORY"] != "Discharge summary",
    "erroneous reports": lambda row: row["ISERROR"] == "1" and row["CATEGORY"] == "Discharge summary",
    "nursing": lambda row: row["CATEGORY"] == "Nursing",
    "older nursing": lambda row: row["CATEGORY"] == "Nursing/other",
    "respiratory, with its trailing space": lambda row: row["CATEGORY"] == "Respiratory ",
    "radiology": lambda row: row["CATEGORY"] == "Radiology",
    "ECG": lambda row: row["CATEGORY"] == "ECG",
    "removed identifiers": lambda row: "[**Known lastname" in row["TEXT"],
    "hidden ages": lambda row: "[**Age over 90 **]" in row["TEXT"],
}
TABLE_ODDITIES = {
    "newborns": ("ADMISSIONS", lambda row: row["ADMISSION_TYPE"] == "NEWBORN"),
    "discharges before admission": (
        "ADMISSIONS",
        lambda row: row["HOSPITAL_EXPIRE_FLAG"] == "1" and moment(row["DISCHTIME"]) < moment(row["ADMITTIME"]),
    ),
    "births 300 years ago": ("PATIENTS", lambda row: row["DOB"] < "2000"),
    "empty diagnoses": ("DIAGNOSES_ICD", lambda row: not row["ICD9_CODE"]),
    "V codes": ("DIAGNOSES_ICD", lambda row: row["ICD9_CODE"].startswith("V")),
    "E codes": ("DIAGNOSES_ICD", lambda row: row["ICD9_CODE"].startswith("E")),
    "empty procedures": ("PROCEDURES_ICD", lambda row: not row["ICD9_CODE"]),
    "leading zeros": ("PROCEDURES_ICD", lambda row: row["ICD9_CODE"].startswith("0")),
    "charting marked as error": ("CHARTEVENTS", lambda row: row["ERROR"] == "1"),
    "extubations in CareVue": ("CHARTEVENTS", lambda row: row["ITEMID"] == "640"),
    "extubations in MetaVision": ("PROCEDUREEVENTS_MV", lambda row: row["ITEMID"] == "227194"),
    "films without an admission": ("radiology", lambda row: not row["hadm_id"]),
    "blanks for identifiers": ("discharge", lambda row: "Name:  ___" in row["text"]),
}


@pytest.mark.parametrize("name", NOTE_ODDITIES)
def test_every_oddity_of_notes_occurs(tables, name):
    assert any(NOTE_ODDITIES[name](row) for row in tables["NOTEEVENTS"])


@pytest.mark.parametrize("name", TABLE_ODDITIES)
def test_every_oddity_of_tables_occurs(tables, name):
    table, odd = TABLE_ODDITIES[name]
    assert any(odd(row) for row in tables[table])


QUIRK_MARKS = {
    "plain": r"\n\nHistory of Present Illness:\n",
    "inline": r"\n\nPHYSICAL EXAM:  \S",
    "dictated": r"\n\nPHYSICAL EXAMINATION ON ADMISSION:  ",
    "empty allergies": r"\n\nAllergies:\n\nAttending:",
    "paragraph": r"\n\nIn the ED: ",
    "digit paragraph": r"\n\nAt 10 pm: ",
    "numbered list": r"\n\n2\. .*: see OMR\n\n",
    "three newlines": r"\n\n\nChief Complaint:",
    "bracketed heading": r"\n\nHPI \(per patient and family\):",
    "spaced blank line": r"\n \nHISTORY OF PRESENT ILLNESS:",
    "variant headings": r"\n\nPhysical Examination:\n",
    "carriage returns": r"\r\n\r\n",
    "family last": r"\n\nFamily History:\n[^:]*\Z",
    "mid sentence": r"has a medical history: complex",
    "summary only": r"^Summary: patient seen",
    "missing text": r"^$",
    "addendum only": r"Addendum:\n",
}


def test_every_quirk_has_its_mark():
    assert set(QUIRK_MARKS) == set(QUIRKS)


@pytest.mark.parametrize("quirk", QUIRKS)
def test_every_quirk_of_summaries_occurs(patients, summaries, quirk):
    assert any(stay.quirk == quirk for patient in patients for stay in patient.stays)
    assert any(re.search(QUIRK_MARKS[quirk], text) for text in summaries)


def test_a_report_is_filed_again_under_the_next_admission(tables):
    filed = defaultdict(set)
    for row in tables["NOTEEVENTS"]:
        if row["CATEGORY"] == "Discharge summary" and row["DESCRIPTION"] == "Report" and row["TEXT"]:
            filed[row["TEXT"]].add(row["HADM_ID"])
    assert any(len(stays) > 1 for stays in filed.values())


def test_addenda_without_a_report_occur(tables):
    kinds = defaultdict(set)
    for row in tables["NOTEEVENTS"]:
        if row["CATEGORY"] == "Discharge summary":
            kinds[row["HADM_ID"]].add(row["DESCRIPTION"])
    assert {"Addendum"} in kinds.values()


# The hospital's knowledge


def test_all_that_is_named_exists():
    problems = (*PROBLEMS, *NEWBORN)
    assert {key for problem in problems for key in problem.favours} <= set(CONDITION)
    assert {key for problem in problems for key, _ in problem.disturbances} <= set(DISTURBANCE)
    assert {drug for condition in CONDITIONS for drug in condition.drugs} <= set(DRUGS)
    codes = {code for entry in (*problems, *CONDITIONS, *DISTURBANCES) for code in entry.codes}
    assert codes <= set(DIAGNOSIS_TITLES)
    assert {code for problem in problems for code, _ in problem.procedures} <= set(PROCEDURE_TITLES)


def test_codes_have_a_long_tail():
    admissions, diagnoses, procedures = 0, defaultdict(int), defaultdict(int)
    for index in range(5000):
        for stay in draw_patient(3, "mimic3", index).stays:
            admissions += 1
            for code in stay.diagnoses:
                diagnoses[code[:3]] += 1
            for code in stay.procedures:
                procedures[code[:3]] += 1
    assert len(diagnoses) > 400
    assert len(procedures) > 150
    counts = np.array(sorted(diagnoses.values(), reverse=True))
    assert counts[0] > 0.25 * admissions
    assert np.median(counts) < 0.01 * admissions
    assert counts[:20].sum() > 0.4 * counts.sum()


# The tasks made from it


@pytest.fixture(scope="module")
def tasks(hospital, tmp_path_factory):
    out, _ = hospital
    made = tmp_path_factory.mktemp("tasks") / "out"
    return made, build_mimic3(out / "mimic3", made)


def test_every_rule_of_the_tasks_has_something_to_drop(tasks):
    _, build = tasks
    dropped = {row["rule"]: row["dropped"] for row in build["funnel"] if row["dropped"] is not None}
    assert all(dropped[rule] > 0 for rule in ("A1", "A2", "A3", "A5", "A7", "B7"))


@pytest.mark.parametrize("name", TASKS)
def test_admission_notes_do_not_tell_the_outcome(tasks, name):
    made, _ = tasks
    for text in open_task(made / name).read("train")["text"].to_pylist():
        assert not re.search(r"expired|passed away|time of death|extubated after", text, re.IGNORECASE)


@pytest.mark.parametrize("name", TASKS)
def test_no_patient_is_in_two_splits(tasks, name):
    made, _ = tasks
    parts = [set(open_task(made / name).read(split)["patient_id"].to_pylist()) for split in ("train", "valid", "test")]
    assert all(parts)
    assert not any(one & other for one, other in combinations(parts, 2))


def test_well_formed_summaries_give_a_note_with_what_was_known(tasks, patients):
    made, _ = tasks
    task = open_task(made / "diag")
    notes = {note["note_id"] for split in ("train", "valid", "test") for note in task.read(split).to_pylist()}
    for patient in patients:
        if patient.newborn:
            assert not notes & {str(stay.stay_id) for stay in patient.stays}
        elif not any(stay.copied for stay in patient.stays):
            expected = {
                str(stay.stay_id) for stay in patient.stays if stay.quirk in ("plain", "inline") and stay.diagnoses
            }
            assert expected <= notes


# What can be learned


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    out = tmp_path_factory.mktemp("deaths") / "out"
    write_hospital(out, patients=1500, seed=11, unlabelled_patients=1, compress=False)
    build_mimic3(out / "mimic3", out / "tasks", tasks=["mor"])
    task = open_task(out / "tasks" / "mor")
    train, test = task.read("train"), task.read("test")
    return (
        train["text"].to_pylist(),
        task.label_matrix(train)[:, 1],
        test["text"].to_pylist(),
        task.label_matrix(test)[:, 1],
    )


def learned(train, labels, test, answers, **options):
    words = TfidfVectorizer(min_df=2, sublinear_tf=True, **options)
    model = LogisticRegression(C=3, solver="liblinear").fit(words.fit_transform(train), labels)
    return roc_auc_score(answers, model.decision_function(words.transform(test)))


def test_death_is_predictable_and_not_trivial(deaths):
    assert 0.70 < learned(*deaths, ngram_range=(1, 2), max_features=20_000) < 0.97


def test_the_first_600_characters_say_much_of_it(deaths):
    train, labels, test, answers = deaths
    assert learned([text[:600] for text in train], labels, [text[:600] for text in test], answers) > 0.68


def test_no_word_alone_gives_death_away(deaths):
    _, _, test, answers = deaths
    present = TfidfVectorizer(min_df=5, binary=True, use_idf=False, norm=None).fit_transform(test).toarray()
    assert max(roc_auc_score(answers, column) for column in present.T) < 0.75


def test_relatives_with_a_disease_do_not_code_it():
    coded = {True: [], False: []}
    for index in range(2500):
        patient = draw_patient(5, "mimic3", index)
        for stay in patient.stays if not patient.newborn else ():
            family = write_admission(stage(5, "mimic3", patient, stay)).family
            mentioned = any(name in family for name in (*CONDITION["heart failure"].names, "heart failure"))
            coded[mentioned].append(any(code.startswith("428") for code in stay.diagnoses))
    assert len(coded[True]) > 40
    assert abs(np.mean(coded[True]) - np.mean(coded[False])) < 0.12
