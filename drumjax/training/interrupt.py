"""Ctrl-C and SIGTERM: the run ends after a step that all processes share, and is saved."""

import signal
import sys
from types import FrameType

from tqdm import tqdm

from drumjax.training.distributed import any_process


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, after the state was saved."""


class Interrupt:
    """Ctrl-C or SIGTERM sets a flag that the loop reads between steps; a second one ends at once.

    SIGTERM is what SLURM and preempted machines send before they take a process away.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        tqdm.write(
            "Stopping after this step, once it is saved, which may take a moment; press Ctrl-C "
            "again to stop at once.",
            file=sys.stderr,
        )

    def stops(self) -> bool:
        """Whether any process was asked; every process must call this at the same steps."""
        return any_process(self.asked)

    def __enter__(self) -> "Interrupt":
        self._before = {n: signal.signal(n, self) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: what was there was not Python's, as the handler that JAX's service installs.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
