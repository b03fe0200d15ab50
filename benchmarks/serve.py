"""Serving: mixed batches, late branches and many adapters beside peft, and a server under load.

    python benchmarks/serve.py --work bench-serve [--parts mixed branch switching load] [--minutes 5]

Twelve layers of width 256 with random weights, one clinical adapter of rank 8, sixteen task adapters of rank 8 with heads of 2
to 1,266 classes, five more tasks whose adapters lie in the upper three layers alone. Notes of the synthetic hospital, at most
208 tokens, float32, both cores.

mixed:     32 notes each asked for a task of its own, beside 32 notes asked for one task.
branch:    32 notes asked for five tasks each: late branches, whole adapters, and five passes of peft over the padded batch.
switching: 64 requests of one note and one task each, in random order: the batcher, and peft switching before each.
load:      64 clients against `clinstack serve` for some minutes, while a task is promoted and rolled back a hundred times.
Pairs take turns; ratios are those of one turn.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

PARTS = ("mixed", "branch", "switching", "load")
SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 12, "num_attention_heads": 4}
CLASSES = [2, 2, 2, 2, 4, 4, 10, 10, 25, 25, 50, 50, 100, 200, 711, 1266]
LATE, LENGTH, RANK = 5, 208, 8


def make_base(folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from clinstack.models.base_files import TINY_BASE, find_base

    tokenizer = AutoTokenizer.from_pretrained(find_base(TINY_BASE))
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=512, **ids, **SHAPE)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_notes(work: Path) -> list[str]:
    from pyarrow import parquet

    from clinstack.data.sources.hospital import write_hospital
    from clinstack.data.sources.mimic3 import build_mimic3

    if not (work / "tasks").exists():
        write_hospital(work / "hospital", patients=300, seed=1)
        build_mimic3(work / "hospital" / "mimic3", work / "tasks", tasks=["mor"])
    return parquet.read_table(work / "tasks" / "mor" / "train.parquet").column("text").to_pylist()


def prepare(work: Path) -> list[str]:
    """Base, clinical adapter, runs and library, once; returns the notes."""
    from clinstack.config import AdaptOptions, TrainOptions
    from clinstack.data.corpus import CorpusWriter
    from clinstack.data.task import TaskWriter
    from clinstack.serving.library import Library
    from clinstack.training.classification import train
    from clinstack.training.language import adapt

    notes = make_notes(work)
    if (work / "ready").exists():
        return notes
    make_base(work / "base")
    chance = random.Random(1)
    with CorpusWriter(work / "corpus", name="notes", source="benchmark") as out:
        for split, count in {"train": 40, "valid": 8, "test": 8}.items():
            ids = [f"{split}-{number}" for number in range(count)]
            out.write(split, ids, ids, chance.sample(notes, count))
    shared = {"device": "cpu", "precision": "float32", "learning_rate": 1e-2}
    adapt(AdaptOptions(base=str(work / "base"), corpus=work / "corpus", out=work / "clinical", max_tokens=LENGTH,
        validation_tokens=1000, method_options={"rank": RANK}, **shared))  # fmt: skip
    library = Library(work / "library")
    tasks = [(f"task-{n:02}", count, {}) for n, count in enumerate(CLASSES)]
    tasks += [(f"late-{n:02}", 10, {"top_layers": 3}) for n in range(LATE)]
    for name, count, options in tasks:
        kind, classes = ("binary" if count == 2 else "multilabel"), [f"class-{n}" for n in range(count)]
        with TaskWriter(work / "labelled" / name, name=name, kind=kind, classes=classes, source="benchmark") as out:
            for split, size in {"train": 24, "valid": 16, "test": 16}.items():
                ids = [f"{split}-{number}" for number in range(size)]
                labels = [chance.sample(classes, 1 if kind == "binary" else max(1, count // 20)) for _ in ids]
                out.write(split, ids, ids, chance.sample(notes, size), labels)
        train(TrainOptions(base=str(work / "base"), task=work / "labelled" / name, out=work / "runs" / name,
            clinical=work / "clinical", max_tokens=LENGTH, epochs=1, resamples=100,
            method_options={"rank": RANK, **options}, **shared))  # fmt: skip
        library.promote(library.add(work / "runs" / name, name))
    library.add(work / "runs" / "task-01", "task-00")  # another version of it, to be promoted under load
    (work / "ready").touch()
    return notes


class Peft:
    """What one would write: peft with every adapter loaded, two of them active, the head applied by hand."""

    def __init__(self, work: Path, names: list[str]):
        import torch
        from peft import PeftModel
        from safetensors.torch import load_file
        from transformers import AutoModelForCausalLM, AutoTokenizer

        base = AutoModelForCausalLM.from_pretrained(work / "base", dtype=torch.float32, attn_implementation="sdpa")
        clinical = work / "runs" / names[0] / "adapters" / "clinical"
        self.model = PeftModel.from_pretrained(base, clinical, adapter_name="clinical")
        for name in names:
            self.model.load_adapter(work / "runs" / name / "adapters" / "task", adapter_name=name)
        self.heads = {name: load_file(work / "runs" / name / "head.safetensors") for name in names}
        self.tokenizer = AutoTokenizer.from_pretrained(work / "base")
        self.model.eval()
        self.backbone = base.model  # the adapters' layers are in it; the head over the vocabulary is not

    def logits(self, texts: list[str], name: str):
        import torch

        self.model.base_model.set_adapter(["clinical", name])
        given = self.tokenizer(
            [self.tokenizer.bos_token + text for text in texts],
            add_special_tokens=False,
            truncation=True,
            max_length=LENGTH,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = self.backbone(
                input_ids=given["input_ids"], attention_mask=given["attention_mask"], use_cache=False
            ).last_hidden_state
            last = states[torch.arange(len(texts)), given["attention_mask"].sum(1) - 1]
            return torch.nn.functional.linear(last, self.heads[name]["linear.weight"], self.heads[name]["linear.bias"])


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(ratios: list[float]) -> dict:
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def turns(rounds: int, **works) -> dict:
    """Seconds of each piece of work, in turns, after one turn that does not count."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            seconds = timed(work)
            if turn:
                took[name].append(seconds)
    return took


