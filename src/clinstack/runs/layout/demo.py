"""Of the demo."""

from dataclasses import dataclass
from pathlib import Path

from clinstack.runs.layout.data import BuildLayout, HospitalLayout


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
