"""A studio's web server in a thread, and a client of it, for the tests."""

import asyncio
import contextlib
import http.client
import json
import struct
import threading

import numpy as np
from websockets.sync.client import connect

from drumjax.play.instrument import load_instrument
from drumjax.play.runtime import Player
from drumjax.studio.engine import Engine
from drumjax.studio.http import WebServer

TIMEOUT = 30  # seconds, generous: none of the tests waits for it

SPEC = {"category": "snare", "seed": 3, "alphas": [0.5, -0.25, 0.1], "range": 2}
HYBRID = {"category": {"kick": 3, "clap": 1}, "seed": 4, "shape": {"pitch": 2, "gain": -3}}
KIT = {
    "name": "my kit",
    "profile": "daw",
    "formats": ["hydrogen", "wav", "sfz"],
    "pads": [
        {"name": "boom", "note": 36, "spec": {"category": "kick"}},
        {"name": "snare 01", "note": 50, "spec": SPEC},
        {"name": "ghost", "note": 41, "spec": HYBRID},
    ],
}


class Studio:
    """The server, seen from outside; `lines` are those that it said."""

    def __init__(self, player, library):
        self.player, self.library, self.lines = player, library, []
        self.engine, self.port, self.loop = Engine(player), 0, asyncio.new_event_loop()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """(status, headers, body); a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            if body is not None and type(body) is not bytes:
                body = json.dumps(body).encode()
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def error(self, *asked, **headers):
        """(status, sentence) of a request that is refused."""
        status, _, body = self.ask(*asked, **headers)
        sentence = json.loads(body)["error"]
        assert sentence.endswith(".")
        assert "Traceback" not in sentence
        return status, sentence

    def talk(self, **options):
        """A WebSocket."""
        return connect(f"ws://{self.host}/ws", compression=None, open_timeout=TIMEOUT, **options)

    def on_loop(self, work):
        """What an awaitable gives that is awaited on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT)

    @contextlib.contextmanager
    def busy(self):
        """Inside, the engine works on something else; what is asked for waits."""
        begun, gate = threading.Event(), threading.Event()

        def work(player):
            begun.set()
            gate.wait(TIMEOUT)

        done = asyncio.run_coroutine_threadsafe(self.engine.each("gate", work), self.loop)
        begun.wait(TIMEOUT)
        try:
            yield
        finally:
            gate.set()
            done.result(TIMEOUT)


@contextlib.contextmanager
def running(instrument, library):
    """A studio that serves an instrument's file until the block ends."""
    studio = Studio(Player(load_instrument(instrument)), library)
    web = WebServer(studio.engine, library=library, say=studio.lines.append)
    thread = threading.Thread(target=studio.loop.run_forever)
    thread.start()
    try:
        studio.port = studio.on_loop(web.start(port=0))
        yield studio
    finally:
        studio.on_loop(web.stop())
        studio.on_loop(studio.engine.close())
        studio.loop.call_soon_threadsafe(studio.loop.stop)
        thread.join(TIMEOUT)
        studio.loop.close()


def request(number, spec, **more):
    """A WebSocket request."""
    return json.dumps({"id": number, "spec": spec, **more})


def answer(message):
    """(id, samples) of a binary answer, or (id, sentence) of an error."""
    if isinstance(message, str):
        values = json.loads(message)
        assert set(values) == {"id", "error"}
        return values["id"], values["error"]
    number, rate = struct.unpack_from("<II", message)
    assert rate == 22050
    return number, np.frombuffer(message, "<f4", offset=8)
