"""Files that are there whole or not at all."""

import os
import uuid
from pathlib import Path

from drumjax.errors import DataError


def write_file(path: str | Path, data: bytes) -> None:
    """Write a file beside its place, then move it there: who reads never sees half of it.

    Raises:
      DataError: the place cannot be written to; what was there before stays.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device, which must not be replaced
        else:
            _replace(path, data)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{str(path)!r} cannot be written ({reason}); choose another place."
        ) from error


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
