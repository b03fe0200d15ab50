"""Models that are trained from nothing: sizes, experts, invariance, tokenizers that come out the same every time."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from clinstack.config import TrainOptions
from clinstack.data.sources.french_lines import make_lines
from clinstack.data.task import open_task
from clinstack.errors import BadInput
from clinstack.models.base_files import hash_base
from clinstack.models.base_loading import load_backbone
from clinstack.models.from_scratch import architectures, is_from_scratch, make_base, make_model
from clinstack.models.scratch.moe_transformer import Experts, MoeTransformerConfig
from clinstack.models.scratch.transformer import FeedForward
from clinstack.models.scratch_tokenizer import train_tokenizer
from clinstack.training.classification import make_head

NOTES = [
    "Détresse respiratoire, FC 120/min, SaO2 92 %.",
    "Pas de défaillance cardiaque ; FEVG 60 %.",
    "Enfant stable,\n\n  eupnéique, SaO2 99 %.",
    "Œdèmes des membres inférieurs, BNP 1 250.",
] * 5


def count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Totals with their heads, as derived from the published sizes: (pieces, tokens) -> weights.
SIZES = {
    ("transformer", ""): [(8000, 256, 599_618)],
    ("moe-transformer", ""): [(8000, 256, 649_606)],
    ("moe-transformer", "top-2"): [(8000, 256, 649_606)],
    ("moe-transformer", "unlimited"): [(8000, 256, 649_606)],
    ("transformer", "keras"): [(20_000, 200, 657_758), (20_000, 256, 659_550)],
    ("moe-transformer", "keras"): [(20_000, 200, 677_516), (20_000, 256, 679_308)],
    ("transformer", "mean"): [(8000, 256, 64 * (8000 + 256) + 2 * 64 + 2)],
}
FORMS = [f"{name}:{preset}" if preset else name for name, kind in architectures().items() for preset in kind.presets]


@pytest.mark.parametrize(("name", "preset"), SIZES)
def test_sizes_are_the_published_ones_with_the_head_that_a_run_makes(name, preset, small_task, tmp_path):
    task = small_task("binary")
    for pieces, tokens, weights in SIZES[name, preset]:
        form = f"{name}:{preset}" if preset else name
        model = make_model(form, pieces, tokens)
        head = make_head(TrainOptions(base=form, task=task, out=tmp_path), open_task(task), model.config.hidden_size)
        assert count(model) + count(head) == weights
        assert head.form.activation == ("relu" if preset == "keras" else "gelu")
        assert head.form.dropout == (0.25 if form == "moe-transformer:keras" else 0.1)


def test_every_form_has_its_size_checked():
    assert {f"{name}:{preset}".removesuffix(":") for name, preset in SIZES} == set(FORMS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("bases"), {}

    def of(form: str):
        if form not in made:
            made[form] = root / form.replace(":", "-")
            make_base(form, NOTES, 32, 1, made[form])
        return made[form]

    return of


@pytest.mark.parametrize("form", FORMS)
def test_equal_calls_write_equal_bytes(form, folders, tmp_path):
    for name, seed in (("again", 1), ("other seed", 2)):
        make_base(form, NOTES, 32, seed, tmp_path / name)
    assert hash_base(tmp_path / "again") == hash_base(folders(form))
    assert hash_base(tmp_path / "other seed") != hash_base(folders(form))


def test_the_random_numbers_of_others_go_on_undisturbed(tmp_path):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    make_base("transformer", NOTES, 32, 1, tmp_path / "base")
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("form", FORMS)
def test_neither_padding_nor_neighbours_change_a_note(form, folders):
    backbone = load_backbone(str(folders(form)))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    notes = backbone.tokenizer.encode(NOTES[:4], 30)
    longest = max(map(len, notes)) + 2
    tokens = torch.zeros(4, longest, dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for row, ids in enumerate(notes):
        tokens[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids), 1
    with torch.inference_mode():
        together = backbone.encode(tokens, mask)
        for row, ids in enumerate(notes):
            alone = backbone.encode(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.int64))[0]
            assert torch.allclose(together[row, : len(ids)], alone, atol=1e-5)


def test_padded_notes_are_learned_from_in_bfloat16_as_in_float32(folders):
    """On a processor attention takes another way there."""
    backbone = load_backbone(str(folders("transformer")))
    backbone.model.requires_grad_(True)
    tokens = torch.randint(3, 20, (6, 30), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(30) < torch.tensor([30, 4, 17, 30, 9, 22])[:, None]).long()
    weights = torch.randn(6, 30, backbone.width, generator=torch.Generator().manual_seed(1)) * mask[..., None]
    found = []
    for rounded in (False, True):
        backbone.model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            states = backbone.encode(tokens, mask).float()
        (states * weights).sum().backward()
        gradients = [one.grad.flatten() for one in backbone.model.parameters() if one.grad is not None]
        found.append((states.detach()[mask == 1], torch.cat(gradients)))
    (exact, slopes), (states, rounded_slopes) = found
    assert torch.allclose(states, exact, atol=0.05)
    assert torch.cosine_similarity(slopes, rounded_slopes, dim=0) > 0.999


def experts(**changed) -> Experts:
    torch.manual_seed(0)
    block = Experts(MoeTransformerConfig(hidden_size=6, intermediate_size=5, **changed))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return block


def test_one_expert_is_the_dense_layer():
    block = experts(experts=1, capacity_factor=float("inf"))
    states, mask = torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.int64)
    dense = FeedForward(6, 5, "gelu")
    dense.load_state_dict(block.experts[0].state_dict())
    for training in (True, False):
        assert torch.allclose(block.train(training)(states, mask), dense(states, mask), atol=1e-6)


@pytest.mark.parametrize("chosen", [1, 2])
def test_experts_are_those_of_a_loop_over_tokens(chosen):
    block = experts(experts=3, experts_per_token=chosen, capacity_factor=0.7, noise=0.0).train()
    states, mask = torch.randn(3, 4, 6), torch.ones(3, 4, dtype=torch.int64)
    mask[1, 2:] = 0
    found = block(states, mask).detach()
    slots = int(np.ceil(0.7 * chosen * 10 / 3))
    busy, wanted, load, dropped = [0, 0, 0], torch.zeros_like(states), np.zeros(3), 0
    likely = torch.softmax(block.router(states), -1).detach()
    for note in range(3):
        for place in range(4):
            if not mask[note, place]:
                continue
            best = likely[note, place].argsort(descending=True)[:chosen]
            gates = likely[note, place, best]
            gates = gates / gates.sum() if chosen > 1 else gates
            for expert, gate in zip(best.tolist(), gates, strict=True):
                load[expert] += 1 / (10 * chosen)
                busy[expert] += 1
                if busy[expert] <= slots:
                    wanted[note, place] += gate * block.experts[expert](states[note, place], mask)
                else:
                    dropped += 1
    assert torch.allclose(found, wanted, atol=1e-6)
    assert dropped > 0
    told = block.told()
    np.testing.assert_allclose(told["expert_load"], load, atol=1e-4)
    assert told["dropped_share"] == pytest.approx(dropped / (10 * chosen))
    mean = likely[mask == 1].mean(dim=0).numpy()
    assert block.balance_loss.item() == pytest.approx(0.01 * 3 * float((load * mean).sum()), rel=1e-5)


def test_even_experts_have_the_balance_loss_of_its_weight():
    block = experts(experts=4, balance=0.5).train()
    with torch.no_grad():
        block.router.weight.zero_()
        block.router.bias.zero_()
    block(torch.randn(2, 8, 6), torch.ones(2, 8, dtype=torch.int64))
    assert block.balance_loss.item() == pytest.approx(0.5)
    assert block.told()["router_entropy"] == pytest.approx(np.log(4))


def test_experts_tell_of_all_tokens_since_they_were_asked():
    block = experts(experts=3, capacity_factor=0.5, noise=0.0).train()
    passes = [(torch.randn(1, tokens, 6), torch.ones(1, tokens, dtype=torch.int64)) for tokens in (4, 12)]
    each = []
    for one in passes:
        block(*one)
        each.append(block.told())
    assert block.told() == {}
    for one in passes:
        block(*one)
    told = block.told()
    for name in ("dropped_share", "expert_load"):
        wanted = (4 * np.array(each[0][name]) + 12 * np.array(each[1][name])) / 16
        np.testing.assert_allclose(told[name], wanted, atol=1e-3)


def test_in_use_no_token_is_dropped():
    block = experts(experts=4, capacity_factor=0.01).eval()
    states, mask = torch.randn(1, 9, 6), torch.ones(1, 9, dtype=torch.int64)
    assert (block(states, mask).abs().sum(dim=-1) > 0).all()
    assert block.balance_loss is None
    assert (block.train()(states, mask).abs().sum(dim=-1) == 0).any()


@pytest.mark.parametrize("noise_adds", [True, False])
def test_noise_is_of_training_alone(noise_adds):
    block = experts(noise=0.5, noise_adds=noise_adds, capacity_factor=float("inf"))
    states, mask = torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.int64)
    block.eval()
    assert torch.equal(block(states, mask), block(states, mask))
    block.train()
    assert not torch.equal(block(states, mask), block(states, mask))


@pytest.mark.parametrize("kind", ["subwords", "words"])
def test_a_tokenizer_comes_out_the_same_every_time(kind, tmp_path):
    first, again = (train_tokenizer(NOTES, kind, 200, tmp_path).backend_tokenizer.to_str() for _ in range(2))
    assert first == again


def test_subwords_are_cut_in_the_likeliest_way(tmp_path):
    """Of all ways to cut a word into pieces, the one whose log-likelihoods sum to most."""
    tokenizer = train_tokenizer(NOTES, "subwords", 120, tmp_path)
    pieces = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    likely, unknown = dict(pieces), tokenizer.unk_token
    for word in {word for note in NOTES for word in note.split()}:
        text, best = f"▁{word}", [0.0]
        for end in range(1, len(text) + 1):
            ends = [best[start] + likely[text[start:end]] for start in range(end) if text[start:end] in likely]
            best.append(max(ends, default=-math.inf))
        found = tokenizer.tokenize(word)
        assert unknown not in found
        assert sum(likely[piece] for piece in found) == pytest.approx(best[-1], abs=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_written_often_is_one_piece_however_alike_the_notes_are(tmp_path):
    """Of templates, whose words stand in few forms, sentencepiece's own first guess knows no whole word."""
    notes = [line.text for line in make_lines(lines=200, patients=50)]
    tokenizer = train_tokenizer(notes, "subwords", 8000, tmp_path)
    words = Counter(word for note in notes for word in note.split())
    often = [word for word, count in words.items() if count > 20 and word.isalpha()]
    assert len(often) > 100
    whole = [word for word in often if len(tokenizer(word, add_special_tokens=False).input_ids) == 1]
    assert len(whole) > 0.95 * len(often)
    pieces = sum(len(tokenizer(note, add_special_tokens=False).input_ids) for note in notes)
    assert pieces < 1.7 * sum(words.values())


