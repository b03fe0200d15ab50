"""What a finished run left, as a test reads it."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from pyarrow import parquet


def saved_logits(run: Path, split: str = "test") -> np.ndarray:
    """Logits (N, C) that a run predicted of a part's notes."""
    table = parquet.read_table(run / "predictions.parquet").filter(pc.field("split") == split)
    return np.array(table.column("logits").to_pylist(), np.float32)
