"""Where everything lies, as data. The only place that knows the names of files inside our own folders."""

from dataclasses import dataclass
from pathlib import Path


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


SPLIT_LISTS = {"train": "mimic_train", "valid": "mimic_val", "test": "mimic_test"}
"""The names under which the lists of patients were published."""


def split_list(folder: Path, split: str) -> Path:
    """The list of a split's patients in a folder of published lists."""
    return folder / f"{SPLIT_LISTS[split]}.csv"


def frame_file(scratch: Path) -> Path:
    """Where the admission notes of all stays wait for their labels."""
    return scratch / "frame.parquet"


def several_file(scratch: Path) -> Path:
    """Where discharge texts wait whose stay has several: they must be sorted before they are joined."""
    return scratch / "several.parquet"


def mimic4_notes(source: Path) -> Path:
    """The folder of MIMIC-IV-Note's files: the one given, or its `note`, as the distribution has it."""
    return source / "note" if (source / "note").is_dir() else source


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

    def tokens(self, tokenizer_hash: str, notes_hash: str, split: str) -> Path:
        """The token stream of one split's notes under one tokenizer, memory-mapped."""
        key = "-".join(one.removeprefix("sha256:")[:16] for one in (tokenizer_hash, notes_hash))
        return self.root / "tokens" / key / split


@dataclass(frozen=True)
class RunLayout:
    """A run folder: one training, whole."""

    root: Path

    @property
    def config(self) -> Path:
        """Every option of the command, merged from flags, file and defaults."""
        return self.root / "config.toml"

    @property
    def events(self) -> Path:
        """One JSON line per step and validation."""
        return self.root / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """What came out. Its presence says that the run is finished."""
        return self.root / "result.json"

    @property
    def entry(self) -> Path:
        """In a library: what the version is, for lists and answers."""
        return self.root / "entry.json"

    @property
    def manifest(self) -> Path:
        """The seal: the hash of every other lasting file."""
        return self.root / "manifest.json"

    @property
    def scores(self) -> Path:
        """In a library: labels and logits of the validation and test notes, without ids."""
        return self.root / "scores.parquet"

    @property
    def failure(self) -> Path:
        """Why a cell of a study failed."""
        return self.root / "failure.json"

    @property
    def checkpoints(self) -> Path:
        """What an interrupted run goes on from."""
        return self.root / "checkpoints"

    @property
    def features(self) -> Path:
        """States of frozen layers, while the run needs them and nobody else keeps them."""
        return self.root / "features"

    @property
    def base(self) -> Path:
        """The model folder of a base that was trained from nothing in this run."""
        return self.root / "base"

    @property
    def adapters(self) -> Path:
        """The folder of all adapters of the stack."""
        return self.root / "adapters"

    def adapter(self, name: str) -> Path:
        """One adapter in peft's own format."""
        return self.adapters / name

    @property
    def head(self) -> Path:
        """Pooling and linear classifier."""
        return self.root / "head.safetensors"

    @property
    def baseline(self) -> Path:
        """What a baseline consists of besides its arrays."""
        return self.root / "baseline.json"

    @property
    def baseline_arrays(self) -> Path:
        """A baseline's arrays."""
        return self.root / "baseline.safetensors"

    @property
    def lineage(self) -> Path:
        """Hashes of base, adapters and data; versions; seed; terms."""
        return self.root / "lineage.json"

    @property
    def predictions(self) -> Path:
        """Probabilities and logits of the validation and test notes, by note id."""
        return self.root / "predictions.parquet"

    @property
    def labels(self) -> Path:
        """Every class with its notes by split and its figures on test."""
        return self.root / "labels.csv"

    @property
    def card(self) -> Path:
        """What this is, from what, how good, within what limits."""
        return self.root / "README.md"

    def lasting(self) -> list[Path]:
        """The files that say what a finished run is, where they are: all but what only its training reads, and the seal."""
        files = (
            self.config,
            self.result,
            self.lineage,
            self.card,
            self.labels,
            self.predictions,
            self.head,
            self.baseline,
            self.baseline_arrays,
            self.entry,
            self.scores,
        )
        found = [*files, *self.adapters.rglob("*"), *self.base.rglob("*")]
        return [file for file in found if file.is_file()]


@dataclass(frozen=True)
class AdapterLayout:
    """An adapter folder in peft's format, with our lineage beside it."""

    root: Path

    @property
    def config(self) -> Path:
        """peft's configuration."""
        return self.root / "adapter_config.json"

    @property
    def weights(self) -> Path:
        """peft's weights."""
        return self.root / "adapter_model.safetensors"

    @property
    def lineage(self) -> Path:
        """Hash of the weights, of the base and of the adapters below."""
        return self.root / "lineage.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of it."""
        return self.config, self.weights, self.lineage


@dataclass(frozen=True)
class CheckpointLayout:
    """A checkpoint folder: all that the loop needs to go on as if nothing had happened."""

    root: Path

    @property
    def state(self) -> Path:
        """Step, epoch, random states, best score so far."""
        return self.root / "state.json"

    @property
    def weights(self) -> Path:
        """The trainable weights."""
        return self.root / "weights.safetensors"

    @property
    def optimizer(self) -> Path:
        """The optimizer's moments and the random states."""
        return self.root / "optimizer.safetensors"


