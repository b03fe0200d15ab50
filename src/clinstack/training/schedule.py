"""The learning rate at each step: a pure function, so a resumed run needs no scheduler state."""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "constant"]


def learning_rate_at(step: int, steps: int, peak: float, warmup_ratio: float, schedule: Schedule) -> float:
    """The learning rate of optimizer step `step` (the first is 0) of `steps`.

    Rises linearly to `peak` over `warmup_ratio` of all steps (a ratio in 0-1, never a step count), then falls to zero by
    the schedule. The first step already learns; the last one still does.
    """
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "constant":
        return peak
    if schedule == "linear":
        return peak * (1 - progress)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
