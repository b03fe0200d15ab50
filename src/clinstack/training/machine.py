"""What the machine offers and what a training cost on it: device, precision, seconds, memory, floating-point operations."""

import os
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch

from clinstack.errors import BadInput
from clinstack.training.processes import launched

Precision = Literal["auto", "float32", "bfloat16"]


_CONTAINER = tuple(
    tuple(f"/sys/fs/cgroup/{name}" for name in names)
    for names in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    )
)
"""Where Linux says how much memory a container may have, has, and has of it for files: of either version of its groups."""


def cores() -> int:
    """How many processors this process may use; a batch system or a container may give it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that new processes can have: what the system keeps of files makes room; a container has a limit of its own."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):  # not Linux
        if found := re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE):
            free = int(found[1]) * 1024
    for limit, taken, statistics in _CONTAINER:
        with suppress(OSError, ValueError):  # no such limit, or none that is a number
            files = re.search(r"^(?:total_)?inactive_file (\d+)$", Path(statistics).read_text(), re.MULTILINE)
            used = int(Path(taken).read_text()) - (int(files[1]) if files else 0)
            free = min(free, max(0, int(Path(limit).read_text()) - used))
    return free


def choose_device(device: str) -> str:
    """`cpu`, `cuda`, `cuda:1`, or for `auto` the accelerator if there is one; of several processes each has its own."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "cuda" if launched().count == 1 else f"cuda:{launched().local_index}"
    if device == "auto":
        return "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(f"--device {device}: no CUDA device is available here. Use --device cpu.")
    try:
        return str(torch.device(device))
    except RuntimeError:
        raise BadInput(f"--device {device} is not known. Use auto, cpu, cuda or cuda:0.") from None


def device_name(device: str) -> str:
    """What the device's maker calls it, and how many cores of a processor may be used."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return f"{_processor()}, {cores()} cores"


def _processor() -> str:
    with suppress(OSError):  # not Linux
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def choose_autocast(precision: Precision, device: str) -> torch.dtype | None:
    """The autocast type of training: bfloat16 if asked for, or for `auto` if the processor multiplies in it; else None.

    Evaluation is always float32: a figure must not depend on the machine's shortcuts.
    """
    if precision == "auto":
        return torch.bfloat16 if _native_bfloat16(device) else None
    return torch.bfloat16 if precision == "bfloat16" else None


def precision_name(autocast: torch.dtype | None) -> str:
    """`float32` or `bfloat16`: what `choose_autocast` came to, as results name it."""
    return "float32" if autocast is None else str(autocast).removeprefix("torch.")


def _native_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    offered = torch.cpu.get_capabilities()
    return any(offered.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


@contextmanager
def measured(cost: dict[str, Any], phase: str, device: str) -> Iterator[None]:
    """Adds a phase's wall seconds, processor seconds (all threads) and peak memory to `cost`.

    Peak memory, in bytes, is the process's largest during the phase on a CPU (on other systems than Linux: so far), and the
    phase's own on an accelerator.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()
    began, busy = time.perf_counter(), time.process_time()
    yield
    cost[phase] = {
        "seconds": round(time.perf_counter() - began, 3),
        "cpu_seconds": round(time.process_time() - busy, 3),
        "peak_bytes": peak_of(device),
    }


def peak_of(device: str) -> int:
    """The largest memory since it was last forgotten: the accelerator's, or the process's on a CPU."""
    return int(torch.cuda.max_memory_allocated()) if device.startswith("cuda") else peak_bytes()


def forget_peak() -> None:
    """Lets the process's peak memory begin again at what it holds now, where the system can."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/clear_refs").write_text("5")  # 5: the peak alone (proc(5))


def peak_bytes() -> int:
    """The process's largest resident memory since `forget_peak`; since its start where the system cannot forget."""
    with suppress(OSError):
        # Not getrusage: its figure survives exec, so a small program would report the larger one that started it.
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def training_flops(frozen: int, trainable: int, tokens: int, backward_through_frozen: bool) -> float:
    """Estimated floating-point operations of training: 2 a weight and token forward, 2 for the gradient of the
    activations, 2 for the gradient of trainable weights. Attention's own share, small at our lengths, is left out.
    """
    per_token = 2 * (frozen + trainable) + 4 * trainable + (2 * frozen if backward_through_frozen else 0)
    return float(per_token) * tokens


WATTS_PER_CORE = 10.0
"""Assumed power of a busy core with its share of memory; servers range from about 5 to 15."""


def assumed_joules(cpu_seconds: float) -> float:
    """An estimate of the energy of processor time, to be shown as one: virtual machines hide their meters."""
    return WATTS_PER_CORE * cpu_seconds


def reading_flops(weights: int, tokens: int) -> float:
    """Estimated floating-point operations of a forward pass: 2 a weight and token."""
    return 2.0 * weights * tokens
