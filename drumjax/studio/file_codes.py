"""Sound files that OSC clients name by path: a take's exact code, or the code that is nearest."""

import asyncio
import os
import stat
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drumjax.audio.names import brief
from drumjax.errors import DataError, DrumjaxError
from drumjax.export.wav import read_recipe
from drumjax.play import recipe
from drumjax.play.instrument import Instrument
from drumjax.play.shape import Shape
from drumjax.play.source_sound import named_category
from drumjax.studio import sources
from drumjax.studio.engine import Engine
from drumjax.studio.spec import MOST_ATTRIBUTE, control_names

_LONGEST = 4096  # bytes of a path
_KEPT = 32  # files whose codes are remembered


class Found(NamedTuple):
    """What a file holds.

    Attributes:
      z: its code, float32 [d].
      category: its category, or a hybrid's.
      shape: that its sound has.
      attributes: that its code was moved by, where the file is ours and says so.
    """

    z: np.ndarray
    category: recipe.Category
    shape: Shape
    attributes: Mapping[str, float]


class FileCodes:
    """Finds the codes of files, and remembers the last ones. Belongs to the event loop's thread."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._found: dict[tuple[str, int, int, str | None], Found] = {}  # the last one last

    async def find(self, path: str, category: str | None, client: Hashable) -> Found:
        """The code of a sound file.

        A take or another WAV file of ours, made with this instrument, gives the code in its
        recipe; others are encoded, as is one that is to be taken for another category.

        Args:
          path: absolute.
          category: that the sound is to be taken for; by default its recipe's, or what its name
            says, or the nearest.
          client: of the engine, by whose turns it is encoded.

        Raises:
          DrumjaxError: the file cannot be used, or there is no encoder.
        """
        about = await asyncio.to_thread(_checked, path)
        key = (path, about.st_mtime_ns, about.st_size, category)
        found = self._found.pop(key, None) or await self._read(path, category, client)
        self._found[key] = found
        if len(self._found) > _KEPT:
            del self._found[next(iter(self._found))]
        return found

    async def _read(self, path: str, category: str | None, client: Hashable) -> Found:
        instrument = self._engine.player.instrument
        ours = await asyncio.to_thread(_sound_in, path, instrument)
        moved = _attributes(ours, instrument) if ours else {}
        if ours and category in (None, ours.category):
            return Found(ours.z, ours.category, ours.shape, moved)
        source = await sources.read(path, self._engine)
        named = named_category(Path(path))
        found = await sources.encode(source.audio, category, named, client, self._engine)
        return Found(found.z, found.category, Shape(), moved)


def _checked(path: str) -> os.stat_result:
    """What the system says of a regular file; whatever else has a name might block who opens it."""
    shown = brief(path)
    if not os.path.isabs(path):
        raise DataError(f"{shown} is no whole path; send one that begins at the root.")
    try:
        if len(os.fsencode(path)) > _LONGEST:
            raise DataError(f"The path {shown} is too long; move the file.")
        about = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "its name cannot be used"
        raise DataError(f"{shown} cannot be opened ({reason}); check the path.") from error
    if not stat.S_ISREG(about.st_mode):
        raise DataError(f"{shown} is no file; choose a sound file.")
    return about


def _sound_in(path: str, instrument: Instrument) -> recipe.Sound | None:
    """The one sound of the recipe in a file; None if it has none that this instrument plays."""
    try:
        document = read_recipe(path)
        if document is None:
            return None
        read = recipe.read(document, path)
        read = recipe.check_instrument(read, instrument, path, any_one=False)
    except DrumjaxError:  # damaged, or another instrument's: it is still a sound
        return None
    return read.sounds[0] if len(read.sounds) == 1 else None


def _attributes(sound: recipe.Sound, instrument: Instrument) -> dict[str, float]:
    """The attributes that a sound's origin tells of, so far as they are such."""
    told = sound.origin.get("attributes")
    if not isinstance(told, dict):
        return {}
    return {
        name: float(told[name])
        for name in control_names(instrument)
        if type(told.get(name)) in (int, float) and abs(told[name]) <= MOST_ATTRIBUTE
    }
