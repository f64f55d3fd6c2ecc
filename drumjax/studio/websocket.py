"""Sounds over a WebSocket: a request in JSON for each, the samples in answer."""

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from drumjax.audio.levels import sounding
from drumjax.errors import ConfigError, DrumjaxError
from drumjax.play.meta import Mode
from drumjax.play.recipe import render
from drumjax.play.runtime import Player
from drumjax.studio.answers import read_json, read_table
from drumjax.studio.engine import Engine, Superseded
from drumjax.studio.spec import read_spec, sound_of

MOST_CHANNELS = 64  # of a connection; at most as many of its answers wait to be sent
_LONGEST = 64  # signs of a channel's name
_MOST_ID = 2**32 - 1


class Conversation:
    """One connection. Of each channel the newest request is answered, whatever else waits.

    However much a client asks without reading, of each channel one answer waits for it.
    """

    def __init__(self, socket: WebSocket, engine: Engine, mode: Mode, say: Callable[[str], object]):
        """See `http.make_app`."""
        self._socket, self._engine, self._mode, self._say = socket, engine, mode, say
        self._channels: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[str | None, tuple[int, str | bytes]] = {}  # of a channel: when asked
        self._ready = asyncio.Event()
        self._count = 0

    async def run(self) -> None:
        """Talk until the connection ends; what then still waits is dropped."""
        await self._socket.accept()
        self._start(self._send_all())
        try:
            while (message := await self._socket.receive())["type"] != "websocket.disconnect":
                self._take(message)
                await asyncio.sleep(0)  # many may have come at once: let others have their turn
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, message: Any) -> None:
        """Begin to answer one message."""
        self._count += 1
        number, channel = None, None
        try:
            if message.get("text") is None:
                raise ConfigError("Requests are text, in JSON.")
            values = read_json(message["text"])
            read_table(values, "A request", ("id", "channel", "spec"))
            number = _number(values.get("id"))
            channel = self._channel(values.get("channel", "main"))
            spec = read_spec(values.get("spec"), self._engine.player.instrument)
        except DrumjaxError as error:
            self._put(channel, self._count, _error(number, error))
        else:
            self._start(self._answer(channel, self._count, number, spec))

    def _channel(self, name: Any) -> str:
        """A channel's name, if there is room for it."""
        if not isinstance(name, str) or len(name) > _LONGEST:
            raise ConfigError(f"A channel is named by a text of up to {_LONGEST} signs.")
        if name not in self._channels and len(self._channels) >= MOST_CHANNELS:
            raise ConfigError(f"A connection has up to {MOST_CHANNELS} channels; use one again.")
        self._channels.add(name)
        return name

    async def _answer(self, channel: str, count: int, number: int, spec: Any) -> None:
        def work(player: Player) -> bytes:
            sound = sound_of(player.instrument, spec, mode=self._mode)
            return packed(number, player.sample_rate, render(player, sound, player.sample_rate))

        try:
            made = await self._engine.newest(self, work, channel)
        except Superseded:
            return
        except DrumjaxError as error:
            made = _error(number, error)
        except Exception as error:
            self._say(f"a sound failed: {type(error).__name__}: {str(error)!a}"[:300])
            made = _error(number, "The server could not do that; what it printed says more.")
        self._put(channel, count, made)

    def _put(self, channel: str | None, count: int, answer: str | bytes) -> None:
        """Let an answer be sent, instead of one to an older request that still waits."""
        if self._answers.get(channel, (0, b""))[0] < count:
            self._answers[channel] = (count, answer)
            self._ready.set()

    async def _send_all(self) -> None:
        """Send the answers in the order in which their channels have any."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._answers:
                channel = next(iter(self._answers))
                _, answer = self._answers.pop(channel)
                try:
                    if isinstance(answer, bytes):
                        await self._socket.send_bytes(answer)
                    else:
                        await self._socket.send_text(answer)
                except (WebSocketDisconnect, RuntimeError):  # RuntimeError: it is being closed
                    return


def packed(number: int, sample_rate: int, samples: np.ndarray) -> bytes:
    """An answer: id and rate as uint32, then [n] float32, little-endian, up to the last not 0."""
    head = struct.pack("<II", number, sample_rate)
    return head + samples[: sounding(samples)].astype("<f4").tobytes()


def _number(value: Any) -> int:
    """A request's id."""
    if type(value) is not int or not 0 <= value <= _MOST_ID:
        raise ConfigError("A request's id is a whole number, 0 to 4294967295.")
    return value


def _error(number: int | None, error: object) -> str:
    return json.dumps({"id": number, "error": str(error)})
