"""DIAG: which diagnoses will be coded for this stay?"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.icd9 import label_codes, load_codes, load_titles, title_groups
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TABLE, TITLES = "DIAGNOSES_ICD", "D_ICD_DIAGNOSES"


class Diagnoses(Outcome):
    """ICD-9 diagnoses cut to three characters, four for V and E codes (van Aken et al. 2021): 1,266 in MIMIC-III."""

    name: ClassVar[str] = "diag"
    kind: ClassVar[str] = "multilabel"

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads DIAGNOSES_ICD and, if it is there, D_ICD_DIAGNOSES."""
        load_codes(tables, TABLE)
        load_titles(tables, TITLES)

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """The groups of every admission that has a code."""
        return label_codes(tables, TABLE, "labels_diag", _group(rules))

    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """Of the commonest code of each group."""
        return title_groups(tables, TABLE, TITLES, _group(rules))


def _group(rules: Rules) -> str:
    """SQL of a code's group."""
    longer = "icd9_code[1] = 'E'" if rules.v_categories else "icd9_code[1] IN ('V', 'E')"
    return f"left(icd9_code, CASE WHEN {longer} THEN 4 ELSE 3 END)"
