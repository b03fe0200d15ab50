"""A witness that has the run stopped, as a machine that is switched off would."""

import os
import signal

from clinstack.training.running import Silent


class StopsAfter(Silent):
    """Sends this process SIGTERM when so many steps are done."""

    def __init__(self, steps: int):
        self.left = steps

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """Counts."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
