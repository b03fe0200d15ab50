"""Of what makes and describes notes, tasks and corpora."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clinstack.config.options import Options


class SyntheticOptions(Options):
    """Writes the synthetic hospital: folders of CSV files in the shape of MIMIC-III and MIMIC-IV-Note."""

    out: Path
    """Folder to write."""
    patients: int = Field(default=1000, ge=10)
    """Patients of each of the two hospitals' tables."""
    seed: int = Field(default=1, ge=0)
    """Decides everything; the same seed gives the same bytes on every machine."""
    plain: bool = False
    """Write .csv instead of .csv.gz."""
    identifiers: float = Field(default=0.0, ge=0, le=1)
    """Share of mimic4's notes into which made-up identifiers are planted and listed, to measure the guard on."""


class LinesOptions(Options):
    """Writes made-up French lines of a children's intensive care unit, labelled by cardiac failure, as a CSV file."""

    out: Path
    """CSV file to write, with note_id, patient_id, text and label; for `clinstack data table`."""
    lines: int = Field(default=5444, ge=1)
    """Lines in all."""
    patients: int = Field(default=1386, ge=1)
    """Children they are of."""
    positive: float = Field(default=0.36, ge=0, le=1)
    """Share of lines with cardiac failure."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Share of labels that are turned round, whatever the line says."""
    seed: int = Field(default=1, ge=0)
    """Decides everything."""


class Mimic3Options(Options):
    """Makes the five outcome tasks from MIMIC-III's CSV files, or from any hospital's in the same form."""

    source: Path
    """Folder of the CSV files, plain or gzipped."""
    out: Path
    """Folder to write: a task folder each, and build.json."""
    tasks: str = "los,mor,pmv,diag,proc"
    """Which tasks, joined by commas; pmv needs CHARTEVENTS and four more tables."""
    mode: Literal["reference", "strict"] = "reference"
    """The published rules, or every correction of them."""
    strict: list[str] = []
    """One correction alone, such as end-of-text; may be given several times."""
    split_lists: Path | None = None
    """Folder of the published lists of patients, mimic_train.csv, mimic_val.csv and mimic_test.csv."""
    ventilation_labels: Path | None = None
    """CSV of pmv's members: hadm_id, label (0 or 1), split (train, val or test)."""
    ventilation_durations: Path | None = None
    """CSV of ventilated spells (the ventdurations table), instead of CHARTEVENTS."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class Mimic4Options(Options):
    """Makes the corpus of step 1 from MIMIC-IV-Note's CSV files."""

    source: Path
    """Folder of discharge.csv and radiology.csv, plain or gzipped, or the one above it."""
    out: Path
    """Corpus folder to write."""
    notes: str = "discharge,radiology"
    """Which notes, joined by commas."""
    mode: Literal["strict", "reference"] = "strict"
    """The published cleaning of text with its accidents mended, or to the byte."""
    newlines: Literal["space", "keep"] = "space"
    """Of strict: whether line breaks become spaces."""
    holdout: Literal["patient", "note"] = "patient"
    """What is held out for validation and test; by note, as published, puts most patients on both sides."""
    against: list[Path] = []
    """Task whose validation and test notes are looked for in the corpus; may be given several times."""
    drop_contaminated: bool = False
    """Leave out the notes that hold one of them."""
    identifiers: Literal["off", "count", "refuse", "mask"] = "off"
    """Look for likely names, dates, phone and record numbers first; needs clinstack[guard]."""
    identifier_limit: float = Field(default=0.0, ge=0)
    """Likely identifiers per 1,000 notes that are neither refused nor masked."""
    name: str | None = None
    """Name of the corpus; the folder's name without it."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class TableOptions(Options):
    """Makes a task folder (with labels) or a corpus folder (without) from tables of notes."""

    files: list[Path]
    """FILE... OUT: one or more CSV, TSV, Parquet or JSONL files (also .gz), then the folder to write."""
    text: str
    """Column of the note's text."""
    label: str | None = None
    """Column of its one class."""
    labels: str | None = None
    """Column of its classes: a list, a JSON list, or classes joined by --label-separator."""
    patient: str | None = None
    """Column of the patient; splits never divide a patient. Without it every note is its own patient."""
    id: str | None = None
    """Column of the note's id; file name and row number without it."""
    split: str | None = None
    """Column that says train, valid or test; --split-by decides without it."""
    time: str | None = None
    """Column of the note's time."""
    category: str | None = None
    """Column of the note's category."""
    site: str | None = None
    """Column of the hospital or ward."""
    classes: list[str] | None = None
    """The classes, in order; discovered if not given."""
    label_separator: str = ";"
    """What separates classes in one field."""
    label_map: Path | None = None
    """File with the columns label and class, and title if wanted (.csv, .tsv), or an object of labels and classes (.json,
    .toml): what a label means."""
    drop_unmapped: bool = False
    """Drop what the map gives no class, instead of refusing it: of --label the row, of --labels the label alone."""
    split_by: Literal["patient", "time", "site"] = "patient"
    """By hash of seed and patient, by time (test is the latest), or by site (test is --test-site)."""
    fractions: tuple[float, float, float] | None = None
    """Shares of the patients in train, valid and test, as in --fractions 0.7 0.1 0.2, which is the default."""
    valid_from: str | None = None
    """By time: the date that validation begins with, such as 2022-01-01; instead of --fractions."""
    test_from: str | None = None
    """By time: the date that the test split begins with."""
    time_format: str | None = None
    """By time: how times are written, such as '%d/%m/%Y %H:%M'; year first without it."""
    test_site: list[str] = []
    """By site: a site to test on; may be given several times."""
    identifiers: Literal["off", "count", "refuse", "mask"] = "off"
    """Look for likely names, dates, phone and record numbers first; needs clinstack[guard]."""
    identifier_limit: float = Field(default=0.0, ge=0)
    """Likely identifiers per 1,000 notes that are neither refused nor masked."""
    name: str | None = None
    """Name of the task or corpus; the folder's name without it."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class DescribeOptions(Options):
    """Says what is in a task or corpus folder: counts, lengths, label balance, duplicates."""

    folder: Path
    """Task or corpus folder."""
    base: str | None = None
    """Base whose tokenizer counts the lengths; words are counted without it."""
