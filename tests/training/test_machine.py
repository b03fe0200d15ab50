"""What a phase is said to have cost."""

import subprocess
import sys

import torch

from clinstack.training.machine import measured

MEGABYTE = 2**20


def test_the_peak_of_a_phase_is_its_own():
    cost: dict = {}
    with measured(cost, "large", "cpu"):
        large = torch.ones(100 * MEGABYTE)  # 400 MB
    del large
    with measured(cost, "small", "cpu"):
        torch.ones(10 * MEGABYTE)
    saved = cost["large"]["peak_bytes"] - cost["small"]["peak_bytes"]
    assert 300 * MEGABYTE < saved < 400 * MEGABYTE


def test_a_program_does_not_report_the_memory_of_the_one_that_started_it():
    script = "from clinstack.training.machine import peak_bytes; print(peak_bytes())"
    alone = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
    large = torch.ones(300 * MEGABYTE)  # 1.2 GB
    from_a_large_one = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
    del large
    assert abs(from_a_large_one - alone) < 100 * MEGABYTE
