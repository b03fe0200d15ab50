"""Trains the tiny base model that comes with clinstack: a 4,096-piece BPE tokenizer and a LLaMA of about 3 M parameters.

Text: the English novels (1852-1927, out of copyright) in a parquet file with columns text, source, doc, split. Whole books
are held out, so the validation and test figures are of books never seen. Resumable: the same command goes on.

    python scripts/train_tiny_base.py general_en.parquet build/tiny_base

writes the model folder (tokenizer, bf16 weights, card); copy it to src/clinstack/demo/tiny_base to ship it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import torch
import torch.nn.functional as functional
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from clinstack.data.packing import NOT_SCORED, TokenStream, count_blocks, stream_of, take_blocks
from clinstack.metrics.bits import bits_per_byte
from clinstack.runs.atomic import write_json
from clinstack.training.contract import Loss, Recipe, Score, Watcher
from clinstack.training.loop import fit

VOCABULARY, CONTEXT, BLOCK, ROWS = 4096, 1024, 256, 16


def read_novels(file: Path, split: str) -> list[str]:
    table = parquet.read_table(file, filters=[("source", "==", "english-novels"), ("split", "==", split)])
    return table["text"].to_pylist()


def train_tokenizer(texts: list[str], folder: Path) -> PreTrainedTokenizerFast:
    if not (folder / "tokenizer.json").exists():
        tokenizer = Tokenizer(models.BPE(byte_fallback=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT
        )
        fast.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def make_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=5,
            num_attention_heads=6,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


class Blocks:
    """The training stream in a new order each epoch; every block once."""

    def __init__(self, stream: TokenStream, seed: int):
        self.stream, self.seed = stream, seed

    def order(self, epoch: int) -> list[list[int]]:
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(count_blocks(self.stream, BLOCK))
        return [shuffled[i : i + ROWS].tolist() for i in range(0, len(shuffled), ROWS)]

    def load(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        block = take_blocks(self.stream, rows, BLOCK)
        return torch.from_numpy(block.inputs), torch.from_numpy(block.targets), torch.from_numpy(block.positions)


def summed_loss(model: LlamaForCausalLM, batch: tuple[torch.Tensor, ...]) -> Loss:
    inputs, targets, positions = batch
    hidden = model.model(input_ids=inputs, position_ids=positions, use_cache=False).last_hidden_state
    scored = targets != NOT_SCORED
    total = functional.cross_entropy(model.lm_head(hidden[scored]).float(), targets[scored], reduction="sum")
    return Loss(total, float(scored.sum()), inputs.numel())


@torch.inference_mode()
def measure(model: LlamaForCausalLM, stream: TokenStream, blocks: int | None = None) -> float:
    count = count_blocks(stream, BLOCK)
    chosen = np.linspace(0, count - 1, min(count, blocks or count)).astype(int)
    data, nats, scored = Blocks(stream, 0), 0.0, 0.0
    for i in range(0, len(chosen), ROWS):
        part = summed_loss(model, data.load(chosen[i : i + ROWS].tolist()))
        nats, scored = nats + float(part.total), scored + part.weight
    return bits_per_byte(nats, stream.text_bytes * scored / stream.scored_tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("novels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    texts = {split: read_novels(args.novels, split) for split in ("train", "valid", "test")}
    tokenizer = train_tokenizer(texts["train"], args.out)
    streams = {
        split: stream_of(
            ([1, *ids] for ids in tokenizer(notes, add_special_tokens=False)["input_ids"]),
            sum(len(note.encode()) for note in notes),
        )
        for split, notes in texts.items()
    }
    model = make_model(args.seed)
    print(
        f"{model.num_parameters():,} parameters; {len(streams['train'].tokens):,} training tokens an epoch", flush=True
    )

    def score() -> Score:
        return Score("bits_per_byte", measure(model, streams["valid"]), lower_is_better=True)

    def show(event: dict[str, object]) -> None:
        if event["event"] == "validation" or event["step"] % 100 == 0:  # type: ignore[operator]
            print(json.dumps(event), flush=True)

    recipe = Recipe(
        epochs=args.epochs,
        learning_rate=3e-3,
        schedule="cosine",
        warmup_ratio=0.02,
        weight_decay=0.05,
        validations_per_epoch=1,
        autocast=torch.bfloat16,
    )
    fitted = fit(
        dict(model.named_parameters()),
        Blocks(streams["train"], args.seed),
        lambda batch: summed_loss(model, batch),
        score,
        recipe,
        args.out / "checkpoints",
        Watcher(record=show),
    )
    model.to(torch.bfloat16).save_pretrained(args.out)
    rounded = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32)
    figures = {split: round(measure(rounded, streams[split]), 4) for split in ("valid", "test")}
    tokenizer.save_pretrained(args.out)
    write_json(
        args.out / "training.json",
        {
            "bits_per_byte": figures,
            "epochs": args.epochs,
            "seed": args.seed,
            "parameters": rounded.num_parameters(),
            "best_epoch": fitted.best_epoch,
            "tokens": fitted.tokens,
            "seconds": round(fitted.seconds),
        },
    )
    prompt = torch.tensor([[1, *tokenizer("The doctor came into the room and", add_special_tokens=False)["input_ids"]]])
    torch.manual_seed(0)
    sample = rounded.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=120, do_sample=True, temperature=0.7, top_k=40
    )
    print(figures, "\n" + tokenizer.decode(sample[0], skip_special_tokens=True))


if __name__ == "__main__":
    main()
