"""Step 1 on one accelerator at the shape of LLaMA-7B: share of the card's matrix rate, beside peft and transformers' Trainer.

    python benchmarks/gpu_step1.py --out gpu-step1.json

Random weights, LoRA of rank 16 on queries and values, bfloat16, notes packed into blocks of 2,048 (ours) or one a row,
padded or cut to 2,048 (the reference). The two take turns in one process each. The card's rate is that of a product of two
8,192 x 8,192 bfloat16 matrices in the same process; a step counts 4 operations a parameter and token. `--layers`, `--hidden`
and `--block` make it small enough to be tried on a processor.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

VOCABULARY = 32_000


def note_lengths(chance: random.Random, block: int) -> int:
    """Seven radiology reports of 60-200 tokens to one discharge summary of 500-1,500."""
    return min(block, chance.randint(60, 200) if chance.random() < 7 / 8 else chance.randint(500, 1500))


def model_of(arguments: argparse.Namespace):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=arguments.hidden,
        intermediate_size=int(arguments.hidden * 11008 / 4096),
        num_hidden_layers=arguments.layers,
        num_attention_heads=max(1, arguments.hidden // 128),
        max_position_embeddings=arguments.block,
        pad_token_id=0,
    )
    with torch.device(arguments.device):
        return LlamaForCausalLM(config)


def matrix_rate(device: str, size: int) -> float:
    import torch

    first, second = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    took = []
    for _ in range(20):
        began = time.perf_counter()
        torch.mm(first, second)
        settle(device)
        took.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(took)


def settle(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed_steps(step, useful: list[int], arguments: argparse.Namespace) -> dict:
    """Median useful tokens a second of the steps after the second."""
    import torch

    speeds = []
    for number in range(arguments.steps):
        settle(arguments.device)
        began = time.perf_counter()
        step(number)
        settle(arguments.device)
        speeds.append(useful[number] / (time.perf_counter() - began))
    peak = torch.cuda.max_memory_allocated() if arguments.device.startswith("cuda") else 0
    return {"useful_tokens_per_second": statistics.median(speeds[2:]), "peak_bytes": peak}


def ours(arguments: argparse.Namespace) -> dict:
    import torch

    from clinstack.models.backbone import Backbone
    from clinstack.models.method import make_method
    from clinstack.models.note_attention import NAME
    from clinstack.models.stack import Adapter, Slot, Stack
    from clinstack.training.batches import PackedBatch
    from clinstack.training.checkpointed_layers import checkpoint_layers
    from clinstack.training.objective import NextToken

    model = model_of(arguments).eval().requires_grad_(False)
    model.set_attn_implementation(NAME)
    backbone = Backbone("llama", Path("none"), "none", model, SimpleNamespace())  # type: ignore[arg-type]
    stack = Stack(backbone, (Slot(Adapter("clinical", make_method("lora", {"rank": 16}))),))
    backbone.keep_half_copies()
    if arguments.checkpoint:
        checkpoint_layers(backbone)
    stack.train(True)
    optimizer = torch.optim.AdamW(stack.trainable().values(), lr=3e-4)
    chance, places = random.Random(0), arguments.rows * arguments.block

    def batch() -> PackedBatch:
        positions: list[int] = []
        while len(positions) < places:
            positions += range(note_lengths(chance, arguments.block))
        position = torch.tensor(positions[:places]).view(arguments.rows, arguments.block)
        tokens = torch.randint(1, VOCABULARY, position.shape)
        arrays = (tokens, tokens.roll(-1, dims=1), position, torch.ones_like(tokens, dtype=torch.bool))
        return PackedBatch(*(one.to(arguments.device) for one in arrays))

    def step(_: int) -> None:
        with torch.autocast(arguments.device.partition(":")[0], torch.bfloat16):
            loss = NextToken().loss(backbone, batch())
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    found = timed_steps(step, [places] * arguments.steps, arguments)
    rate = matrix_rate(arguments.device, arguments.matrix)
    share = 4 * backbone.parameters_total * found["useful_tokens_per_second"] / rate
    return {**found, "matrix_rate": rate, "share_of_matrix_rate": share, "parameters": backbone.parameters_total}


def reference(arguments: argparse.Namespace) -> dict:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    lora = LoraConfig(r=16, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model_of(arguments).bfloat16(), lora)
    if arguments.checkpoint:
        model.enable_input_require_grads()
    chance, rows = random.Random(0), []
    for _ in range(arguments.rows * arguments.steps):
        length = note_lengths(chance, arguments.block)
        ids = [chance.randrange(1, VOCABULARY) for _ in range(length)] + [0] * (arguments.block - length)
        mask = [1] * length + [0] * (arguments.block - length)
        labels = [one if seen else -100 for one, seen in zip(ids, mask, strict=True)]
        rows.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    read: list[int] = []
    times: list[float] = []

    def collate(some: list[dict]) -> dict:
        read.append(sum(sum(row["attention_mask"]) for row in some))
        return {key: torch.tensor([row[key] for row in some]) for key in some[0]}

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            settle(arguments.device)
            times.append(time.perf_counter())

        def on_step_end(self, *_: object, **__: object) -> None:
            settle(arguments.device)
            times[-1] = time.perf_counter() - times[-1]

    options = TrainingArguments(
        output_dir=str(arguments.out.parent / "gpu-reference"), per_device_train_batch_size=arguments.rows,
        max_steps=arguments.steps, bf16=True, use_cpu=arguments.device == "cpu", save_strategy="no", report_to=[],
        disable_tqdm=True, gradient_checkpointing=arguments.checkpoint,
    )  # fmt: skip
    Trainer(model=model, args=options, train_dataset=rows, data_collator=collate, callbacks=[Clock()]).train()
    useful = statistics.mean(read[: len(times)])
    peak = torch.cuda.max_memory_allocated() if arguments.device.startswith("cuda") else 0
    return {"useful_tokens_per_second": useful / statistics.median(times[2:]), "peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--block", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--matrix", type=int, default=8192)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checkpoint", action="store_true", help="gradient checkpointing, in both")
    parser.add_argument("--child", choices=["ours", "reference"])
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(ours(arguments) if arguments.child == "ours" else reference(arguments)))
        return
    turns: dict[str, list[dict]] = {"ours": [], "reference": []}
    for _ in range(arguments.rounds):
        for what, some in turns.items():
            words = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--child", what]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{what} failed:\n{done.stderr[-2000:]}")
            some.append(json.loads(done.stdout.splitlines()[-1]))
    speed = {what: [turn["useful_tokens_per_second"] for turn in some] for what, some in turns.items()}
    ratios = [a / b for a, b in zip(speed["ours"], speed["reference"], strict=True)]
    share = [turn["share_of_matrix_rate"] for turn in turns["ours"]]
    median = statistics.median
    rate = median(turn["matrix_rate"] for turn in turns["ours"]) / 1e12
    spread = f"{median(share):.2f} ({min(share):.2f} to {max(share):.2f})"
    print(f"ours {median(speed['ours']):,.0f} useful tokens/s, {spread} of {rate:,.1f} TFLOP/s")
    print(f"reference {median(speed['reference']):,.0f} useful tokens/s")
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    arguments.out.write_text(json.dumps(turns, indent=1))


if __name__ == "__main__":
    main()
