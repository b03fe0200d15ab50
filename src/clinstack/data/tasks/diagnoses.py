"""DIAG: which diagnoses will be coded for this stay?"""

from collections.abc import Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.icd9 import label_codes, load_codes
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TABLE = "DIAGNOSES_ICD"


class Diagnoses(Outcome):
    """ICD-9 diagnoses cut to three characters, four for V and E codes (van Aken et al. 2021): 1,266 in MIMIC-III."""

    name: ClassVar[str] = "diag"
    kind: ClassVar[str] = "multilabel"

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads DIAGNOSES_ICD."""
        load_codes(tables, TABLE)

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """The groups of every admission that has a code."""
        longer = "icd9_code[1] = 'E'" if rules.v_categories else "icd9_code[1] IN ('V', 'E')"
        return label_codes(tables, TABLE, "labels_diag", f"left(icd9_code, CASE WHEN {longer} THEN 4 ELSE 3 END)")
