"""Sounds, their pictures and the map, as text that a page can carry inside itself."""

import base64
import html
import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from drumjax.audio.files import quantise
from drumjax.audio.mel import MelConfig
from drumjax.evals.embedding import FLOOR, reduced_log_mel
from drumjax.evals.pictures import to_ceiling

_BANDS, _SHADES = 96, 64
_SHORTEST = 0.1  # seconds of a sound that are kept, silent or not


def audio_uri(sound: np.ndarray, sample_rate: int) -> str:
    """A sound [samples], brought to -0.1 dBFS, as a data: URI of a 16-bit WAV file.

    Zeros at its end are left out.
    """
    import soundfile

    end = max(len(np.trim_zeros(sound, "b")), round(_SHORTEST * sample_rate))
    samples = quantise(to_ceiling(sound[:end]), 16)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="WAV", subtype="PCM_16")
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"


def picture_uris(sounds: np.ndarray, mel: MelConfig) -> list[str]:
    """The log-mel of each of [n, samples] as a data: URI of a PNG, 80 dB from black to white."""
    from matplotlib import colormaps

    colours = (colormaps["magma"](np.linspace(0, 1, _SHADES))[:, :3] * 255).astype(np.uint8)
    pictures = reduced_log_mel(sounds, mel, _BANDS)  # [n, frames, bands] in FLOOR to 0
    shades = np.round((1 - pictures / FLOOR) * (_SHADES - 1)).astype(np.uint8)
    flipped = shades.transpose(0, 2, 1)[:, ::-1]  # low frequencies at the bottom
    return [
        f"data:image/png;base64,{base64.b64encode(indexed_png(p, colours)).decode()}"
        for p in flipped
    ]


def indexed_png(pixels: np.ndarray, colours: np.ndarray) -> bytes:
    """A PNG file (ISO 15948): pixels uint8 [height, width] index colours uint8 [n, 3]."""
    height, width = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)  # filter 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette
    parts = ((b"IHDR", header), (b"PLTE", colours.tobytes()))
    parts = (*parts, (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def scatter(
    points: dict[str, np.ndarray], categories: dict[str, np.ndarray], names: Sequence[str]
) -> str:
    """An SVG map: "held_out" points [n, 2] filled, "generated" ones as rings, by category.

    Args:
      points: of both sides.
      categories: of both sides, indices [n] into `names`.
      names: of the categories; one stands at the middle of its held-out points.
    """
    both = np.concatenate([points["held_out"], points["generated"]])
    low, high = np.percentile(both, [1, 99], axis=0)
    scale = np.array([640.0, 440.0]) / np.maximum(high - low, 1e-9)
    marks = []
    for side in ("generated", "held_out"):
        places = np.clip((points[side] - low) * scale + 20, 4, [676, 476])
        for (x, y), c in zip(places, categories[side], strict=True):
            colour = _colour(int(c), len(names))
            look = f'fill="{colour}"' if side == "held_out" else f'fill="none" stroke="{colour}"'
            size = 4 if side == "held_out" else 3
            marks.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size}" {look}/>')
    for c, name in enumerate(names):
        own = points["held_out"][categories["held_out"] == c]
        if len(own):
            x, y = np.clip((np.median(own, axis=0) - low) * scale + 20, 20, [600, 460])
            marks.append(f'<text x="{x:.0f}" y="{y:.0f}">{html.escape(name)}</text>')
    said = "Map of held-out sounds, filled, and new sounds, rings, coloured by category"
    return f'<svg viewBox="0 0 680 480" role="img" aria-label="{said}">{"".join(marks)}</svg>'


def _colour(index: int, count: int) -> str:
    return f"hsl({360 * index / max(count, 1):.0f} 65% {(45, 58)[index % 2]}%)"
