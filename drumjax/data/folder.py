"""A plain folder of one-shots as a data set in memory, so that anyone can judge on their own."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from drumjax.categories import CATEGORIES
from drumjax.data.aliases import OTHER, Aliases
from drumjax.data.assemble import read_sounds, without_duplicates
from drumjax.data.normalise import NUM_SAMPLES, SAMPLE_RATE, Sound, pad
from drumjax.data.scan import Candidate, Skipped, as_text, scan_folders
from drumjax.data.source import Source
from drumjax.data.split import split_by_file, split_by_kit
from drumjax.errors import DataError

NOT_A_KIT = "the sounds of no known kit"


class Folder(NamedTuple):
    """What a folder holds: its sounds, and how many files were left out for which reason."""

    source: Source
    skipped: dict[str, int]
    kits_known: bool  # if not, every sound is a kit of its own


class _ByFolder(Aliases):
    """Lets a folder that is named like a category decide over the names of the files in it."""

    def category(self, path: PurePath) -> str | None:
        """As `Aliases.category`; `path` begins with the name of the folder that is searched."""
        return _folder_says(path.parts[1]) if _decides(path) else super().category(path)


def _decides(path: PurePath) -> bool:
    return len(path.parts) > 2 and _folder_says(path.parts[1]) is not None


def _folder_says(name: str) -> str | None:
    """The category that a folder's whole name is: "Closed Hats", "kick"; OTHER for "cowbell"."""
    word = re.sub(r"[\W_]+", "_", name.lower()).strip("_")
    for known in (word, word.removesuffix("s")):
        if known in CATEGORIES:
            return known
    said = Aliases().category(PurePath(name) / "0") if word.isalpha() else None
    return said if said == OTHER else None


def load_folder(path: str, progress: Callable[[Iterable[Any], int], Iterable[Any]]) -> Folder:
    """Read the one-shots of a folder, prepared as `prepare --long=cut` does, into memory.

    A folder directly inside `path` that is named like a category decides; all other names are read
    as `prepare` reads them. A sound's kit is what lies between the two: `kick/808/1.wav`; or what
    its file's name begins with: `kick/808__1.wav`; or the folders above: `808/kick/1.wav`.

    Args:
      path: the folder.
      progress: (items, how many) -> the items, shown to the user as they pass.

    Raises:
      DataError: there is no such folder, or nothing in it can be used; the counts are told.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{as_text(root)} is no folder; name one with --data.")
    candidates, skipped = _scan(root)
    made = progress(read_sounds(candidates, cut_long=True), len(candidates))
    sounds, unfit = [], []
    for item in made:
        (sounds if isinstance(item, Sound) else unfit).append(item)
    sounds, equal = without_duplicates(sounds)
    counts = Counter(s.reason for s in (*skipped, *unfit, *equal))
    if not sounds:
        seen = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
        raise DataError(
            f"None of the {sum(counts.values())} files in {as_text(root)} can be used ({seen}); "
            "put one-shots of 0.1 to 1 second into folders named like kick or closed_hat."
        )
    return _as_folder(sounds, dict(counts.most_common()))


def _scan(root: Path) -> tuple[list[Candidate], list[Skipped]]:
    """The sounds of a folder with the kits that its names tell, and the files left out."""
    try:
        candidates, skipped = scan_folders([root], _ByFolder())
    except DataError as error:
        raise DataError(
            f"{as_text(root)} holds no files (0 seen); name a folder of one-shots with --data."
        ) from error
    above = as_text(root.name or root)  # what a kit is called that no folder names
    return [c._replace(kit=_kit(c, above)) for c in candidates], skipped


def _kit(candidate: Candidate, above: str) -> str:
    """The kit of a sound; NOT_A_KIT if no name tells one."""
    name = PurePosixPath(candidate.name)
    folders = name.parts[:-1]
    inner = folders[1:] if folders and _folder_says(folders[0]) else ()
    first, mark, _ = name.stem.partition("__")
    if inner:
        return "/".join(inner)
    if mark and first:
        return first
    return NOT_A_KIT if candidate.kit == above else candidate.kit


def _as_folder(sounds: Sequence[Sound], skipped: dict[str, int]) -> Folder:
    categories = tuple(c for c in CATEGORIES if c in {s.category for s in sounds})
    known = not any(s.kit == NOT_A_KIT for s in sounds)
    source = Source(
        audio=np.stack([pad(s.audio) for s in sounds]),
        category=np.array([categories.index(s.category) for s in sounds], np.int32),
        length=np.array([len(s.audio) for s in sounds], np.int32),
        names=tuple(s.name for s in sounds),
        kits=tuple(s.name if s.kit == NOT_A_KIT else s.kit for s in sounds),
        categories=categories,
        sample_rate=SAMPLE_RATE,
    )
    assert source.audio.shape[1] == NUM_SAMPLES
    return Folder(source, skipped, known)


def split_source(
    source: Source, fraction: float, seed: int, by_kit: bool
) -> tuple[Source, Source] | None:
    """Part sounds into (train, held out), by whole kits or file by file.

    Returns None if either side would have fewer than two categories.
    """
    categories = [source.categories[c] for c in source.category]
    if by_kit:
        held = split_by_kit(categories, source.kits, fraction, seed)
    else:
        held = split_by_file(categories, fraction, seed)
    parts = take(source, ~held), take(source, held)
    return parts if all(len(set(p.category)) > 1 for p in parts) else None


def take(source: Source, rows: np.ndarray) -> Source:
    """The sounds that rows, bool [n] or indices, choose; the categories stay as they are."""
    index = np.flatnonzero(rows) if rows.dtype == bool else rows
    return source._replace(
        audio=source.audio[index],
        category=source.category[index],
        length=source.length[index],
        names=tuple(source.names[i] for i in index),
        kits=tuple(source.kits[i] for i in index),
    )
