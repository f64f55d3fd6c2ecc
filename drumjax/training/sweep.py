"""Walk through a whole data set in chunks of one size, so that a function compiles once."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from drumjax.data.source import Source


def chunks(
    source: Source, size: int = 64, rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """(audio [size, samples], category [size], how many of them count); the last chunk is padded.

    Args:
      source: the sounds.
      size: sounds a chunk.
      rows: which sounds, all by default.
    """
    rows = np.arange(len(source.names)) if rows is None else rows
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        padded = np.resize(part, size)
        yield source.audio[padded], source.category[padded], len(part)


def sweep(
    function: Callable[..., dict[str, Any]], source: Source, size: int = 64
) -> dict[str, np.ndarray]:
    """Apply function(audio, category) -> {name: [size, ...]} to every sound; {name: [n, ...]}."""
    parts: dict[str, list[np.ndarray]] = {}
    for audio, category, count in chunks(source, size):
        for name, values in function(audio, category).items():
            parts.setdefault(name, []).append(np.asarray(values)[:count])
    return {name: np.concatenate(values) for name, values in parts.items()}


def first_of_each(source: Source, count: int) -> np.ndarray:
    """Indices of up to `count` sounds of each category (all of them if 0), spread over the set."""
    rows = []
    for category in range(len(source.categories)):
        own = np.flatnonzero(source.category == category)
        if count and len(own) > count:
            own = own[np.linspace(0, len(own) - 1, count).astype(int)]
        rows.append(own)
    return np.concatenate(rows)
