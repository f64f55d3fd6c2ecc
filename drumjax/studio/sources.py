"""A sound of one's own, sent by a browser: read, and turned into a code."""

import asyncio
import tempfile
from pathlib import Path, PurePath
from typing import Any

from starlette.requests import Request

from drumjax.audio.files import AUDIO_SUFFIXES
from drumjax.errors import ConfigError, DataError, DrumjaxError
from drumjax.play.recipe import Category, brief
from drumjax.play.runtime import Player
from drumjax.play.source_sound import Source, encode_source, named_category, read_source
from drumjax.studio.answers import chunks
from drumjax.studio.engine import Engine

LARGEST = 20 * 2**20  # bytes


async def encode(
    request: Request, name: str, category: Category | None, engine: Engine, turn: asyncio.Lock
) -> dict[str, Any]:
    """The code of the sound file that is a request's body, and what it was taken for.

    Args:
      request: whose body is the file.
      name: of the file; its suffix tells the format, its words may tell the category.
      category: to take it for; None: what the name says, else what comes nearest.
      engine: of an instrument with an encoder.
      turn: held while a file is decoded: one may take some hundred MB.

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
            async with turn:
                source = await asyncio.to_thread(_read, path, name, engine.player)
    except OSError as error:
        raise DataError(
            f"The sound cannot be kept while it is read ({error.strerror}); make room on the "
            "server's disk."
        ) from error
    named = named_category(name.rpartition("/")[2])
    found = await engine.each(
        object(), lambda player: encode_source(player, source.audio, category, named)
    )
    return {
        "z": [float(x) for x in found.z],
        "category": found.category,
        "how": found.how,
        "error": found.error,
        "seconds": source.seconds,
        "cut": source.cut,
    }


def _read(path: Path, name: str, player: Player) -> Source:
    """Read the sound; where it cannot be, the client is told so of its own file's name."""
    try:
        return read_source(path, player.sample_rate, player.samples)
    except DrumjaxError as error:
        raise ConfigError(str(error).replace(str(path), brief(name))) from error
