"""PROC: which procedures will be coded for this stay?"""

from collections.abc import Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.icd9 import label_codes, load_codes, require_digits
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TABLE = "PROCEDURES_ICD"


class Procedures(Outcome):
    """ICD-9 procedures cut to three characters (van Aken et al. 2021): 711 in MIMIC-III.

    The published classes were cut after the codes had been read as numbers: 0066 became 66, and 0331 and 3310 one class.
    Reference keeps that, for its 711 classes are what published figures average over; the switch leading-zeros mends it.
    """

    name: ClassVar[str] = "proc"
    kind: ClassVar[str] = "multilabel"

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads PROCEDURES_ICD."""
        load_codes(tables, TABLE)
        if not rules.leading_zeros:
            require_digits(tables, TABLE)

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """The groups of every admission that has a code."""
        code = "icd9_code" if rules.leading_zeros else "icd9_code::BIGINT::VARCHAR"
        return label_codes(tables, TABLE, "labels_proc", f"left({code}, 3)")
