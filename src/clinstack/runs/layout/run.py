"""Of one training: its folder, the adapters and checkpoints in it, and what it is exported to."""

from dataclasses import dataclass
from pathlib import Path


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
