"""A folder's manifest: size and SHA-256 of every file, written last and checked before reading."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from drumjax.atomic import sync_folder
from drumjax.errors import DrumjaxError

MANIFEST = "manifest.json"
DATA_SET = "data set"  # the label of one
_FORMAT = "drumjax-manifest-1"
_LARGEST = 64 * 2**20  # bytes of a manifest, which are some 150 for each file
_REMEDY = "copy the folder again, or make it anew"


class IntegrityError(DrumjaxError):
    """A folder is not what its manifest says.

    Attributes:
        what: the same without what to do, for callers who know better what that is.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}; {_REMEDY}.")
        self.what = what


class Verified(NamedTuple):
    """What was read and found right."""

    files: int
    bytes: int


def step_label(step: int | str) -> str:
    """The label of a checkpoint, so that none can pass for another step's."""
    return f"step {step}"


def has_manifest(folder: str | Path) -> bool:
    """Whether a manifest lies in a folder, be it right or wrong."""
    return os.path.lexists(Path(folder, MANIFEST))


def write_manifest(folder: str | Path, label: str = "") -> None:
    """List every file under a folder, with its size and SHA-256, in `manifest.json` there.

    The files reach the disk first, then the manifest, which is there whole or not at all.

    Args:
      folder: complete; nothing in it may change from now on.
      label: what the folder is, DATA_SET or a `step_label`; `verify_folder` must be told the same.

    Raises:
      OSError: a file cannot be read, or the manifest not be written.
    """
    folder = Path(folder)
    files = {}
    for name in _names(folder):
        if name == MANIFEST:
            continue
        with (folder / name).open("rb") as file:
            files[name] = [os.fstat(file.fileno()).st_size, _digest(file)]
            if os.name != "nt":  # where a file open for reading cannot be synced
                os.fsync(file.fileno())
    for inner, _, _ in os.walk(folder):
        sync_folder(inner)
    beside = folder / f".{MANIFEST}.tmp"
    with beside.open("wb") as file:
        file.write(_encode(label, files))
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, folder / MANIFEST)
    sync_folder(folder)


def verify_folder(
    folder: str | Path, label: str = "", wanted: Callable[[str], bool] = lambda name: True
) -> Verified:
    """Compare every file under a folder with its manifest.

    Files that are missing, that were not there before, or whose size or content differs are
    errors. The exception are new files that desktops leave anywhere: `.DS_Store` and others whose
    name begins with a dot, `Thumbs.db`, `desktop.ini`.

    Args:
      folder: in which `write_manifest` was called.
      label: as it was told.
      wanted: path relative to the folder, with slashes -> whether the content is read; the sizes
        of all files are checked.

    Returns:
      How many files were read, and how many bytes.

    Raises:
      IntegrityError: names the first file that is wrong.
    """
    folder = Path(folder)
    listed = _read(folder, label)
    try:
        found = {n for n in _names(folder) if n != MANIFEST and (n in listed or not _stray(n))}
        for name in sorted(found | set(listed)):
            _check_size(folder / name, name in found, listed.get(name))
        chosen = [name for name in sorted(listed) if wanted(name)]
        for name in chosen:
            with (folder / name).open("rb") as file:
                if _digest(file) != listed[name][1]:
                    raise IntegrityError(f"{folder / name} is damaged: its SHA-256 does not match")
    except OSError as error:
        where = error.filename or folder
        raise IntegrityError(f"{where} cannot be read ({_why(error)})") from error
    return Verified(len(chosen), sum(listed[name][0] for name in chosen))


def _check_size(path: Path, is_there: bool, listed: list[Any] | None) -> None:
    if listed is None:
        raise IntegrityError(f"{path} was not there when its folder was written")
    if not is_there:
        raise IntegrityError(f"{path} is missing")
    size = path.stat().st_size
    if size != listed[0]:
        raise IntegrityError(f"{path} is damaged: it has {size} bytes, not {listed[0]}")


def _names(folder: Path) -> Iterator[str]:
    """Paths of all that lies under a folder and is no folder, with slashes.

    Raises:
      IntegrityError: one is neither a file nor a link to one; reading a pipe might never end.
    """

    def fail(error: OSError) -> None:
        raise error

    for inner, folders, files in os.walk(folder, onerror=fail):
        links = [name for name in folders if os.path.islink(os.path.join(inner, name))]
        for name in (*files, *links):
            path = Path(inner, name)
            if not stat.S_ISREG(path.stat().st_mode):
                raise IntegrityError(f"{path} is no plain file")
            yield path.relative_to(folder).as_posix()


def _stray(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") or last in ("Thumbs.db", "desktop.ini")


def _digest(file: Any) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _encode(label: str, files: dict[str, list[Any]]) -> bytes:
    """The manifest's bytes; there is one way to write it, so that no bit of it is free."""
    document = {"format": _FORMAT, "label": label, "files": files}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**document, "sha256": digest}, sort_keys=True, indent=1) + "\n").encode()


def _read(folder: Path, label: str) -> dict[str, list[Any]]:
    """File name -> [size, SHA-256], of a manifest that is right in itself."""
    path = folder / MANIFEST
    try:
        if not path.is_file():
            raise IntegrityError(f"{path} is missing")
        with path.open("rb") as file:
            text = file.read(_LARGEST)
        document = json.loads(text)
        files = {str(name): [int(size), str(digest)] for name, (size, digest) in _items(document)}
        told = document["label"]
        whole = _encode(told, files) == text
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read ({_why(error)})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        whole, told, files = False, label, {}
    if not whole:
        raise IntegrityError(f"{path} is damaged")
    if told != label:
        raise IntegrityError(f"{folder} is not {label or 'what it should be'} but {told!a}")
    return files


def _items(document: Any) -> Any:
    return document["files"].items()


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
