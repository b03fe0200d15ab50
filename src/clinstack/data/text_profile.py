"""What notes look like from outside, in a few numbers: so that a server may tell when it is given other notes than it knows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clinstack.metrics.drift import Profile, profile

FEATURES = ("characters", "characters a word", "digits", "capitals", "line breaks")
"""Length; length of words; and shares of a note's characters."""


def text_features(text: str) -> NDArray[np.float64]:
    """The numbers (5,) of a text, in the order of FEATURES."""
    length, words = len(text), len(text.split())
    counted = (sum(map(str.isdigit, text)), sum(map(str.isupper, text)), text.count("\n"))
    return np.array([length, length / max(1, words), *(one / max(1, length) for one in counted)], dtype=np.float64)


def text_profile(texts: Sequence[str]) -> Profile:
    """How the numbers of many texts are distributed."""
    return profile(np.stack([text_features(text) for text in texts]))
