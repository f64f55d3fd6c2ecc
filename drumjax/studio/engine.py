"""One player, and the one thread that plays it for all who ask."""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from drumjax.errors import ConfigError
from drumjax.play.runtime import Player

T = TypeVar("T")
Work = Callable[[Player], T]

MOST_WAITING = 256  # requests; each is one client's, or one of those that a client has queued


class Superseded(Exception):
    """A newer request of the same client took the place of this one; nobody waits for it."""


class _Waiting(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]


class Engine:
    """Renders for many clients, one request at a time; of a client's waiting ones, the newest.

    All methods belong to the event loop's thread; the work runs on a thread of its own. Clients
    are served in turn: whoever asks most often has no more of the engine than the others.

    Attributes:
      player: what the work is given.
      done: requests that were worked on.
      superseded: requests that a newer one took the place of.
      busy: whether one is being worked on.
    """

    def __init__(self, player: Player):
        self.player = player
        self.done = self.superseded = 0
        self.busy = False
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()
        self._numbers = itertools.count()
        self._thread = ThreadPoolExecutor(1, "drumjax-render")
        self._closed = False

    async def newest(self, client: Hashable, work: Work[T]) -> T:
        """What `work` makes of the player; a request of the client that still waits is dropped.

        Raises:
          Superseded: a newer request of the client came before this one's turn.
          ConfigError: too many clients are waiting.
          Whatever the work raises.
        """
        return await self._queued((client,), work)

    async def each(self, client: Hashable, work: Work[T]) -> T:
        """As `newest`, but all of a client's requests are worked on.

        Raises:
          ConfigError: too many requests are waiting.
          Whatever the work raises.
        """
        return await self._queued((client, next(self._numbers)), work)

    async def _queued(self, key: Hashable, work: Work[T]) -> T:
        if self._closed:
            raise ConfigError("The server is ending; start it again.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        before = self._waiting.get(key)
        if before is None and len(self._waiting) >= MOST_WAITING:
            raise ConfigError(f"{MOST_WAITING} requests are waiting; ask again in a moment.")
        self._waiting[key] = _Waiting(work, future)  # in the earlier one's place in the queue
        if before is not None:
            self._drop(before)
        self._start_next()
        try:
            return await future
        finally:
            if key in self._waiting and self._waiting[key].future is future:  # the caller gave up
                del self._waiting[key]

    def _drop(self, waiting: _Waiting) -> None:
        if not waiting.future.done():
            self.superseded += 1
            waiting.future.set_exception(Superseded())

    def _start_next(self) -> None:
        if self.busy or not self._waiting:
            return
        _, (work, future) = self._waiting.popitem(last=False)
        self.busy = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, self.player)
        running.add_done_callback(lambda ended: self._finish(ended, future))

    def _finish(self, ended: "asyncio.Future[Any]", future: "asyncio.Future[Any]") -> None:
        self.busy = False
        self.done += 1
        error = ended.exception()
        if not future.done():  # else the caller was cancelled
            if error is None:
                future.set_result(ended.result())
            else:
                future.set_exception(error)
        self._start_next()

    async def close(self) -> None:
        """Drop what waits, and wait for what is being rendered."""
        self._closed = True
        while self._waiting:
            self._drop(self._waiting.popitem(last=False)[1])
        await asyncio.to_thread(self._thread.shutdown)
