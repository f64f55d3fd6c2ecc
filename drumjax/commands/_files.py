"""What the commands that make sounds read and write: instruments, recipes, WAV files."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from drumjax.errors import DataError

if TYPE_CHECKING:
    from drumjax.play.recipe import Recipe, Sound
    from drumjax.play.runtime import Player

T = TypeVar("T")

_LOOK = 2**20  # bytes
_LARGEST = 64 * 2**20  # bytes of a recipe, which are some 1,500 for each sound


def check_folder(path: str) -> Path:
    """The folder of an --output, which need not be there yet; nothing is made.

    Raises:
      DataError: it could not be made, or not be written to.
    """
    folder = Path(path)
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        reason = None if there.is_dir() else f"{there} is a file"
    except (OSError, ValueError, StopIteration) as error:  # ValueError: a NUL in the name
        there, reason = folder, getattr(error, "strerror", None) or str(error)
    if reason is None and not os.access(there, os.W_OK | os.X_OK):
        reason = f"no permission to write to {there}"
    if reason:
        raise DataError(f"Nothing can be written to {path} ({reason}); choose another --output.")
    return folder


def check_file(path: str | Path) -> Path:
    """A file to be written, which must not be somebody else's.

    Raises:
      DataError: it could not be written, or is there and was not made by drumjax.
    """
    file = Path(path)
    check_folder(str(file.parent))
    if file.is_dir():
        raise DataError(f"{file} is a folder; name a file with --output.")
    try:
        foreign = file.exists() and not _is_ours(file)
    except OSError as error:
        raise DataError(f"{file} cannot be opened ({error.strerror}); choose another.") from error
    if foreign:
        raise DataError(
            f"{file} is there already and was not made by drumjax; choose another --output."
        )
    return file


def _is_ours(file: Path) -> bool:
    """Whether drumjax is named in a file, or in its name, as a plain WAV is too bare for that."""
    if file.name.startswith("drumjax_"):
        return True
    with file.open("rb") as opened:
        start = opened.read(_LOOK)
        opened.seek(max(0, file.stat().st_size - _LOOK))
        return b"drumjax" in start + opened.read(_LOOK)


def open_player(path: str) -> "Player":
    """A player of an instrument file, with the compilation cache on.

    Raises:
      InstrumentError: the file cannot be used.
    """
    from drumjax.play.cache import use_cache
    from drumjax.play.instrument import load_instrument
    from drumjax.play.runtime import Player

    use_cache()
    return Player(load_instrument(path))


def load_recipe(path: str | Path) -> "Recipe":
    """The recipe of a JSON file, or the one inside a WAV file.

    Raises:
      DataError: the file cannot be read, or holds no recipe that can be used.
    """
    from drumjax.export.wav import read_recipe
    from drumjax.play.recipe import read

    try:
        with Path(path).open("rb") as file:
            text = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be opened ({reason}); check the path.") from error
    if text.startswith(b"RIFF"):
        document = read_recipe(path)
        if document is None:
            raise DataError(f"{path} holds no recipe; give a WAV that drumjax made, or a recipe.")
        return read(document, str(path))
    if len(text) > _LARGEST:
        raise DataError(f"{path} is too large for a recipe; check the path.")
    return read(text, str(path))


def wav_of(recipe: "Recipe", sound: "Sound", samples: np.ndarray) -> bytes:
    """The WAV file of one of a recipe's sounds, rendered to [n] samples, with its own recipe."""
    from drumjax.export.wav import wav_bytes

    output = recipe.output
    return wav_bytes(
        samples,
        output.sample_rate,
        output.bits,
        note=sound.note,
        title=sound.name,
        category=sound.label,
        recipe=recipe.alone(sound).to_dict(),
        plain=output.plain,
    )


def write_sounds(player: "Player", recipe: "Recipe", folder: Path) -> int:
    """Write drumjax_NAME.wav for each sound into a folder, which is made.

    Returns how many of the sounds are silent.
    """
    silent = 0
    for sound in progress(recipe.sounds, "sounds"):
        silent += not write_sound(player, recipe, sound, folder / sound.file_name)
    return silent


def write_sound(player: "Player", recipe: "Recipe", sound: "Sound", path: Path) -> bool:
    """Write one sound into a file, whose folder is made; returns whether anything is heard."""
    from drumjax.atomic import write_file
    from drumjax.audio.files import make_folder
    from drumjax.play.recipe import render

    samples = render(player, sound, recipe.output.sample_rate)
    make_folder(str(path.parent))
    write_file(path, wav_of(recipe, sound, samples))
    return bool(samples.any())


def keep_recipe(recipe: "Recipe", folder: Path) -> None:
    """Write drumjax_recipe.json where the WAV files, being plain, cannot hold their recipes."""
    from drumjax.atomic import write_file

    if recipe.output.plain:
        path = folder / "drumjax_recipe.json"
        write_file(path, recipe.to_json().encode())
        print(f"{shown(path)} is their recipe, which plain WAV files cannot hold")


def progress(items: Sequence[T], what: str) -> Iterator[T]:
    """Go through items; on a terminal, count them in a line that goes away at the end."""
    shown, seen = 0.0, sys.stderr.isatty()
    for index, item in enumerate(items):
        now = time.monotonic()
        if seen and now - shown > 0.2:
            print(f"\r{index} of {len(items)} {what} ", end="", file=sys.stderr, flush=True)
            shown = now
        yield item
    if seen:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def sounds(count: int) -> str:
    """ "1 sound", "2 sounds"."""
    return f"{count} sound{'s' * (count != 1)}"


def shown(path: str | Path) -> str:
    """A path as text that can be printed, even if its bytes are no UTF-8."""
    from drumjax.data.scan import as_text

    return as_text(path)


def file_word(text: str, longest: int = 40) -> str:
    """A file's name without its suffix, as part of another's: ASCII letters, digits and _."""
    import re
    import unicodedata

    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "_", plain).strip("_").removeprefix("drumjax_")
    return word[:longest].strip("_") or "sound"
