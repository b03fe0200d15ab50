"""The schedules: after the warm-up the rates of transformers; in it, the first step already learns."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from clinstack.training.schedule import learning_rate_at

ORACLES = {"cosine": get_cosine_schedule_with_warmup, "linear": get_linear_schedule_with_warmup}


def transformers_rates(schedule: str, warmup: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = ORACLES[schedule](optimizer, warmup, steps)
    rates = []
    for _ in range(steps):
        rates.append(oracle.get_last_lr()[0])
        optimizer.step()
        oracle.step()
    return rates


@pytest.mark.parametrize("schedule", list(ORACLES))
def test_after_the_warm_up_the_rate_is_that_of_transformers(schedule):
    expected = transformers_rates(schedule, 20, 200)
    found = [learning_rate_at(step, 200, 1.0, 0.1, schedule) for step in range(200)]
    assert found[20:] == pytest.approx(expected[20:])
    assert found[:20] == pytest.approx(expected[:20], abs=1 / 20)


@given(st.integers(1, 400), st.floats(0, 0.99), st.sampled_from(["cosine", "linear", "constant"]))
def test_every_step_learns_and_none_above_the_peak(steps, warmup_ratio, schedule):
    rates = [learning_rate_at(step, steps, 0.5, warmup_ratio, schedule) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    warmup = sum(earlier < later for earlier, later in itertools.pairwise(rates))
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert abs(warmup - warmup_ratio * steps) <= 1 + 1e-9
