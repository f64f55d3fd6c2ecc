"""What the commands that make sounds read and write: instruments, recipes, WAV files."""

import dataclasses
import hashlib
import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from drumjax.errors import ConfigError, DataError
from drumjax.instruments import factory, is_inside

if TYPE_CHECKING:
    from drumjax.play.instrument import Instrument
    from drumjax.play.recipe import Recipe
    from drumjax.play.runtime import Player

T = TypeVar("T")

_LOOK = 2**20  # bytes
# What drumjax leaves in a file: a recipe, a WAV file's ISFT chunk, the head of an SFZ kit, and the
# author of a Hydrogen kit.
_MARKS = re.compile(
    rb'"format": "drumjax-recipe"|ISFT.{4}drumjax |\A// [^\n]*, made by drumjax |<author>drumjax ',
    re.DOTALL,
)
_HASH = "sha256"  # of a plain WAV file, in the recipe beside it
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
    try:
        if file.is_dir():
            raise DataError(f"{file} is a folder; name a file with --output.")
        foreign = file.is_file() and not _is_ours(file)
    except OSError as error:
        raise DataError(
            f"{file} cannot be used ({error.strerror}); choose another --output."
        ) from error
    if foreign:
        raise DataError(
            f"{file} is there already and was not made by drumjax; choose another --output."
        )
    return file


def _is_ours(file: Path) -> bool:
    """Whether drumjax made a file: so its name says, a mark inside it, or the recipe beside it.

    Raises:
      OSError: it cannot be read.
    """
    if file.name.startswith("drumjax_"):
        return True
    with file.open("rb") as opened:
        start = opened.read(_LOOK)
        opened.seek(max(0, file.stat().st_size - _LOOK))
        return any(map(_MARKS.search, (start, opened.read(_LOOK)))) or _is_told_beside(file)


def _is_told_beside(file: Path) -> bool:
    """Whether the recipe that stands beside a plain WAV file is of that very file."""
    told = _told(_recipe_beside(file))
    return told is not None and told == hashlib.sha256(file.read_bytes()).hexdigest()


def _told(path: Path) -> str | None:
    """The hash of the one WAV file that a recipe stands beside; None if it is no such recipe."""
    try:
        return load_recipe(path).extra.get(_HASH) if path.is_file() else None
    except (DataError, OSError):
        return None


def _recipe_beside(file: Path) -> Path:
    """Where the recipe of a plain WAV file stands: NAME.json for NAME.wav."""
    return file.with_suffix(".json")


def check_wav(path: str, plain: bool) -> Path:
    """A WAV file to be written, with the recipe beside it if it is plain; see `check_file`.

    Raises:
      DataError: one of them is somebody else's, or could not be written.
    """
    file = check_file(path)
    if plain:
        beside = check_file(_recipe_beside(file))
        if beside.exists() and _told(beside) is None:
            raise DataError(
                f"{beside}, where the recipe of a plain WAV file goes, is there already and holds "
                "something else; choose another --output."
            )
    return file


def own_place(output: str, name: str, is_untouched: Callable[[bytes], bool]) -> Path:
    """Where a client goes that drumjax writes: into a folder, or by a name of its own.

    Args:
      output: a folder, or a file of the same kind as `name`.
      name: the file's in a folder.
      is_untouched: see `check_own`.

    Raises:
      ConfigError: `output` is empty.
      DataError: nothing can be written there, or see `check_own`.
    """
    kind = Path(name).suffix
    if not output:
        raise ConfigError(f"The name of --output is empty; give a folder, or a NAME{kind}.")
    named = output.lower().endswith(kind) and not os.path.isdir(output)
    place = Path(output) if named else Path(output) / name
    check_folder(str(place.parent))
    return check_own(place, is_untouched)


def check_own(place: Path, is_untouched: Callable[[bytes], bool]) -> Path:
    """A file to be written, where nothing is yet, or what drumjax wrote and nobody changed.

    Args:
      place: the file.
      is_untouched: whether a file's content is as drumjax wrote it.

    Raises:
      DataError: something else is there, or it cannot be read.
    """
    try:
        foreign = place.exists() and not (place.is_file() and is_untouched(place.read_bytes()))
    except OSError as error:
        raise DataError(
            f"{place} cannot be read ({error.strerror}); choose another --output."
        ) from error
    if foreign:
        raise DataError(
            f"{place} is there already and is not as drumjax wrote it; move it away, or choose "
            "another --output."
        )
    return place