def served_of(work: Path, engine, names: list[str]) -> dict:
    return {name: engine.prepare(work / "runs" / name) for name in names}


def mixed(work: Path, notes: list[str], rounds: int) -> dict:
    from clinstack.serving.engine import Engine, Question

    engine = Engine()
    names = [f"task-{n:02}" for n in range(len(CLASSES))]
    served = served_of(work, engine, names)
    chance = random.Random(2)
    texts = chance.sample(notes, 32)
    every = [Question(text, (served[names[n % len(names)]],)) for n, text in enumerate(texts)]
    chance.shuffle(every)
    one = [Question(text, (served[names[6]],)) for text in texts]
    took = turns(rounds, one=lambda: engine.answer(one), every=lambda: engine.answer(every))
    ratios = [first / second for first, second in zip(took["one"], took["every"], strict=True)]
    return {
        "notes_a_second": {name: 32 / statistics.median(seconds) for name, seconds in took.items()},
        "throughput_of_mixed": spread(ratios),
    }


def branch(work: Path, notes: list[str], rounds: int) -> dict:
    import numpy as np

    from clinstack.serving.engine import Engine, Question

    engine = Engine()
    late, whole = [f"late-{n:02}" for n in range(LATE)], [f"task-{n:02}" for n in range(4, 4 + LATE)]
    served = served_of(work, engine, late + whole)
    texts = random.Random(3).sample(notes, 32)
    rival = Peft(work, late + whole)
    asked = {
        kind: [Question(text, tuple(served[name] for name in names)) for text in texts]
        for kind, names in {"late": late, "whole": whole}.items()
    }
    ours = engine.answer(asked["late"])
    theirs = [rival.logits(texts, name).numpy() for name in late]
    largest = max(float(np.abs(ours[n][t].logits - theirs[t][n]).max()) for n in range(32) for t in range(LATE))
    took = turns(
        rounds,
        peft=lambda: [rival.logits(texts, name) for name in late],
        late=lambda: engine.answer(asked["late"]),
        whole=lambda: engine.answer(asked["whole"]),
    )
    return {
        "notes_a_second": {name: 32 / statistics.median(seconds) for name, seconds in took.items()},
        "largest_difference_of_logits": largest,
        **{
            f"{kind}_against_peft": spread([a / b for a, b in zip(took["peft"], took[kind], strict=True)])
            for kind in ("late", "whole")
        },
    }


