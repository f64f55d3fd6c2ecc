"""Folders that commands write into."""

from pathlib import Path

from drumjax.errors import DataError


def make_folder(path: str) -> Path:
    """Make the folder of an --output, with its parents; one that exists is used as it is.

    Raises:
      DataError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be made ({error.strerror}); choose another --output."
        ) from error
    return folder
