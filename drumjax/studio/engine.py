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

MOST_CLIENTS = 256  # that wait
MOST_WAITING = 64  # requests of one client


class Superseded(Exception):
    """A newer request of the same client took the place of this one; nobody waits for it."""


class _Waiting(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]


class Engine:
    """Renders for many clients, one request at a time; of a channel's waiting ones, the newest.

    All methods belong to the event loop's thread; the work runs on a thread of its own. Clients
    are served in turn, one request each: whoever asks most often, or has the most channels, has no
    more of the engine than the others.

    Attributes:
      player: what the work is given.
      done: requests that were worked on.
      superseded: requests that a newer one took the place of.
      busy: whether one is being worked on.
      memory: held by whatever takes much memory outside of this thread, such as reading a file.
    """

    def __init__(self, player: Player):
        self.player = player
        self.done = self.superseded = 0
        self.busy = False
        self.memory = asyncio.Lock()
        self._waiting: OrderedDict[Hashable, OrderedDict[Hashable, _Waiting]] = OrderedDict()
        self._served: Hashable = None  # the last one
        self._thread = ThreadPoolExecutor(1, "drumjax-render")
        self._closed = False

    async def newest(self, client: Hashable, work: Work[T], channel: Hashable = None) -> T:
        """What `work` makes of the player; one that still waits in the client's channel is dropped.

        Raises:
          Superseded: a newer request of the channel came before this one's turn.
          ConfigError: too many clients are waiting, or too many requests of this one.
          Whatever the work raises.
        """
        return await self._queued(client, (channel,), work)

    async def each(self, client: Hashable, work: Work[T]) -> T:
        """As `newest`, but all of a client's requests are worked on.

        Raises:
          ConfigError: too many clients are waiting, or too many requests of this one.
          Whatever the work raises.
        """
        return await self._queued(client, object(), work)

    async def _queued(self, client: Hashable, key: Hashable, work: Work[T]) -> T:
        if self._closed:
            raise ConfigError("The server is ending; start it again.")
        mine = self._waiting.get(client, OrderedDict())
        before = mine.get(key)
        if before is None and len(mine) >= MOST_WAITING:
            raise ConfigError(f"{MOST_WAITING} requests are waiting; ask again in a moment.")
        if not mine and len(self._waiting) >= MOST_CLIENTS:
            raise ConfigError(f"{MOST_CLIENTS} clients are waiting; ask again in a moment.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        mine[key] = _Waiting(work, future)  # in the earlier one's place in the queue
        self._waiting[client] = mine
        if before is not None:
            self._drop(before)
        self._start_next()
        try:
            return await future
        finally:
            self._forget(client, key, future)  # if it still waits, the caller gave up

    def _forget(self, client: Hashable, key: Hashable, future: "asyncio.Future[Any]") -> None:
        mine = self._waiting.get(client)
        if mine and key in mine and mine[key].future is future:
            del mine[key]
            if not mine:
                del self._waiting[client]

    def _drop(self, waiting: _Waiting) -> None:
        if not waiting.future.done():
            self.superseded += 1
            waiting.future.set_exception(Superseded())

    def _start_next(self) -> None:
        if self.busy or not self._waiting:
            return
        first = list(itertools.islice(self._waiting, 2))
        # Who was served last asked again before the others did: they come first all the same.
        client = first[-1] if first[0] == self._served else first[0]
        mine, self._served = self._waiting.pop(client), client
        _, (work, future) = mine.popitem(last=False)
        if mine:
            self._waiting[client] = mine  # behind the others
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
            for waiting in self._waiting.popitem(last=False)[1].values():
                self._drop(waiting)
        await asyncio.to_thread(self._thread.shutdown)
