"""The web application, on a socket of its own inside an event loop that others use as well."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Collection, Generator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from drumjax.errors import DataError, DrumjaxError
from drumjax.play.meta import Mode
from drumjax.studio import static
from drumjax.studio.answers import refused, status_of
from drumjax.studio.desk import Desk
from drumjax.studio.engine import Engine
from drumjax.studio.guard import Guard, own_hosts

_LARGEST_MESSAGE = 256 * 2**10  # bytes, over a WebSocket
_MOST_CONNECTIONS = 256
_PATIENCE = 2  # seconds that requests have to end in when the server does
_SILENT = 10.0  # seconds that a connection may be open without a word; browsers open some ahead


def make_app(
    engine: Engine,
    *,
    library: Path,
    hosts: Collection[str],
    port: int,
    mode: Mode = "audible",
    say: Callable[[str], object] = print,
) -> Starlette:
    """The studio's web application.

    Args:
      engine: that renders.
      library: the folder of what is saved; made when something is.
      hosts: the names that it answers to, see `guard.own_hosts`.
      port: that it is reached at.
      mode: the axes of the pad, see `controls.from_alphas`.
      say: takes a line for each request that fails by a mistake of ours.
    """
    desk = Desk(engine, library, mode, say)
    routes = [
        Route("/", static.index),
        Route("/instrument.json", desk.instrument),
        WebSocketRoute("/ws", desk.talk),
        Route("/source", desk.source, methods=["POST"]),
        Route("/wav", desk.wav, methods=["POST"]),
        Route("/kit", desk.kit, methods=["POST"]),
        Route("/save", desk.save, methods=["POST"]),
        Route("/{name}", static.file),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts, port=port, say=say)],
        exception_handlers={HTTPException: _http_error, DrumjaxError: _drumjax_error},
    )
    app.router.redirect_slashes = False
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Of a path that is not there, or that takes another method."""
    assert isinstance(error, HTTPException)
    path = ascii(request.url.path)[:100]
    answer = refused(f"There is no {request.method} {path} here.", error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _drumjax_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DrumjaxError)
    return refused(str(error), status_of(error))


class WebServer:
    """Listens for browsers."""

    def __init__(
        self,
        engine: Engine,
        *,
        library: Path,
        mode: Mode = "audible",
        say: Callable[[str], object] = print,
    ):
        """See `make_app`."""
        self._engine, self._library, self._mode, self._say = engine, library, mode, say
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 8400) -> int:
        """Listen; returns the port once it does, which the system chooses if 0 is asked for.

        Raises:
          DataError: the port is in use or not to be had, or the host is none of this machine.
        """
        listener = _bind(host, port)
        port = listener.getsockname()[1]
        app = make_app(
            self._engine,
            library=self._library,
            hosts=own_hosts(host),
            port=port,
            mode=self._mode,
            say=self._say,
        )
        self._server = _Server(_config(app))
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._running.done():
                self._running.result()
            await asyncio.sleep(0.005)
        return port

    async def stop(self) -> None:
        """Close all connections and end; what is being worked on gets two seconds."""
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await self._running


class _Server(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Of none."""
        yield


class _Protocol(H11Protocol):
    """Closes connections that say nothing, which else would shut others out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first bytes as long as for those of a next request, and a while more."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            _SILENT, self.timeout_keep_alive_handler
        )


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # takes longer than the bytes do on loopback
        lifespan="off",
        log_config=None,
        log_level="critical",  # what is worth telling goes through `say`
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_PATIENCE,
    )


def _bind(host: str, port: int) -> socket.socket:
    """A socket that listens."""
    try:
        flags = socket.AI_PASSIVE
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as error:
        raise DataError(f"There is no host {host!a}; leave --host out, or name another.") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share the port with another program
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise DataError(_reason(host, port, error)) from error
    return listener


def _reason(host: str, port: int, error: OSError) -> str:
    """Why nobody can listen there, and what to do."""
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return f"Port {port} is in use; end what uses it, or choose another one: --port={other}."
    if error.errno == errno.EACCES:
        return f"Port {port} is not for everybody; choose one from 1024 on: --port=8400."
    return f"{host} port {port} cannot be used ({error.strerror}); choose another --host or --port."