@dataclass(frozen=True)
class StudyLayout:
    """A folder of runs: a study, a search, or any folder that `report` is asked about."""

    root: Path

    @property
    def report(self) -> Path:
        """The findings as one page."""
        return self.root / "report.html"

    @property
    def table(self) -> Path:
        """The same as rows: every setting, metric, interval and cost."""
        return self.root / "table.json"

    @property
    def markdown(self) -> Path:
        """The same for a document."""
        return self.root / "table.md"

    @property
    def grid(self) -> Path:
        """What is compared, as it was given."""
        return self.root / "study.toml"

    @property
    def cells(self) -> Path:
        """Name and key of every cell."""
        return self.root / "cells.json"

    @property
    def turn(self) -> Path:
        """Held while a study takes the folder."""
        return self.root / "turn"

    @property
    def runs(self) -> Path:
        """The folder of the cells."""
        return self.root / "runs"

    def run(self, key: str) -> Path:
        """The run folder of a cell."""
        return self.runs / key

    @property
    def features(self) -> Path:
        """What the cells share of states that no training changes."""
        return self.root / "features"

    def part(self, task: str, by: str, seed: int, size: int, noise: float = 0.0) -> Path:
        """A task that the study drew from one that it was given. noise: share of wrong labels."""
        name = f"{size}-noise-{noise:g}" if noise else str(size)
        return self.root / "tasks" / task / f"{by}-{seed}" / name

    @property
    def encoding(self) -> Path:
        """What reading all notes by each encoder took."""
        return self.root / "encoding.json"

    @property
    def latency(self) -> Path:
        """How long each run takes for one note."""
        return self.root / "latency.json"

    def claim(self, key: str) -> Path:
        """Held by the worker that trains a cell."""
        return self.root / "claims" / key

    def worker(self, key: str) -> Path:
        """Which worker trains a cell; stays where the worker is killed."""
        return self.claim(key) / "worker.json"


@dataclass(frozen=True)
class SearchLayout:
    """A search: its record, a run folder per trial, and what came out."""

    root: Path

    @property
    def config(self) -> Path:
        """Every option of the command but those that say how much is to be tried, and the space."""
        return self.root / "search.toml"

    @property
    def record(self) -> Path:
        """Every trial, as Optuna's journal; unless a database was given."""
        return self.root / "search.journal"

    @property
    def turn(self) -> Path:
        """Held by the worker that decides what is tried next."""
        return self.root / "turn"

    @property
    def record_turn(self) -> Path:
        """Held by the worker that writes to the record."""
        return self.root / "search.journal.turn"

    @property
    def result(self) -> Path:
        """The best trial, and what all of them cost."""
        return self.root / "result.json"

    def trial(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.root / "trials" / f"{number:03d}"

    def claim(self, number: int) -> Path:
        """Held by the worker that trains a trial."""
        return self.root / "claims" / f"{number:03d}"


@dataclass(frozen=True)
class ShelfLayout:
    """Arrays of one identity, see `array_store`."""

    root: Path

    @property
    def about(self) -> Path:
        """The identity; its time is that of the last use."""
        return self.root / "about.json"

    @property
    def held(self) -> Path:
        """Locked by every process that has the shelf open."""
        return self.root / "held"

    @property
    def arrays(self) -> Path:
        """The database's folder."""
        return self.root / "arrays"


@dataclass(frozen=True)
class StoreLayout:
    """A folder of shelves."""

    root: Path

    def shelf(self, name: str) -> ShelfLayout:
        """The shelf of that name."""
        return ShelfLayout(self.root / name)

    def shelves(self) -> list[ShelfLayout]:
        """Every shelf that there is."""
        return [ShelfLayout(one) for one in self.root.iterdir() if ShelfLayout(one).about.is_file()]


@dataclass(frozen=True)
class ExportLayout:
    """A run for programs that know nothing of clinstack."""

    root: Path

    @property
    def model(self) -> Path:
        """The base with what is merged into it, as transformers has it."""
        return self.root / "model"

    @property
    def adapter(self) -> Path:
        """One adapter, as peft has it."""
        return self.root / "adapter"

    @property
    def head(self) -> Path:
        """Weight and bias of the classifier."""
        return self.root / "head.safetensors"

    @property
    def about(self) -> Path:
        """Classes, tokens, and logits to check against."""
        return self.root / "export.json"

    @property
    def card(self) -> Path:
        """How to use it."""
        return self.root / "README.md"


@dataclass(frozen=True)
class LibraryLayout:
    """A library: versions of tasks, the adapters they share, and which version answers."""

    root: Path

    @property
    def state(self) -> Path:
        """What is promoted, what was before, and when it changed."""
        return self.root / "library.json"

    def version(self, task: str, number: int) -> Path:
        """The run folder of a version."""
        return self.root / "tasks" / task / f"{number:04d}"

    def versions(self) -> list[tuple[str, int]]:
        """Every task and number that has a folder, in order."""
        found = (self.root / "tasks").glob("*/[0-9][0-9][0-9][0-9]")
        return sorted((one.parent.name, int(one.name)) for one in found)

    @property
    def watch(self) -> Path:
        """Where a server counts what it is asked, if it has no other database."""
        return self.root / "watch.sqlite"

    def adapter(self, content_hash: str) -> Path:
        """An adapter that versions share."""
        return self.root / "adapters" / content_hash.removeprefix("sha256:")[:16]


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


@dataclass(frozen=True)
class DemoLayout:
    """The demo's folder: hospital, tasks, corpus, the step-1 run, and a run per task and variant."""

    root: Path

    @property
    def hospital(self) -> HospitalLayout:
        """The synthetic hospital."""
        return HospitalLayout(self.root / "hospital")

    @property
    def tasks(self) -> BuildLayout:
        """The labelled tasks made from its tables."""
        return BuildLayout(self.root / "tasks")

    @property
    def corpus(self) -> Path:
        """The unlabelled notes of step 1."""
        return self.root / "corpus"

    @property
    def clinical(self) -> Path:
        """The step-1 run."""
        return self.root / "clinical"

    def run(self, task: str, variant: str) -> Path:
        """A step-2 run."""
        return self.root / "runs" / task / variant
