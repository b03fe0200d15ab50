"""What a search may choose from: an option's values, or a range of numbers.

The published spaces come with the methods (`Method.space`); a TOML file replaces them, and may name any option of the command.
Ordered values are searched by their place in the order, so that the search knows that 8 lies between 4 and 16.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinstack.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Choice:
    """One of several values, in their order."""

    values: tuple[Any, ...]

    def distribution(self) -> "BaseDistribution":
        """The values' places."""
        from optuna.distributions import IntDistribution

        return IntDistribution(0, len(self.values) - 1)

    def value(self, drawn: Any) -> Any:
        """The value at a place."""
        return self.values[int(drawn)]

    def edges(self) -> list[Any]:
        """Every place, that of the largest number first."""
        numbers = all(isinstance(one, (int, float)) for one in self.values)
        return sorted(range(len(self.values)), key=lambda place: -self.values[place] if numbers else place)


@dataclass(frozen=True)
class Range:
    """A number between two."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def distribution(self) -> "BaseDistribution":
        """The range itself."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def value(self, drawn: Any) -> Any:
        """The number, with as many digits as matter: what is written down is what is tried."""
        return int(drawn) if self.whole else float(f"{drawn:.4g}")

    def edges(self) -> list[Any]:
        """Its two ends, the larger first."""
        return [self.high, self.low]


Space = dict[str, Choice | Range]


def choices(values: Mapping[str, tuple[Any, ...]]) -> Space:
    """A published space."""
    return {name: Choice(tuple(some)) for name, some in values.items()}


def read_space(file: Path, known: list[str], barred: Mapping[str, str]) -> Space:
    """The space in a TOML file. Raises BadInput naming the option and what is wrong with it.

    barred: options that are no matter of a search, and why.
    """
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"--space {file} cannot be read. Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"--space {file} is not valid TOML: {error}.") from None
    if not given:
        raise BadInput(f"--space {file} names no option to search.")
    if found := [name for name in given if name.replace("-", "_") in barred]:
        raise BadInput(f"{file}: {found[0]} cannot be searched: {barred[found[0].replace('-', '_')]}. Leave it out.")
    space = {name.replace("-", "_"): _read(file, name, value) for name, value in given.items()}
    if unknown := [name for name in space if name not in known]:
        raise BadInput(f"{file}: unknown option {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
    return space


def _read(file: Path, name: str, value: Any) -> Choice | Range:
    if isinstance(value, list) and value and len({str(one) for one in value}) == len(value):
        return Choice(tuple(value))
    if isinstance(value, dict) and {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        low, high, log = value["low"], value["high"], value.get("log", False)
        numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (low, high))
        if numbers and isinstance(log, bool) and low < high and (low > 0 or not log):
            return Range(low, high, log, whole=isinstance(low, int) and isinstance(high, int))
    raise BadInput(
        f"{file}: {name} must be a list of different values, or {{low = ..., high = ..., log = true}} with low below high "
        "(and above 0 where log)."
    )


def points(space: Space) -> list[dict[str, Any]] | None:
    """Every point of a space of choices, as drawn; None where a range makes them endless."""
    if any(isinstance(one, Range) for one in space.values()):
        return None
    places = [range(len(one.values)) for one in space.values() if isinstance(one, Choice)]
    return [dict(zip(space, drawn, strict=True)) for drawn in product(*places)]


def edges(space: Space) -> Iterator[dict[str, Any]]:
    """Few points, as drawn, that hold every value: the largest of all together, then each other beside the largest of the rest.

    What a base has no room for are large numbers, and most of all large ones together, such as virtual tokens before long
    blocks: if these points can be tried, so can those between.
    """
    largest = {name: one.edges()[0] for name, one in space.items()}
    yield largest
    for name, one in space.items():
        for drawn in one.edges()[1:]:
            yield {**largest, name: drawn}
