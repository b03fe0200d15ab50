"""What every saved run of step 2 is to those who ask it: texts in, logits or probabilities out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TextClassifier(Protocol):
    """A stack with its head, or a baseline, for one task; of a binary task the second class is the positive."""

    @property
    def task(self) -> str:
        """The task's name."""

    @property
    def kind(self) -> str:
        """binary, multiclass or multilabel."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits."""

    def predict_proba(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float64]:
        """Probabilities (N, C) of texts."""

    def score_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Logits (N, C) of texts."""
