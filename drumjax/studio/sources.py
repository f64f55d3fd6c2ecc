"""Sounds of one's own: sent by a browser or named by path, read, and turned into codes."""

import asyncio
import contextlib
import tempfile
from collections.abc import Hashable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from starlette.requests import Request

from drumjax.audio.files import AUDIO_SUFFIXES, native
from drumjax.audio.names import brief
from drumjax.errors import ConfigError, DataError, DrumjaxError
from drumjax.play.instrument import Instrument, encoder_path
from drumjax.play.recipe import Category
from drumjax.play.runtime import Player
from drumjax.play.source_sound import Encoded, Source, encoding, named_category, read_source
from drumjax.studio.answers import chunks
from drumjax.studio.engine import Engine

LARGEST = 20 * 2**20  # bytes of a file that is sent
MOST_SAMPLES = 20_000_000  # of all channels: reading as many takes some 100 MB


async def take(
    request: Request, name: str, category: Category | None, client: Hashable, engine: Engine
) -> dict[str, Any]:
    """The code of the sound file that is a request's body, and what it was taken for.

    Args:
      request: whose body is the file.
      name: of the file; its suffix tells the format, its words may tell the category.
      category: to take it for; None: what the name says, else what comes nearest.
      client: of the engine.
      engine: of an instrument with an encoder.

    Raises:
      ConfigError: it is no sound file that can be used.
      DataError: there is no room for it.
      Refusal: it is too large.
      InstrumentError: there is no encoder.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        raise ConfigError(f"Sounds are files of {', '.join(AUDIO_SUFFIXES)}; convert it.")
    try:
        with tempfile.TemporaryDirectory(prefix="drumjax_") as folder:
            path = Path(folder, f"sound{suffix}")
            with path.open("wb") as file:
                async for chunk in chunks(request, LARGEST):
                    file.write(chunk)
            source = await _read_sent(path, name, engine)
    except OSError as error:
        raise DataError(
            f"The sound cannot be kept while it is read ({error.strerror}); make room on the "
            "server's disk."
        ) from error
    named = named_category(name.rpartition("/")[2])
    found = await encode(source.audio, category, named, client, engine)
    return {
        "z": [float(x) for x in found.z],
        "category": found.category,
        "how": found.how,
        "error": found.error,
        "seconds": source.seconds,
        "cut": source.cut,
    }


async def _read_sent(path: Path, name: str, engine: Engine) -> Source:
    """Read the sound; where it cannot be, the client is told so of its own file's name."""
    try:
        return await read(path, engine)
    except DrumjaxError as error:
        raise ConfigError(str(error).replace(str(path), brief(name))) from error


async def read(path: str | Path, engine: Engine) -> Source:
    """What `read_source` makes of a file for the engine's instrument; one file at a time.

    Raises:
      DataError: it holds too much.
      DrumjaxError: see `read_source`.
    """
    async with engine.memory:
        return await asyncio.to_thread(_read, path, engine.player)


async def encode(
    audio: np.ndarray,
    category: Category | None,
    named: str | None,
    client: Hashable,
    engine: Engine,
) -> Encoded:
    """`encode_source`, between whose steps the engine serves others.

    Raises:
      InstrumentError: there is no encoder.
    """
    steps = encoding(engine.player, audio, category, named)
    while (found := await engine.each(client, lambda _: next(steps))) is None:
        pass
    return found


def can_encode(instrument: Instrument) -> bool:
    """Whether sounds of one's own can be read: the encoder is loaded, or lies beside."""
    path = instrument.path
    return instrument.has_encoder or (path is not None and encoder_path(path).is_file())


def _read(path: str | Path, player: Player) -> Source:
    if _samples(path) > MOST_SAMPLES:
        raise DataError(
            f"{path} holds more than {MOST_SAMPLES // 10**6} million samples; cut it, or mix its "
            "channels."
        )
    return read_source(path, player.sample_rate, player.samples)


def _samples(path: str | Path) -> int:
    """Of all channels, as a file's header has them; 0 if it has none, which `read_source` tells."""
    import soundfile

    with (
        contextlib.suppress(OSError, soundfile.SoundFileError, TypeError),
        soundfile.SoundFile(native(path)) as file,
    ):
        return file.frames * file.channels
    return 0
