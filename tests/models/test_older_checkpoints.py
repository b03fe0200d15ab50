"""Model folders from before safetensors: turned into what clinstack loads, with every weight, and never by running a pickle."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_families import make_family
from safetensors.torch import load_file

from clinstack.errors import BadInput
from clinstack.models.base_loading import load_backbone

SCRIPT = Path(__file__).parents[2] / "scripts" / "to_safetensors.py"


@pytest.fixture
def older(tmp_path) -> Path:
    """A BERT as it was published in 2019: pickled, layer norms with gamma and beta, and a table that BERT does not have."""
    folder = make_family(tmp_path / "bert", "bert")
    weights = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in weights.items()
    }
    renamed["bert.embeddings.tui_type_embeddings.weight"] = torch.ones(44, 32)
    (folder / "model.safetensors").unlink()
    torch.save(renamed, folder / "pytorch_model.bin")
    return folder


def convert(folder: Path, out: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, "-W", "ignore", str(SCRIPT), str(folder), str(out)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_an_older_checkpoint_is_refused_and_loads_once_it_is_turned_into_safetensors(older, tmp_path):
    with pytest.raises(BadInput):
        load_backbone(str(older))
    done = convert(older, tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "left out: bert.embeddings.tui_type_embeddings.weight" in done.stdout
    expected = make_family(tmp_path / "again", "bert")
    tokens = torch.tensor([[1, 40, 60, 2]])
    with torch.inference_mode():
        states = [
            load_backbone(str(one)).encode(tokens, torch.ones_like(tokens)) for one in (expected, tmp_path / "new")
        ]
    assert torch.equal(states[0], states[1])


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_a_pickle_that_runs_code_is_not_run(older, tmp_path):
    (older / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Harm()}))
    done = convert(older, tmp_path / "new")
    assert done.returncode != 0
    assert not (tmp_path / "new").exists()
    assert not Path("harmed").exists()