def check_instrument(path: Path) -> Path:
    """Where an instrument is to go, and its encoder beside it, before minutes are spent.

    Raises:
      ConfigError: no name of an instrument, no folder, a file that is no instrument is there, or
        the factory instrument.
      DataError: the folder could not be written to.
    """
    from drumjax.play.instrument import encoder_path, is_ours

    good = path.suffix == ".safetensors" and not path.stem.endswith(".encoder")
    if not (good and os.path.isdir(path.absolute().parent)):
        check_folder(str(path.parent))  # it may be there, and closed
        raise ConfigError(f"--output={path} must be NAME.safetensors in a folder that is there.")
    for file in (path, encoder_path(path)):
        if is_inside(file):
            raise ConfigError(
                f"{path} lies beside the factory instrument, where nothing is written; name a new "
                "instrument with --output=NAME.safetensors."
            )
    check_folder(str(path.parent))
    for file in (path, encoder_path(path)):
        if file.exists() and not is_ours(file):
            raise ConfigError(f"{file} is there and is no instrument; choose another --output.")
    return path


def instrument_path(path: str | None) -> Path:
    """The file of an --instrument: the one that is named, or the factory instrument if none is.

    Raises:
      ConfigError: the name is empty, as that of a variable that is not set.
      InstrumentError: this installation lacks the factory instrument.
    """
    if path is None:
        return factory()
    if not path:
        raise ConfigError(
            "The name of the instrument is empty; give a file, or leave the flag out for the "
            "factory instrument."
        )
    return Path(path)


def open_player(path: str | None) -> "Player":
    """A player of an instrument file, with the compilation cache on.

    Args:
      path: see `instrument_path`.

    Raises:
      ConfigError: see `instrument_path`.
      InstrumentError: the file cannot be used.
    """
    from drumjax.play.cache import use_cache
    from drumjax.play.instrument import load_instrument
    from drumjax.play.runtime import Player

    use_cache()
    return Player(load_instrument(instrument_path(path)))


def open_networks(cwae: str, mcnn: str | None, which: str) -> "Player":
    """A player of an instrument that is put together in memory, with the compilation cache on.

    Args:
      cwae: the --workdir of a CWAE or frame WAE.
      mcnn: that of an MCNN; None if sound is made without one.
      which: "best" or "latest" checkpoint.

    Raises:
      CheckpointError: a run cannot be read, or the two do not go together.
      ConfigError: the MCNN is of a kind that no player plays.
    """
    from drumjax.play.cache import use_cache
    from drumjax.play.runtime import Player

    use_cache()
    return Player(build(cwae, mcnn, which))


def build(
    cwae: str,
    mcnn: str | None,
    which: str,
    name: str = "untitled",
    about: Mapping[str, str] = MappingProxyType({}),
) -> "Instrument":
    """An instrument of trained networks, without controls.

    Args:
      cwae, mcnn, which: see `open_networks`, errors, too.
      name: what musicians call it.
      about: words on the training sounds for its provenance: "licence", "credits".
    """
    if not cwae or mcnn == "":
        raise ConfigError("The name of a work directory is empty; give one, or leave the flag out.")
    from drumjax.evals.load import load_pair
    from drumjax.models.mcnn import as_played
    from drumjax.play.instrument import build_instrument

    model, vocoder = load_pair(cwae, mcnn, which)
    provenance = {**about, model.about["config"]["model"]: model.about}
    if vocoder is None:
        return build_instrument(model.config, model.variables, None, None, name, provenance)
    provenance["mcnn"] = vocoder.about
    inverter = as_played(vocoder.config, vocoder.variables)
    return build_instrument(model.config, model.variables, *inverter, name, provenance)


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
        if document is not None:
            return read(document, str(path))
        if told := _telling(Path(path)):
            raise DataError(f"{path} is plain and holds no recipe; give {told}, which holds its.")
        raise DataError(f"{path} holds no recipe; give a WAV that drumjax made, or a recipe.")
    if len(text) > _LARGEST:
        raise DataError(f"{path} is too large for a recipe; check the path.")
    return read(text, str(path))


