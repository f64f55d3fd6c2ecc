"""WAV files of our own making: the same bytes each time, with the recipe of the sound inside.

libsndfile puts the time of day into float WAV files, and `smpl`, `inst` and the comment cannot be
set through soundfile. Chunks: Microsoft and IBM, Multimedia Programming Interface and Data
Specifications 1.0 (RIFF, fmt, fact, data, LIST INFO) and Microsoft, New Multimedia Data Types and
Data Techniques 3.0 (smpl, inst). All that is not sound follows `data`, where simple readers stop.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from drumjax import __version__
from drumjax.atomic import write_file
from drumjax.audio.files import quantise
from drumjax.errors import DataError

_PCM, _FLOAT = 1, 3  # wFormatTag
_LARGEST_LIST = 2**20  # bytes; a longer LIST chunk is none of ours
_MOST_CHUNKS = 256  # of a file that are looked at; ours has four, and others' have some dozen


def wav_bytes(
    samples: np.ndarray,
    sample_rate: int,
    bits: int = 16,
    *,
    note: int | None = None,
    title: str | None = None,
    category: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    plain: bool = False,
) -> bytes:
    """A mono WAV file of [n] samples in [-1, 1] at a rate in Hz; the same input, the same bytes.

    Args:
      samples: float [n].
      sample_rate: in Hz.
      bits: 16 or 24 (integers, rounded as `audio.files.write_audio` rounds) or 32 (float).
      note: the MIDI note, 0 to 127, at which samplers play the sound as it is.
      title: the sound's name, stored as UTF-8.
      category: stored as the genre.
      recipe: what makes the sound again, of JSON's types; stored as the comment, in ASCII, so that
        it survives readers of any encoding.
      plain: leave all of that out, for hardware that refuses what it does not know.

    Raises:
      DataError: samples are not finite, exceed 1 or are not one row of at least one, or the bits
        are none of the three.
    """
    if bits not in (16, 24, 32):
        raise DataError(f"WAV files have 16, 24 or 32 bits here, not {bits}.")
    chunks = [*_format_chunks(samples, sample_rate, bits), (b"data", _payload(samples, bits))]
    if not plain:
        if note is not None:
            chunks += [(b"smpl", _sampler(sample_rate, note)), (b"inst", _instrument(note))]
        chunks.append((b"LIST", _info(title, category, recipe)))
    body = b"WAVE" + b"".join(_chunk(name, content) for name, content in chunks)
    return _chunk(b"RIFF", body)


def write_wav(
    path: str | Path, samples: np.ndarray, sample_rate: int, bits: int = 16, **metadata: Any
) -> None:
    """Write what `wav_bytes` makes of the same arguments; the file appears whole or not at all.

    Raises:
      DataError: as `wav_bytes`, or the place cannot be written to.
    """
    write_file(path, wav_bytes(samples, sample_rate, bits, **metadata))


def read_recipe(path: str | Path) -> dict[str, Any] | None:
    """The recipe that `wav_bytes` stored in a file, or None where there is none to be read.

    A file that is cut short or damaged, is no WAV file, or holds another program's comment, has
    none.

    Raises:
      DataError: the file cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            return next(filter(None, map(_as_recipe, _comments(file))), None)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r} cannot be opened ({reason}); check the path.") from error


def _as_recipe(text: bytes) -> dict[str, Any] | None:
    """The table that JSON text holds."""
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None


def _format_chunks(samples: np.ndarray, rate: int, bits: int) -> list[tuple[bytes, bytes]]:
    """fmt, and for float also fact, which counts the samples."""
    width = bits // 8
    common = struct.pack("<HIIHH", 1, rate, rate * width, width, bits)  # after the tag: mono
    if bits == 32:
        fact = struct.pack("<I", len(samples))
        return [(b"fmt ", struct.pack("<H", _FLOAT) + common + b"\0\0"), (b"fact", fact)]
    return [(b"fmt ", struct.pack("<H", _PCM) + common)]


def _payload(samples: np.ndarray, bits: int) -> bytes:
    """The samples as little-endian integers of 16 or 24 bits, or as floats of 32."""
    if bits == 32:
        quantise(samples, 24)  # refuses what no file should hold
        return samples.astype("<f4").tobytes()
    integers = quantise(samples, bits)
    if bits == 16:
        return integers.astype("<i2", copy=False).tobytes()
    return integers.astype("<i4", copy=False).view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()


def _chunk(name: bytes, content: bytes) -> bytes:
    """Name, size and content; a byte that the size does not count makes the length even."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _sampler(rate: int, note: int) -> bytes:
    """smpl: the length of a sample in ns and the note that plays the sound as it is; no loops."""
    return struct.pack("<9I", 0, 0, round(1e9 / rate), note, 0, 0, 0, 0, 0)


def _instrument(note: int) -> bytes:
    """inst: that note again, no detuning, no gain; for all keys and velocities."""
    return struct.pack("<BbbBBBB", note, 0, 0, 0, 127, 1, 127)


def _info(title: str | None, category: str | None, recipe: Mapping[str, Any] | None) -> bytes:
    """LIST INFO: each text ends in a NUL."""
    comment = None if recipe is None else json.dumps(recipe, sort_keys=True, allow_nan=False)
    texts = {b"INAM": title, b"IGNR": category, b"ISFT": f"drumjax {__version__}", b"ICMT": comment}
    return b"INFO" + b"".join(
        _chunk(name, text.replace("\0", " ").encode("utf-8", "replace") + b"\0")
        for name, text in texts.items()
        if text is not None
    )


def _comments(file: BinaryIO) -> Iterator[bytes]:
    """The content of each ICMT chunk of a WAV file, without its NULs."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    for _ in range(_MOST_CHUNKS):
        if len(start := file.read(8)) < 8:
            return
        name, size = struct.unpack("<4sI", start)
        if name == bytes(4):
            return  # nothing but zeros, which a recorder reserved or a crash left
        after = file.tell() + size + size % 2
        if name == b"LIST" and size <= _LARGEST_LIST:
            yield from _info_comments(file.read(size))
        file.seek(after)


def _info_comments(content: bytes) -> Iterator[bytes]:
    """The comments among the chunks of a LIST chunk, which may be cut short or no INFO at all."""
    at = 4 if content.startswith(b"INFO") else len(content)
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"ICMT":
            yield content[at + 8 : at + 8 + size].rstrip(b"\0")
        at += 8 + size + size % 2
