"""What the tests of OSC share: a server in a loop, whose errors fail the test, and a client."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from drumjax.export.wav import read_recipe
from drumjax.play import recipe
from drumjax.studio.engine import Engine
from drumjax.studio.osc import OscServer
from drumjax.studio.osc_messages import decode, encode
from drumjax.studio.takes import Takes

HOST = "127.0.0.1"
WAIT = 30.0  # seconds: what a busy machine may take to compile


class Client:
    """A socket that asks a server and hears its answers."""

    def __init__(self, port: int):
        self._to = (HOST, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.address = (HOST, self.port)

    def send(self, address: str, *args: Any) -> None:
        self.send_bytes(encode(address, *args))

    def send_bytes(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, self._to)

    async def receive(self, timeout: float = WAIT) -> tuple[str, list[Any]]:
        loop = asyncio.get_running_loop()
        return decode(await asyncio.wait_for(loop.sock_recv(self._socket, 65536), timeout))

    async def ask(self, address: str, *args: Any) -> tuple[str, list[Any]]:
        self.send(address, *args)
        return await self.receive()

    async def sample(self, address: str, *args: Any) -> list[Any]:
        """[path, category, milliseconds] of an answer that is a sound."""
        answer, values = await self.ask(address, *args)
        assert answer == "/drumjax/sample", values
        return values

    async def error(self, address: str, *args: Any) -> str:
        """The sentence of an answer that is an error."""
        answer, values = await self.ask(address, *args)
        assert answer == "/drumjax/error", values
        (sentence,) = values
        assert sentence.endswith(".")
        return sentence

    async def silence(self) -> None:
        """Nothing has come, and nothing comes before the answer to a ping."""
        assert await self.ask("/drumjax/ping", 0) == ("/drumjax/pong", [_version()])

    def close(self) -> None:
        self._socket.close()


class Studio(NamedTuple):
    server: OscServer
    engine: Engine
    client: Client
    said: list[str]
    connect: Callable[[], Client]


@contextlib.asynccontextmanager
async def studio(player, takes, fails=0):
    """A server on a free port; at its end no exception may have escaped, and so many inside."""
    escaped, said, clients = [], [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
    engine = Engine(player)
    server = OscServer(engine, takes if isinstance(takes, Takes) else Takes(takes), said.append)
    port = server.start(HOST, 0)

    def connect():
        clients.append(Client(port))
        return clients[-1]

    try:
        yield Studio(server, engine, connect(), said, connect)
    finally:
        server.stop()
        await engine.close()
        for client in clients:
            client.close()
    assert escaped == []
    assert server.counters["failed"] == fails


def sound_in(path):
    """The one sound of the recipe in a file."""
    (sound,) = recipe.read(read_recipe(path), str(path)).sounds
    return sound


def in_loop(test):
    """An async test as one that pytest runs."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def _version():
    from drumjax import __version__

    return __version__
