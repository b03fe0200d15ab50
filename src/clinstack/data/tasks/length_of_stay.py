"""LOS: how long does the patient stay in hospital, in four classes?"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from clinstack.data.funnel import Funnel
from clinstack.data.outcome import Outcome
from clinstack.data.raw_tables import RawTables
from clinstack.data.rules import Rules

TITLES = {
    "LT3D": "at most 3 days in hospital",
    "3DTO7D": "more than 3 days, at most 7",
    "1WTO2W": "more than 7 days, at most 14",
    "GT2W": "more than 14 days in hospital",
}
CLASSES = tuple(TITLES)


class LengthOfStay(Outcome):
    """Days from admission to discharge, rounded to one decimal: at most 3, 7, 14, or more (van Aken et al. 2021).

    Rounded on the binary value, as Python and C do: of the limits only a stay of exactly 14.05 days would be another class
    if ten times the days were rounded half to even. Who died in hospital is left out: a short stay means something else then.
    """

    name: ClassVar[str] = "los"
    kind: ClassVar[str] = "multiclass"

    def load(self, tables: RawTables, rules: Rules) -> None:
        """Needs ADMISSIONS alone, which is there."""

    def label(self, tables: RawTables, rules: Rules, funnel: Funnel) -> Sequence[str]:
        """One of four classes for every admission that did not end in death."""
        tables.run(
            f"""CREATE TABLE labels_los AS
            SELECT hadm_id, [{list(CLASSES)}[1 + (days > 3)::INT + (days > 7)::INT + (days > 14)::INT]] AS labels
            FROM (SELECT hadm_id, format('{{:.1f}}', (epoch(dischtime) - epoch(admittime)) / 86400)::DOUBLE AS days
                  FROM admissions WHERE hospital_expire_flag = 0 AND admittime IS NOT NULL AND dischtime IS NOT NULL)"""
        )
        return CLASSES

    def titles(self, tables: RawTables, rules: Rules) -> Mapping[str, str]:
        """As the classes are defined."""
        return TITLES
