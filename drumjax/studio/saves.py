"""The library: a musician's folder of sounds and kits, where nothing is ever replaced."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from drumjax.audio.names import file_word
from drumjax.errors import DataError
from drumjax.export.kit import Pad
from drumjax.play.recipe import Recipe
from drumjax.studio.kits import write_kit

_LONGEST = 60  # signs of a name, without its number
_DEVICES = frozenset(  # of Windows, whatever suffix follows
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)


def save_wav(library: Path, name: str, content: bytes) -> Path:
    """Write a sound into the library, which is made: NAME.wav, or NAME_2.wav where that is taken.

    Args:
      library: the folder.
      name: any text; what of it a file's name can hold is used.
      content: of the file.

    Returns:
      The path of the file, which is whole.

    Raises:
      DataError: it cannot be written; nothing of it is left.
    """

    def make(path: Path) -> None:
        file = path.open("xb")  # takes neither a file nor a link that is there
        with _whole(path.unlink), file:
            file.write(content)

    return _in_free_place(library, name, ".wav", make)


def save_kit(library: Path, recipe: Recipe, pads: Sequence[Pad]) -> Path:
    """Write a kit into a new folder of the library, NAME or NAME_2; see `kits.write_kit`.

    Raises:
      DataError: it cannot be written; nothing of it is left.
    """

    def make(path: Path) -> None:
        path.mkdir()  # takes neither a folder nor a link that is there
        with _whole(lambda: shutil.rmtree(path, ignore_errors=True)):
            write_kit(path, recipe, pads)

    return _in_free_place(library, recipe.extra["name"], "", make)


def _in_free_place(library: Path, name: str, suffix: str, make: Callable[[Path], None]) -> Path:
    """Let `make` make the first path of the name that it does not find taken."""
    word = file_word(name, _LONGEST)
    if word in _DEVICES:
        word = f"sound_{word}"
    numbers = ("", *(f"_{n}" for n in range(2, 10_000)))
    try:
        library.mkdir(parents=True, exist_ok=True)
        for path in (library / f"{word}{number}{suffix}" for number in numbers):
            with contextlib.suppress(FileExistsError):
                make(path)
                return path
    except (OSError, ValueError) as error:  # ValueError: a NUL in the library's name
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"Nothing can be saved to {str(library)!a} ({reason}); make room there, or start "
            "the server with another --library."
        ) from error
    raise DataError(f"The library holds too much called {word}; choose another name.")


@contextlib.contextmanager
def _whole(remove: Callable[[], object]) -> Iterator[None]:
    """Write inside; if that fails, what was written is removed."""
    try:
        yield
    except BaseException:
        remove()
        raise
