"""Of figures and predictions of a finished run."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clinstack.config.options import Options


class EvaluateOptions(Options):
    """Predicts a split again with a saved run and prints its metrics with 95 % intervals."""

    run: Path
    """Run folder of a step-2 run."""
    split: Literal["train", "valid", "test"] = "test"
    """Which patients."""
    task: Path | None = None
    """Another task folder with the same classes, such as another hospital's; the run's own without it."""
    by: list[str] = []
    """Also the figures of groups: a column, or bands of a column's numbers, as in age:40,65,80; may be given several times."""
    attributes: Path | None = None
    """Table with note_id or patient_id and the columns of --by; the task's own columns without it."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = Field(default=32, ge=1)
    """Notes read at once."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples of the patients for the intervals."""


class PredictOptions(Options):
    """Writes the class probabilities of a table of notes, from a run or from a server."""

    run: Path | None = None
    """Run folder of a step-2 run."""
    server: str | None = None
    """Address of a server (`clinstack serve`) instead of a run; its probabilities are calibrated, a run's are not."""
    task: str | None = None
    """Which task of the server; needed where it has several."""
    key_file: Path | None = None
    """File that holds the key, where the server asks for one; without it the environment variable CLINSTACK_KEY."""
    input: Path
    """CSV, TSV, Parquet or JSONL file of notes (also .gz)."""
    output: Path
    """File to write: .csv, .parquet or .jsonl."""
    text: str = "text"
    """Column of the note's text."""
    id: str = "note_id"
    """Column of the note's id; row numbers if the file has no such column."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = Field(default=32, ge=1)
    """Notes read at once."""
