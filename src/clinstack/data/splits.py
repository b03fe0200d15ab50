"""A split by patient: which notes train, which select, which are tested on.

A patient's notes repeat each other (the same history, the same wording), so a patient in two splits would be tested
on what was learned by heart. The order is a hash of seed and patient rather than a shuffle: it depends on neither the rows'
order nor a library's random generator, so two people with the same ids get the same splits. Rule C2 of the MIMIC task
description; on MIMIC-III's 37,321 patients it gives the published 26,124 / 3,732 / 7,465.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from hashlib import sha256

from clinstack.data.notes import SPLITS
from clinstack.errors import BadInput

FRACTIONS = (0.7, 0.1, 0.2)


def split_by_patient(
    patient_ids: Iterable[str], seed: int = 123, fractions: tuple[float, float, float] = FRACTIONS
) -> dict[str, str]:
    """Each distinct patient's split: "train", "valid" or "test".

    patient_ids: in any order, repeats allowed.
    fractions:   of patients in train, valid and test; they sum to 1. Train and valid are rounded down, test is the
        rest.
    Raises BadInput for fractions that are no shares of a whole.
    Exact fractions, because floor(0.7 * 90) is 62 in floating point and 63 on paper.
    """
    return cut(by_hash(patient_ids, seed), as_shares(fractions))


def as_shares(fractions: Sequence[float]) -> list[Fraction]:
    """Exact shares. Raises BadInput unless they are three of a whole."""
    shares = [Fraction(str(fraction)) for fraction in fractions]
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) != 1:
        raise BadInput(
            f"Fractions {', '.join(map(str, fractions))}: give three shares (train, valid, test) that sum to 1."
        )
    return shares


def by_hash(patient_ids: Iterable[str], seed: int) -> list[str]:
    """The distinct patients in an order that depends on seed and ids alone."""
    return sorted(set(patient_ids), key=lambda patient: (sha256(f"{seed}:{patient}".encode()).digest(), patient))


def cut(ordered: Sequence[str], shares: Sequence[Fraction]) -> dict[str, str]:
    """Each patient's split; all shares but the last are rounded down, the last is the rest."""
    split_of: dict[str, str] = {}
    begins = 0
    for number, (split, share) in enumerate(zip(SPLITS, shares, strict=False), start=1):
        ends = len(ordered) if number == len(shares) else begins + int(share * len(ordered))
        split_of |= dict.fromkeys(ordered[begins:ends], split)
        begins = ends
    return split_of
