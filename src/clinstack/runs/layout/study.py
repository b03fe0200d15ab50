"""Of many trainings: studies, searches, and the states of frozen layers that they share."""

from dataclasses import dataclass
from pathlib import Path


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

    def turn(self, name: str) -> Path:
        """Held by the process that computes some arrays."""
        return self.root / "turns" / name

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
