"""The OSC door: requests over UDP, answered with the paths of the WAV files that were made."""

import asyncio
import dataclasses
import functools
import threading
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from drumjax import __version__
from drumjax.audio.names import brief
from drumjax.errors import ConfigError, DrumjaxError
from drumjax.play import recipe
from drumjax.play.meta import Mode
from drumjax.play.runtime import Player
from drumjax.studio.asks import Ask, Take, TakeMaker, read_generate, read_random, read_vary
from drumjax.studio.engine import Engine, Superseded
from drumjax.studio.file_codes import FileCodes, Found
from drumjax.studio.limits import Bucket, Summary
from drumjax.studio.osc_messages import (
    REPLY_PORTS,
    Arguments,
    Unreadable,
    decode,
    encode,
    split,
    whole,
)
from drumjax.studio.osc_socket import Address, DatagramSocket, is_loopback
from drumjax.studio.spec import MOST_ATTRIBUTE, control_names
from drumjax.studio.takes import Takes

_MOST_CLIENTS = 256  # whose last sound and attributes are kept
_ERRORS = 100  # error answers a second, all clients together
_FACTS = 1000  # answers a second to ping, categories and instrument
_MOST_TRACES = 10  # internal errors of which the place is told


@dataclasses.dataclass
class _Queued:
    """A client's turn: the sound that is to be made, which a newer one replaces until it is taken.

    Once it is, a newer one gets a turn of its own.
    """

    ask: Ask
    taken: bool = False


@dataclasses.dataclass
class _Client:
    """What is kept of a client: its attributes, its last sound, and its last turn.

    Attributes:
      attributes: that it has set.
      made: the last sound that it got.
      last: the last one that it asked for, or `made` where that could not be made.
      queued: the turn that `last` is to be made in, or was.
    """

    attributes: dict[str, float] = dataclasses.field(default_factory=dict)
    made: Ask | None = None
    last: Ask | None = None
    queued: _Queued | None = None


