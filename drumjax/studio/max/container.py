"""The file form of Max for Live instruments (.amxd), as they can be opened and edited in Max.

A file is a row of chunks: four letters, the payload's size (32 bits, little-endian), the payload.
`ampf` says what kind of device it is, `meta` holds flags, `ptch` the patcher as JSON. Devices that
are frozen or encrypted hold another form of it, which is neither written nor read here.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

from drumjax.errors import DataError

INSTRUMENT = b"iiii"
EPOCH = 2_082_844_800  # seconds from 1904, where Max counts from, to 1970
_EDITABLE = 1  # meta


def patcher_text(patcher: dict[str, Any]) -> bytes:
    """A patcher as the JSON that .maxpat files hold; the same patcher gives the same bytes."""
    return json.dumps(patcher, indent="\t").encode() + b"\n"


def write_device(patcher: dict[str, Any]) -> bytes:
    """An instrument, of {"patcher": …}; it brings no files along."""
    flags, patch = struct.pack("<I", _EDITABLE), patcher_text(patcher) + b"\0"
    chunks = ((b"ampf", INSTRUMENT), (b"meta", flags), (b"ptch", patch))
    return b"".join(tag + struct.pack("<I", len(data)) + data for tag, data in chunks)


def read_device(data: bytes) -> dict[str, Any]:
    """The patcher of an instrument.

    Raises:
      DataError: it is none that can be edited, or a damaged one.
    """
    try:
        chunks = dict(_chunks(data))
        if chunks[b"ampf"] != INSTRUMENT:
            raise ValueError("of another kind")
        # Older Max leaves anything behind the JSON.
        text = chunks[b"ptch"].decode("utf-8", "replace").lstrip()
        patcher, _ = json.JSONDecoder().raw_decode(text)
    except (KeyError, ValueError, struct.error, RecursionError) as error:
        raise DataError(
            f"This is no Max for Live instrument that can be read ({error})."
        ) from error
    if not isinstance(patcher, dict):
        raise DataError("This is no Max for Live instrument that can be read (no patcher).")
    return patcher


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Tags and payloads."""
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place + 4)
        end = place + 8 + size
        if end > len(data):
            raise ValueError(f"the chunk at byte {place} runs past its end")
        yield data[place : place + 4], data[place + 8 : end]
        place = end
