"""One conformance matrix over head adapters and their presets: counts, beginning, padding, gradients, files of weights."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from clinstack.errors import BadInput
from clinstack.models.head_adapter import head_adapters, make_head_adapter, size_of_weights

FORMS = [(name, preset) for name, kind in head_adapters().items() for preset in (None, *kind.presets)]
EVERY = pytest.mark.parametrize(("name", "preset"), FORMS)

# Golden numbers for H = 768, computed by hand from the published formulas.
COUNTS = {
    ("adapter", 16): 25_360,
    ("adapter", 48): 74_544,
    ("adapter", 64): 99_136,
    ("adapter", 128): 197_504,
    ("lightweight", 16): 26_896,
    ("lightweight", 48): 76_080,
    ("lightweight", 64): 100_672,
    ("lightweight", 128): 199_040,
    ("tiny-attention", 1): 3_843,
    ("tiny-attention", 4): 13_068,
    ("tiny-attention", 16): 49_968,
    ("tiny-attention", 64): 197_568,
    ("grn", 64): 154_752,
    ("grn", 128): 314_624,
    ("grn", 192): 482_688,
    ("grn", 768): 2_363_904,
}


def make(name, preset=None, width=8, size=None, seed=0):
    torch.manual_seed(seed)
    return make_head_adapter(name + (f":{preset}" if preset else ""), width, size)


def stirred(block, seed=1):
    """With weights that no initialisation hides anything behind."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block.eval()


def count(block) -> int:
    return sum(parameter.numel() for parameter in block.parameters())


def some_states(batch=3, tokens=5, width=8, dtype=torch.float32):
    torch.manual_seed(7)
    states = torch.randn(batch, tokens, width, dtype=dtype)
    mask = torch.ones(batch, tokens, dtype=torch.int64)
    mask[1, 3:] = 0
    return states, mask


@pytest.mark.parametrize(("name", "size"), COUNTS)
def test_counts_are_those_of_the_formulas(name, size):
    assert count(make(name, width=768, size=size)) == COUNTS[name, size] == head_adapters()[name].weights(768, size)


def test_defaults_have_the_published_sizes():
    counts = {name: count(make(name, width=768)) for name in head_adapters()}
    assert counts == {"adapter": 99_136, "lightweight": 100_672, "tiny-attention": 197_568, "grn": 2_363_904}
    assert {name: kind.default_size(768) for name, kind in head_adapters().items()} == {
        "adapter": 64,
        "lightweight": 64,
        "tiny-attention": 64,
        "grn": 768,
    }


def test_presets_have_the_published_sizes():
    assert count(make("adapter", "houlsby", 768)) == 99_136
    assert count(make("adapter", "adaptformer", 768)) == 99_136 + 1_536 + 1  # a norm, and the scale
    assert count(make("lightweight", "le2021", 768)) == 100_672
    assert count(make("tiny-attention", "zhao2022", 768)) == 13_068
    assert count(make("grn", "small", 768)) == 314_624


@pytest.mark.parametrize(("name", "size"), {"adapter": 64, "lightweight": 63, "tiny-attention": 32, "grn": 41}.items())
def test_equal_budgets(name, size):
    assert size_of_weights(name, 768, 99_136) == size
    assert abs(head_adapters()[name].weights(768, size) - 99_136) < 1_600


@EVERY
def test_shape_and_dtype_stay(name, preset):
    for dtype in (torch.float32, torch.float64):
        states, mask = some_states(dtype=dtype)
        found = make(name, preset).to(dtype)(states, mask)
        assert found.shape == states.shape
        assert found.dtype == dtype


@EVERY
def test_it_begins_as_described(name, preset):
    states, mask = some_states()
    block = make(name, preset).eval()
    found = block(states, mask)
    normed = torch.nn.functional.layer_norm(states, (8,))
    if (name, preset) == ("adapter", "houlsby"):  # of very small weights
        assert torch.allclose(found, states, atol=1e-4)
        assert not torch.equal(found, states)
    elif (name, preset) == ("lightweight", None):
        assert torch.equal(found, normed)
    elif name == "grn":
        assert not torch.allclose(found, normed, atol=0.01)
        block.gate.bias.data.fill_(-40)  # a closed gate leaves the norm alone
        assert torch.allclose(block(states, mask), normed, atol=1e-6)
    else:
        assert torch.equal(found, states)


def test_a_closed_gate_begins_nearer():
    states, mask = some_states()
    normed = torch.nn.functional.layer_norm(states, (8,))
    away = {
        preset: (make("grn", preset).eval()(states, mask) - normed).abs().mean() for preset in (None, "closed-gate")
    }
    assert away["closed-gate"] < 0.5 * away[None]


@EVERY
def test_padding_changes_nothing(name, preset):
    states, mask = some_states()
    block = stirred(make(name, preset))
    whole = block(states, mask)
    longer = torch.cat([states, torch.full((3, 4, 8), 1e3)], dim=1)
    found = block(longer, torch.cat([mask, torch.zeros(3, 4, dtype=torch.int64)], dim=1))
    assert torch.allclose(found[:, :5][mask == 1], whole[mask == 1], atol=1e-6)
    alone = block(states[1:2, :3], mask[1:2, :3])
    assert torch.allclose(alone[0], whole[1, :3], atol=1e-6)


@EVERY
def test_a_row_of_padding_gives_numbers(name, preset):
    states, mask = some_states()
    mask[2] = 0
    assert stirred(make(name, preset))(states, mask).isfinite().all()


