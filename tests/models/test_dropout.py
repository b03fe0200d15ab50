"""Dropout on a processor: what torch's does, by other random numbers."""

import pytest
import torch
from torch.nn import functional

from clinstack.models.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_makes_up_for_it(p, dtype):
    torch.manual_seed(1)
    kept = Dropout(p).train()(torch.ones(400, 500, dtype=dtype))
    assert kept.dtype == dtype
    expected = functional.dropout(torch.ones(1000, dtype=dtype), p).max()
    assert set(kept.unique().tolist()) == {0.0, expected.item()}
    share = (kept == 0).double().mean().item()
    assert abs(share - p) < 5 * (p * (1 - p) / kept.numel()) ** 0.5


def test_nothing_is_dropped_in_use_or_by_a_share_of_nothing():
    states = torch.randn(3, 4)
    assert Dropout(0.5).eval()(states) is states
    assert Dropout(0.0).train()(states) is states


def test_gradients_go_where_the_states_went_and_one_seed_is_one_mask():
    states = torch.randn(20, 30, dtype=torch.float64, requires_grad=True)
    dropout = Dropout(0.3).train()

    def dropped(states: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        return dropout(states)

    assert torch.autograd.gradcheck(dropped, states)
    assert torch.equal(dropped(states), dropped(states))
    assert not torch.equal(dropped(states), dropout(states))
