"""What a phase is said to have cost."""

import json
import subprocess
import sys

import torch

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
