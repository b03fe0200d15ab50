"""Memory that really runs out: a process whose address space is limited while it trains."""

import json
import os
import subprocess
import sys

import pytest

RUN = """
import resource, sys
from pathlib import Path
from clinstack.config import AdaptOptions
from clinstack.training.language import adapt
from clinstack.training.running import Silent

base, corpus, out, limited = sys.argv[1:]

class Limit(Silent):
    def says(self, what):
        print(what, file=sys.stderr)
        if "after" in what:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        if "before" in what and limited == "yes":
            used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
            resource.setrlimit(resource.RLIMIT_AS, (used + 140 * 2**20, -1))

adapt(
    AdaptOptions(
        base=base, corpus=Path(corpus), out=Path(out), batch_size=16, max_tokens=64, epochs=2, learning_rate=1e-3,
        device="cpu", precision="float32", validation_tokens=64, validations_per_epoch=1,
    ),
    Limit(),
)
"""


def test_a_run_whose_memory_runs_out_goes_on_in_smaller_pieces_with_the_same_losses(small_corpus, tmp_path):
    losses, events = {}, {}
    for limited in ("no", "yes"):
        out = tmp_path / limited
        done = subprocess.run(
            [sys.executable, "-c", RUN, "tiny-base", str(small_corpus), str(out), limited],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        events[limited] = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses[limited] = [event["loss"] for event in events[limited] if event["event"] == "step"]
    assert losses["yes"] == pytest.approx(losses["no"], abs=1e-4)
    assert [event["rows_at_once"] for event in events["yes"] if event["event"] == "memory"][:1] == [8]
    assert "Memory ran out; going on with 8 rows at a time, and as many to a step as before" in done.stderr
