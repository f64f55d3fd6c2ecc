"""Finds the sounds to prepare: in folders, by their names, or in a table that lists them."""

import csv
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from drumjax.audio.files import AUDIO_SUFFIXES
from drumjax.categories import CATEGORIES
from drumjax.data.aliases import OTHER, Aliases
from drumjax.errors import DataError

FOLDS = ("train", "validation")
UNDECIDED = "no category in its name"
NOT_ELEVEN = "none of the eleven categories"
NOT_SOUND = "no WAV, AIFF, FLAC, OGG or MP3 file"
NOT_OPENED = "folder cannot be opened"


class Candidate(NamedTuple):
    """A sound file whose category is known."""

    path: Path
    name: str  # the path inside the input
    category: str
    kit: str
    fold: str | None  # None: to be split yet


class Skipped(NamedTuple):
    """A file that is left out, and why."""

    name: str
    reason: str
    detail: str = ""


def scan_folders(
    folders: Sequence[Path], aliases: Aliases
) -> tuple[list[Candidate], list[Skipped]]:
    """What `scan` finds, as two lists.

    Raises:
        DataError: as `scan`.
    """
    candidates, skipped = [], []
    for item in scan(folders, aliases):
        (candidates if isinstance(item, Candidate) else skipped).append(item)
    return candidates, skipped


def scan(folders: Sequence[Path], aliases: Aliases) -> Iterator[Candidate | Skipped]:
    """Search folders and all folders in them, one file at a time. Hidden files are passed over.

    Links to folders are followed, and each folder is searched once. A single input folder's own
    name counts as the farthest of the folders that may say a category.

    Raises:
        DataError: one of `folders` is none or closed, or all of them together hold no file.
    """
    empty, alone = True, len(folders) == 1
    kit_of = functools.lru_cache(64)(functools.partial(_kit, aliases=aliases))
    for item in _walk(folders):
        empty = False
        yield item if isinstance(item, Skipped) else _judge(*item, alone, aliases, kit_of)
    if empty:
        listed = ", ".join(map(str, folders))
        raise DataError(f"{listed} holds no files; name a folder of one-shots with --input.")


def read_manifest(folder: Path, manifest: Path) -> Iterator[Candidate | Skipped]:
    """Read a CSV with the columns path (inside `folder`), category, fold and, if any, kit.

    Raises:
        DataError: the table cannot be read, lacks a column, has a fold of another name, or lists a
            file twice.
    """
    seen: dict[str, int] = {}
    for line, row in _rows(manifest):
        first = seen.setdefault(str(PurePosixPath(row["path"])), line)
        if first != line:
            raise DataError(
                f"{manifest}, line {line}: {row['path']} is in line {first} already; remove one."
            )
        if row["category"] not in CATEGORIES:
            yield Skipped(row["path"], NOT_ELEVEN, row["category"])
            continue
        if row["fold"] not in FOLDS:
            raise DataError(f"{manifest}, line {line}: the fold is neither train nor validation.")
        kit = row.get("kit") or Path(row["path"]).parent.as_posix()
        path = folder / row["path"]
        yield Candidate(path, row["path"], row["category"], kit, row["fold"])


def look_into(folder: Path) -> None:
    """See that a folder, if it is there, can be looked into.

    Raises:
        DataError: it cannot, or one above it.
    """
    try:
        os.scandir(folder).close()
    except PermissionError as error:
        closed = next(path for path in (folder, *folder.parents) if os.path.isdir(path))
        raise DataError(
            f"{closed} cannot be looked into ({error.strerror}); check its permissions."
        ) from error
    except OSError:
        return  # it is not there, or no folder


def as_text(path: str | Path) -> str:
    """A path as text that can be stored, even if its bytes are no UTF-8."""
    text = path if isinstance(path, str) else path.as_posix()
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _judge(
    root: Path,
    path: Path,
    alone: bool,
    aliases: Aliases,
    kit_of: Callable[[PurePosixPath, Path], str],
) -> Candidate | Skipped:
    """What a file under `root` is by its name; `alone`: no other folder is searched."""
    inside = PurePosixPath(as_text(path.relative_to(root)))
    above = as_text(root.name) if alone else ""
    name, category = str(inside), aliases.category(above / inside)
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return Skipped(name, NOT_SOUND)
    if category is None:
        return Skipped(name, UNDECIDED)
    if category == OTHER:
        return Skipped(name, NOT_ELEVEN)
    return Candidate(path, name, category, kit_of(inside.parent, root), None)


def _rows(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table, commas, semicolons or tabs between its columns, with line numbers."""
    missing = {"path", "category", "fold"}
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, restval="", delimiter=max(",;\t", key=header.count))
            for row in reader:
                missing -= set(row)
                if missing:
                    break
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table {manifest} cannot be read: {error}.") from error
    if missing:
        raise DataError(f"{manifest} has no rows with {', '.join(sorted(missing))}; add them.")


def _walk(folders: Sequence[Path]) -> Iterator[tuple[Path, Path] | Skipped]:
    """Pairs (root, file), in order; of several folders, the root is the one that holds each.

    Folders that cannot be opened come as what they are.
    """
    for folder in folders:
        look_into(folder)
        if not os.path.isdir(folder):
            raise DataError(f"{folder} is no folder; name a folder of one-shots with --input.")
    if len({folder.name for folder in folders}) < len(folders):
        raise DataError("two input folders have the same name; name the folder above them instead.")
    seen: set[Any] = set()
    for folder in folders:
        if not _is_new(folder, seen):
            continue
        root = folder.parent if len(folders) > 1 else folder
        closed: list[OSError] = []
        for place, inner, files in os.walk(folder, onerror=closed.append, followlinks=True):
            known = sorted(i for i in inner if not i.startswith((".", "__MACOSX")))
            inner[:] = [i for i in known if _is_new(os.path.join(place, i), seen)]
            yield from ((root, Path(place, f)) for f in sorted(files) if not f.startswith("."))
            yield from (_closed(error, root) for error in closed)
            closed.clear()
        yield from (_closed(error, root) for error in closed)


def _closed(error: OSError, root: Path) -> Skipped:
    name = as_text(Path(error.filename).relative_to(root))
    return Skipped(name, NOT_OPENED, error.strerror or "")


def _is_new(folder: str | Path, seen: set[Any]) -> bool:
    """Whether `folder` is none of `seen`, to which it is added; links lead back up, too."""
    try:
        stat = os.stat(folder)
    except OSError:
        return True  # the walk will say so
    key = stat.st_dev, stat.st_ino
    new = key not in seen
    seen.add(key)
    return new


def _kit(folder: PurePosixPath, root: Path, aliases: Aliases) -> str:
    """The folders above the first that says a category: 'Kit C' of 'Kit C/Snares/Tight/1.wav'."""
    above = itertools.takewhile(lambda part: not aliases.is_named_by(part), folder.parts)
    return "/".join(above) or as_text(root.name or root)
