"""What a baseline must be: texts and labels in, logits out, and arrays that say all of it.

A baseline is a line of every comparison that a language model has to be worth its cost against. One file per baseline lies in
`models/baselines` and is found by its folder; its name is given where a base is.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from clinstack import discovery
from clinstack.errors import BadInput, WrongParents
from clinstack.metrics.scorecard import SelectBy, probabilities
from clinstack.runs.atomic import atomic_file, read_json, write_json
from clinstack.runs.layout import RunLayout
from clinstack.runs.lineage import hash_arrays

BASELINE = "baseline"
"""The variant of every run of one, in tables."""

_PACKAGE = "clinstack.models.baselines"

Bools = NDArray[np.bool_]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels (N, C)."""

    texts: Sequence[str]
    labels: Bools


class Baseline(ABC):
    """A fitted baseline."""

    judged: NDArray[np.float32] | None = None
    """Logits (N, C) of the validation part by what was not fitted to it, where `logits` are of what was."""

    @classmethod
    @abstractmethod
    def fit(
        cls, kind: str, train: LabelledTexts, valid: LabelledTexts, seed: int, select_by: SelectBy = "auroc"
    ) -> Self:
        """Fits on the training part; what is to be chosen is chosen by the validation part. select_by: in what."""

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C)."""

    @property
    @abstractmethod
    def fitted_weights(self) -> int:
        """How many numbers it fitted to labels; how rare words are is counted without them."""

    @abstractmethod
    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """All that it consists of: arrays, and the rest as JSON."""

    @classmethod
    @abstractmethod
    def of_state(cls, arrays: Arrays, about: Mapping[str, Any]) -> Self:
        """What `state` was taken of."""


@dataclass(frozen=True)
class BaselineClassifier:
    """A baseline for one task, as a `TextClassifier`."""

    model: Baseline
    task: str
    kind: str
    classes: tuple[str, ...]

    def predict_proba(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float64]:
        """Probabilities (N, C) of texts, in the order of `classes`."""
        return probabilities(self.kind, self.score_texts(texts, batch_size))

    def score_texts(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Logits (N, C)."""
        return self.model.logits(texts)


def baselines() -> dict[str, type[Baseline]]:
    """Every baseline by name."""
    return discovery.members(_PACKAGE, Baseline)  # type: ignore[type-abstract]


def save_baseline(layout: RunLayout, name: str, model: Baseline) -> str:
    """Writes a baseline; returns its content hash."""
    arrays, about = model.state()
    with atomic_file(layout.baseline_arrays) as partial:
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, partial)
    write_json(layout.baseline, {"baseline": name, **about})
    return hash_arrays(arrays, {"baseline": name, **about})


def load_baseline(layout: RunLayout, content_hash: str) -> Baseline:
    """The baseline of a run. Raises BadInput if a file is missing or damaged, WrongParents if it has been changed."""
    if not layout.baseline_arrays.is_file():
        raise BadInput(f"{layout.baseline_arrays} is missing, so the run cannot predict. Restore it, or train again.")
    about = read_json(layout.baseline)
    try:
        with safe_open(layout.baseline_arrays, "np") as content:
            arrays = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (the file is no mapping)
    except (OSError, ValueError) as error:
        raise BadInput(f"{layout.baseline_arrays} is not a whole safetensors file. Train again.") from error
    if (found := hash_arrays(arrays, about)) != content_hash:
        raise WrongParents(
            f"{layout.baseline_arrays} has been changed: its content is {found}, and the run's lineage says {content_hash}. "
            "Restore it, or train again."
        )
    return baselines()[about["baseline"]].of_state(arrays, about)
