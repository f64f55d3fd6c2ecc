"""The factory instrument, which plays where no other is named; README.md beside it is its card."""

import os
from pathlib import Path

from drumjax.errors import InstrumentError

FOLDER = Path(__file__).parent
FACTORY = "factory.safetensors"  # its encoder: factory.encoder.safetensors


def factory() -> Path:
    """The file of the factory instrument; its encoder lies beside it.

    Raises:
      InstrumentError: this installation lacks it.
    """
    path = FOLDER / FACTORY
    if not path.is_file():
        raise InstrumentError(
            f"The factory instrument, {path}, is not there; install drumjax again, or name an "
            "instrument of your own."
        )
    return path


def is_inside(file: Path) -> bool:
    """Whether a file lies, or would be written, in this folder; links are followed."""
    try:
        folder = Path(os.path.realpath(file)).parent
        return folder.is_dir() and folder.samefile(FOLDER)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
