"""One run on several devices: the processes that `accelerate launch` (or torchrun) starts together train in step.

Each reads its share of every micro-batch; losses, weights and gradients are summed over all of them before anything is decided,
so every process takes the same step with the same numbers, and a run of two is a run of one up to rounding. The first process
alone writes, validates and speaks; what it decides the others are told. Every device holds the whole base.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # `clinstack --help` asks for the number of processes, and needs no torch for it
    from torch.nn import Parameter

Told = TypeVar("Told")

_LONGEST_WAIT = timedelta(days=7)
"""The others wait while the first measures and validates."""

_FIRST_SPEAKS_WITHIN = 60.0
"""Seconds. The launcher ends every process as soon as one has ended, so one that failed must not be quicker than the first is
to say why."""


@dataclass(frozen=True)
class Processes:
    """How many processes share a run, and which this is; on its own device, if there are accelerators."""

    index: int = 0
    count: int = 1
    local_index: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes, validates and speaks."""
        return self.index == 0

    def speaks_of_failure(self, known_to_one: bool) -> bool:
        """Whether this process is to say why it failed. The first does, and ends the others by it; what it has not said in time
        it does not know.

        known_to_one: whether this process alone may know of it, so that nobody else could speak.
        """
        if not self.first and not known_to_one:
            try:
                time.sleep(_FIRST_SPEAKS_WITHIN)
            except KeyboardInterrupt:  # the first has spoken
                return False
        return True

    def join(self, device: str) -> None:
        """Waits until all are there. device: cpu, or what its accelerators are called."""
        if self.count > 1:
            from accelerate import PartialState

            atexit.register(PartialState(cpu=device == "cpu", timeout=_LONGEST_WAIT).destroy_process_group)

    def share(self, rows: Sequence[int]) -> Sequence[int]:
        """This process's rows of a micro-batch; together they are all."""
        return rows[self.index :: self.count]

    def draw_apart(self, seed: int, step: int) -> None:
        """Random numbers of a step that are other ones in each process, and the same when the run goes on."""
        if self.count > 1:
            import numpy as np
            import torch

            torch.manual_seed(
                int(np.random.SeedSequence([seed, step, self.index]).generate_state(1, np.uint64)[0] >> 1)
            )

    def begin_alike(self, parameters: Mapping[str, "Parameter"]) -> None:
        """Gives all the first one's weights."""
        if self.count > 1:
            import torch

            for parameter in parameters.values():
                torch.distributed.broadcast(parameter.data, 0)

    def summed(self, *values: float) -> list[float]:
        """Each value summed over the processes."""
        if self.count == 1:
            return list(values)
        import torch
        from accelerate import PartialState

        together = torch.tensor(values, dtype=torch.float64, device=PartialState().device)
        torch.distributed.all_reduce(together)
        return [float(value) for value in together]

    def sum_gradients(self, parameters: Mapping[str, "Parameter"]) -> None:
        """Each gradient summed over the processes; one without is one of zeros."""
        if self.count > 1:
            import torch

            for parameter in parameters.values():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)

    def told(self, find: Callable[[], Told]) -> Told:
        """What the first finds; the others wait for it."""
        if self.count == 1:
            return find()
        from accelerate.utils import broadcast_object_list

        held: list[Any] = [find() if self.first else None]
        broadcast_object_list(held)
        found: Told = held[0]
        return found

    def meet(self) -> None:
        """Waits for all."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """What the first does before the others: they find it done."""
        if not self.first:
            self.meet()
        yield
        if self.first:
            self.meet()


@cache
def launched() -> Processes:
    """The processes of this launch, as their launcher's environment tells; one if there is no launcher."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "LOCAL_RANK" not in os.environ:
        return Processes()
    return Processes(int(os.environ["RANK"]), count, int(os.environ["LOCAL_RANK"]))
