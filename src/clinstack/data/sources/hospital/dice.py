"""Chance that is the same on every machine and every Python.

Python promises one thing about its generator across versions: that `Random(integer).random()` keeps its sequence. `choice`,
`shuffle` and `gauss` are not promised, and `log` or `exp` may differ in the last bit between C libraries. So all chance here is
made of `random()` and of plus, minus and times. A stream is named by what it decides (seed, folder, patient, purpose), which
makes each patient reproducible alone, in whatever order or number of pieces the hospital is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import TypeVar

Thing = TypeVar("Thing")

# Four uniform numbers have the variance 4/12; this makes it 1.
_UNIT_DEVIATION = 1.7320508075688772


class Dice:
    """A stream of chance named by `key`; the same key gives the same stream."""

    def __init__(self, *key: str | int) -> None:
        name = ":".join(str(part) for part in key)
        self.roll = Random(int.from_bytes(sha256(name.encode()).digest()[:8], "big")).random

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.roll() < probability

    def pick(self, options: Sequence[Thing]) -> Thing:
        """One of the options, each as likely."""
        return options[int(self.roll() * len(options))]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.roll() * (high - low + 1))

    def bell(self) -> float:
        """A bell-shaped number of mean 0 and deviation 1, never beyond 3.5."""
        roll = self.roll
        return (roll() + roll() + roll() + roll() - 2.0) * _UNIT_DEVIATION

    def some(self, options: Sequence[Thing], count: int) -> list[Thing]:
        """Up to `count` different options, in random order."""
        rest = list(options)
        chosen = []
        for _ in range(min(count, len(rest))):
            chosen.append(rest.pop(int(self.roll() * len(rest))))
        return chosen

    def weighted(self, options: Sequence[Thing], weights: Sequence[float]) -> Thing:
        """One of the options, in proportion to its weight."""
        left = self.roll() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]


def between_knots(score: float, knots: Sequence[tuple[float, float]]) -> float:
    """The value at `score` of the straight lines through the knots (score, value); flat beyond the outermost."""
    left_score, left_value = knots[0]
    if score <= left_score:
        return left_value
    for right_score, right_value in knots[1:]:
        if score <= right_score:
            return left_value + (right_value - left_value) * (score - left_score) / (right_score - left_score)
        left_score, left_value = right_score, right_value
    return left_value
