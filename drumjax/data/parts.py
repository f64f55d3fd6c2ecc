"""Sounds on their way into a data set: files with the samples of a few dozen, read and normalised.

A part is two files: `N.pcm` holds int16 samples end to end, `N.json` says whose they are. The
second is written last, so that a part is there whole or not at all, whatever is killed when.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drumjax.errors import DataError, DrumjaxError


class Outcome(NamedTuple):
    """What became of one sound: samples in a part, or the reason why it is left out."""

    key: str  # tells a sound from all others, and from the same file after a change
    length: int  # samples
    digest: str  # of the samples
    reason: str | None
    detail: str


class Place(NamedTuple):
    """Where a sound's samples lie."""

    part: int
    start: int  # samples
    length: int
    digest: str


def digest_of(audio: np.ndarray) -> str:
    """What tells a sound int16 [n] from others."""
    return hashlib.blake2b(audio.tobytes(), digest_size=32).hexdigest()


def write_part(folder: Path, number: int, sounds: Iterable[tuple[str, Any]]) -> None:
    """Write pairs (key, int16 [n]), or (key, (reason, detail)) of what is left out, as a part."""
    outcomes: list[Outcome] = []
    with _name(folder, number, "pcm").open("wb") as file:
        for key, sound in sounds:
            if isinstance(sound, np.ndarray):
                file.write(sound.astype("<i2").tobytes())
                outcomes.append(Outcome(key, len(sound), digest_of(sound), None, ""))
            else:
                outcomes.append(Outcome(key, 0, "", *sound))
        file.flush()
        os.fsync(file.fileno())
    index = _name(folder, number, "json")
    beside = index.with_suffix(".tmp")
    beside.write_text(json.dumps(outcomes), encoding="utf-8")
    os.replace(beside, index)


def read_index(folder: Path, number: int) -> list[Outcome]:
    """What a part holds; nothing, if it was written by halves."""
    try:
        rows = json.loads(_name(folder, number, "json").read_text("utf-8"))
        outcomes = [Outcome(*row) for row in rows]
        whole = 2 * sum(o.length for o in outcomes) == _name(folder, number, "pcm").stat().st_size
    except (OSError, TypeError, ValueError):
        return []
    return outcomes if whole else []


def numbers(folder: Path) -> list[int]:
    """The parts in a folder, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal())


def forget(folder: Path, number: int) -> None:
    """Remove a part; the index first."""
    for suffix in ("json", "pcm"):
        _name(folder, number, suffix).unlink(missing_ok=True)


def fetch(folder: Path, places: Sequence[Place]) -> Iterator[np.ndarray]:
    """The samples at `places`, int16 [n] each.

    Raises:
        DataError: they are not those that were written.
    """
    for place in places:
        path = _name(folder, place.part, "pcm")
        audio = np.fromfile(path, "<i2", place.length, offset=2 * place.start)
        if digest_of(audio) != place.digest:
            raise DataError(f"{path} is damaged; remove the folder {folder.parent} and begin anew.")
        yield audio


def _name(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:07d}.{suffix}"


@contextlib.contextmanager
def told(
    what: str, remedy: str, kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Turn errors of some kinds, or any, into one sentence.

    Any, where TFDS, array_record or Beam may fail: they do not name their types of error.
    """
    try:
        yield
    except DrumjaxError:
        raise
    except kinds as error:
        cause = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{what} ({cause}); {remedy}.") from error
