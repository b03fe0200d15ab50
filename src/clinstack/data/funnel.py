"""How many rows each rule left, in the order of the rules: what a reader of a cohort's flow chart wants to see."""

from typing import Any


class Funnel:
    """Steps of one cohort; `rows` is ready for JSON.

    A row: {"rule", "what", "unit", "left", "dropped"}; `dropped` is None where the unit changes or nothing came before.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def left(self, rule: str, what: str, unit: str, count: int) -> None:
        """Notes that `count` rows are left after a rule; `what` says, in a few words, what they are."""
        before = self.rows[-1] if self.rows else None
        dropped = before["left"] - count if before is not None and before["unit"] == unit else None
        self.rows.append({"rule": rule, "what": what, "unit": unit, "left": count, "dropped": dropped})