def _telling(file: Path) -> Path | None:
    """The newest recipe in the folder of a WAV file that tells of it; None if there is none."""
    places = (*file.parent.glob("drumjax_recipe*.json"), file.with_name("kit.json"))
    telling = [p for p in (_recipe_beside(file), *places) if _tells_of(p, file)]
    return max(telling, key=lambda p: p.stat().st_mtime, default=None)


def _tells_of(path: Path, file: Path) -> bool:
    """Whether a file is the recipe beside a WAV file, or one that has a sound of its name."""
    from drumjax.play.recipe import read

    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        recipe = read(path.read_bytes(), str(path))
    except (DataError, OSError):
        return False
    return path == _recipe_beside(file) or file.name in [s.file_name for s in recipe.sounds]


def write_sounds(player: "Player", recipe: "Recipe", folder: Path) -> int:
    """Write drumjax_NAME.wav for each sound into a folder, which is made: all of them, or none.

    Returns how many of the sounds are silent.

    Raises:
      DrumjaxError: a sound cannot be made, or the folder not be written to.
    """
    from drumjax.atomic import write_files
    from drumjax.play.recipe import render
    from drumjax.studio.kits import wav_of

    silent = 0

    def files() -> Iterator[tuple[str, bytes]]:
        nonlocal silent
        for sound in progress(recipe.sounds, "sounds"):
            samples = render(player, sound, recipe.output.sample_rate)
            silent += not samples.any()
            yield sound.file_name, wav_of(recipe, sound, samples)

    write_files(folder, files())
    return silent


def write_wav_file(path: Path, content: bytes, recipe: "Recipe") -> None:
    """Write one WAV file, whose folder is made; beside a plain one, NAME.json, its recipe.

    Raises:
      DataError: a file cannot be written.
    """
    from drumjax.atomic import write_file
    from drumjax.audio.files import make_folder

    make_folder(str(path.parent))
    write_file(path, content)
    if recipe.output.plain:
        mark = {_HASH: hashlib.sha256(content).hexdigest()}
        told = dataclasses.replace(recipe, extra={**recipe.extra, **mark})
        write_file(_recipe_beside(path), told.to_json().encode())
        print(f"{shown(_recipe_beside(path))} is its recipe, which a plain WAV file cannot hold")


def tell_silent(silent: int, count: int) -> None:
    """Print how many of `count` sounds are silent, if there are any."""
    if silent:
        which = f"{silent} of them {'is' if silent == 1 else 'are'}" if count > 1 else "it is"
        print(f"{which} silent: the networks need more training.")


def keep_recipe(recipe: "Recipe", folder: Path) -> None:
    """Write the recipe of plain WAV files, which cannot hold theirs, into their folder.

    That is drumjax_recipe.json, with what earlier runs in the same form left there. Where the file
    is of another instrument or form, or no recipe, it stays, and the next free name is taken:
    drumjax_recipe_2.json.

    Raises:
      DataError: it cannot be written.
    """
    from drumjax.atomic import write_file

    if not recipe.output.plain:
        return
    for number in itertools.count(1):
        path = folder / f"drumjax_recipe{f'_{number}' if number > 1 else ''}.json"
        if (whole := _joined(path, recipe)) is not None:
            write_file(path, whole.to_json().encode())
            print(f"{shown(path)} is their recipe, which plain WAV files cannot hold")
            return


def _joined(path: Path, recipe: "Recipe") -> "Recipe | None":
    """The recipe, joined to the one of a file if there is one; None if the two do not fit."""
    if not path.exists():
        return recipe
    try:
        there = load_recipe(path)
    except DataError:
        return None
    same = there.instrument.get("identity") == recipe.instrument.get("identity")
    if not same or there.output != recipe.output:
        return None
    sounds = {sound.file_name.lower(): sound for sound in (*there.sounds, *recipe.sounds)}
    return dataclasses.replace(recipe, sounds=tuple(sounds.values()))


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
