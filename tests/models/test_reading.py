"""How chunks come to their states: alone on a processor, and none twice."""

import pytest
import torch

from clinstack.models.base_loading import load_backbone
from clinstack.models.classifier import Classifier, HeadForm
from clinstack.models.reading import WholeReader, reading_order

CHUNKS = [[1, *range(5, 5 + length)] for length in (3, 9, 1, 9, 4)]


def test_an_accelerator_reads_every_chunk_once_and_the_longest_first():
    assert list(reading_order(CHUNKS, 2, torch.device("cuda"))) == [[1, 3], [4, 0], [2]]


def test_a_processor_reads_one_chunk_at_a_time():
    assert sorted(reading_order(CHUNKS, 2, torch.device("cpu"))) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("pooling", ["last", "mean", "first"])
def test_on_a_processor_a_note_has_the_same_bits_whatever_stands_beside_it(small_base, pooling):
    backbone = load_backbone(str(small_base))
    reader, head = WholeReader(backbone), Classifier(HeadForm(pooling), backbone.width, 2)
    together = reader.pooled(CHUNKS, head, 4)
    for row, chunk in enumerate(CHUNKS):
        assert torch.equal(reader.pooled([chunk], head, 1)[0], together[row])
    tokens = torch.tensor([CHUNKS[1]])
    with torch.inference_mode():
        expected = head.pool(backbone.encode(tokens, torch.ones_like(tokens)), torch.ones_like(tokens))
    assert torch.equal(expected[0], together[1])
