"""A data set's sounds as one array on disk, which is mapped into memory and not read.

`SPLIT.npy` holds int16 [n, samples], and `SPLIT.jsonl` a line for each of its rows: category,
length, name and kit. They say what the TFDS records beside them say, in the same order; records
are compressed one by one and have to be read as a whole.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drumjax.data.normalise import NUM_SAMPLES
from drumjax.data.parts import Place, digest_of
from drumjax.data.source import Source

_ROW = 2 * NUM_SAMPLES  # bytes


def reserve(directory: Path, split: str, count: int) -> None:
    """Make room for the sounds of a split: an array of `count` rows, without writing them."""
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, NUM_SAMPLES), "<i2"))
    path = array_path(directory, split)
    with path.open("r+b" if path.exists() else "w+b") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, NUM_SAMPLES)})
        file.truncate(file.tell() + count * _ROW)


def put(path: Path, first: int, count: int, sounds: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Write sounds int16 [NUM_SAMPLES] to the rows from `first` of `count`; they are passed on."""
    with path.open("r+b") as file:
        _seek(file, first, count)
        for audio in sounds:
            file.write(audio.astype("<i2").tobytes())
            file.flush()  # or the last row may be written when this is collected, after a next try
            yield audio
        os.fsync(file.fileno())


def holds(path: Path, first: int, count: int, places: Iterable[Place]) -> bool:
    """Whether the rows from `first` of `count` are the sounds of `places`, and zeros after them."""
    with path.open("rb") as file:
        _seek(file, first, count)
        for place in places:
            audio = np.frombuffer(file.read(_ROW), "<i2")
            sound, rest = audio[: place.length], audio[place.length :]
            if len(audio) < NUM_SAMPLES or rest.any() or digest_of(sound) != place.digest:
                return False
    return True


def line(category: int, length: int, name: str, kit: str) -> str:
    """A row of the table."""
    return json.dumps([category, length, name, kit]) + "\n"


def read_mapped(directory: Path, split: str) -> Source | None:
    """A split, its audio mapped; None if the data set has no array beside its records.

    Raises:
        Whatever reading damaged files raises.
    """
    path = array_path(directory, split)
    if not path.exists():
        return None
    metadata = json.loads((directory / "metadata.json").read_text("utf-8"))
    with table_path(directory, split).open(encoding="utf-8") as file:
        rows = [json.loads(text) for text in file]
    audio = np.load(path, mmap_mode="r", allow_pickle=False)
    if audio.shape != (len(rows), NUM_SAMPLES) or audio.dtype != np.int16:
        raise ValueError(f"{path.name} is no array of {len(rows)} sounds")
    return _source(np.asarray(audio), rows, metadata)


def _seek(file: BinaryIO, first: int, count: int) -> None:
    """Go to a row of an array of `count` rows, whose header may have any length."""
    file.seek(os.fstat(file.fileno()).st_size - (count - first) * _ROW)


def _source(audio: np.ndarray, rows: Sequence[Sequence[Any]], metadata: dict[str, Any]) -> Source:
    category, length, names, kits = zip(*rows, strict=True)
    return Source(
        audio=audio,
        category=np.array(category, np.int32),
        length=np.array(length, np.int32),
        names=names,
        kits=kits,
        categories=tuple(metadata["categories"]),
        sample_rate=int(metadata["sample_rate"]),
    )


def array_path(directory: Path, split: str) -> Path:
    """The array of a split."""
    return directory / f"{split}.npy"


def table_path(directory: Path, split: str) -> Path:
    """The table that says what the array's rows are."""
    return directory / f"{split}.jsonl"
