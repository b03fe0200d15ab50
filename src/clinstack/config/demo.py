"""Of the road on built-in data."""

from pathlib import Path

from pydantic import Field

from clinstack.config.options import Options


class DemoOptions(Options):
    """Walks the whole road on the synthetic hospital and the tiny base model."""

    out: Path = Path("demo-run")
    """Folder to write; the same command goes on with an interrupted demo."""
    full: bool = False
    """Train the six variants on all five tasks instead of two."""
    seed: int = Field(default=1, ge=0)
    """Decides hospital, weights and order."""
