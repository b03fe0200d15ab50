"""What a phase is said to have cost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clinstack.training import machine

MEGABYTE = 2**20
TWO_PHASES = """
import json, torch
from clinstack.training.machine import measured

cost = {}
with measured(cost, "large", "cpu"):
    large = torch.ones(100 * 2**20)  # 400 MiB
del large
with measured(cost, "small", "cpu"):
    torch.ones(10 * 2**20)  # 40 MiB
print(json.dumps(cost))
"""


def program_says(script: str) -> str:
    """What a program of its own prints: the memory of this one moves with the tests that ran before."""
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_the_peak_of_a_phase_is_its_own():
    cost = json.loads(program_says(TWO_PHASES))
    saved = cost["large"]["peak_bytes"] - cost["small"]["peak_bytes"]
    assert 300 * MEGABYTE < saved < 400 * MEGABYTE


def test_a_program_does_not_report_the_memory_of_the_one_that_started_it():
    script = "from clinstack.training.machine import peak_bytes; print(peak_bytes())"
    alone = int(program_says(script))
    large = torch.ones(300 * MEGABYTE)  # 1.2 GB
    from_a_large_one = int(program_says(script))
    del large
    assert abs(from_a_large_one - alone) < 100 * MEGABYTE


def test_free_memory_counts_what_files_hold_and_a_containers_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CONTAINER", ())
    known = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert machine.free_memory() == pytest.approx(int(known["MemAvailable"].split()[0]) * 1024, rel=0.2)
    files = [tmp_path / name for name in ("limit", "taken", "statistics")]
    for file, text in zip(files, ("1000000\n", "700000\n", "anon 3\ninactive_file 200000\n"), strict=True):
        file.write_text(text)
    monkeypatch.setattr(machine, "_CONTAINER", (tuple(map(str, files)),))
    assert machine.free_memory() == 500_000
    files[0].write_text("max\n")  # as where there is none
    assert machine.free_memory() > 10**8
