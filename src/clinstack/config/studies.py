"""Of many runs: searches, tables, learning curves, plans and reports."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from clinstack.config.options import Options
from clinstack.config.training import AdaptOptions, TrainOptions


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

    @field_validator("out")
    @classmethod
    def _find_everywhere(cls, out: Path) -> Path:
        """Whole: processes of a cluster run in folders of their own."""
        return out.absolute()


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
    clinical_per_seed: bool = False
    """Train step 1 anew for each seed: without it, what another step 1 would have given is in no interval."""
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
    """Training notes, joined by commas, with all for all of them; auto takes 50, 100, 200, ... as far as there are."""
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
    label_noise: list[float] = []
    """Shares of wrong training labels, such as 0.05 0.1 0.2, with which all arms but LoRA learn once more from all notes."""
    profile: Literal["correct", "as-described"] = "correct"
    """Ours, or an imitation of the published protocol: one split by line, batches of 8, all notes, no other split or size."""
    steps: int = Field(default=300, ge=1)
    """Most steps of a training; what stands on a frozen encoder takes half as many or reads every note twice, and what learns
    inside a model reads every note three times, if that is more.
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

    @field_validator("label_noise")
    @classmethod
    def _require_shares(cls, shares: list[float]) -> list[float]:
        if wrong := [share for share in shares if not 0 < share < 1]:
            raise ValueError(f"{wrong[0]:g} is no share of labels. Give numbers between 0 and 1, such as 0.1")
        return shares


class PlanCheckOptions(Options):
    """Plans runs that are finished, and prints how far the plan is from what they took."""

    runs: list[Path]
    """Run folders of step 1 or step 2, made on this machine."""


class ReportOptions(Options):
    """Writes one self-contained HTML file about all runs below a folder."""

    folder: Path
    """Folder that holds run folders, at any depth."""
    out: Path | None = None
    """HTML file to write; report.html in the folder without it."""
    title: str | None = None
    """Title of the report."""
