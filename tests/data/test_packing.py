"""Packing: every token is predicted once, and no note sees its neighbour."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from clinstack.data.packing import NOT_SCORED, build_stream, count_blocks, open_stream, stream_of, take_blocks
from clinstack.errors import BadInput
from clinstack.models.backbone import Backbone
from clinstack.models.base_loading import load_backbone
from clinstack.training.batches import PackedBlocks
from clinstack.training.objective import NextToken
from clinstack.training.perplexity import measure

START = 1
notes_of_tokens = st.lists(
    st.lists(st.integers(2, 99), max_size=30).map(lambda ids: [START, *ids]), min_size=1, max_size=12
)


@given(notes_of_tokens, st.integers(1, 40))
def test_every_token_but_the_starts_is_predicted_exactly_once(notes, max_tokens):
    stream = stream_of(notes, 0)
    block = take_blocks(stream, range(count_blocks(stream, max_tokens)), max_tokens)
    assert block.targets[block.targets != NOT_SCORED].tolist() == [token for note in notes for token in note[1:]]
    assert int((block.targets != NOT_SCORED).sum()) == stream.scored_tokens


@given(notes_of_tokens, st.integers(1, 40))
def test_a_token_is_predicted_from_its_own_note_back_to_the_blocks_edge(notes, max_tokens):
    stream = stream_of(notes, 0)
    block = take_blocks(stream, range(count_blocks(stream, max_tokens)), max_tokens)
    note_of = np.concatenate([[number] * len(note) for number, note in enumerate(notes)])
    for row, place in zip(*np.nonzero(block.targets != NOT_SCORED), strict=True):
        here, reach = row * max_tokens + place, block.positions[row, place]
        assert block.targets[row, place] == stream.tokens[here + 1]
        assert note_of[here + 1] == note_of[here] == note_of[here - reach]
        opens_the_note, opens_the_block = here == reach or note_of[here - reach - 1] != note_of[here], reach == place
        assert opens_the_note or opens_the_block
        seen = block.inputs[row, place - reach : place + 1]
        assert seen.tolist() == stream.tokens[here - reach : here + 1].tolist()


@pytest.fixture(scope="module")
def backbone(small_base: Path) -> Backbone:
    return load_backbone(str(small_base))


@pytest.fixture(scope="module")
def notes(backbone: Backbone) -> list[list[int]]:
    texts = ["patient seen for pain", "stable and clear", "the", "woman with history of shock and pain on day two"]
    return backbone.tokenizer.encode(texts)


def loss_alone(backbone: Backbone, note: list[int]) -> float:
    tokens = torch.tensor([note])
    with torch.inference_mode():
        logits = backbone.model(input_ids=tokens, use_cache=False).logits[0, :-1]
        return float(functional.cross_entropy(logits, tokens[0, 1:], reduction="sum"))


def test_the_packed_loss_is_the_sum_of_the_notes_losses_alone(backbone, notes):
    stream = stream_of(notes, 1)
    blocks = PackedBlocks(stream, len(stream.tokens), 1, 0, torch.device("cpu"))
    with torch.inference_mode():
        packed = NextToken().loss(backbone, blocks.load([0]))
    assert packed.weight == stream.scored_tokens
    assert float(packed.total) == pytest.approx(sum(loss_alone(backbone, note) for note in notes), abs=1e-4)


@pytest.mark.parametrize("size", [1, 5, 6, 16, 200])
def test_blocks_of_any_length_lose_what_the_notes_lose_cut_at_the_blocks_edges(backbone, notes, size):
    stream = stream_of(notes, 1)
    alone = 0.0
    for note, start in zip(notes, stream.starts.tolist(), strict=True):
        cuts = [start, *(edge for edge in range(0, start + len(note) - 1, size) if edge > start), start + len(note) - 1]
        alone += sum(
            loss_alone(backbone, note[a - start : b - start + 1]) for a, b in itertools.pairwise(cuts) if b > a
        )
    found = measure(backbone, stream, size, batch_size=3)
    assert found.tokens == stream.scored_tokens
    assert found.nats == pytest.approx(alone, abs=1e-3)


def test_a_packed_note_has_the_hidden_states_it_has_alone(backbone, notes):
    block = take_blocks(stream_of(notes, 1), [0], sum(map(len, notes)))
    with torch.inference_mode():
        packed = backbone.encode_packed(torch.from_numpy(block.inputs), torch.from_numpy(block.positions))[0]
        place = 0
        for note in notes[:-1]:
            alone = backbone.encode(torch.tensor([note]), torch.ones(1, len(note), dtype=torch.int64))[0]
            torch.testing.assert_close(packed[place : place + len(note)], alone, atol=1e-5, rtol=0)
            place += len(note)


def test_with_a_cache_transformers_still_lets_notes_see_their_neighbours(backbone, notes):
    # Pins the fault that `use_cache=False` cures (transformers 5.23). When this fails, the fault is mended and the cure may go.
    block = take_blocks(stream_of(notes, 1), [0], sum(map(len, notes)))
    tokens, positions = torch.from_numpy(block.inputs), torch.from_numpy(block.positions)
    with torch.inference_mode():
        right = backbone.encode_packed(tokens, positions)
        leaking = backbone.model.base_model(input_ids=tokens, position_ids=positions, use_cache=True).last_hidden_state
    assert float((right - leaking).abs().max()) > 1e-3


def whole_by(backbone):
    """Encodes whole texts."""
    return lambda texts: (backbone.tokenizer.encode(texts), len("".join(texts).encode()))


def test_a_stream_on_the_disk_is_the_stream_in_memory(tmp_path, backbone):
    texts = ["one note", "another note, longer", "été"]
    place = tmp_path / "tokens" / "x" / "train"
    stored = build_stream([texts[:2], texts[2:]], whole_by(backbone), backbone.tokenizer.size, place)
    in_memory = stream_of(backbone.tokenizer.encode(texts), len("".join(texts).encode()))
    again = open_stream(place)
    for one in (stored, again):
        assert one.tokens.tolist() == in_memory.tokens.tolist()
        assert one.starts.tolist() == in_memory.starts.tolist()
        assert one.text_bytes == in_memory.text_bytes


DAMAGES = {
    "tokens cut": lambda place: (place / "tokens.bin").write_bytes((place / "tokens.bin").read_bytes()[:-2]),
    "half a token": lambda place: (place / "tokens.bin").write_bytes((place / "tokens.bin").read_bytes()[:-1]),
    "no tokens": lambda place: (place / "tokens.bin").write_bytes(b""),
    "starts cut": lambda place: (place / "starts.npy").write_bytes((place / "starts.npy").read_bytes()[:-3]),
    "starts missing": lambda place: (place / "starts.npy").unlink(),
    "description broken": lambda place: (place / "stream.json").write_text("{"),
    "description missing": lambda place: (place / "stream.json").unlink(),
    "description edited": lambda place: (place / "stream.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_stream_is_refused(tmp_path, backbone, damage):
    place = tmp_path / "train"
    build_stream([["one note"]], whole_by(backbone), backbone.tokenizer.size, place)
    DAMAGES[damage](place)
    with pytest.raises(BadInput) as caught:
        open_stream(place)
    assert (
        str(caught.value) == f"{place} is damaged: its files are not as they were written. Remove it; it is made again."
    )


def test_a_split_without_notes_is_refused_and_leaves_nothing(tmp_path, backbone):
    with pytest.raises(BadInput) as caught:
        build_stream([], whole_by(backbone), backbone.tokenizer.size, tmp_path / "valid")
    assert str(caught.value) == "Split valid holds no note, so there is nothing to tokenise."
    assert list(tmp_path.iterdir()) == []
