"""Sound files that OSC clients name by path: a take's exact code, or the code that is nearest."""

import os
import stat
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drumjax.errors import DataError, DrumjaxError
from drumjax.export.wav import read_recipe
from drumjax.play import recipe
from drumjax.play.runtime import Player
from drumjax.play.shape import Shape
from drumjax.play.source_sound import encode_source, named_category, read_source

_LONGEST = 4096  # bytes of a path
_KEPT = 32  # files whose codes are remembered


class Found(NamedTuple):
    """What a file holds: a code, float32 [d], its category, and the shape that its sound has."""

    z: np.ndarray
    category: recipe.Category
    shape: Shape


class FileCodes:
    """Finds the codes of files. Belongs to the thread that plays; remembers the last files."""

    def __init__(self):
        self._found: OrderedDict[tuple[str, int, int, str | None], Found] = OrderedDict()

    def find(self, player: Player, path: str, category: str | None = None) -> Found:
        """The code of a sound file.

        A take or another WAV file of ours, made with this instrument, gives the code in its
        recipe; others are encoded, as is one that is to be taken for another category.

        Args:
          player: of an instrument with an encoder, where the file needs one.
          path: absolute.
          category: that the sound is to be taken for; by default its recipe's, or what its name
            says, or the nearest.

        Raises:
          DrumjaxError: the file cannot be used, or there is no encoder.
        """
        about = _checked(path)
        key = (path, about.st_mtime_ns, about.st_size, category)
        if key not in self._found:
            found = _taken(player, path, category) or _encoded(player, path, category)
            self._found[key] = found
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
        self._found.move_to_end(key)
        return self._found[key]


def _checked(path: str) -> os.stat_result:
    """What the system says of a regular file; whatever else has a name might block who opens it."""
    shown = recipe.brief(path)
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


def _taken(player: Player, path: str, category: str | None) -> Found | None:
    """What the recipe in a file says; None if it has none that this instrument plays."""
    try:
        document = read_recipe(path)
        if document is None:
            return None
        read = recipe.read(document, path)
        read = recipe.check_instrument(read, player.instrument, path, any_one=False)
    except DrumjaxError:  # damaged, or another instrument's: it is still a sound
        return None
    sound = read.sounds[0]
    if len(read.sounds) > 1 or category not in (None, sound.category):
        return None
    return Found(sound.z, sound.category, sound.shape)


def _encoded(player: Player, path: str, category: str | None) -> Found:
    source = read_source(path, player.sample_rate, player.samples)
    found = encode_source(player, source.audio, category, named_category(Path(path)))
    return Found(found.z, found.category, Shape())
