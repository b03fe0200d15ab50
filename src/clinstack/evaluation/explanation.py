"""Why a model says what it says of a note: what each word adds, what each section adds, and whether that is to be believed.

Words are those of the text; a token's share goes to the word that it begins in. An explanation is only as good as its
prediction of what happens without the words that it names, so that is done: the note is read again without the tenth of its
words that speak most for the class, and, to compare, without as many others chosen by chance (DeYoung et al. 2020, "ERASER",
arXiv 1911.03429, section 4, comprehensiveness; theirs compares nothing by chance).
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clinstack.data.headings import parts_of

_WORD = re.compile(r"\S+")
_TAKEN = 0.1
_BY_CHANCE = 10
_MOST_LEFT_OUT = 500


@dataclass(frozen=True)
class Part:
    """A word or a section: where in the text it lies, and what it adds to the class's log-odds."""

    start: int
    end: int
    share: float
    name: str = ""


@dataclass(frozen=True)
class Faithfulness:
    """By how much the class's log-odds fall without the `words` that speak most for it, and without as many by chance.

    by_chance: the mean of ten draws.   A faithful explanation falls much further than chance.
    """

    words: int
    without_named: float
    by_chance: float


@dataclass(frozen=True)
class Explanation:
    """Of one class of one note. words: those that the model reads.   sections: those that hold such words, by their headings.

    faithfulness: None for a note of fewer than ten words.
    """

    words: list[Part]
    sections: list[Part]
    faithfulness: Faithfulness | None


def explain(
    text: str, shares: Sequence[tuple[int, float]], log_odds: Callable[[Sequence[str]], NDArray[np.float64]]
) -> Explanation:
    """Words and sections with what they add, from what tokens add.

    shares: of each token that is read, the character that it begins at and what it adds.
    log_odds: of the class, of several texts (N,).
    """
    words = _words(text, shares)
    return Explanation(words, _sections(text, words), _faithfulness(text, words, log_odds))


def shares_without(text: str, log_odds: Callable[[Sequence[str]], NDArray[np.float64]]) -> list[tuple[int, float]]:
    """What words add to a class's log-odds, as what these lose without them; for models that have no gradient.

    A long note's words are left out several at a time, and share alike. Returns pairs as `explain` takes them.
    """
    spans = [Part(match.start(), match.end(), 0.0) for match in _WORD.finditer(text)]
    size = max(1, -(-len(spans) // _MOST_LEFT_OUT))
    groups = [spans[at : at + size] for at in range(0, len(spans), size)]
    whole, *without = log_odds([text, *(_without(text, some) for some in groups)]).tolist()
    return [
        (word.start, (whole - odds) / len(some)) for some, odds in zip(groups, without, strict=True) for word in some
    ]


def _words(text: str, shares: Sequence[tuple[int, float]]) -> list[Part]:
    spans = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    ends = np.array([end for _, end in spans])
    found = np.zeros(len(spans))
    seen = np.zeros(len(spans), dtype=bool)
    for start, share in shares:
        place = int(np.searchsorted(ends, start, side="right"))  # the first word that ends behind the token's beginning
        if place < len(spans):
            found[place] += share
            seen[place] = True
    return [Part(*span, float(one)) for span, one, read in zip(spans, found, seen, strict=True) if read]


def _sections(text: str, words: Sequence[Part]) -> list[Part]:
    begins = [*parts_of(text), (len(text), "")]
    found = []
    for (start, name), (end, _) in pairwise(begins):
        inside = [word.share for word in words if start <= word.start < end]
        if inside:
            found.append(Part(start, end, sum(inside), name))
    return found


def _faithfulness(
    text: str, words: Sequence[Part], log_odds: Callable[[Sequence[str]], NDArray[np.float64]]
) -> Faithfulness | None:
    count = int(len(words) * _TAKEN)
    if not count:
        return None
    chance = random.Random(0)
    named = sorted(words, key=lambda word: -word.share)[:count]
    draws = [chance.sample(list(words), count) for _ in range(_BY_CHANCE)]
    whole, without, *others = log_odds([text, *(_without(text, some) for some in (named, *draws))]).tolist()
    return Faithfulness(count, whole - without, whole - float(np.mean(others)))


def _without(text: str, words: Sequence[Part]) -> str:
    """The text without these words; the space around them stays."""
    kept, end = [], 0
    for word in sorted(words, key=lambda word: word.start):
        kept.append(text[end : word.start])
        end = word.end
    return "".join([*kept, text[end:]])
