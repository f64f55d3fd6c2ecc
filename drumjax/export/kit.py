"""A kit: sounds with the MIDI notes that play them, ready to be written for a sampler."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drumjax.atomic import write_file
from drumjax.audio.files import make_folder
from drumjax.audio.names import is_name
from drumjax.audio.resample import convert
from drumjax.errors import DataError
from drumjax.export.profiles import Profile
from drumjax.export.wav import wav_bytes

_LONGEST = 60  # signs of a kit's name


class Pad(NamedTuple):
    """One sound of a kit.

    Attributes:
      name: what a sampler shows, and what its file is called by, see `pad_file`.
      category: one of the instrument's.
      note: the MIDI note that plays it, 0 to 127; no two pads of a kit share one.
      samples: float32 [n] in [-1, 1].
      sample_rate: in Hz.
      recipe: what makes the sound again, of JSON's types.
      group: the number, from 1, of a choke group that it belongs to.
      cut_by: the number of a choke group whose hits cut it off.
    """

    name: str
    category: str
    note: int
    samples: np.ndarray
    sample_rate: int
    recipe: Mapping[str, Any] | None = None
    group: int | None = None
    cut_by: int | None = None


def check_kit_name(name: str) -> None:
    """Refuse a kit's name that could not be a file's.

    Raises:
      DataError: it is not made of up to 60 letters, digits, spaces, - and _.
    """
    if not is_name(name, _LONGEST):
        raise DataError(
            f"A kit cannot be called {name!a}; use up to {_LONGEST} letters, digits, spaces, - "
            "and _."
        )


def check_kit(name: str, pads: Sequence[Pad]) -> None:
    """Refuse a kit that a sampler could not play, or whose name could not be a file's.

    Raises:
      DataError: see `check_kit_name`; there are no pads; their notes leave 0 to 127 or repeat; or
        two would be written to one file.
    """
    check_kit_name(name)
    notes = [pad.note for pad in pads]
    if not notes:
        raise DataError("A kit needs at least one pad.")
    if min(notes) < 0 or max(notes) > 127:
        raise DataError("A pad's note must lie between 0 and 127.")
    if len(set(notes)) < len(notes):
        twice = next(note for note in notes if notes.count(note) > 1)
        raise DataError(f"Two pads share note {twice}; give each its own.")
    files = [pad_file(pad.name).lower() for pad in pads]
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise DataError(f"Two pads would be written to {twice}; give each a name of its own.")


def pad_file(name: str) -> str:
    """The WAV file's name of a pad's: that of a recipe's sound of that name, written by itself.

    All but ASCII letters, digits and - become _.
    """
    return f"drumjax_{re.sub(r'[^A-Za-z0-9-]', '_', name)}.wav"


def pad_files(pads: Sequence[Pad], profile: Profile) -> list[tuple[str, bytes]]:
    """Each pad's WAV file in the form that a profile asks for: (file name, content).

    Raises:
      DataError: a pad's samples cannot be written; see `wav.wav_bytes`.
    """
    files = []
    for pad in pads:
        content = wav_bytes(
            convert(pad.samples, pad.sample_rate, profile.sample_rate),
            profile.sample_rate,
            profile.bits,
            note=pad.note,
            title=label(pad.name),
            category=pad.category,
            recipe=pad.recipe,
            plain=profile.plain,
        )
        files.append((pad_file(pad.name), content))
    return files


def write_samples(folder: str | Path, pads: Sequence[Pad], profile: Profile) -> list[Path]:
    """Write each pad's WAV file into a folder, which is made; returns their paths.

    Raises:
      DataError: a pad's samples, or the folder, cannot be written.
    """
    files = pad_files(pads, profile)
    folder = make_folder(str(folder))
    for name, content in files:
        write_file(folder / name, content)
    return [folder / name for name, _ in files]


def label(text: str) -> str:
    """A name on one line: what cannot be printed becomes a space."""
    return "".join(c if c.isprintable() else " " for c in text)
