"""Of one run: both steps, and what published studies, and models that learn from nothing, change of the defaults."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from clinstack.config.options import Options
from clinstack.discovery import names


class TrainingOptions(Options):
    """What both steps need: the numbers of the loop and the machine."""

    epochs: int = Field(default=..., ge=1)
    """Times the training part is read."""
    learning_rate: float = Field(default=..., gt=0)
    """Highest learning rate, reached after the warm-up."""
    batch_size: int = Field(default=8, ge=1)
    """Notes (train) or blocks (adapt) read at once."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are summed into one step."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: float = Field(default=0.06, ge=0, lt=1)
    """Share of all steps over which the learning rate rises."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay of matrices."""
    clip_norm: float = Field(default=1.0, ge=0)
    """Largest norm of a step's gradient; 0 does not clip."""
    patience: int = Field(default=0, ge=0)
    """Stop after this many validations without a better score; 0 never stops early."""
    seed: int = Field(default=1, ge=0)
    """Decides fresh weights, dropout and the order of batches."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; auto takes bfloat16 where the processor has it. Evaluation is always float32."""
    quantize: Literal["4bit"] | None = None
    """Keep the base's matrices in four bits (QLoRA), for large bases on small accelerators; needs clinstack[quantize]."""
    gradient_checkpointing: bool = False
    """Compute each layer twice instead of keeping what is inside it: less memory, about a third more time."""
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    """A checkpoint is written when the last one is older than this."""


class AdaptOptions(TrainingOptions):
    """Step 1: trains a clinical adapter on the unlabelled notes of a corpus."""

    base: str
    """Base model: a folder, a hub id, or tiny-base."""
    corpus: Path
    """Corpus folder, made by `clinstack data`."""
    out: Path
    """Run folder to write; the same command goes on with an interrupted run."""
    method: str = "lora"
    """PEFT method of the clinical adapter."""
    epochs: int = Field(default=1, ge=1)
    """Times the corpus is read."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Highest learning rate, reached after the warm-up."""
    max_tokens: int = Field(default=512, ge=8)
    """Length of a packed block."""
    note_tokens: int | None = Field(default=None, ge=4)
    """Learn from the first so many tokens of each note alone, as in the published study; from whole notes without it."""
    train_tokens: int | None = Field(default=None, ge=1)
    """Read only about so many tokens of the corpus, evenly spread; all of them without it."""
    validations_per_epoch: int = Field(default=4, ge=1)
    """How often an epoch the validation part is measured."""
    validation_tokens: int = Field(default=100_000, ge=1)
    """Most tokens measured during training and of the training part; valid and test are measured whole, before and after."""
    general: Path | None = None
    """File of general text (a table with the column text); measured before and after, it tells what the base forgets."""
    method_options: dict[str, Any] = {}
    """Options of the method, such as rank."""


_DESCRIBED: dict[str, Any] = {
    "max_tokens": 128,
    "learning_rate": 5e-5,
    "head_rate": 1.0,
    "warmup_ratio": 0.06,
    "schedule": "linear",
    "batch_size": 10,
    "accumulation": 10,
    "epochs": 10,
    "class_weights": "balanced",
}


PROFILES: dict[str, dict[str, Any]] = {
    "correct": {},
    "as-described": _DESCRIBED,
    # A ratio given as a number of steps is no warm-up; the second adapter stays switched off; the last epoch is tested.
    "as-released": {**_DESCRIBED, "warmup_ratio": 0.0, "inert_task_adapter": True, "select": "last"},
}
"""What a profile of step 2 changes of the defaults (Gema et al. 2023, and their released code); what is given beats it."""


FROM_SCRATCH: dict[str, Any] = {
    "task_adapter": "full",
    "pooling": "mean",
    "head_hidden": 64,
    "head_dropout": 0.1,
    "head_rate": 1.0,
    "learning_rate": 1e-3,
    "schedule": "linear",
    "batch_size": 32,
    "max_tokens": 256,
    "epochs": 30,
    "patience": 5,
}
"""What a small model that is trained from nothing changes of the defaults; what is given beats it."""


PRESETS_FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "transformer:keras": {"head_hidden": 20},
    "moe-transformer:keras": {"head_hidden": 32, "head_dropout": 0.25},
    "transformer:mean": {"head_hidden": None},
}
"""What a preset changes of that: the published heads, and for a mean of embeddings none but a linear one."""


SETFIT: dict[str, Any] = {
    "task_adapter": "none",
    "pooling": "mean",
    "head_rate": 1.0,
    "learning_rate": 1e-2,
    "max_tokens": 256,
    "epochs": 16,
}
"""Likewise an encoder that SetFit tunes; rate and epochs of its head are the library's."""


_ARCHITECTURES = "clinstack.models.scratch"


