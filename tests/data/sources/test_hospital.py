import csv
import gzip
import hashlib
import re
import tracemalloc
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import combinations, pairwise

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
from clinstack.data.sources.hospital.tasks import diagnosis_class, labels_of, length_class, procedure_class
from clinstack.data.sources.hospital.writing import MIMIC3, MIMIC4
from clinstack.data.task import open_task
from clinstack.errors import BadInput, CannotWrite

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


def test_too_few_patients_are_refused(tmp_path):
    with pytest.raises(BadInput) as caught:
        write_hospital(tmp_path / "out", patients=199, seed=1)
    assert str(caught.value) == "A synthetic hospital needs at least 200 patients, not 199."
    assert not list(tmp_path.iterdir())


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
            for code in map(diagnosis_class, stay.diagnoses):
                diagnoses[code] += 1
            for code in map(procedure_class, stay.procedures):
                procedures[code] += 1
    assert len(diagnoses) > 400
    assert len(procedures) > 150
    counts = np.array(sorted(diagnoses.values(), reverse=True))
    assert counts[0] > 0.25 * admissions
    assert np.median(counts) < 0.01 * admissions
    assert counts[:20].sum() > 0.4 * counts.sum()


@pytest.mark.parametrize(
    ("code", "name"), [("0389", "038"), ("42821", "428"), ("V4581", "V458"), ("V08", "V08"), ("E8859", "E885")]
)
def test_diagnoses_are_simplified_as_published(code, name):
    assert diagnosis_class(code) == name


@pytest.mark.parametrize(
    ("code", "name"), [("3893", "389"), ("0066", "66"), ("0331", "331"), ("9604", "960"), ("415", "415")]
)
def test_procedures_lose_their_leading_zeros_as_published(code, name):
    assert procedure_class(code) == name


@pytest.mark.parametrize(
    ("hours", "name"),
    [
        (72, "LT3D"),
        (73, "LT3D"),
        (73.3, "3DTO7D"),
        (169, "3DTO7D"),
        (170, "1WTO2W"),
        (337, "1WTO2W"),
        (338, "GT2W"),
        (-5, "LT3D"),
    ],
)
def test_length_of_stay_is_cut_at_rounded_days(hours, name):
    start = datetime(2150, 1, 1)
    assert length_class(start, start + timedelta(hours=hours)) == name


# The tasks

SEARCHED = (
    ("CHIEF COMPLAINT", "chief complaint:"),
    ("PRESENT ILLNESS", "present illness:"),
    ("MEDICAL HISTORY", "medical history:"),
    ("MEDICATION ON ADMISSION", "medications on admission:"),
    ("ALLERGIES", "allergies:"),
    ("PHYSICAL EXAM", "physical exam:"),
    ("FAMILY HISTORY", "family history:"),
    ("SOCIAL HISTORY", "social history:"),
)


def published_note(text):
    """The published section rules, in a few lines: an oracle for well-formed summaries."""
    bodies = []
    for heading, literal in SEARCHED:
        found = re.search(re.escape(literal) + r"(.+?)\n\n[^\d.()|\\\n]+:", text, re.IGNORECASE | re.DOTALL)
        bodies.append(f"{heading}: {found[1].replace(chr(10), ' ').strip() if found else ''}")
    return "\n\n".join(bodies)


def test_task_texts_are_what_the_published_rules_find_in_the_summaries(hospital, tables, patients):
    out, _ = hospital
    task = open_task(out / "tasks" / "mor")
    texts = {}
    for split in ("train", "valid", "test"):
        notes = task.read(split)
        texts.update(zip(notes["note_id"].to_pylist(), notes["text"].to_pylist(), strict=True))
    well_formed = {
        str(stay.stay_id) for patient in patients for stay in patient.stays if stay.quirk in ("plain", "inline")
    }
    reports = defaultdict(list)
    for row in tables["NOTEEVENTS"]:
        if row["CATEGORY"] == "Discharge summary":
            reports[row["HADM_ID"]].append(row["TEXT"])
    compared = [stay for stay in texts if stay in well_formed and len(reports[stay]) == 1]
    assert len(compared) > 200
    for stay in compared:
        assert published_note(reports[stay][0]) == texts[stay]


