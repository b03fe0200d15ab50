"""The population stability index: nothing where nothing shifts, as large by chance as it is said to be, and blind to no shift."""

import numpy as np
import pytest

from clinstack.metrics.drift import BINS, chance, profile, psi


def counts(found, values):
    now = np.zeros((len(found.edges), BINS), dtype=int)
    for row in values:
        now[np.arange(len(row)), found.place(row)] += 1
    return now


def test_bins_hold_equal_shares_and_every_note_is_placed_where_it_was_counted():
    values = np.random.default_rng(1).normal(size=(1000, 3))
    found = profile(values)
    assert found.notes.tolist() == [[100] * 10] * 3
    assert np.array_equal(counts(found, values), found.notes)


def test_a_number_of_few_values_gets_fewer_bins():
    found = profile(np.array([[0.0, 1.0]] * 70 + [[1.0, 1.0]] * 30))
    assert found.notes.sum(axis=1).tolist() == [100, 100]
    assert (found.notes[0] > 0).sum() == 2
    assert (found.notes[1] > 0).sum() == 1
    assert psi(found.notes[1], found.notes[1]) == 0


def test_a_number_that_never_changed_is_seen_to_change():
    found = profile(np.zeros((100, 1)))
    now = counts(found, np.full((100, 1), 0.3))
    assert psi(found.notes[0], now[0]) > chance(found.notes[0], now[0])
    assert psi(found.notes[0], now[0]) > 0.25


def test_the_index_is_its_formula():
    before, now = np.array([40, 60]), np.array([70, 30])
    first, second = (before + 0.5) / 101, (now + 0.5) / 101
    assert psi(before, now) == pytest.approx(((second - first) * np.log(second / first)).sum())
    assert psi(before, before) == 0
    assert np.isnan(psi(before, [0, 0]))
    assert np.isnan(chance(before, [0, 0]))


@pytest.mark.parametrize(("before", "now"), [(500, 200), (2000, 100), (300, 1000)])
def test_chance_exceeds_its_bound_as_often_as_it_says(before, now):
    draw = np.random.default_rng(2)
    above = 0
    for _ in range(400):
        found = profile(draw.normal(size=(before, 1)))
        later = counts(found, draw.normal(size=(now, 1)))
        above += psi(found.notes[0], later[0]) > chance(found.notes[0], later[0])
    assert 0.02 < above / 400 < 0.09


def test_a_shift_is_seen():
    draw = np.random.default_rng(3)
    found = profile(draw.normal(size=(1000, 1)))
    later = counts(found, draw.normal(0.8, 1, size=(300, 1)))
    assert psi(found.notes[0], later[0]) > 0.25 > chance(found.notes[0], later[0])
