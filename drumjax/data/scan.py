"""Finds the sounds to prepare: in folders, by their names, or in a table that lists them."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from drumjax.audio.files import AUDIO_SUFFIXES
from drumjax.categories import CATEGORIES
from drumjax.data.aliases import OTHER, Aliases
from drumjax.errors import DataError

FOLDS = ("train", "validation")
UNDECIDED = "no category in its name"
NOT_ELEVEN = "none of the eleven categories"
NOT_SOUND = "no WAV, AIFF, FLAC, OGG or MP3 file"


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
    """Search folders and all folders in them. Hidden files are passed over.

    Raises:
        DataError: one of `folders` is none, or all of them together hold no file.
    """
    candidates, skipped = [], []
    for root, path in _walk(folders):
        inside = PurePosixPath(_text(path.relative_to(root)))
        name, category = str(inside), aliases.category(inside)
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            skipped.append(Skipped(name, NOT_SOUND))
        elif category is None:
            skipped.append(Skipped(name, UNDECIDED))
        elif category == OTHER:
            skipped.append(Skipped(name, NOT_ELEVEN))
        else:
            kit = _kit(inside, root, aliases)
            candidates.append(Candidate(path, name, category, kit, None))
    if not candidates and not skipped:
        listed = ", ".join(map(str, folders))
        raise DataError(f"{listed} holds no files; name a folder of one-shots with --input.")
    return candidates, skipped


def read_manifest(folder: Path, manifest: Path) -> tuple[list[Candidate], list[Skipped]]:
    """Read a CSV with the columns path (inside `folder`), category, fold and, if any, kit.

    Raises:
        DataError: the table cannot be read, lacks a column, or has a fold of another name.
    """
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table {manifest} cannot be read: {error}.") from error
    missing = {"path", "category", "fold"} - set(rows[0] if rows else ())
    if missing:
        raise DataError(f"{manifest} has no rows with {', '.join(sorted(missing))}; add them.")
    candidates, skipped = [], []
    for line, row in enumerate(rows, start=2):
        if row["category"] not in CATEGORIES:
            skipped.append(Skipped(row["path"], NOT_ELEVEN, row["category"]))
            continue
        if row["fold"] not in FOLDS:
            raise DataError(f"{manifest}, line {line}: the fold is neither train nor validation.")
        kit = row.get("kit") or Path(row["path"]).parent.as_posix()
        path = folder / row["path"]
        candidates.append(Candidate(path, row["path"], row["category"], kit, row["fold"]))
    return _unique(candidates), skipped


def _walk(folders: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs (root, file), in order; of several folders, the root is the one that holds each."""
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; name a folder of one-shots with --input.")
    if len({folder.name for folder in folders}) < len(folders):
        raise DataError("two input folders have the same name; name the folder above them instead.")
    for folder in folders:
        root = folder.parent if len(folders) > 1 else folder
        for place, inner, files in os.walk(folder):
            inner[:] = sorted(i for i in inner if not i.startswith((".", "__MACOSX")))
            yield from ((root, Path(place, f)) for f in sorted(files) if not f.startswith("."))


def _text(path: Path) -> str:
    """A path as text that can be stored, even if its bytes are no UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _kit(name: PurePosixPath, root: Path, aliases: Aliases) -> str:
    """The folder that a sound comes from, leaving out folders that only name a category."""
    parts = [part for part in name.parent.parts if not aliases.is_bare(part)]
    return "/".join(parts) or root.name


def _unique(candidates: list[Candidate]) -> list[Candidate]:
    return list({candidate.name: candidate for candidate in candidates}.values())
