"""How often something may happen, and how often it is told."""

import asyncio
from collections.abc import Callable

_QUIET = 5.0  # seconds between two lines
_FIRST = 0.5  # seconds until the first one, so that it counts what came together


class Bucket:
    """Lets through so many a second; all that was saved up within one second at once."""

    def __init__(self, rate: float):
        self._rate, self._left, self._last = rate, rate, 0.0

    def take(self) -> bool:
        """Whether one more may pass."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._rate, self._left + (now - self._last) * self._rate)
        self._last = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Summary:
    """Tells of things that may come in floods, in one line every few seconds."""

    def __init__(self, say: Callable[[str], object], what: str):
        """`say` takes the lines; `what` is what happened, as in "could not be read"."""
        self._say, self._what = say, what
        self._count, self._reason = 0, ""
        self._told = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reason: str) -> None:
        """Count one more; the line tells the last one's reason."""
        self._count, self._reason = self._count + 1, reason
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + _FIRST, self._told + _QUIET), self._tell)

    def close(self) -> None:
        """Tell no more."""
        if self._timer:
            self._timer.cancel()

    def _tell(self) -> None:
        self._timer, self._told = None, asyncio.get_running_loop().time()
        which = f"{self._count} OSC messages" if self._count > 1 else "an OSC message"
        self._say(f"{which} {self._what} (the last one: {self._reason})")
        self._count = 0
