"""A prepared data set in memory: every sound of one split, with its category, length and name."""

import zlib
from os import PathLike
from typing import Any, NamedTuple

import numpy as np


class Source(NamedTuple):
    """All sounds of a split. int16 ±32,767 is full scale; a sound's padding is exact zero."""

    audio: np.ndarray  # int16 [n, samples]
    category: np.ndarray  # int32 [n], an index into `categories`
    length: np.ndarray  # int32 [n], samples before the padding
    names: tuple[str, ...]
    kits: tuple[str, ...]  # the source folder, or the manifest's kit
    categories: tuple[str, ...]
    sample_rate: int  # Hz

    def describe(self) -> str:
        """One line for a log: how many sounds of each category, from how many kits."""
        counts = np.bincount(self.category, minlength=len(self.categories))
        listed = ", ".join(f"{name} {n}" for name, n in zip(self.categories, counts, strict=True))
        kits = len(set(self.kits))
        return f"{len(self.names)} sounds from {kits} kits at {self.sample_rate} Hz: {listed}"


def fingerprint(source: Source) -> dict[str, Any]:
    """What tells one training set from another: its "categories", "sounds" and their "crc"."""
    return {
        "categories": list(source.categories),
        "sounds": len(source.names),
        "crc": zlib.crc32(source.audio.data) ^ zlib.crc32(source.category.data),
    }


def load_source(directory: str | PathLike[str], split: str) -> Source:
    """Read the split 'train' or 'validation' of the data set that `prepare` wrote to `directory`.

    The sounds are compared with the data set's manifest, then mapped into memory and not read.
    Their file must not change while they are in use: what is written into it is read as it is, and
    if it becomes shorter, the system ends the process (SIGBUS). `prepare --overwrite` leaves what
    is mapped alone, unless the data set lies on a network disk.

    Raises:
        DataError: `directory` holds no prepared data set, or the data set has no such split.
    """
    from drumjax.data.builder import read_split  # tfds takes a while to import

    return read_split(directory, split)
