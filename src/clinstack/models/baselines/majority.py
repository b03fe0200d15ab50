"""Says of every note what is most often so: the line below which nothing has been learned."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.scorecard import SelectBy
from clinstack.models.baseline import Arrays, Baseline, LabelledTexts


class Majority(Baseline):
    """The frequency of every class in the training part, whatever the note says."""

    def __init__(self, frequencies: NDArray[np.float64], kind: str):
        self.frequencies, self.kind = frequencies, kind

    @classmethod
    def fit(
        cls, kind: str, train: LabelledTexts, valid: LabelledTexts, seed: int, select_by: SelectBy = "auroc"
    ) -> Self:
        """Counts."""
        return cls(train.labels.mean(axis=0), kind)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same row for every text."""
        likely = np.clip(self.frequencies, 1e-6, 1 - 1e-6)
        row = np.log(likely / (1 - likely)) if self.kind == "multilabel" else np.log(likely)
        return np.tile(row.astype(np.float32), (len(texts), 1))

    @property
    def fitted_weights(self) -> int:
        """See `Baseline`."""
        return self.frequencies.size

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Baseline`."""
        return {"frequencies": self.frequencies}, {"kind": self.kind}

    @classmethod
    def of_state(cls, arrays: Arrays, about: Mapping[str, Any]) -> Self:
        """See `Baseline`."""
        return cls(arrays["frequencies"], about["kind"])
