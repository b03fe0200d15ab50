"""A note's chunks become one vector, whoever else is in the batch."""

import pytest
import torch
from torch.func import functional_call

from clinstack.models.chunk_pooling import CHUNK_POOLINGS

CHUNKS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
NOTE = torch.tensor([0, 0, 0, 1, 2, 2])


@pytest.fixture(params=CHUNK_POOLINGS)
def pooling(request):
    torch.manual_seed(1)
    made = CHUNK_POOLINGS[request.param](5)
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    made.name = request.param
    return made


def plainly(pooling, chunks):
    if pooling.name == "mean":
        return chunks.mean(dim=0)
    if pooling.name == "max":
        return chunks.max(dim=0).values
    scores = torch.tanh(chunks @ pooling.inner.weight.T) @ pooling.score.weight[0]
    return torch.softmax(scores, dim=0) @ chunks


def test_each_note_is_pooled_as_it_would_be_alone(pooling):
    pooled = pooling(CHUNKS, NOTE, 3)
    for note in range(3):
        torch.testing.assert_close(pooled[note], plainly(pooling, CHUNKS[note == NOTE]))


def test_gradients_are_those_of_finite_differences(pooling):
    weights = {name: weight.double().requires_grad_() for name, weight in pooling.named_parameters()}

    def of(chunks, *values):
        return functional_call(pooling, dict(zip(weights, values, strict=True)), (chunks, NOTE, 3))

    assert torch.autograd.gradcheck(of, (CHUNKS.double().requires_grad_(), *weights.values()))


def test_one_chunk_keeps_its_vector(pooling):
    if pooling.name != "attention":
        assert torch.equal(pooling(CHUNKS, torch.arange(6), 6), CHUNKS)
    else:
        torch.testing.assert_close(pooling(CHUNKS, torch.arange(6), 6), CHUNKS)


def test_attention_begins_as_the_mean():
    fresh = CHUNK_POOLINGS["attention"](5)
    torch.testing.assert_close(fresh(CHUNKS, NOTE, 3), CHUNK_POOLINGS["mean"](5)(CHUNKS, NOTE, 3))


def test_scores_of_any_size_do_not_overflow():
    large = CHUNK_POOLINGS["attention"](5)
    torch.nn.init.constant_(large.score.weight, 1e3)
    assert bool(torch.isfinite(large(CHUNKS * 100, NOTE, 3)).all())
