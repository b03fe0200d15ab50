"""One typed options class per command. Flags, TOML files, defaults and the merged config of a run are all made from it.

Options are numbers and names; nothing here imports torch, so `--help` is quick. Options of a PEFT method are not listed here:
they come from the method's own class and travel in `method_options`.
"""

from clinstack.config.data import (
    DescribeOptions,
    LinesOptions,
    Mimic3Options,
    Mimic4Options,
    SyntheticOptions,
    TableOptions,
)
from clinstack.config.demo import DemoOptions
from clinstack.config.evaluation import EvaluateOptions, PredictOptions
from clinstack.config.options import Chosen, Options, make_options
from clinstack.config.serving import (
    AuditCheckOptions,
    AuditFindOptions,
    KeysAddOptions,
    KeysListOptions,
    KeysRemoveOptions,
    LibraryAddOptions,
    LibraryExportOptions,
    LibraryListOptions,
    LibraryPromoteOptions,
    LibraryRollbackOptions,
    LibraryShowOptions,
    LibraryVerifyOptions,
    ServeOptions,
)
from clinstack.config.studies import (
    ComparisonOptions,
    EngineOptions,
    LimitedDataOptions,
    PlanCheckOptions,
    ReportOptions,
    SearchAdaptOptions,
    SearchOptions,
    SearchTrainOptions,
    StudyOptions,
    Table1Options,
    Table2Options,
    Table3Options,
    Table4Options,
)
from clinstack.config.training import (
    FROM_SCRATCH,
    PRESETS_FROM_SCRATCH,
    PROFILES,
    SETFIT,
    AdaptOptions,
    TrainingOptions,
    TrainOptions,
)

__all__ = [
    "FROM_SCRATCH",
    "PRESETS_FROM_SCRATCH",
    "PROFILES",
    "SETFIT",
    "AdaptOptions",
    "AuditCheckOptions",
    "AuditFindOptions",
    "Chosen",
    "ComparisonOptions",
    "DemoOptions",
    "DescribeOptions",
    "EngineOptions",
    "EvaluateOptions",
    "KeysAddOptions",
    "KeysListOptions",
    "KeysRemoveOptions",
    "LibraryAddOptions",
    "LibraryExportOptions",
    "LibraryListOptions",
    "LibraryPromoteOptions",
    "LibraryRollbackOptions",
    "LibraryShowOptions",
    "LibraryVerifyOptions",
    "LimitedDataOptions",
    "LinesOptions",
    "Mimic3Options",
    "Mimic4Options",
    "Options",
    "PlanCheckOptions",
    "PredictOptions",
    "ReportOptions",
    "SearchAdaptOptions",
    "SearchOptions",
    "SearchTrainOptions",
    "ServeOptions",
    "StudyOptions",
    "SyntheticOptions",
    "Table1Options",
    "Table2Options",
    "Table3Options",
    "Table4Options",
    "TableOptions",
    "TrainOptions",
    "TrainingOptions",
    "make_options",
]
