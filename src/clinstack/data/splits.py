"""Splits by patient: one rule for every source.

A patient's notes repeat each other (the same history, the same wording), so a patient in two splits would be tested
on what was learned by heart. The order is a hash of seed and id rather than a shuffle: it depends on neither the
rows' order nor a library's random generator, so two people with the same ids get the same splits. Rule C2 of the
MIMIC task description; on MIMIC-III's 37,321 patients it gives the published 26,124 / 3,732 / 7,465.
"""

from collections.abc import Iterable
from fractions import Fraction
from hashlib import sha256

from clinstack.data.notes import SPLITS
from clinstack.errors import BadInput


def split_by_patient(
    patient_ids: Iterable[str], seed: int = 123, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> dict[str, str]:
    """Each distinct patient's split: "train", "valid" or "test".

    patient_ids: in any order, repeats allowed.
    fractions:   of patients in train, valid and test; they sum to 1. Train and valid are rounded down, test is the
        rest.
    Raises BadInput for fractions that are no shares of a whole.
    Exact fractions, because floor(0.7 * 90) is 62 in floating point and 63 on paper.
    """
    shares = [Fraction(str(fraction)) for fraction in fractions]
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) != 1:
        raise BadInput(
            f"Fractions {', '.join(map(str, fractions))}: give three shares (train, valid, test) that sum to 1."
        )
    ordered = sorted(set(patient_ids), key=lambda patient: (sha256(f"{seed}:{patient}".encode()).digest(), patient))
    train = int(shares[0] * len(ordered))
    valid = train + int(shares[1] * len(ordered))
    parts = (ordered[:train], ordered[train:valid], ordered[valid:])
    return {patient: split for split, part in zip(SPLITS, parts, strict=True) for patient in part}
