"""The slow and obvious bootstrap, the oracle of the fast one: copy the drawn patients' notes and compute anew."""

import numpy as np
import pytest


def notes_of_each_resample(patient_ids, resamples, seed):
    """Index arrays of notes, one per resample; the same draws as `patient_weights`."""
    patients, patient_of_note = np.unique(np.asarray(patient_ids, dtype=np.str_), return_inverse=True)
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = random.integers(0, len(patients), len(patients))
        yield np.concatenate([np.flatnonzero(patient_of_note == patient) for patient in drawn])


@pytest.fixture
def slow_resamples():
    return notes_of_each_resample
