"""The file form of Max for Live devices (.amxd), read and written, editable and frozen.

A file is a row of chunks: four letters, the payload's size (32 bits, little-endian), the payload.
`ampf` says what kind of device it is, `meta` holds flags, `ptch` the patcher: as JSON if it is
editable, as an archive (`mx@c`, all numbers big-endian) with the files it needs if it is frozen.
"""

import dataclasses
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from drumjax.errors import DataError

KINDS = {
    "audio effect": b"aaaa",
    "instrument": b"iiii",
    "midi effect": b"mmmm",
    "midi generator": b"nagg",
    "midi transformation": b"natt",
}
EPOCH = 2_082_844_800  # seconds from 1904, where Max counts from, to 1970
_EDITABLE, _FROZEN = 1, 7  # meta
_PATCHER = 0x11  # the flag of the patcher among a frozen device's files
_HEAD = 16  # bytes of mx@c, before the first file


@dataclasses.dataclass(frozen=True)
class File:
    """A file inside a frozen device: its name, four letters for what it is, its bytes."""

    name: str
    type: str
    content: bytes


@dataclasses.dataclass(frozen=True)
class Device:
    """What a device file holds. `patcher` is None if it is encrypted; `files` is of frozen ones."""

    kind: str
    frozen: bool
    patcher: dict[str, Any] | None
    files: tuple[File, ...] = ()


def patcher_text(patcher: dict[str, Any]) -> bytes:
    """A patcher as the JSON that .maxpat files hold; the same patcher gives the same bytes."""
    return json.dumps(patcher, indent="\t").encode() + b"\n"


def write_editable(patcher: dict[str, Any], kind: str = "instrument") -> bytes:
    """A device that can be opened and edited in Max; it brings no files along.

    Args:
      patcher: {"patcher": …}, with the device's kind in its `project`.
      kind: one of KINDS.
    """
    return _device(kind, _EDITABLE, patcher_text(patcher) + b"\0")


def write_frozen(
    patcher: dict[str, Any],
    name: str,
    files: Sequence[File] = (),
    kind: str = "instrument",
    date: int = 0,
) -> bytes:
    """A device that brings along the files it needs.

    Args:
      patcher: see `write_editable`.
      name: the patcher's own name in the archive, such as "drumjax.amxd".
      files: what else goes into it.
      kind: one of KINDS.
      date: of all files, in seconds since 1970.
    """
    whole = [File(name, "JSON", patcher_text(patcher) + b"\0"), *files]
    body, listed = b"", b""
    for index, file in enumerate(whole):
        listed += _entry(file, _HEAD + len(body), 0 if index else _PATCHER, date + EPOCH)
        body += file.content
    head = b"mx@c" + struct.pack(">III", _HEAD, 0, _HEAD + len(body))
    return _device(kind, _FROZEN, head + body + _field(b"dlst", listed))


def _device(kind: str, flags: int, patcher: bytes) -> bytes:
    chunks = ((b"ampf", KINDS[kind]), (b"meta", struct.pack("<I", flags)), (b"ptch", patcher))
    return b"".join(tag + struct.pack("<I", len(data)) + data for tag, data in chunks)


def _entry(file: File, offset: int, flag: int, date: int) -> bytes:
    """A file's line in the list of a frozen device; `offset` counts from mx@c."""
    name = file.name.encode() + b"\0"
    fields = [(b"type", file.type.encode()), (b"fnam", name + b"\0" * (-len(name) % 4))]
    numbers = (len(file.content), offset, 0, flag, date)
    tags = (b"sz32", b"of32", b"vers", b"flag", b"mdat")
    fields += [(tag, struct.pack(">I", n)) for tag, n in zip(tags, numbers, strict=True)]
    return _field(b"dire", b"".join(_field(tag, data) for tag, data in fields))


def _field(tag: bytes, data: bytes) -> bytes:
    """A field of the archive, whose size counts its own head."""
    return tag + struct.pack(">I", 8 + len(data)) + data


def read_device(data: bytes) -> Device:
    """Read a device file.

    Raises:
      DataError: it is no device, or a damaged one.
    """
    try:
        return _read(data)
    except (KeyError, ValueError, struct.error, RecursionError) as error:
        raise DataError(f"This is no Max for Live device, or a damaged one ({error}).") from error


def _read(data: bytes) -> Device:
    chunks = dict(_parts(data, "<I", 0))
    kind = {code: name for name, code in KINDS.items()}[chunks[b"ampf"]]
    patch = chunks[b"ptch"]
    if b"ciph" in chunks:
        return Device(kind, False, None)
    if not patch.startswith(b"mx@c"):
        return Device(kind, False, _json(patch))
    (place,) = struct.unpack_from(">I", patch, 12)
    ((tag, listed),) = _parts(patch[place:], ">I", 8)
    if tag != b"dlst":
        raise ValueError("its list of files is missing")
    files = tuple(
        _file(patch, dict(_parts(entry, ">I", 8))) for _, entry in _parts(listed, ">I", 8)
    )
    if not files:
        raise ValueError("its list of files is empty")
    return Device(kind, True, _json(files[0].content), files)


def _parts(data: bytes, size: str, counted: int) -> Iterator[tuple[bytes, bytes]]:
    """Tags and payloads; `counted` bytes of the head are part of the sizes."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from(size, data, place + 4)
        end = place + 8 + length - counted
        if not place + 8 <= end <= len(data):
            raise ValueError(f"a part at byte {place} runs past its end")
        yield data[place : place + 4], data[place + 8 : end]
        place = end


def _file(patch: bytes, fields: dict[bytes, bytes]) -> File:
    size, offset = (struct.unpack(">I", fields[tag])[0] for tag in (b"sz32", b"of32"))
    if offset + size > len(patch):
        raise ValueError("a file runs past its end")
    name = fields[b"fnam"].rstrip(b"\0").decode()
    return File(name, fields[b"type"].decode(), patch[offset : offset + size])


def _json(data: bytes) -> dict[str, Any]:
    """The JSON at the start; older Max leaves anything behind it."""
    text = data.decode("utf-8", "replace").lstrip()
    patcher, _ = json.JSONDecoder().raw_decode(text)
    if not isinstance(patcher, dict):
        raise ValueError("its patcher is no JSON object")
    return patcher
