"""How well notes are known: every figure against the same thing done slowly, in a loop, by transformers."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_families import make_family
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from clinstack.config import AdaptOptions
from clinstack.data.headings import OPENING, PARTS, parts_of
from clinstack.data.packing import stream_of
from clinstack.errors import BadInput
from clinstack.models.base_loading import load_backbone
from clinstack.training import objective
from clinstack.training.batches import PackedBlocks
from clinstack.training.contract import Diverged
from clinstack.training.language import adapt
from clinstack.training.objective import NextToken, Restore, summed_cross_entropy
from clinstack.training.perplexity import (
    as_released,
    broken_down,
    interval,
    look_at_notes,
    measure,
    measure_notes,
)

NOTES = {
    "text": [
        "CHIEF COMPLAINT: pain. HISTORY OF PRESENT ILLNESS: 60 y/o man with pain, été. PLAN: follow up",
        "a woman seen on day 3",
        "FINDINGS: clear. IMPRESSION: stable",
        "man " * 40,
    ],
    "patient_id": ["p1", "p1", "p2", "p3"],
    "category": ["discharge", "discharge", "radiology", None],
}


@pytest.fixture
def backbone(small_base):
    return load_backbone(str(small_base))


def stream(backbone):
    return stream_of(backbone.tokenizer.encode(NOTES["text"]), sum(len(text.encode()) for text in NOTES["text"]))


def test_a_token_without_a_likelihood_is_not_passed_over(backbone):
    notes = look_at_notes([NOTES], backbone)
    whole = stream(backbone)
    with torch.no_grad():
        backbone.model.get_input_embeddings().weight[int(whole.tokens[5])] = math.nan
    assert math.isnan(measure(backbone, whole, 64).bits_per_byte)
    with pytest.raises(Diverged, match=r"gives tokens of [1-4] of 4 notes no finite likelihood"):
        measure_notes(backbone, whole, notes, 64)


def nats_one_by_one(base, backbone) -> list[float]:
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    with torch.inference_mode():
        return [
            float(
                functional.cross_entropy(plain(torch.tensor([n])).logits[0, :-1], torch.tensor(n[1:]), reduction="sum")
            )
            for n in backbone.tokenizer.encode(NOTES["text"])
        ]


def test_every_notes_likelihood_is_that_of_the_note_alone(small_base, backbone):
    notes, whole = look_at_notes([NOTES], backbone), stream(backbone)
    found = measure_notes(backbone, whole, notes, max_tokens=256, batch_size=1)  # one block holds them all
    assert found.nats.sum(axis=1) == pytest.approx(nats_one_by_one(small_base, backbone), rel=1e-5)
    assert found.tokens.sum(axis=1).tolist() == [len(n) - 1 for n in backbone.tokenizer.encode(NOTES["text"])]
    assert notes.text_bytes.tolist() == [len(text.encode()) for text in NOTES["text"]]
    same = measure(backbone, whole, 256)
    assert found.whole(notes).nats == pytest.approx(same.nats)
    assert found.whole(notes).bits_per_byte == pytest.approx(same.bits_per_byte)


@pytest.mark.parametrize("size", [16, 50, 256])
def test_parts_and_categories_add_up_to_the_whole(backbone, size):
    notes = look_at_notes([NOTES], backbone)
    found = measure_notes(backbone, stream(backbone), notes, size)
    rows = broken_down(notes, found, found)
    total = {key: sum(row[key] for row in rows["section"]) for key in ("tokens", "bytes")}
    assert total == {"tokens": int(found.tokens.sum()), "bytes": int(notes.text_bytes.sum())}
    assert {row["name"] for row in rows["section"]} == {
        OPENING, "chief complaint", "present illness", "assessment and plan", "radiology findings"
    }  # fmt: skip
    assert [(row["name"], row["notes"]) for row in rows["category"]] == [
        ("(none)", 1),
        ("discharge", 2),
        ("radiology", 1),
    ]
    weighted = sum(row["bits_per_byte_after"] * row["bytes"] for row in rows["category"])
    assert weighted / notes.text_bytes.sum() == pytest.approx(found.whole(notes).bits_per_byte)


def test_an_interval_draws_patients_and_a_change_pairs_them(backbone):
    notes = look_at_notes([NOTES], backbone)
    found = measure_notes(backbone, stream(backbone), notes, 256)
    one = interval(notes, found)
    assert one.value == pytest.approx(found.whole(notes).bits_per_byte)
    assert one.low < one.value < one.high
    none = interval(notes, found, found)
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_the_released_convention_is_a_mean_of_batch_means_over_cut_notes(small_base, backbone):
    texts = ["man with pain " * (1 + 7 * i) for i in range(13)]
    plain = AutoModelForCausalLM.from_pretrained(small_base).eval()
    means = []
    for batch in (texts[:10], texts[10:]):
        nats, tokens = 0.0, 0
        for text in batch:
            ids = torch.tensor([backbone.tokenizer.encode([text])[0][:128]])
            with torch.inference_mode():
                nats += float(plain(ids, labels=ids).loss) * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
        means.append(nats / tokens)
    assert as_released(backbone, texts) == pytest.approx(math.exp(np.mean(means)), rel=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_an_encoder_restores_every_token_once_as_transformers_would(tmp_path, family):
    base = make_family(tmp_path / family, family)
    backbone = load_backbone(str(base))
    whole = stream_of(backbone.tokenizer.encode(["man with pain on day 3"]), 22)
    size = len(whole.tokens) - 1
    batch = PackedBlocks(whole, size, 1, 0, backbone.device).load([0])
    with torch.inference_mode():
        nats, scored = Restore().token_nats(backbone, batch)
    assert scored[0].tolist() == [False, *[True] * (size - 1)]  # the separator is the stream's last token
    turn = torch.randint(objective.PASSES, (1, size), generator=torch.Generator().manual_seed(0))
    plain = AutoModelForMaskedLM.from_pretrained(base).eval()
    for place in range(1, size):
        shown = batch.inputs.clone()
        shown[0, 1:][turn[0, 1:] == turn[0, place]] = backbone.tokenizer.mask
        with torch.inference_mode():
            logits = plain(input_ids=shown, attention_mask=torch.ones_like(shown)).logits[0, place]
        expected = float(functional.cross_entropy(logits[None], batch.inputs[0, place][None]))
        assert float(nats[0, place]) == pytest.approx(expected, abs=1e-4)


def test_masks_are_drawn_anew_and_the_shares_are_the_published_ones(tmp_path):
    backbone = load_backbone(str(make_family(tmp_path / "bert", "bert")))
    batch = PackedBlocks(stream_of([[1, *([40, 60, 80] * 2000), 2]], 6000), 128, 40, 0, backbone.device).load(range(40))
    torch.manual_seed(0)
    shares = []
    for _ in range(3):
        loss = Restore().loss(backbone, batch)
        shares.append(loss.weight / batch.inputs.numel())
    assert shares == pytest.approx([0.15] * 3, abs=0.02)
    assert len(set(shares)) == 3


@pytest.mark.parametrize("tied", [False, True])
def test_the_chunked_loss_and_its_gradients_are_those_of_the_whole(backbone, monkeypatch, tied):
    monkeypatch.setattr(objective, "CHUNK_LOGITS", 7 * backbone.vocabulary)
    weight = backbone.output.weight
    weight.requires_grad_(tied)
    torch.manual_seed(0)
    hidden = torch.randn(50, 32, requires_grad=True)
    targets = torch.randint(backbone.vocabulary, (50,))
    found = summed_cross_entropy(backbone, hidden, targets)
    (found * 0.5).backward()
    ours = [hidden.grad.clone(), weight.grad]
    hidden.grad = weight.grad = None
    expected = functional.cross_entropy(backbone.unembed(hidden), targets, reduction="sum")
    (expected * 0.5).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours[0], hidden.grad)
    if tied:
        torch.testing.assert_close(ours[1], weight.grad)
    else:
        assert ours[1] is None


def test_the_logits_of_a_long_row_are_never_whole(backbone, monkeypatch):
    monkeypatch.setattr(objective, "CHUNK_LOGITS", 16 * backbone.vocabulary)
    seen = []
    backbone.output.register_forward_hook(lambda module, given, output: seen.append(len(output)))
    tokens = [[1, *range(40, 240)]]
    batch = PackedBlocks(stream_of(tokens, 1), 200, 1, 0, backbone.device).load([0])
    NextToken().loss(backbone, batch)
    assert 200 <= sum(seen) < 200 + 64  # filled up, see `few_shapes`
    assert max(seen) <= 16


@given(st.text(alphabet="ab: \nPLANHiIstory", max_size=60))
def test_parts_cover_a_text_from_its_first_character(text):
    found = parts_of(text)
    starts = [start for start, _ in found]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(name in PARTS and start <= len(text) for start, name in found)


def test_a_run_says_what_was_forgotten_and_breaks_its_figures_down(small_base, small_corpus, tmp_path):
    general = tmp_path / "general.csv"
    general.write_text("text\n" + "\n".join(f"It was the day of the storm {i}." for i in range(20)) + "\n")
    options = AdaptOptions(
        base=str(small_base),
        corpus=small_corpus,
        out=tmp_path / "run",
        general=general,
        learning_rate=5e-3,
        max_tokens=64,
        device="cpu",
        precision="float32",
    )
    result = adapt(options)
    forgetting = result["forgetting"]
    bits = forgetting["bits_per_byte"]
    change = forgetting["intervals"]["change"]
    assert change["value"] == pytest.approx(bits["after"] - bits["before"])
    assert change["low"] <= change["value"] <= change["high"]
    test = result["intervals"]["test"]
    assert test["change"]["high"] < 0  # it learned, beyond doubt
    assert test["after"]["low"] <= result["bits_per_byte"]["test"]["after"] <= test["after"]["high"]
    assert result["as_released"]["perplexity"]["test"]["after"] < result["as_released"]["perplexity"]["test"]["before"]
    assert sum(row["tokens"] for row in result["breakdown"]["test"]["section"]) == result["tokens"]["test"]
    assert "general text" in (tmp_path / "run" / "README.md").read_text()
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("body\nsomething\n", "--general {file} has no column 'text'. It has: body."),
        ("text\n\n", "--general {file} holds no text."),
    ],
)
def test_general_text_that_cannot_be_read_is_refused(small_base, small_corpus, tmp_path, content, expected):
    file = tmp_path / "general.csv"
    file.write_text(content)
    with pytest.raises(BadInput) as caught:
        adapt(AdaptOptions(base=str(small_base), corpus=small_corpus, out=tmp_path / "run", general=file))
    assert str(caught.value) == expected.format(file=file)
    assert not (tmp_path / "run").exists()
