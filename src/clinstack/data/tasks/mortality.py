"""MOR: does the patient die during this hospital stay?"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TITLES = {
    "NOT_DIE": "leaves the hospital alive",
    "DIE": "dies during this hospital stay",
}
CLASSES = tuple(TITLES)


class Mortality(Outcome):
    """HOSPITAL_EXPIRE_FLAG of the admission (van Aken et al. 2021); notes that tell the death are edited or left out."""

    name: ClassVar[str] = "mor"
    kind: ClassVar[str] = "binary"
    without_death: ClassVar[bool] = True

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Needs ADMISSIONS alone, which is there."""

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """One of two classes for every admission."""
        tables.run(
            f"CREATE TABLE labels_mor AS SELECT hadm_id, [{list(CLASSES)}[hospital_expire_flag + 1]] AS labels FROM admissions"
        )
        return CLASSES

    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """As the classes are defined."""
        return TITLES
