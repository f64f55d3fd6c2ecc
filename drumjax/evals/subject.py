"""What is judged: an instrument, or two networks, as pure functions on NumPy arrays."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from drumjax.audio.mel import MelConfig

Array = np.ndarray


class Subject(NamedTuple):
    """An instrument's parts; b sounds, d latents, k categories, all float32.

    A command builds it, so that the evaluation knows neither players nor checkpoints.
    """

    name: str
    mel: MelConfig
    categories: tuple[str, ...]
    latents: int
    decode: Callable[[Array, Array], Array]  # z [b, d], weights [b, k] -> linear mel [b, f, m]
    invert: Callable[[Array], Array]  # linear mel [b, f, m] -> sound [b, samples], as it comes
    render: Callable[[Array, Array], Array]  # z, weights -> sound as a musician gets it
    draw: Callable[[int, int, int], Array]  # category, count, seed -> codes as `sample` draws them
    encode: Callable[[Array, Array], Array] | None = None  # audio [b, samples], weights -> z
    refine: Callable[[Array, Array], Array] | None = None  # as encode, with gradient steps after it
    standardise: Callable[[Array, Array], Array] | None = None  # z [n, d], category [n] -> [n, d]
    about: Mapping[str, Any] = MappingProxyType({})  # provenance and sizes, JSON-able

    def weights(self, category: Array) -> Array:
        """Categories [n] as weights [n, k], each row one category alone."""
        return np.eye(len(self.categories), dtype=np.float32)[category]