class TrainOptions(TrainingOptions):
    """Step 2: stacks a task adapter and a head on the base (and its clinical adapter) for one task."""

    base: str
    """Base model: a folder, a hub id, or tiny-base; or a small model from nothing: transformer, transformer:keras,
    transformer:mean, moe-transformer, moe-transformer:keras; or setfit:ENCODER, which SetFit tunes on pairs of notes (needs
    clinstack[setfit]); or a baseline: majority, tf-idf, tf-idf-svm, tf-idf-mlp."""
    task: Path
    """Task folder, made by `clinstack data`."""
    out: Path
    """Run folder to write; the same command goes on with an interrupted run."""
    clinical: Path | None = None
    """Step-1 run whose clinical adapter lies under the task adapter."""
    clinical_mode: Literal["frozen", "trainable", "merged", "continued"] = "frozen"
    """The clinical adapter stays as it is, learns too, is merged into the base, or goes on as the task adapter itself."""
    task_adapter: str = "lora"
    """PEFT method of the task adapter, full (every weight of the base), or none."""
    pooling: Literal["last", "mean", "first", "max"] = "last"
    """Which token states the head reads."""
    head_adapter: str | None = None
    """A trained block of the head: adapter, lightweight, tiny-attention, grn; with a preset, as in grn:small."""
    head_size: int | None = Field(default=None, ge=1)
    """Inner width of the head adapter, instead of its own."""
    head_place: Literal["tokens", "pooled"] = "tokens"
    """The head adapter works on every token, or on the vector that they are pooled to."""
    head_hidden: int | None = Field(default=None, ge=1)
    """Width of one more layer before the logits (GELU; ReLU on keras presets); none without it."""
    head_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of what the head's last layers read that is dropped in training."""
    head_start: Literal["random", "scaled", "fitted"] = "random"
    """Where the head's last layers begin: at random; at random before vectors that the training notes centre and scale; or,
    before these, where a logistic regression on the training notes ends, so that whatever else trains begins from there.
    """
    class_weights: Literal["none", "balanced", "root"] = "none"
    """Of one class a note: rare classes weigh more in the loss, as inverse frequency or its square root."""
    label_weights: Literal["none", "balanced", "root"] = "none"
    """Of several labels a note: having a rare label weighs more in the loss, likewise."""
    loss: Literal["plain", "asymmetric"] = "plain"
    """Of several labels a note: binary cross-entropy, or one that passes over labels that are surely absent."""
    epochs: int = Field(default=5, ge=1)
    """Times the training part is read; the best epoch by validation AUROC is kept."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Highest learning rate, reached after the warm-up."""
    head_rate: float = Field(default=10.0, gt=0)
    """The head starts from nothing and learns at this multiple of the learning rate."""
    max_tokens: int = Field(default=512, ge=3)
    """Most tokens read at once."""
    truncation: Literal["head", "tail", "head+tail"] = "head"
    """What is kept of a note that is too long; head+tail takes a quarter from the head."""
    chunks: int = Field(default=1, ge=1)
    """Read a longer note in up to so many chunks of --max-tokens."""
    chunk_pooling: Literal["mean", "max", "attention"] = "mean"
    """How a note's chunks become one vector."""
    feature_store: Path | None = None
    """Folder to keep what no training changes in (states of frozen layers), shared by runs; computed anew without it."""
    feature_gigabytes: float = Field(default=20.0, gt=0)
    """What the feature store may take; what was not used for the longest time goes first."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples of the patients for the intervals."""
    select: Literal["best", "last"] = "best"
    """Which epoch is kept: the best on validation, or the last."""
    select_by: Literal["auroc", "f1-macro"] = "auroc"
    """What is best on validation: the highest AUROC; or macro F1 and, between equals, the lower log loss."""
    inert_task_adapter: bool = False
    """Add a task adapter on a clinical one and never switch it on, as the released code does; to compare with it."""
    profile: Literal["correct", "as-described", "as-released"] = "correct"
    """Defaults: ours, those that the published study describes, or those of its released code, with its faults."""
    method_options: dict[str, Any] = {}
    """Options of the task adapter's method, such as rank."""

    @model_validator(mode="before")
    @classmethod
    def _follow_profile(cls, given: dict[str, Any]) -> dict[str, Any]:
        base = str(given.get("base"))
        kind = base.partition(":")[0]
        of_base = FROM_SCRATCH if kind in names(_ARCHITECTURES) else SETFIT if kind == "setfit" else {}
        return {**of_base, **PRESETS_FROM_SCRATCH.get(base, {}), **PROFILES.get(str(given.get("profile")), {}), **given}

    @model_validator(mode="after")
    def _name_the_head_adapter(self) -> "TrainOptions":
        if self.head_adapter is None and self.head_size is not None:
            raise ValueError("--head-size is of a head adapter. Name it with --head-adapter")
        return self
