"""Step 1 against what one would write with peft and transformers' Trainer: useful tokens a second, share of the machine.

    python benchmarks/step1.py --work bench-step1

The base is a random LLaMA of 27.4 M parameters with the tokenizer of tiny-base. The notes are those of the synthetic
hospital, chosen by length: seven radiology reports of 60-200 tokens to one discharge summary of 500-1,500. The reference pads
or cuts every note to the block length, in float32. Both train LoRA of rank 16 on queries and values with as many places a step.
Each measurement is a process of its own; the three take turns, and ratios are those of one turn. Useful tokens are those of
notes, padding left out. The machine's rate is that of a product of two 2,048 x 2,048 matrices in the same process and
precision; a training step counts 4 operations a parameter and token (forward, and back through frozen weights).
"""

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

PLACES = 4096
RANK = 16
SHAPE = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8}


def make_base(folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from clinstack.models.base_files import TINY_BASE, find_base

    tokenizer = AutoTokenizer.from_pretrained(find_base(TINY_BASE))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_corpus(work: Path, notes: int) -> None:
    """Notes of the two kinds in the wanted lengths; a summary that is too long is one that has been cut between words."""
    import pyarrow.csv as csv
    from pyarrow import ArrowInvalid

    from clinstack.data.corpus import CorpusWriter
    from clinstack.data.sources.hospital import write_hospital
    from clinstack.models.base_loading import load_backbone

    hospital = work / "hospital"
    if not hospital.exists():
        write_hospital(hospital, patients=1200, seed=3, compress=False)
    tokenizer = load_backbone(str(work / "base")).tokenizer
    chance, chosen = random.Random(0), {}
    for kind, low, high, count in (("discharge", 500, 1500, notes // 8), ("radiology", 60, 200, notes - notes // 8)):
        options = csv.ParseOptions(newlines_in_values=True)
        try:
            texts = csv.read_csv(hospital / "mimic4" / f"{kind}.csv", parse_options=options).column("text").to_pylist()
        except ArrowInvalid as error:
            raise SystemExit(f"{kind}.csv: {error}") from error
        texts = [" ".join(text.split()) for text in texts]
        lengths = [len(one) for one in tokenizer.encode(texts)]
        fitting = [text for text, length in zip(texts, lengths, strict=True) if low <= length <= high]
        chosen[kind] = chance.sample(fitting, min(count, len(fitting)))
        print(f"{kind}: {len(chosen[kind])} of {len(texts)} notes, wanted {count}", file=sys.stderr)
    rows = [(kind, text) for kind, texts in chosen.items() for text in texts]
    chance.shuffle(rows)
    with CorpusWriter(work / "corpus", name="lengths", source="synthetic hospital", extra=["category"]) as out:
        for split, part in (("valid", rows[:64]), ("test", rows[64:128]), ("train", rows[128:])):
            ids = [f"{split}-{i}" for i in range(len(part))]
            out.write(split, ids, ids, [text for _, text in part], {"category": [kind for kind, _ in part]})


def machine_rate(precision: str) -> float:
    """Floating-point operations a second of a large matrix product, the median of twelve."""
    import torch

    kind = getattr(torch, precision)
    first, second = (torch.randn(2048, 2048).to(kind) for _ in range(2))
    torch.mm(first, second)
    took = []
    for _ in range(12):
        began = time.perf_counter()
        torch.mm(first, second)
        took.append(time.perf_counter() - began)
    return 2 * 2048**3 / statistics.median(took)


def ours(work: Path, block: int, precision: str, steps: int) -> dict:
    """clinstack adapt, its steps as it reports them; the first is left out."""
    import shutil

    from clinstack.config import AdaptOptions
    from clinstack.training.language import adapt
    from clinstack.training.running import Silent

    class Enough(Exception):
        pass

    class Count(Silent):
        def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
            if done == steps:
                raise Enough

    out = work / "run"
    shutil.rmtree(out, ignore_errors=True)
    before = machine_rate(precision)
    options = AdaptOptions(
        base=str(work / "base"), corpus=work / "corpus", out=out, epochs=50, max_tokens=block, batch_size=PLACES // block,
        method_options={"rank": RANK}, precision=precision, schedule="constant", validation_tokens=2048, device="cpu",
        validations_per_epoch=1,
    )  # fmt: skip
    with contextlib.suppress(Enough):
        adapt(options, Count())
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    taken = [event for event in events if event["event"] == "step"][1:]
    seconds = [PLACES / event["tokens_per_second"] for event in taken]
    rate = statistics.median([before, machine_rate(precision)])
    useful = PLACES / statistics.median(seconds)
    return {
        "useful_tokens_per_second": useful,
        "share_of_matrix_rate": 4 * parameters(work) * useful / rate,
        "matrix_rate": rate,
        "losses": [event["loss"] for event in taken],
    }


def reference(work: Path, block: int, steps: int) -> dict:
    """peft and transformers' Trainer, every note padded or cut to the block, float32."""
    import torch
    from peft import LoraConfig, get_peft_model
    from pyarrow import parquet
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(work / "base")
    texts = parquet.read_table(work / "corpus" / "train.parquet").column("text").to_pylist()
    encoded = tokenizer(
        [tokenizer.bos_token + text for text in texts], truncation=True, padding="max_length", max_length=block
    )
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": [i if m else -100 for i, m in zip(ids, mask, strict=True)]}
        for ids, mask in zip(encoded["input_ids"], encoded["attention_mask"], strict=True)
    ]
    base = AutoModelForCausalLM.from_pretrained(work / "base", dtype=torch.float32)
    model = get_peft_model(
        base, LoraConfig(r=RANK, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    batch = PLACES // block
    read: list[int] = []
    times: list[float] = []

    def collate(some: list[dict]) -> dict:
        read.append(sum(sum(row["attention_mask"]) for row in some))
        return {key: torch.tensor([row[key] for row in some]) for key in some[0]}

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            times.append(time.perf_counter())

        def on_step_end(self, *_: object, **__: object) -> None:
            times[-1] = time.perf_counter() - times[-1]

    arguments = TrainingArguments(
        output_dir=str(work / "reference"), per_device_train_batch_size=batch, max_steps=steps, learning_rate=3e-4,
        lr_scheduler_type="constant", use_cpu=True, save_strategy="no", report_to=[], logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Clock()])
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][1:]
    useful = statistics.mean(read[: len(times)])
    return {
        "useful_tokens_per_second": useful / statistics.median(times[1:]),
        "places_per_second": PLACES / statistics.median(times[1:]),
        "useful_share": useful / PLACES,
        "losses": losses,
    }


def agreement(work: Path, block: int) -> dict:
    """The mean loss of the same whole notes: one a row by transformers, packed by us, in float32."""
    import torch
    from pyarrow import parquet
    from transformers import AutoModelForCausalLM

    from clinstack.data.packing import stream_of
    from clinstack.models.base_loading import load_backbone
    from clinstack.training.perplexity import measure

    backbone = load_backbone(str(work / "base"))
    texts = parquet.read_table(work / "corpus" / "test.parquet").column("text").to_pylist()
    notes = [one for one in backbone.tokenizer.encode(texts) if len(one) <= block]
    packed = measure(backbone, stream_of(notes, 1), sum(map(len, notes)) + 1, batch_size=1)
    plain = AutoModelForCausalLM.from_pretrained(work / "base").eval()
    with torch.inference_mode():
        nats = [float(plain(torch.tensor([n]), labels=torch.tensor([n])).loss) * (len(n) - 1) for n in notes]
    return {"notes": len(notes), "ours": packed.nats / packed.tokens, "theirs": sum(nats) / packed.tokens}


def parameters(work: Path) -> int:
    from safetensors import safe_open

    with safe_open(work / "base" / "model.safetensors", "pt") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 (the file is no mapping)
    count = 0
    for size in sizes:
        product = 1
        for one in size:
            product *= one
        count += product
    return count


def child(arguments: argparse.Namespace) -> None:
    what, work = arguments.child, arguments.work
    if what == "prepare":
        make_base(work / "base")
        make_corpus(work, arguments.notes)
        found = {}
    elif what == "agreement":
        found = agreement(work, arguments.block)
    elif what == "reference":
        found = reference(work, arguments.block, arguments.steps)
    else:
        found = ours(work, arguments.block, what, arguments.steps)
    from clinstack.training.machine import peak_bytes

    found["peak_bytes"] = peak_bytes()
    print(json.dumps(found))


def measured(arguments: argparse.Namespace, what: str, block: int) -> dict:
    words = [sys.executable, "-W", "ignore", __file__, "--work", str(arguments.work), "--child", what]
    words += ["--block", str(block), "--steps", str(arguments.steps), "--notes", str(arguments.notes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--notes", type=int, default=1200)
    parser.add_argument("--blocks", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    if not (arguments.work / "corpus").exists():
        measured(arguments, "prepare", 512)
    print(f"{parameters(arguments.work) / 1e6:.1f} M parameters, {PLACES} places a step, {arguments.rounds} turns")
    whole = {}
    for block in arguments.blocks:
        turns: dict[str, list[dict]] = {"reference": [], "float32": [], "bfloat16": []}
        for _ in range(arguments.rounds):
            for what in turns:
                turns[what].append(measured(arguments, what, block))
        speed = {what: [turn["useful_tokens_per_second"] for turn in some] for what, some in turns.items()}
        print(f"\nblocks of {block}")
        padding = 1 - statistics.median(turn["useful_share"] for turn in turns["reference"])
        for what, some in turns.items():
            against = [a / b for a, b in zip(speed[what], speed["reference"], strict=True)]
            line = f"{what:10} {statistics.median(speed[what]):7,.0f} useful tokens/s, {spread(against)} times the reference"
            if what == "reference":
                line = (
                    f"{what:10} {statistics.median(speed[what]):7,.0f} useful tokens/s; {padding:.0%} of places padding"
                )
            else:
                share = [turn["share_of_matrix_rate"] for turn in some]
                rate = statistics.median(turn["matrix_rate"] for turn in some) / 1e9
                line += f", {spread(share)} of {rate:,.0f} GFLOP/s"
            peak = statistics.median(turn["peak_bytes"] for turn in some) / 2**30
            print(f"{line}; peak {peak:.2f} GiB; loss of the last step {some[-1]['losses'][-1]:.3f}")
        same = measured(arguments, "agreement", block)
        print(f"the same {same['notes']} notes: {same['ours']:.6f} nats a token packed, {same['theirs']:.6f} one a row")
        whole[block] = {"turns": turns, "agreement": same}
    (arguments.work / "step1.json").write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