@EVERY
def test_gradients_are_those_of_finite_differences(name, preset):
    states, mask = some_states(batch=2, tokens=4, dtype=torch.float64)
    block = stirred(make(name, preset)).double()
    names = [key for key, _ in block.named_parameters()]

    def of(states, *weights):
        return torch.func.functional_call(block, dict(zip(names, weights, strict=True)), (states, mask[:, :4]))

    assert torch.autograd.gradcheck(of, (states.requires_grad_(), *block.parameters()))


@EVERY
def test_the_gradient_reaches_every_weight_within_two_steps(name, preset):
    states, mask = some_states()
    block = make(name, preset)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    reached = set()
    target = torch.randn_like(states)
    for _ in range(2):
        optimizer.zero_grad()
        (block(states, mask) - target).square().sum().backward()
        reached |= {key for key, weight in block.named_parameters() if weight.grad.abs().sum() > 1e-8}
        optimizer.step()
    # A bias of keys moves all scores of a query alike, which softmax does not see.
    assert reached >= {key for key, _ in block.named_parameters()} - {"key.bias"}


@EVERY
def test_weights_come_back_from_a_file(name, preset, tmp_path):
    states, mask = some_states()
    block = stirred(make(name, preset))
    torch.save(block.state_dict(), tmp_path / "weights.pt")
    again = make(name, preset, seed=9)
    again.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert torch.equal(again.eval()(states, mask), block(states, mask))


def numbers(block) -> dict[str, np.ndarray]:
    return {key: value.detach().double().numpy() for key, value in block.named_parameters()}


def normed(rows, weight, bias):
    mean, spread = rows.mean(-1, keepdims=True), rows.var(-1, keepdims=True)
    return (rows - mean) / np.sqrt(spread + 1e-5) * weight + bias


def by_hand(name, preset, w, x, mask):
    """The formulas, written out a second time."""

    def layer(key, rows):
        return rows @ w[f"{key}.weight"].T + w[f"{key}.bias"]

    if name == "adapter":
        inner = layer("down", normed(x, w["norm.weight"], w["norm.bias"]) if preset == "adaptformer" else x)
        gelu = np.vectorize(lambda one: one * 0.5 * (1 + math.erf(one / math.sqrt(2))))
        return x + w.get("scale", 1.0) * layer("up", gelu(inner) if preset == "houlsby" else np.maximum(inner, 0))
    if name == "lightweight":
        if preset == "le2021":
            return x + layer("up", np.maximum(layer("down", normed(x, w["norm.weight"], w["norm.bias"])), 0))
        return normed(x + layer("up", layer("down", x)), w["norm.weight"], w["norm.bias"])
    if name == "tiny-attention":
        heads = 4 if preset == "zhao2022" else 1
        parts = []
        for query, key, value in zip(
            *(np.split(layer(one, x), heads, -1) for one in ("query", "key", "value")), strict=True
        ):
            scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
            parts.append(softmax(np.where(mask[:, None, :] == 1, scores, -np.inf), -1) @ value)
        return x + layer("output", np.concatenate(parts, -1))
    inner = layer("outer", x)
    inner = layer("inner", np.where(inner > 0, inner, np.expm1(inner)))
    return normed(x + expit(layer("gate", inner)) * layer("value", inner), w["norm.weight"], w["norm.bias"])


@EVERY
def test_it_computes_its_formula(name, preset):
    states, mask = some_states(dtype=torch.float64)
    block = stirred(make(name, preset)).double()
    wanted = by_hand(name, preset, numbers(block), states.numpy(), mask.numpy())
    assert np.allclose(block(states, mask).detach().numpy()[mask == 1], wanted[mask == 1], atol=1e-12)


def test_lightweight_without_its_norm_is_a_matrix_of_low_rank():
    block = stirred(make("lightweight", width=12, size=3)).double()
    block.norm = torch.nn.Identity()
    mask = torch.ones(1, 12, dtype=torch.int64)
    zero = block(torch.zeros(1, 12, 12, dtype=torch.float64), mask)
    matrix = block(torch.eye(12, dtype=torch.float64)[None], mask) - zero
    assert torch.linalg.matrix_rank(matrix[0] - torch.eye(12)) == 3


def test_equal_heads_are_replaced_by_one_exactly():
    block = stirred(make("tiny-attention", "zhao2022"))
    with torch.no_grad():
        for layer in (block.query, block.key, block.value):
            layer.weight.copy_(layer.weight[:1].expand(4, -1))
            layer.bias.copy_(layer.bias[:1].expand(4))
    states, mask = some_states()
    single = block.mean_of_heads()
    assert single.heads == 1
    assert torch.allclose(single(states, mask), block(states, mask), atol=1e-6)


def test_several_heads_are_replaced_by_one_about():
    block = stirred(make("tiny-attention", size=8).train())
    assert block.mean_of_heads().state_dict().keys() == block.state_dict().keys()
    four = stirred(make_head_adapter("tiny-attention:zhao2022", 8, 8))
    states, mask = some_states()
    assert four.mean_of_heads()(states, mask).shape == states.shape
    assert four.mean_of_heads().query.out_features == 2


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ("grnn", None, None),
            "Unknown head adapter 'grnn'. Did you mean 'grn'? Known: adapter, grn, lightweight, tiny-attention.",
        ),
        (
            ("grn", "smal", None),
            "Head adapter grn has no preset 'smal'. Did you mean 'small'? Known: closed-gate, small.",
        ),
        (
            ("tiny-attention", "zhao2022", 6),
            "A tiny attention of size 6 cannot be cut into 4 heads. Choose a multiple.",
        ),
    ],
)
def test_what_is_not_there_is_refused(given, sentence):
    name, preset, size = given
    with pytest.raises(BadInput) as refused:
        make(name, preset, 8, size)
    assert str(refused.value) == sentence
