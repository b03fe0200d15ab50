"""Of notes: sources, what a build passes through, and the folders of tasks and corpora."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HospitalLayout:
    """A synthetic hospital: CSV files in the shape of MIMIC-III and of MIMIC-IV-Note."""

    root: Path

    @property
    def mimic3(self) -> Path:
        """The tables of MIMIC-III."""
        return self.root / "mimic3"

    @property
    def mimic4(self) -> Path:
        """The notes of MIMIC-IV-Note."""
        return self.root / "mimic4"

    @property
    def planted(self) -> Path:
        """Where in the notes of mimic4 which made-up identifiers stand."""
        return self.mimic4 / "planted.csv"


SPLIT_LISTS = {"train": "mimic_train", "valid": "mimic_val", "test": "mimic_test"}
"""The names under which the lists of patients were published."""


def split_list(folder: Path, split: str) -> Path:
    """The list of a split's patients in a folder of published lists."""
    return folder / f"{SPLIT_LISTS[split]}.csv"


def mimic4_notes(source: Path) -> Path:
    """The folder of MIMIC-IV-Note's files: the one given, or its `note`, as the distribution has it."""
    return source / "note" if (source / "note").is_dir() else source


def frame_file(scratch: Path) -> Path:
    """Where the admission notes of all stays wait for their labels."""
    return scratch / "frame.parquet"


def several_file(scratch: Path) -> Path:
    """Where discharge texts wait whose stay has several: they must be sorted before they are joined."""
    return scratch / "several.parquet"


@dataclass(frozen=True)
class TaskLayout:
    """A task folder: `task.json` and one parquet file per split."""

    root: Path

    @property
    def task(self) -> Path:
        """Name, kind, classes, source, terms, counts, how it was made."""
        return self.root / "task.json"

    @property
    def classes(self) -> Path:
        """Each class's index, name and notes by split."""
        return self.root / "classes.csv"

    def split(self, name: str) -> Path:
        """The labelled notes of one split."""
        return self.root / f"{name}.parquet"


@dataclass(frozen=True)
class BuildLayout:
    """What `data mimic3` writes: a task folder per outcome, and how they were made."""

    root: Path

    @property
    def build(self) -> Path:
        """Inputs, rules, funnel, counts, warnings."""
        return self.root / "build.json"

    def task(self, name: str) -> Path:
        """The task folder of an outcome."""
        return self.root / name


@dataclass(frozen=True)
class CorpusLayout:
    """A corpus folder: `corpus.json`, one parquet file per split, and token blocks per tokenizer."""

    root: Path

    @property
    def corpus(self) -> Path:
        """Name, source, terms, counts."""
        return self.root / "corpus.json"

    def split(self, name: str) -> Path:
        """The notes of one split."""
        return self.root / f"{name}.parquet"

    def tokens(self, tokenizer_hash: str, notes_hash: str, split: str, note_tokens: int | None = None) -> Path:
        """The token stream of one split's notes under one tokenizer, memory-mapped; of the first so many tokens of each."""
        key = "-".join(one.removeprefix("sha256:")[:16] for one in (tokenizer_hash, notes_hash))
        return self.root / "tokens" / key / (f"{split}-{note_tokens}" if note_tokens else split)
