"""Trains a small BERT from nothing to restore masked tokens of a corpus: a stand-in for encoders that cannot be fetched.

    python scripts/train_small_encoder.py CORPUS OUT [--cased] [--epochs 3]

CORPUS is a folder of `clinstack data`. Four layers of width 192 and a vocabulary of 4,096 learned from the training part;
--cased keeps capitals and accents, as French needs. The same command goes on with an interrupted training. OUT becomes a model
folder.
"""

import argparse
import shutil
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from clinstack.config import AdaptOptions
from clinstack.data.corpus import open_corpus
from clinstack.models.adapter_files import load_adapter
from clinstack.models.base_loading import load_backbone
from clinstack.models.stack import Slot, Stack
from clinstack.runs.layout import RunLayout
from clinstack.training.language import CLINICAL, adapt

VOCABULARY = 4096


def make_encoder(corpus: Path, out: Path, *, cased: bool = False, epochs: int = 3) -> None:
    """Writes the trained model to `out`, unless it is there."""
    if out.exists():
        return
    random, run = out.with_name(f"{out.name}-untrained"), out.with_name(f"{out.name}-training")
    if not (random / "model.safetensors").exists():
        make_untrained(corpus, random, cased=cased)
    adapt(AdaptOptions(base=str(random), corpus=corpus, out=run, method="full", epochs=epochs, learning_rate=1e-3,
        batch_size=16, max_tokens=256, validation_tokens=40_000, seed=1))  # fmt: skip
    backbone = load_backbone(str(random))
    trained = load_adapter(RunLayout(run).adapter(CLINICAL), CLINICAL)
    Stack(backbone, (Slot(trained, frozen=True, merged=True),))
    partial = out.with_name(f"{out.name}-partial")
    backbone.model.save_pretrained(partial)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(random / file, partial / file)
    shutil.move(partial, out)


def make_untrained(corpus: Path, folder: Path, *, cased: bool) -> None:
    """A random model, and a tokenizer of the corpus's training part."""
    texts = open_corpus(corpus).read("train").column("text").to_pylist()
    pieces = BertWordPieceTokenizer(lowercase=not cased, strip_accents=not cased)
    pieces.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=2, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    pieces.save_model(str(folder))
    tokenizer = BertTokenizerFast(
        vocab=str(folder / "vocab.txt"), model_max_length=512, do_lower_case=not cased, strip_accents=not cased
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=192, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=768, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cased", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    make_encoder(arguments.corpus, arguments.out, cased=arguments.cased, epochs=arguments.epochs)


if __name__ == "__main__":
    main()
