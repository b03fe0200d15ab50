"""What a base must be to be loaded: its own tokenizer, its own padding, a length it can read, a revision that is there."""

import json
import shutil

import pytest
import torch
from model_families import make_family
from safetensors.torch import load_file, save_file

from clinstack.config import AdaptOptions, TrainOptions
from clinstack.errors import BadInput
from clinstack.models.backbone import check_max_tokens
from clinstack.models.base_files import find_base, hash_base
from clinstack.models.base_loading import load_backbone
from clinstack.training.classification import train
from clinstack.training.language import adapt


def change(file, **values):
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **values}))


def refused(call) -> str:
    with pytest.raises(BadInput) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("family", ["roberta", "camembert"])
def test_a_padding_that_is_not_the_models_is_refused(family, tmp_path):
    base = make_family(tmp_path / family, family)
    change(base / "config.json", pad_token_id=7)
    assert refused(lambda: load_backbone(str(base))) == (
        f"Base {family}: its tokenizer pads with token 0 and its model with 7, by which it numbers positions. Make them the same "
        "in config.json and tokenizer_config.json."
    )


@pytest.mark.parametrize("ids", [range(1000), [999]], ids=["more pieces", "one, far off"])
def test_another_models_tokenizer_is_refused(ids, tmp_path):
    base = make_family(tmp_path / "roberta", "roberta")
    content = json.loads((base / "tokenizer.json").read_text())
    known = len(content["model"]["vocab"])
    content["model"]["vocab"] |= {f"piece{number}": known + number for number in ids}
    (base / "tokenizer.json").write_text(json.dumps(content))
    model = json.loads((base / "config.json").read_text())["vocab_size"]
    assert refused(lambda: load_backbone(str(base))) == (
        f"Base roberta: its tokenizer knows {known + 1000:,} pieces and its model {model:,}. They do not belong together; fetch "
        "the base again, both from one revision."
    )


@pytest.mark.parametrize("family", ["roberta", "camembert", "bert"])
def test_a_tokenizer_without_a_maximum_is_held_to_the_models(family, tmp_path):
    base = make_family(tmp_path / family, family)
    change(base / "tokenizer_config.json", model_max_length=int(1e30))
    backbone = load_backbone(str(base))
    longest = backbone.longest
    check_max_tokens(backbone, longest)
    assert refused(lambda: check_max_tokens(backbone, longest + 1)) == (
        f"--max-tokens {longest + 1} is more than base {family} can read ({longest}). Choose at most that."
    )
    tokens = torch.full((1, longest), 5)
    assert backbone.encode(tokens, torch.ones_like(tokens)).isfinite().all()


def save_without(folder, family, drop):
    """A base as it is published without some of its weights."""
    base = make_family(folder / family, family)
    weights = {name: one for name, one in load_file(base / "model.safetensors").items() if not drop(name)}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    return base


@pytest.mark.parametrize(("family", "inside"), [("llama", "model."), ("bert", "bert.")])
def test_a_base_without_its_head_is_read_by_step_2_and_refused_by_step_1(
    family, inside, small_corpus, small_task, tmp_path
):
    base = save_without(tmp_path, family, lambda name: not name.startswith(inside))
    change(base / "config.json", tie_word_embeddings=False)
    assert load_backbone(str(base)).headless
    shared = {"base": str(base), "device": "cpu", "max_tokens": 32}
    assert refused(lambda: adapt(AdaptOptions(corpus=small_corpus, out=tmp_path / "run", **shared))) == (
        f"Base {base} was published without the layer that foretells or restores words, so step 1 would begin with a random one. "
        "Take a base that has it; step 2 reads this one."
    )
    assert not (tmp_path / "run").exists()
    task = {"task": small_task("binary"), "task_adapter": "none", "epochs": 1, "resamples": 100}
    assert train(TrainOptions(out=tmp_path / "two", **shared, **task))["variant"] == "head-only"


def test_a_base_that_lacks_other_weights_is_refused(tmp_path):
    base = save_without(tmp_path, "llama", lambda name: ".layers.1.mlp." in name)
    assert refused(lambda: load_backbone(str(base))) == (
        f"Base {base}: its files lack 3 of the model's weights, such as model.layers.1.mlp.down_proj.weight. Fetch it again, whole."
    )


@pytest.mark.parametrize("file", ["tokenizer_config.json", "tokenizer.json", "config.json", "vocab.txt"])
def test_a_base_without_one_of_its_small_files_is_another(file, tmp_path):
    """Without its settings a tokenizer of BERT's family reads all in lower case, and nothing else would tell."""
    base = make_family(tmp_path / "bert", "bert")
    (base / "vocab.txt").write_text("word")
    whole = hash_base(base)
    (base / file).unlink()
    assert hash_base(base) != whole


def test_a_model_of_the_hubs_cache_is_found_offline_by_its_revision(tmp_path, monkeypatch):
    commit, other = "a" * 40, "b" * 40
    cache = tmp_path / "models--owner--small"
    made = make_family(tmp_path / "bert", "bert")
    for one in (commit, other):
        shutil.copytree(made, cache / "snapshots" / one)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert find_base("owner/small").name == commit
    assert find_base(f"owner/small@{other}").name == other
    (cache / "refs" / "refs" / "pr").mkdir(parents=True)
    (cache / "refs" / "refs" / "pr" / "3").write_text(other)
    assert find_base("owner/small@refs/pr/3").name == other
    (cache / "snapshots" / other / "model.safetensors").rename(cache / "snapshots" / other / "pytorch_model.bin")
    assert refused(lambda: find_base(f"owner/small@{other}")) == (
        f"Base owner/small@{other} holds no .safetensors weights. Pickled weights are not loaded: convert them with "
        "scripts/to_safetensors.py, or give a revision of the hub that has them."
    )
    assert refused(lambda: find_base("owner/small@elsewhere")) == (
        "Base owner/small@elsewhere is neither a folder here nor to be had from the hub. Give a model folder, or tiny-base."
    )
