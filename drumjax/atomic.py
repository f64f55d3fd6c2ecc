"""Files that are there whole or not at all."""

import errno
import os
import tempfile
import uuid
from collections.abc import Iterable
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


def replace_file(path: str | Path, data: bytes) -> None:
    """As `write_file`, for what a power cut must not take either: the disk has it on return.

    Raises:
      OSError: names the place; what was there before stays.
    """
    try:
        _replace(Path(path), data, sync=True)
    except OSError as error:
        error.filename = str(path)  # not the file beside it, of which nobody knows
        raise


def write_files(folder: str | Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files, (name, content), into a folder, which is made; none appears before all are made.

    Raises:
      DataError: a file or the folder cannot be written.
      Whatever making the files raises: then the folder is as it was.
    """
    folder = Path(folder)
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with tempfile.TemporaryDirectory(prefix=".drumjax_", dir=there) as beside:
            names = []
            for name, content in files:
                Path(beside, name).write_bytes(content)
                names.append(name)
            folder.mkdir(parents=True, exist_ok=True)
            targets = [Path(os.path.realpath(folder / name)) for name in names]
            if taken := [t for t in targets if t.is_dir()]:
                raise IsADirectoryError(errno.EISDIR, f"{taken[0].name} is a folder")
            for name, target in zip(names, targets, strict=True):
                os.replace(Path(beside, name), target)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{str(folder)!r} cannot be written to ({reason}); choose another place."
        ) from error


def sync_folder(folder: str | Path) -> None:
    """Bring a folder's list of names to the disk, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes, sync: bool = False) -> None:
    path = Path(os.path.realpath(path))  # what a link points to is written, and the link stays
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
        if sync:
            sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)
