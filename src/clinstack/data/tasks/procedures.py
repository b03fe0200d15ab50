"""PROC: which procedures will be coded for this stay?"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.icd9 import label_codes, load_codes, load_titles, require_digits, title_groups
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TABLE, TITLES = "PROCEDURES_ICD", "D_ICD_PROCEDURES"


class Procedures(Outcome):
    """ICD-9 procedures cut to three characters (van Aken et al. 2021): 711 in MIMIC-III.

    The published classes were cut after the codes had been read as numbers: 0066 became 66, and 0331 and 3310 one class.
    Reference keeps that, for its 711 classes are what published figures average over; the switch leading-zeros mends it.
    """

    name: ClassVar[str] = "proc"
    kind: ClassVar[str] = "multilabel"

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Reads PROCEDURES_ICD and, if it is there, D_ICD_PROCEDURES."""
        load_codes(tables, TABLE)
        load_titles(tables, TITLES)
        if not rules.leading_zeros:
            require_digits(tables, TABLE)

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """The groups of every admission that has a code."""
        return label_codes(tables, TABLE, "labels_proc", _group(rules))

    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """Of the commonest code of each group."""
        return title_groups(tables, TABLE, TITLES, _group(rules))


def _group(rules: Rules) -> str:
    """SQL of a code's group."""
    code = "icd9_code" if rules.leading_zeros else "icd9_code::BIGINT::VARCHAR"
    return f"left({code}, 3)"