def test_blanks_and_composed_accents_are_alike(tmp_path):
    tokenizer = train_tokenizer(NOTES, "subwords", 60, tmp_path)
    assert tokenizer("Détresse\n\n  respiratoire").input_ids == tokenizer("De\u0301tresse respiratoire ").input_ids


def test_words_are_the_most_frequent(tmp_path):
    tokenizer = train_tokenizer(["FC 120, fc 90; stable", "fc 120"], "words", 5, tmp_path)
    assert tokenizer.get_vocab() == {"<pad>": 0, "<s>": 1, "<unk>": 2, "fc": 3, "120": 4}


@pytest.mark.parametrize(
    ("form", "option", "value"), [("top-2", "experts_per_token", 2), ("unlimited", "capacity_factor", math.inf)]
)
def test_a_form_of_experts_is_what_it_says_and_stays_so(form, option, value, tmp_path):
    make_base(f"moe-transformer:{form}", NOTES, 16, 1, tmp_path / "base")
    config = load_backbone(str(tmp_path / "base"), "cpu").model.config
    assert getattr(config, option) == value


def test_names_are_known_with_and_without_preset():
    assert is_from_scratch("transformer")
    assert is_from_scratch("moe-transformer:keras")
    assert not is_from_scratch("tiny-base")


@pytest.mark.parametrize(
    ("form", "notes", "sentence"),
    [
        (
            "transformer:kerass",
            NOTES,
            "transformer has no preset 'kerass'. Did you mean 'keras'? Known: keras, mean.",
        ),
        ("transformer", [" ", "\n"], "The training part holds no text to learn a tokenizer from."),
        ("transformer:keras", [" . "], "The training part holds no text to learn a tokenizer from."),
    ],
)
def test_what_cannot_be_made_is_refused(form, notes, sentence, tmp_path):
    with pytest.raises(BadInput) as refused:
        make_base(form, notes, 32, 1, tmp_path / "base")
    assert str(refused.value) == sentence
    assert not (tmp_path / "base").exists()
