"""Fixtures that tests of several rooms use: a random tiny base, made-up notes, a finished step-1 run, and the public text."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy machine is slow, and no failure
settings.load_profile("any machine")

WORDS = {
    "alive": ["stable", "comfortable", "ambulating", "afebrile", "clear", "pleasant", "improved", "regular"],
    "dead": ["intubated", "pressors", "lactate", "arrest", "shock", "anuric", "obtunded", "mottled"],
    "heart": ["edema", "orthopnea", "murmur", "furosemide", "troponin"],
    "lung": ["wheeze", "dyspnea", "sputum", "nebulizer", "hypoxia"],
}
FILLER = [
    "patient",
    "is",
    "a",
    "man",
    "woman",
    "with",
    "history",
    "of",
    "the",
    "and",
    "was",
    "seen",
    "on",
    "day",
    "for",
    "follow",
    "up",
    "of",
    "pain",
]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real public text and models, which does not travel with the project; without it the test skips."""
    folder = Path(os.environ.get("CLINSTACK_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the folder of public text: set CLINSTACK_SHARED, or put it beside the project as `shared`")
    return folder


def made_up_note(chance: random.Random, *topics: str) -> str:
    """A note of 12 to 40 words, some of them of the topics."""
    words = [chance.choice(FILLER) for _ in range(chance.randint(10, 34))]
    words += [chance.choice(WORDS[topic]) for topic in topics for _ in range(2)]
    chance.shuffle(words)
    return " ".join(words)


def make_base(folder: Path, *, seed: int = 0, pad: bool = True) -> Path:
    """A random LLaMA of two layers with a byte-level BPE tokenizer, as transformers writes them."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(FILLER)] * 3, trainer)
    named = {"bos_token": "<s>", "eos_token": "</s>", **({"pad_token": "<pad>"} if pad else {})}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0 if pad else None,
        initializer_range=0.15,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny LLaMA."""
    return make_base(tmp_path_factory.mktemp("bases") / "small")


@pytest.fixture(scope="session")
def other_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape with other weights: another base."""
    return make_base(tmp_path_factory.mktemp("bases") / "other", seed=1)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 unlabelled notes of 60 patients."""
    from clinstack.data.corpus import CorpusWriter

    chance, folder = random.Random(1), tmp_path_factory.mktemp("data") / "corpus"
    with CorpusWriter(folder, name="made-up", source="tests", terms=["for tests only"]) as out:
        for split, notes in {"train": 80, "valid": 20, "test": 20}.items():
            texts = [made_up_note(chance, chance.choice(list(WORDS))) for _ in range(notes)]
            ids = [f"{split}-{i}" for i in range(notes)]
            out.write(split, ids, [f"{split}-p{i // 2}" for i in range(notes)], texts)
    return folder


CLASSES = {
    "binary": ["alive", "dead"],
    "multiclass": ["alive", "dead", "heart"],
    "multilabel": ["alive", "dead", "heart", "lung"],
}
TITLES = {"dead": "died in this stay", "heart": "a failing heart & its <signs>"}
"""Of some classes; as text of others may, one looks like markup."""


def make_task(folder: Path, kind: str, notes: int = 64) -> Path:
    """A task whose words decide its labels."""
    from clinstack.data.task import TaskWriter

    chance, classes = random.Random(2), CLASSES[kind]
    with TaskWriter(folder, name=f"made-up-{kind}", kind=kind, classes=classes, titles=TITLES, source="tests") as out:
        for split, count in {"train": notes, "valid": 24, "test": 24}.items():
            if kind == "multilabel":
                labels = [[c for c in classes if chance.random() < 0.4] for _ in range(count)]
            else:
                labels = [[classes[i % len(classes)]] for i in range(count)]
            texts = [made_up_note(chance, *one) for one in labels]
            ids = [f"{split}-{i}" for i in range(count)]
            out.write(split, ids, [f"{split}-p{i // 2}" for i in range(count)], texts, labels)
    return folder


@pytest.fixture(scope="session")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """kind -> a task folder of that kind."""
    root, made = tmp_path_factory.mktemp("tasks"), {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_task(root / kind, kind)
        return made[kind]

    return of


@pytest.fixture(scope="session")
def clinical_run(tmp_path_factory: pytest.TempPathFactory, small_base: Path, small_corpus: Path) -> Path:
    """A finished step-1 run on the small base."""
    from clinstack.config import AdaptOptions
    from clinstack.training.language import adapt

    out = tmp_path_factory.mktemp("runs") / "clinical"
    adapt(
        AdaptOptions(
            base=str(small_base),
            corpus=small_corpus,
            out=out,
            learning_rate=5e-3,
            max_tokens=64,
            device="cpu",
            precision="float32",
            method_options={"rank": 4, "targets": "all"},
        )
    )
    return out


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
