"""What the web application's routes do: sounds, kits, one's own sounds, the library."""

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from drumjax import __version__
from drumjax.export.kit import Pad
from drumjax.export.profiles import PROFILES
from drumjax.play.instrument import Instrument
from drumjax.play.meta import Mode
from drumjax.play.recipe import Recipe, Sound, describe, render
from drumjax.play.runtime import Player
from drumjax.studio import kits, orders, saves, sources
from drumjax.studio.answers import body, read_json, told
from drumjax.studio.engine import Engine
from drumjax.studio.spec import control_names, read_category, sound_of
from drumjax.studio.websocket import Conversation

T = TypeVar("T")

_LARGEST = 2 * 2**20  # bytes of JSON: a kit of 100 pads with codes of their own is a fifth of that


class Desk:
    """Where requests are taken; what cannot be done raises a DrumjaxError."""

    def __init__(self, engine: Engine, library: Path, mode: Mode, say: Callable[[str], object]):
        """See `http.make_app`."""
        self._engine, self._library, self._mode, self._say = engine, library, mode, say

    @property
    def _instrument(self) -> Instrument:
        return self._engine.player.instrument

    async def instrument(self, request: Request) -> Response:
        """GET /instrument.json: what the page must know of the instrument and the server."""
        player, instrument = self._engine.player, self._instrument
        return told(
            {
                "name": str(instrument.meta["name"]),
                "identity": instrument.identity,
                "version": __version__,
                "sample_rate": player.sample_rate,
                "seconds": player.samples / player.sample_rate,
                "latents": instrument.latents,
                "categories": list(instrument.categories),
                "attributes": list(control_names(instrument)),
                "encoder": sources.can_encode(instrument),
                "axes": self._mode,
                "library": str(self._library),
                "profiles": {p.name: [p.sample_rate, p.bits] for p in PROFILES.values()},
            }
        )

    async def talk(self, socket: WebSocket) -> None:
        """WS /ws: see `websocket.Conversation`."""
        await Conversation(socket, self._engine, self._mode, self._say).run()

    async def source(self, request: Request) -> Response:
        """POST /source: the code of a sound of one's own."""
        name = unquote(request.headers.get("x-name", ""), errors="replace")
        category = request.headers.get("x-category")
        if category is not None:
            category = read_category(unquote(category), self._instrument)
        return told(await sources.take(request, name, category, _client(request), self._engine))

    async def wav(self, request: Request) -> Response:
        """POST /wav: one sound as a file."""
        order = orders.read_wav(await _json(request), self._instrument)
        return _download(await self._wav(order, _client(request)), "audio/wav", f"{order.name}.wav")

    async def kit(self, request: Request) -> Response:
        """POST /kit: a kit as a zip file."""
        order = orders.read_kit(await _json(request), self._instrument)
        async with self._engine.memory:
            made = await self._kit(order, request)
            content = await asyncio.to_thread(kits.kit_zip, *made)
        return _download(content, "application/zip", f"{order.name}.zip")

    async def save(self, request: Request) -> Response:
        """POST /save: what /wav or /kit take, into the library."""
        values = await _json(request)
        if isinstance(values, dict) and "pads" in values:
            kit = orders.read_kit(values, self._instrument)
            async with self._engine.memory:
                made = await self._kit(kit, request)
                path = await asyncio.to_thread(saves.save_kit, self._library, *made)
        else:
            order = orders.read_wav(values, self._instrument)
            content = await self._wav(order, _client(request))
            path = await asyncio.to_thread(saves.save_wav, self._library, order.name, content)
        return told({"path": str(path)})

    async def _wav(self, order: orders.Wav, client: Hashable) -> bytes:
        """The file that is asked for."""

        def work(player: Player) -> tuple[Sound, np.ndarray]:
            sound = sound_of(player.instrument, order.spec, order.name, self._mode)
            return sound, render(player, sound, order.output.sample_rate)

        sound, samples = await self._engine.each(client, work)
        recipe = Recipe(describe(self._instrument), (sound,), order.output)
        return kits.wav_of(recipe, sound, samples)

    async def _kit(self, order: orders.Kit, request: Request) -> tuple[Recipe, list[Pad]]:
        """The kit that is asked for, pad by pad, so that others are served between.

        Raises:
          ClientDisconnect: nobody waits for it any more.
        """

        async def each(work: Callable[[Player], T]) -> T:
            made = await self._engine.each(_client(request), work)
            if await request.is_disconnected():
                raise ClientDisconnect
            return made

        sounds = [await each(functools.partial(self._sound, pad)) for pad in order.pads]
        extra = {"command": "kit", "name": order.name, "formats": list(order.formats)}
        about = describe(self._instrument)
        recipe = Recipe(about, kits.with_notes(sounds), order.output, extra)
        pads = [
            await each(functools.partial(kits.pad_of, recipe, sound)) for sound in recipe.sounds
        ]
        return recipe, pads

    def _sound(self, pad: orders.Pad, player: Player) -> Sound:
        sound = sound_of(player.instrument, pad.spec, pad.name, self._mode)
        return dataclasses.replace(sound, note=pad.note)


async def _json(request: Request) -> Any:
    return read_json(await body(request, _LARGEST))


def _client(request: Request) -> Hashable:
    """Of the engine: all that one host asks for in requests takes turns."""
    return "http", request.client.host if request.client else ""


def _download(content: bytes, kind: str, name: str) -> Response:
    """A file; the name is one of ours, ASCII without quotes."""
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