def switching(work: Path, notes: list[str], rounds: int) -> dict:
    from clinstack.serving.batching import Batcher
    from clinstack.serving.engine import Engine, Question

    engine = Engine()
    names = [f"task-{n:02}" for n in range(len(CLASSES))]
    served = served_of(work, engine, names)
    chance = random.Random(4)
    requests = [(chance.choice(notes), chance.choice(names)) for _ in range(64)]
    rival, batcher = Peft(work, names), Batcher(engine)
    questions = [Question(text, (served[name],)) for text, name in requests]

    def together() -> None:
        for one in batcher.ask(questions, 600):
            one.result()

    took = turns(
        rounds,
        peft=lambda: [rival.logits([text], name) for text, name in requests],
        alone=lambda: [engine.answer([question]) for question in questions],
        together=together,
    )
    batcher.close(10)
    return {
        "notes_a_second": {name: 64 / statistics.median(seconds) for name, seconds in took.items()},
        **{
            f"{kind}_against_peft": spread([a / b for a, b in zip(took["peft"], took[kind], strict=True)])
            for kind in ("alone", "together")
        },
    }


def load(work: Path, notes: list[str], minutes: float, clients: int = 64) -> dict:
    """Clients that ask one note for one to three tasks, again and again; each waits for its answer."""
    import httpx

    from clinstack.serving.library import Library

    library = Library(work / "library")
    first, second = library.entry("task-00", 1), library.entry("task-00", 2)
    library.promote(first)
    command = [sys.executable, "-m", "clinstack.cli", "serve", "--library", str(work / "library"), "--port", "0",
        "--json", "--log", "warning", "--timeout", "120"]  # fmt: skip
    stop, lock = threading.Event(), threading.Lock()
    seconds: list[float] = []
    failed: list[str] = []
    versions: set[str] = set()
    memory: list[tuple[float, float]] = []

    def ask(address: str, number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(base_url=address, timeout=180) as client:
            while not stop.is_set():
                tasks = chance.sample([f"task-{n:02}" for n in range(len(CLASSES))], chance.randint(1, 3))
                body = {"notes": [{"id": "n", "text": chance.choice(notes)}], "tasks": tasks, "top": 5}
                began = time.perf_counter()
                try:
                    answer = client.post("/v1/predict", json=body)
                except httpx.HTTPError as error:
                    failed.append(type(error).__name__)
                    continue
                took = time.perf_counter() - began
                with lock:
                    if answer.status_code != 200:
                        failed.append(str(answer.status_code))
                    else:
                        seconds.append(took)
                        versions.update(one["lineage"]["version"] for one in answer.json()["predictions"])

    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        address = json.loads(process.stdout.readline())["address"]
        threads = [threading.Thread(target=ask, args=(address, number)) for number in range(clients)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        changes = 0
        while time.monotonic() < began + 60 * minutes:
            due = began + (changes + 1) * 60 * minutes / 201
            time.sleep(max(0.0, due - time.monotonic()))
            if changes < 200:
                if changes % 2:
                    library.rollback("task-00")
                else:
                    library.promote(second)
                changes += 1
            memory.append((time.monotonic() - began, _resident(process.pid)))
        stop.set()
        for thread in threads:
            thread.join()
        whole = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        ended = process.wait(120)
    third = len(memory) // 3
    ordered = sorted(seconds)
    return {
        "clients": clients,
        "seconds": whole,
        "answers": len(seconds),
        "answers_a_second": len(seconds) / whole,
        "p50_seconds": ordered[len(ordered) // 2],
        "p99_seconds": ordered[int(0.99 * len(ordered))],
        "failed": failed[:20],
        "changes_of_the_library": changes,
        "versions_seen": len(versions),
        "resident_mib": {"first third": _mean(memory[:third]), "last third": _mean(memory[-third:])},
        "exit_code": ended,
    }


def _resident(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _mean(memory: list[tuple[float, float]]) -> float:
    return statistics.mean(mebibytes for _, mebibytes in memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench-serve"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=5.0)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    notes = prepare(arguments.work)
    file = arguments.work / "serve.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for part in arguments.parts:
        if part == "load":
            found[part] = load(arguments.work, notes, arguments.minutes)
        else:
            found[part] = {"mixed": mixed, "branch": branch, "switching": switching}[part](
                arguments.work, notes, arguments.rounds
            )
        print(part, json.dumps(found[part], indent=2), flush=True)
        file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
