"""PMV: will the patient need a ventilator for more than seven days?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from clinstack.data.funnel import Funnel
from clinstack.data.icd9 import load_codes, load_titles
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules
from clinstack.data.ventilation import label_ventilation, load_membership, load_ventilation

TITLES = {
    "LE7D": "on a ventilator for at most 7 days",
    "GT7D": "on a ventilator for more than 7 days",
}
CLASSES = tuple(TITLES)


class Ventilation(Outcome):
    """Prolonged mechanical ventilation: a published table of members, or the cohort of Huang et al. (2020) rebuilt.

    Members and splits of Naik et al. (2022) are published as a table; with `--ventilation-labels` it is used as it is. Else
    episodes come from `--ventilation-durations`, or from CHARTEVENTS and PROCEDUREEVENTS_MV, and patients are split anew.
    """

    name: ClassVar[str] = "pmv"
    kind: ClassVar[str] = "binary"
    without_death: ClassVar[bool] = True
    own_fractions: ClassVar[tuple[float, float, float] | None] = (0.8, 0.1, 0.1)

    def __init__(self, members: Path | None = None, durations: Path | None = None) -> None:
        self._members, self._durations = members, durations

    @classmethod
    def make(cls, given: Mapping[str, Path | None]) -> Self:
        """Takes a table of members, or one of ventilated spells."""
        return cls(given.get("ventilation_labels"), given.get("ventilation_durations"))

    @property
    def gives_split(self) -> bool:
        """A table of members says the split."""
        return self._members is not None

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads the members, or all that the cohort is rebuilt from."""
        if self._members is not None:
            load_membership(tables, self._members)
            return
        tables.load("PATIENTS", {"SUBJECT_ID": "BIGINT", "DOB": "TIMESTAMP"})
        stays = {"HADM_ID": "BIGINT", "SUBJECT_ID": "BIGINT", "ICUSTAY_ID": "BIGINT", "INTIME": "TIMESTAMP"}
        tables.load("ICUSTAYS", stays)
        tables.find("D_ICD_DIAGNOSES")
        load_titles(tables, "D_ICD_DIAGNOSES")
        load_codes(tables, "DIAGNOSES_ICD")
        load_ventilation(tables, self._durations)

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """One of two classes for every stay of the cohort."""
        if self._members is None:
            tables.run(
                """CREATE VIEW bedside_notes AS SELECT hadm_id, charttime FROM noteevents
                WHERE category IN ('Nursing', 'Nursing/other', 'Respiratory ') AND charttime IS NOT NULL"""
            )
            for rule, what, left in label_ventilation(tables):
                funnel.left(rule, what, "admissions", left)
        return CLASSES

    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """As the classes are defined."""
        return TITLES
