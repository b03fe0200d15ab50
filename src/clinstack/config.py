"""One typed options class per command. Flags, TOML files, defaults and the merged config of a run are all made from it.

Options are numbers and names; nothing here imports torch, so `--help` is quick. Options of a PEFT method are not listed here:
they come from the method's own class and travel in `method_options`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinstack.discovery import names
from clinstack.errors import BadInput, did_you_mean


class Options(BaseModel):
    """What every command's options share: complete, frozen, and no unknown name."""

    # Built when first used: a command needs one class of twenty, and `--help` none.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, allow_inf_nan=False
    )


Chosen = TypeVar("Chosen", bound=Options)


def make_options(kind: type[Chosen], given: dict[str, Any]) -> Chosen:
    """A command's options from flags or keywords. Raises BadInput: every mistake, and the nearest name of an unknown one."""
    known = [key for key in kind.model_fields if key != "method_options"]
    if unknown := sorted(set(given) - set(kind.model_fields)):
        raise BadInput(f"Unknown option {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
    try:
        return kind(**given)
    except ValidationError as error:
        raise BadInput(" ".join(f"--{_flag(one['loc'])}: {one['msg']}." for one in error.errors())) from error


def _flag(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).replace("_", "-")


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
    head_scale: Literal["none", "training"] = "none"
    """Centre and scale what the head's last layers read by the training notes, so that they learn in fewer steps."""
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


class SearchOptions(Options):
    """What every search needs besides the options of the command it tries."""

    trials: int = Field(default=20, ge=1)
    """Different points to train; more may be asked for later."""
    space: Path | None = None
    """TOML file of what is searched: option = [values], or {low, high, log}; instead of the published space of the method."""
    learning_rates: tuple[float, float] | None = None
    """Search the learning rate too, between these two, on a logarithmic scale."""
    prune_after: int = Field(default=0, ge=0)
    """Tokens after which a trial stops that is worse than the median there; 0 trains every trial to its end."""
    storage: str | None = None
    """Where the record is kept: a database URL such as postgresql+psycopg://host/name; a journal file in --out without it."""
    workers: int = Field(default=1, ge=1)
    """Processes that try points at the same time; more may be started by hand, with the same command."""


class SearchAdaptOptions(AdaptOptions, SearchOptions):
    """Searches the options of step 1 for the lowest validation bits per byte."""

    out: Path
    """Search folder to write; the same command goes on with an interrupted search."""


class SearchTrainOptions(TrainOptions, SearchOptions):
    """Searches the options of step 2 for the highest validation AUROC."""

    out: Path
    """Search folder to write; the same command goes on with an interrupted search."""


class Table2Options(Options):
    """Searches, then trains, each PEFT method on each base: trainable weights, perplexity, bits per byte, forgetting, cost."""

    bases: list[str]
    """Base models: folders, hub ids, or tiny-base; may be given several times."""
    corpus: Path
    """Corpus folder, made by `clinstack data`."""
    out: Path
    """Study folder to write; the same command goes on with an interrupted study."""
    methods: str = "lora,adaption-prompt,prefix,prompt,p-tuning"
    """PEFT methods, joined by commas; the published five without it."""
    trials: int = Field(default=20, ge=1)
    """Points searched for each method and base."""
    search_tokens: int | None = Field(default=None, ge=1)
    """Tokens of the corpus that a trial reads; all of them without it."""
    prune_after: int = Field(default=0, ge=0)
    """Tokens after which a trial stops that is worse than the median there; 0 trains every trial to its end."""
    learning_rates: tuple[float, float] | None = None
    """Search the learning rate too, between these two; 3e-4 for all, as published, without it."""
    general: Path | None = None
    """File of general text (a table with the column text), to measure what the base forgets."""
    epochs: int = Field(default=1, ge=1)
    """Times the corpus is read."""
    batch_size: int = Field(default=8, ge=1)
    """Blocks read at once."""
    max_tokens: int = Field(default=512, ge=8)
    """Length of a packed block."""
    validation_tokens: int = Field(default=100_000, ge=1)
    """Most tokens measured during training; valid and test are measured whole, before and after the last one."""
    workers: int = Field(default=1, ge=1)
    """Processes that try points at the same time."""
    seed: int = Field(default=1, ge=0)
    """Decides fresh weights, dropout, the order of batches and the search."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; auto takes bfloat16 where the processor has it. Evaluation is always float32."""


class EngineOptions(Options):
    """What every study of many runs needs: a folder, and who trains."""

    out: Path
    """Study folder to write; the same command goes on with an interrupted study."""
    workers: int = Field(default=0, ge=0)
    """Processes that train cells at the same time; 0 takes as many as cores and memory allow."""
    engine: Literal["local", "ray"] = "local"
    """Where cells are trained: on this machine, or on a Ray cluster that shares the folder (extra ray)."""
    address: str | None = None
    """Of --engine ray: a running cluster, such as 10.0.0.1:6379; one on this machine without it."""


class StudyOptions(EngineOptions):
    """Trains every combination of a grid that a TOML file gives, and writes one table and page of all."""

    grid: Path
    """TOML file of the grid."""


class Table1Options(Options):
    """Makes the five outcome tasks from MIMIC-III's CSV files, and the table of their sizes beside the published ones."""

    source: Path
    """Folder of the CSV files, plain or gzipped."""
    out: Path
    """Study folder to write; the tasks lie in its folder tasks."""
    tasks: str = "los,mor,pmv,diag,proc"
    """Which tasks, joined by commas; pmv needs CHARTEVENTS and four more tables."""
    profile: Literal["correct", "as-described", "as-released"] = "correct"
    """Every correction of the rules that make notes and labels, or, for both others, the published rules."""
    split_lists: Path | None = None
    """Folder of the published lists of patients, mimic_train.csv, mimic_val.csv and mimic_test.csv."""
    ventilation_labels: Path | None = None
    """CSV of pmv's members: hadm_id, label (0 or 1), split (train, val or test)."""
    ventilation_durations: Path | None = None
    """CSV of ventilated spells (the ventdurations table), instead of CHARTEVENTS."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class ComparisonOptions(EngineOptions):
    """What the tables of step 2 share. What is left out is the profile's."""

    tasks: list[Path]
    """Task folders, or folders that hold them; may be given several times."""
    profile: Literal["correct", "as-described", "as-released"] = "correct"
    """Ours, what the published study describes, or what its released code does, with its faults."""
    seeds: int = Field(default=5, ge=1)
    """Train every cell so many times, with the seeds 1, 2, ..."""
    epochs: int | None = Field(default=None, ge=1)
    """Times the training part is read."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Highest learning rate of heads and adapters."""
    encoder_learning_rate: float = Field(default=5e-5, gt=0)
    """Highest learning rate of encoders that are trained in full."""
    batch_size: int | None = Field(default=None, ge=1)
    """Notes read at once."""
    max_tokens: int | None = Field(default=None, ge=3)
    """Most tokens read of a note."""
    pooling: Literal["last", "mean", "first"] | None = None
    """Which token states the head of a stack reads; encoders are read at their first token."""
    resamples: int | None = Field(default=None, ge=100)
    """Bootstrap resamples of the patients for the intervals."""
    settings: Path | None = None
    """TOML file of further options: tables all, clinical and variants, as in a grid; own variants are rows of table3."""
    device: str | None = None
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """Arithmetic of training; auto takes bfloat16 where the processor has it. Evaluation is always float32."""


class Table3Options(ComparisonOptions):
    """Trains the six variants of step 2 on each base and task: does step 1 help, does stacking?"""

    bases: list[str]
    """Base models: folders, hub ids, or tiny-base; may be given several times."""
    corpus: Path | None = None
    """Corpus folder, to train a clinical adapter for each base."""
    clinical: list[Path] = []
    """Finished step-1 run of each base, in the order of --bases, instead of --corpus."""
    encoders: list[str] = []
    """BERT-type bases that are trained in full, for comparison; may be given several times."""


class Table4Options(ComparisonOptions):
    """Trains BERT-type encoders with LoRA and in full on each task."""

    encoders: list[str]
    """BERT-type bases: folders or hub ids; may be given several times."""


_LIMITED_DESCRIBED: dict[str, Any] = {"seeds": 1, "sizes": "all", "batch_size": 8, "steps": 1200, "arms": ["native"]}
"""What the published protocol of Le et al. 2024 changes, as far as it is known."""


class LimitedDataOptions(EngineOptions):
    """Which model to use where a few thousand labelled lines are all there is: learning curves of small models and heads."""

    tasks: list[Path]
    """Task folders, or folders that hold them; may be given several times. Their notes are split anew for each seed."""
    encoders: list[str] = []
    """BERT-type bases that stay frozen (or get a LoRA): folders or hub ids; may be given several times."""
    setfit: list[str] = []
    """Encoders that SetFit tunes on pairs, with up to 200 notes (needs clinstack[setfit]); may be given several times."""
    sizes: str = "auto"
    """Training notes, joined by commas, all for all of them; auto takes 50, 100, 200, ... as far as there are."""
    seeds: int = Field(default=5, ge=1)
    """Splits by patient, each with a seed of its own for weights and order: 1, 2, ..."""
    heads: str = "none,adapter,lightweight,tiny-attention,grn"
    """Heads on each encoder, joined by commas: none is the linear probe; a preset stands behind a colon (grn:small)."""
    arms: list[Literal["native", "equal"]] = ["native", "equal"]
    """Head adapters in their own size, and in one that has as many weights as the bottleneck of 64."""
    lora: Literal["none", "largest", "all"] = "largest"
    """A real LoRA on each encoder (rank 8, queries and values), which reads anew every epoch: with all notes, or every size."""
    scratch: str = "transformer,moe-transformer,transformer:mean"
    """Small models from nothing, joined by commas; transformer:mean is a mean of embeddings."""
    baselines: str = "majority,tf-idf,tf-idf-svm,tf-idf-mlp"
    """Baselines, joined by commas."""
    line_split: Literal["none", "largest"] = "largest"
    """Split all notes by line too, to show what leaks where a patient's lines are on both sides."""
    own_split: Literal["auto", "none", "largest"] = "auto"
    """Train on all notes in the task's own parts too: auto where these are by time or by site, which chance cannot imitate."""
    label_noise: list[Annotated[float, Field(gt=0, lt=1)]] = []
    """Shares of wrong training labels, such as 0.05 0.1 0.2, with which all arms but LoRA learn once more from all notes."""
    profile: Literal["correct", "as-described"] = "correct"
    """Ours, or an imitation of the published protocol: one split by line, batches of 8, all notes, no other split or size."""
    steps: int = Field(default=300, ge=1)
    """Most steps of a training; a block on a frozen encoder takes half as many, a linear probe ten times as many, and what
    learns inside a model reads every note three times, if that is more.
    """
    patience: int = Field(default=60, ge=0)
    """Stop after so many steps, at least two epochs, without a better macro F1 on validation; 0 never stops."""
    batch_size: int = Field(default=32, ge=1)
    """Notes of a step."""
    max_tokens: int = Field(default=256, ge=3)
    """Most tokens read of a note."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples of the patients for the intervals of differences."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of training."""

    @model_validator(mode="before")
    @classmethod
    def _follow_profile(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**(_LIMITED_DESCRIBED if given.get("profile") == "as-described" else {}), **given}


class SyntheticOptions(Options):
    """Writes the synthetic hospital: folders of CSV files in the shape of MIMIC-III and MIMIC-IV-Note."""

    out: Path
    """Folder to write."""
    patients: int = Field(default=1000, ge=10)
    """Patients of each of the two hospitals' tables."""
    seed: int = Field(default=1, ge=0)
    """Decides everything; the same seed gives the same bytes on every machine."""
    plain: bool = False
    """Write .csv instead of .csv.gz."""
    identifiers: float = Field(default=0.0, ge=0, le=1)
    """Share of mimic4's notes into which made-up identifiers are planted and listed, to measure the guard on."""


class LinesOptions(Options):
    """Writes made-up French lines of a children's intensive care unit, labelled by cardiac failure, as a CSV file."""

    out: Path
    """CSV file to write, with note_id, patient_id, text and label; for `clinstack data table`."""
    lines: int = Field(default=5444, ge=1)
    """Lines in all."""
    patients: int = Field(default=1386, ge=1)
    """Children they are of."""
    positive: float = Field(default=0.36, ge=0, le=1)
    """Share of lines with cardiac failure."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Share of labels that are turned round, whatever the line says."""
    seed: int = Field(default=1, ge=0)
    """Decides everything."""


class Mimic3Options(Options):
    """Makes the five outcome tasks from MIMIC-III's CSV files, or from any hospital's in the same form."""

    source: Path
    """Folder of the CSV files, plain or gzipped."""
    out: Path
    """Folder to write: a task folder each, and build.json."""
    tasks: str = "los,mor,pmv,diag,proc"
    """Which tasks, joined by commas; pmv needs CHARTEVENTS and four more tables."""
    mode: Literal["reference", "strict"] = "reference"
    """The published rules, or every correction of them."""
    strict: list[str] = []
    """One correction alone, such as end-of-text; may be given several times."""
    split_lists: Path | None = None
    """Folder of the published lists of patients, mimic_train.csv, mimic_val.csv and mimic_test.csv."""
    ventilation_labels: Path | None = None
    """CSV of pmv's members: hadm_id, label (0 or 1), split (train, val or test)."""
    ventilation_durations: Path | None = None
    """CSV of ventilated spells (the ventdurations table), instead of CHARTEVENTS."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class Mimic4Options(Options):
    """Makes the corpus of step 1 from MIMIC-IV-Note's CSV files."""

    source: Path
    """Folder of discharge.csv and radiology.csv, plain or gzipped, or the one above it."""
    out: Path
    """Corpus folder to write."""
    notes: str = "discharge,radiology"
    """Which notes, joined by commas."""
    mode: Literal["strict", "reference"] = "strict"
    """The published cleaning of text with its accidents mended, or to the byte."""
    newlines: Literal["space", "keep"] = "space"
    """Of strict: whether line breaks become spaces."""
    holdout: Literal["patient", "note"] = "patient"
    """What is held out for validation and test; by note, as published, puts most patients on both sides."""
    against: list[Path] = []
    """Task whose validation and test notes are looked for in the corpus; may be given several times."""
    drop_contaminated: bool = False
    """Leave out the notes that hold one of them."""
    identifiers: Literal["off", "count", "refuse", "mask"] = "off"
    """Look for likely names, dates, phone and record numbers first; needs clinstack[guard]."""
    identifier_limit: float = Field(default=0.0, ge=0)
    """Likely identifiers per 1,000 notes that are neither refused nor masked."""
    name: str | None = None
    """Name of the corpus; the folder's name without it."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class TableOptions(Options):
    """Makes a task folder (with labels) or a corpus folder (without) from tables of notes."""

    files: list[Path]
    """FILE... OUT: one or more CSV, TSV, Parquet or JSONL files (also .gz), then the folder to write."""
    text: str
    """Column of the note's text."""
    label: str | None = None
    """Column of its one class."""
    labels: str | None = None
    """Column of its classes: a list, a JSON list, or classes joined by --label-separator."""
    patient: str | None = None
    """Column of the patient; splits never divide a patient. Without it every note is its own patient."""
    id: str | None = None
    """Column of the note's id; file name and row number without it."""
    split: str | None = None
    """Column that says train, valid or test; --split-by decides without it."""
    time: str | None = None
    """Column of the note's time."""
    category: str | None = None
    """Column of the note's category."""
    site: str | None = None
    """Column of the hospital or ward."""
    classes: list[str] | None = None
    """The classes, in order; discovered if not given."""
    label_separator: str = ";"
    """What separates classes in one field."""
    label_map: Path | None = None
    """File with the columns label and class, and title if wanted (.csv, .tsv), or an object of labels and classes (.json,
    .toml): what a label means."""
    drop_unmapped: bool = False
    """Drop what the map gives no class, instead of refusing it: of --label the row, of --labels the label alone."""
    split_by: Literal["patient", "time", "site"] = "patient"
    """By hash of seed and patient, by time (test is the latest), or by site (test is --test-site)."""
    fractions: tuple[float, float, float] | None = None
    """Shares of the patients in train, valid and test, as in --fractions 0.7 0.1 0.2, which is the default."""
    valid_from: str | None = None
    """By time: the date that validation begins with, such as 2022-01-01; instead of --fractions."""
    test_from: str | None = None
    """By time: the date that the test split begins with."""
    time_format: str | None = None
    """By time: how times are written, such as '%d/%m/%Y %H:%M'; year first without it."""
    test_site: list[str] = []
    """By site: a site to test on; may be given several times."""
    identifiers: Literal["off", "count", "refuse", "mask"] = "off"
    """Look for likely names, dates, phone and record numbers first; needs clinstack[guard]."""
    identifier_limit: float = Field(default=0.0, ge=0)
    """Likely identifiers per 1,000 notes that are neither refused nor masked."""
    name: str | None = None
    """Name of the task or corpus; the folder's name without it."""
    seed: int = Field(default=123, ge=0)
    """Decides the split by patient."""
    terms: list[str] = []
    """Data-use terms that travel to every adapter trained on it."""


class DescribeOptions(Options):
    """Says what is in a task or corpus folder: counts, lengths, label balance, duplicates."""

    folder: Path
    """Task or corpus folder."""
    base: str | None = None
    """Base whose tokenizer counts the lengths; words are counted without it."""


class PlanCheckOptions(Options):
    """Plans runs that are finished, and prints how far the plan is from what they took."""

    runs: list[Path]
    """Run folders of step 1 or step 2, made on this machine."""


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


class LibraryAddOptions(Options):
    """Copies a finished step-2 run into a library, as the next version of a task; everything is verified first."""

    run: Path
    """Run folder of a step-2 run."""
    library: Path
    """Library folder; made if there is none."""
    name: str
    """The task's name in the library."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    by: list[str] = []
    """Figures of groups for the card: a column, or bands of its numbers, as in age:40,65,80; may be given several times."""
    attributes: Path | None = None
    """Table with note_id or patient_id and the columns of --by; the task's own columns without it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; the test notes are read again for --by."""


class LibraryListOptions(Options):
    """Lists the tasks of a library, their versions, and which of them answers."""

    library: Path
    """Library folder."""


class LibraryShowOptions(Options):
    """Shows a version: figures with intervals, lineage, data-use terms."""

    version: str
    """TASK, for the promoted version, or TASK@VERSION."""
    library: Path
    """Library folder."""


class LibraryVerifyOptions(Options):
    """Makes sure that versions are what was added: every file, every hash, every parent."""

    library: Path
    """Library folder."""
    version: str | None = None
    """TASK or TASK@VERSION; all of them without it."""
    base: str | None = None
    """Where the base is now, if not where it was."""


class LibraryPromoteOptions(Options):
    """Lets a version answer for its task, once it is verified."""

    version: str
    """TASK@VERSION."""
    library: Path
    """Library folder."""


class LibraryRollbackOptions(Options):
    """Lets the version answer that did before the promoted one."""

    task: str
    """The task."""
    library: Path
    """Library folder."""


class LibraryExportOptions(Options):
    """Writes a version for plain peft and transformers, with equal logits and a program that shows it."""

    version: str
    """TASK, for the promoted version, or TASK@VERSION."""
    library: Path
    """Library folder."""
    out: Path
    """Folder to write."""
    form: Literal["fused", "merged"] = "fused"
    """One adapter that does what the stack does, or a copy of the base with the adapters folded in."""
    base: str | None = None
    """Where the base is now, if not where it was."""
    accept_terms: bool = False
    """You may pass these weights on under the data-use terms that they carry."""


class ServeOptions(Options):
    """Answers over HTTP for every promoted task of a library; what is promoted meanwhile takes its place by itself."""

    library: Path
    """Library folder."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and says which."""
    base: str | None = None
    """Where the base of every version is now, if not where it was."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    keys: Path | None = None
    """File of the keys of those who may ask (`clinstack keys add`); needed where other machines can reach --host."""
    audit: Path | None = None
    """File of the audit log: who asked what when, and which version answered, with keyed hashes of notes."""
    watch: str | None = None
    """Database that counts what is asked and answered, as an SQLAlchemy URL, or off; watch.sqlite in the library without it."""
    watch_secret: Path | None = None
    """File of the key for ids of notes in that database, made if there is none; beside an SQLite file unless you say where."""
    keep_days: int = Field(default=90, ge=1)
    """Days for which probabilities wait for outcomes to be posted back."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a request that was not reached is answered with 503."""
    most_waiting: int = Field(default=512, ge=1)
    """Notes that may wait; who would come after them is answered with 503 and when to come again."""
    most_bytes: int = Field(default=4_000_000, ge=1000)
    """Largest request."""
    body_seconds: float = Field(default=20.0, gt=0)
    """Seconds in which a request must be there whole."""
    connections: int = Field(default=256, ge=1)
    """Most connections, and most requests in work, at once; a connection without a whole request makes way for a new one."""
    drain_seconds: float = Field(default=60.0, ge=1)
    """Seconds that requests in work have to end after SIGTERM."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged, on stderr; never a note."""
    replicas: int = Field(default=1, ge=1)
    """Processes that answer; more than one through Ray Serve (clinstack[scale-out])."""
    ray_address: str | None = None
    """Address of a running Ray cluster to answer from, such as 10.0.0.1:6379."""


class KeysAddOptions(Options):
    """Makes a key for a caller of the server and shows it once; the file holds its hash."""

    name: str
    """Of the caller, as logs will have it."""
    keys: Path
    """File of keys; made if there is none."""
    tasks: str | None = None
    """Tasks that may be asked, joined by commas; every task without it."""
    notes_per_minute: int = Field(default=600, ge=1)
    """Notes that may be asked in a minute."""


class KeysListOptions(Options):
    """Lists the callers that have a key, and what they may ask."""

    keys: Path
    """File of keys."""


class KeysRemoveOptions(Options):
    """Takes a caller's key out; a running server refuses it within a second."""

    name: str
    """Of the caller."""
    keys: Path
    """File of keys."""


class AuditCheckOptions(Options):
    """Makes sure that no line of a server's audit log was changed, moved or taken out."""

    log: Path
    """The log; its secret lies beside it."""


class AuditFindOptions(Options):
    """Finds when a note was asked, by whom, and which version answered."""

    log: Path
    """The log; its secret lies beside it."""
    note: Path
    """Text file with the note exactly as it was asked."""


class ReportOptions(Options):
    """Writes one self-contained HTML file about all runs below a folder."""

    folder: Path
    """Folder that holds run folders, at any depth."""
    out: Path | None = None
    """HTML file to write; report.html in the folder without it."""
    title: str | None = None
    """Title of the report."""


class DemoOptions(Options):
    """Walks the whole road on the synthetic hospital and the tiny base model."""

    out: Path = Path("demo-run")
    """Folder to write; the same command goes on with an interrupted demo."""
    full: bool = False
    """Train the six variants on all five tasks instead of two."""
    seed: int = Field(default=1, ge=0)
    """Decides hospital, weights and order."""
