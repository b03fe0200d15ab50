"""An outcome: what a task asks of an admission note, as a rule over a hospital's tables. One file each in `data/tasks/`.

An outcome reads the tables it needs into duckdb, names its classes, and leaves a table of labels by stay; joining that with
the admission notes, splitting by patient and writing are the builder's, the same for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from clinstack import discovery
from clinstack.data.funnel import Funnel
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules
from clinstack.errors import BadInput, did_you_mean

_PACKAGE = "clinstack.data.tasks"


class Outcome(ABC):
    """The interface; `name` is its folder, `kind` that of the task.

    Before `label` the connection has `admissions`, `noteevents` (without texts) and `frame` (the admission notes); after it
    `labels_<name>(hadm_id BIGINT, labels VARCHAR[])`, with a column `split` if `gives_split`.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    without_death: ClassVar[bool] = False
    """Whether notes that mention the patient's death are edited or left out."""
    own_fractions: ClassVar[tuple[float, float, float] | None] = None
    """Shares of its own patients in train, valid and test; None if it takes the split of all admission notes."""

    @classmethod
    def make(cls, given: Mapping[str, Path | None]) -> Self:
        """The outcome; `given` are further files by option name, for those that take one."""
        return cls()

    @property
    def gives_split(self) -> bool:
        """Whether its labels come with their split."""
        return False

    @abstractmethod
    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads the tables that only this outcome needs and checks them. Raises BadInput with file and line."""

    @abstractmethod
    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """Makes `labels_<name>` and returns the class names in order."""

    @abstractmethod
    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """Class -> what it stands for, in words; asked after `label`. Classes that nothing names are left out."""


def outcomes() -> dict[str, type[Outcome]]:
    """Every outcome by name."""
    return {kind.name: kind for kind in discovery.members(_PACKAGE, Outcome).values()}  # type: ignore[type-abstract]


def chosen_outcomes(names: Iterable[str], given: Mapping[str, Path | None]) -> list[Outcome]:
    """The outcomes of these names, each once. Raises BadInput for an unknown name, or if there is none."""
    known = outcomes()
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise BadInput(f"Unknown task {name!r} (--tasks). {did_you_mean(name, known)}")
    if not wanted:
        raise BadInput(f"--tasks names no task. Known: {', '.join(sorted(known))}.")
    return [known[name].make(given) for name in wanted]