class OscServer:
    """Answers OSC requests. All methods belong to the event loop's thread.

    A client is a host and a reply port. Of its requests for sounds that still wait, the newest
    counts; each that is rendered is answered.

    Attributes:
      port: where it listens.
      counters: "received" datagrams; "unread" messages, which were dropped; "dropped" in a flood;
        "answered" with a sound; "errors" that were sent and "muted" ones that were too many;
        "failed" inside.
    """

    def __init__(
        self,
        engine: Engine,
        takes: Takes,
        say: Callable[[str], object],
        mode: Mode = "audible",
    ):
        """Nothing listens yet.

        Args:
          engine: renders.
          takes: where the WAV files go.
          say: takes lines for the user.
          mode: whose axes a1, a2, a3 move along, see `controls.from_alphas`.
        """
        self.port = 0
        self.counters: Counter[str] = Counter()
        self._engine, self._maker, self._say = engine, TakeMaker(takes, mode), say
        self._files, self._folder = FileCodes(engine), takes.folder
        self._instrument = engine.player.instrument
        recipe.describe(self._instrument)  # its hash takes a while, but only once
        self._clients: OrderedDict[Address, _Client] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()  # of what is queued, which the player's thread takes
        self._socket: DatagramSocket | None = None
        self._errors, self._facts = Bucket(_ERRORS), Bucket(_FACTS)
        self._unread = Summary(say, "could not be read")
        self._requests: dict[str, Callable[[Arguments, Address], object]] = {
            "/drumjax/generate": functools.partial(self._sound, read_generate),
            "/drumjax/random": functools.partial(self._sound, read_random),
            "/drumjax/vary": self._vary,
            "/drumjax/attribute": self._attribute,
            "/drumjax/categories": self._categories,
            "/drumjax/instrument": self._describe,
            "/drumjax/ping": self._ping,
        }

    def start(self, host: str, port: int) -> int:
        """Listen on an address of this machine; returns the port, which differs where it was 0.

        Raises:
          DataError: the address or the port cannot be used.
        """
        self._socket = DatagramSocket(host, port, self.handle, self.counters)
        self.port = self._socket.port
        return self.port

    def stop(self) -> None:
        """Listen no more; what is being rendered is not answered."""
        if self._socket:
            self._socket.close()
            self._socket = None
        self._unread.close()
        for task in self._tasks:
            task.cancel()

    def handle(self, datagram: bytes, source: Address) -> bool:
        """Take up a datagram that came from an address.

        Returns whether a request was in it; nothing is raised, whatever it holds.
        """
        try:
            return any([self._handle_message(message, source) for message in split(datagram)])
        except Unreadable as error:
            self._drop(str(error))
        except Exception:
            self._fail()
        return False

    def _handle_message(self, message: bytes, source: Address) -> bool:
        to = source
        try:
            address, values = decode(message)
            if address not in self._requests:
                raise Unreadable(f"{brief(address)} is no request")
            to = self._reply_address(address, values, source)
            answer = self._requests[address]
            answer(Arguments(address, values, self._instrument), to)
        except Unreadable as error:
            self._drop(str(error))
        except DrumjaxError as error:
            self._refuse(to, str(error))
        else:
            return True
        return False

    def _reply_address(self, address: str, values: list[Any], source: Address) -> Address:
        place = REPLY_PORTS[address]
        port = whole(values[place], 0, 65535) if place < len(values) else None
        if port is None:
            raise Unreadable(f"{address} without a reply port")
        to = (source[0], port or source[1], *source[2:])
        if to[1] == self.port:
            raise Unreadable("a reply port that is the server's own")
        return to

    def _sound(self, read: Callable[[Arguments], Ask], args: Arguments, to: Address) -> None:
        self._render(to, read(args))

    def _vary(self, args: Arguments, to: Address) -> None:
        ask = read_vary(args)
        if not is_loopback(to[0]) and Path(ask.path or "").parent != self._folder:
            raise ConfigError(
                f"{brief(ask.path)} is none of the takes; from another machine, send the path of "
                "one of these."
            )
        self._render(to, ask)

    def _attribute(self, args: Arguments, to: Address) -> None:
        name = args.text("the attribute")
        known = control_names(self._instrument)
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"The instrument has no attribute {brief(name)}; {has}.")
        value = args.number(name, -MOST_ATTRIBUTE, MOST_ATTRIBUTE)
        args.take("a reply port")
        args.end()
        client = self._client(to)
        client.attributes[name] = value
        if client.last:
            self._render(to, client.last)

    def _categories(self, args: Arguments, to: Address) -> None:
        self._tell(args, to, "/drumjax/categories", *self._instrument.categories)

    def _describe(self, args: Arguments, to: Address) -> None:
        instrument = self._instrument
        name, identity = str(instrument.meta["name"]), instrument.identity
        numbers = instrument.latents, instrument.sample_rate
        attributes = control_names(instrument)
        self._tell(args, to, "/drumjax/instrument", name, identity, *numbers, *attributes)

    def _ping(self, args: Arguments, to: Address) -> None:
        self._tell(args, to, "/drumjax/pong", __version__)

    def _tell(self, args: Arguments, to: Address, address: str, *facts: str | int) -> None:
        args.take("a reply port")
        args.end()
        if self._facts.take():
            self._send(to, address, *facts)
        else:
            self.counters["muted"] += 1

    def _client(self, to: Address) -> _Client:
        client = self._clients.setdefault(to, _Client())
        self._clients.move_to_end(to)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return client

    def _render(self, to: Address, ask: Ask) -> None:
        """Queue a client's sound, with its attributes, in the place of one that is queued.

        A flood of requests costs little so: there is one task for all that come until its turn.
        """
        client = self._client(to)
        attributes = dict(client.attributes)
        ask = ask._replace(spec=dataclasses.replace(ask.spec, attributes=attributes))
        client.last = ask
        with self._lock:
            if client.queued and not client.queued.taken:
                client.queued.ask = ask
                return
        client.queued = _Queued(ask)
        task = asyncio.get_running_loop().create_task(self._answer(to, client, client.queued))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _made(self, client: Hashable, queued: _Queued) -> Take:
        """Make what is queued, once the file that it varies is read, if there is one."""
        while True:
            file = path, category = queued.ask.file
            try:
                found = await self._files.find(path, category, client) if path is not None else None
            except DrumjaxError:
                if queued.ask.file == file:
                    raise
                continue  # a newer one took its place meanwhile
            make = functools.partial(self._make, queued, file, found)
            if take := await self._engine.newest(client, make):
                return take

    def _make(
        self,
        queued: _Queued,
        file: tuple[str | None, str | None],
        found: Found | None,
        player: Player,
    ) -> Take | None:
        """Make what is queued; on the player's thread. None if that is now of another file."""
        with self._lock:
            if queued.ask.file != file:
                return None
            queued.taken = True
        return self._maker.make(queued.ask, found, player)

    async def _answer(self, to: Address, client: _Client, queued: _Queued) -> None:
        try:
            answer = await self._made(("osc", *to), queued)
            client.made = queued.ask
        except Superseded:
            return
        except DrumjaxError as error:
            self._refuse(to, str(error))
        except Exception:
            self._fail()
            self._refuse(to, "The server failed to make this sound; its window says why.")
        else:
            self.counters["answered"] += 1
            self._send(to, "/drumjax/sample", *answer)
        finally:
            queued.taken = True  # also where its turn never came
            if client.last is queued.ask:  # else a newer one is on its way
                client.last = client.made

    def _refuse(self, to: Address, sentence: str) -> None:
        if self._errors.take():
            self.counters["errors"] += 1
            self._send(to, "/drumjax/error", sentence)
        else:
            self.counters["muted"] += 1

    def _send(self, to: Address, address: str, *values: str | int | float) -> None:
        if self._socket:
            self._socket.send(encode(address, *values), to)

    def _drop(self, reason: str) -> None:
        """Count a message that nobody can be told about."""
        self.counters["unread"] += 1
        self._unread.add(reason)

    def _fail(self) -> None:
        """Count an error of our own, and say where it is from, once in a while."""
        self.counters["failed"] += 1
        if self.counters["failed"] <= _MOST_TRACES:
            self._say(f"internal error:\n{traceback.format_exc()}")