@pytest.mark.parametrize("name", TASKS)
def test_all_eight_headings_are_always_there(hospital, name):
    out, _ = hospital
    pattern = "\n\n".join(f"{heading}: .*" for heading, _ in SEARCHED)
    for text in open_task(out / "tasks" / name).read("train")["text"].to_pylist():
        assert re.fullmatch(pattern, text)
        assert not re.search(r"hospital course|expired|passed away|time of death|extubated after", text, re.IGNORECASE)


@pytest.mark.parametrize("name", TASKS)
def test_no_patient_is_in_two_splits(hospital, name):
    out, _ = hospital
    task = open_task(out / "tasks" / name)
    parts = [set(task.read(split)["patient_id"].to_pylist()) for split in ("train", "valid", "test")]
    assert all(parts)
    assert not any(one & other for one, other in combinations(parts, 2))


def test_patients_keep_their_split_in_four_tasks(hospital):
    out, _ = hospital
    for split in ("train", "valid", "test"):
        whole = set(open_task(out / "tasks" / "mor").read(split)["patient_id"].to_pylist())
        for name in ("los", "diag", "proc"):
            assert set(open_task(out / "tasks" / name).read(split)["patient_id"].to_pylist()) <= whole


def test_labels_agree_with_the_tables(hospital, tables):
    out, _ = hospital
    died = {row["HADM_ID"]: row["HOSPITAL_EXPIRE_FLAG"] == "1" for row in tables["ADMISSIONS"]}
    stays = {row["HADM_ID"]: (moment(row["ADMITTIME"]), moment(row["DISCHTIME"])) for row in tables["ADMISSIONS"]}
    codes = {"diag": defaultdict(set), "proc": defaultdict(set)}
    for name, table, simple in (
        ("diag", "DIAGNOSES_ICD", diagnosis_class),
        ("proc", "PROCEDURES_ICD", procedure_class),
    ):
        for row in tables[table]:
            if row["ICD9_CODE"]:
                codes[name][row["HADM_ID"]].add(simple(row["ICD9_CODE"]))
    for split in ("train", "valid", "test"):
        for note in open_task(out / "tasks" / "mor").read(split).to_pylist():
            assert note["labels"] == ["DIE" if died[note["note_id"]] else "NOT_DIE"]
        for note in open_task(out / "tasks" / "los").read(split).to_pylist():
            assert not died[note["note_id"]]
            assert note["labels"] == [length_class(*stays[note["note_id"]])]
        for name in codes:
            for note in open_task(out / "tasks" / name).read(split).to_pylist():
                assert set(note["labels"]) == codes[name][note["note_id"]]
    for name in codes:
        assert open_task(out / "tasks" / name).classes == tuple(sorted(set().union(*codes[name].values())))


def test_ventilation_labels_follow_from_what_was_charted(hospital, tables):
    out, _ = hospital
    modes, ends = defaultdict(list), defaultdict(list)
    for row in tables["CHARTEVENTS"]:
        if row["ITEMID"] in ("720", "223849"):
            modes[row["HADM_ID"]].append(moment(row["CHARTTIME"]))
        elif row["ITEMID"] == "640":
            ends[row["HADM_ID"]].append(moment(row["CHARTTIME"]))
    for row in tables["PROCEDUREEVENTS_MV"]:
        ends[row["HADM_ID"]].append(moment(row["STARTTIME"]))
    notes = 0
    for split in ("train", "valid", "test"):
        for note in open_task(out / "tasks" / "pmv").read(split).to_pylist():
            times = sorted(modes[note["note_id"]] + ends[note["note_id"]])
            days = (times[-1] - times[0]).total_seconds() / 86_400 + 0.25
            assert days >= 2
            assert note["labels"] == ["GT7D" if days >= 7 else "LE7D"]
            charted = sorted(modes[note["note_id"]])
            gaps = [(after - before).total_seconds() / 3600 for before, after in pairwise(charted)]
            assert sum(gap > 8 for gap in gaps) <= 1
            notes += 1
    assert notes > 20


# What can be learned


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    out = tmp_path_factory.mktemp("deaths") / "out"
    write_hospital(out, patients=1500, seed=11, compress=False)
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
            coded[mentioned].append("428" in labels_of(stay).get("diag", []))
    assert len(coded[True]) > 40
    assert abs(np.mean(coded[True]) - np.mean(coded[False])) < 0.12
