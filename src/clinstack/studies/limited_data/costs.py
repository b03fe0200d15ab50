"""What the runs of a limited-data study cost: one by one, as a sum, and what reading anew in every epoch would have taken."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clinstack.data.task import open_task
from clinstack.models.sentence_encoder import encoder_of
from clinstack.runs.atomic import read_json
from clinstack.runs.folder import read_events
from clinstack.runs.layout import RunLayout
from clinstack.studies.limited_data.encoding import Reading
from clinstack.training.machine import assumed_joules

PHASES = ("tokenise", "encode", "train", "evaluate")
_PARTS = {"tokenise": ["tokenise"], "encode": ["encode"], "train": ["make", "train"], "evaluate": ["evaluate"]}
"""What a run's cost calls the parts of a phase; a base that the run makes for itself is made by training."""

Clock = Literal["seconds", "cpu_seconds"]
"""By what runs are compared: seconds that pass, or on a processor those of one core. How many cores a run had is the study's
choice (an encoder reads with all of them, a training shares them with others) and says nothing of the arm.
"""


def clock_of(device: str) -> Clock:
    """The clock of runs on a device."""
    return "seconds" if device.startswith("cuda") else "cpu_seconds"


@dataclass(frozen=True)
class Cost:
    """Of a run. seconds: by phase, 0 where a model has none; see `Clock`.

    flops: estimated operations (`training_flops`), with reading each note once; None of what is no network here.
    """

    seconds: Mapping[str, float]
    cpu_seconds: float
    peak_bytes: int
    flops: float | None = None

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    def with_reading(self, taken: Reading, clock: Clock) -> "Cost":
        """With what reading its notes by a frozen encoder took, as whoever trains this one model has to."""
        return Cost(
            {**self.seconds, "encode": self.seconds["encode"] + getattr(taken, clock)},
            self.cpu_seconds + taken.cpu_seconds,
            max(self.peak_bytes, taken.peak_bytes),
            self.flops,
        )


@dataclass(frozen=True)
class Total:
    """Of several runs, one after the other."""

    runs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def joules(self) -> float:
        """An estimate, see `assumed_joules`."""
        return assumed_joules(self.cpu_seconds)

    def __add__(self, other: "Total") -> "Total":
        return Total(self.runs + other.runs, self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


def cost_of(result: Mapping[str, Any], clock: Clock) -> Cost:
    """What a run's result says."""
    cost = result["cost"]
    return Cost(
        {phase: sum(float(cost.get(one, {}).get(clock, 0.0)) for one in _PARTS[phase]) for phase in PHASES},
        sum(float(one["cpu_seconds"]) for one in cost.values()),
        max(int(one["peak_bytes"]) for one in cost.values()),
        sum(one.get("flops", 0.0) for one in cost.values()) or None,
    )


def grid_totals(runs: Iterable[Path]) -> dict[str, Total]:
    """The sums of all finished runs, by kind of model."""
    found: dict[str, Total] = {}
    for layout in _finished(runs):
        result = read_json(layout.result)
        cost, kind = cost_of(result, "seconds"), _kind(result)
        found[kind] = found.get(kind, Total()) + Total(1, cost.total, cost.cpu_seconds)
    return found


def naive_passes(runs: Iterable[Path]) -> int:
    """Notes that the heads' frozen encoders would have read, had every epoch of every run read its notes anew."""
    passes = 0
    for layout in _finished(runs):
        result = read_json(layout.result)
        if _kind(result) != _HEADS:
            continue
        task = Path(tomllib.loads(layout.config.read_text(encoding="utf-8"))["task"])
        notes = open_task(task).counts
        epochs = sum(event.get("event") == "validation" for event in read_events(layout.events))
        passes += epochs * (notes["train"]["notes"] + notes["valid"]["notes"])
        passes += notes["valid"]["notes"] + notes["test"]["notes"]
    return passes


_HEADS = "heads on frozen encoders"


def _kind(result: Mapping[str, Any]) -> str:
    if encoder_of(str(result["base"]["name"])):
        return "encoders tuned by SetFit"
    names = {"baseline": "baselines", "full": "models from nothing", "head-only": _HEADS, "task": "encoders with LoRA"}
    return names.get(str(result["variant"]), str(result["variant"]))


def _finished(runs: Iterable[Path]) -> list[RunLayout]:
    return [layout for run in runs if (layout := RunLayout(run)).result.is_file()]
