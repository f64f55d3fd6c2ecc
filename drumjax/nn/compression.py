"""The frame WAE around its networks: compressed mels, and the linear map beside both halves.

Training and playing share these functions. `Shortcut`, a mapping of arrays:
  mean [k, frames, mels]: of each category's compressed mels
  kernel [d, frames, mels]: orthonormal directions about those means, the strongest first
  spread [d]: standard deviation along each
  scale []: standard deviation of all elements about their category's mean
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.nn import frame_nets
from drumjax.nn.frame_nets import FrameNets

Shortcut = Mapping[str, Any]
FLOOR = 1e-6  # of mels: keeps the gradient of a power finite in silence
_PULL = 8  # a category's mean counts as many sounds of the whole set besides its own
_LEAST = 1e-6  # of the largest variance, -60 dB: below it a direction is rounding, not sound
_GAIN = 1 / 3  # of the networks' inputs, in units of `scale`: a drum's peaks lie far out


def shapes(n: FrameNets) -> dict[str, tuple[int, ...]]:
    """Name and shape of each array of a shortcut."""
    plane = (n.frames, n.mels)
    return {
        "mean": (n.categories, *plane),
        "kernel": (n.latents, *plane),
        "spread": (n.latents,),
        "scale": (),
    }


def compress(mel: jax.Array, power: float) -> jax.Array:
    """Linear mel -> mel^power, the same shape."""
    return (mel + FLOOR) ** power


def expand(x: jax.Array, power: float) -> jax.Array:
    """The inverse of `compress`; what is negative is silence. Keeps the shape."""
    return jnp.maximum(jnp.maximum(x, 0.0) ** (1.0 / power) - FLOOR, 0.0)


def encode(
    n: FrameNets, w: frame_nets.Weights, s: Shortcut, x: jax.Array, category: jax.Array
) -> jax.Array:
    """Compressed mels [b, frames, mels] and category weights [b, k] -> z [b, latents]."""
    x = x - jnp.einsum("bk,kfm->bfm", category, s["mean"])
    linear = jnp.einsum("bfm,dfm->bd", x, s["kernel"], precision="highest") / s["spread"][None]
    return linear + frame_nets.encode(n, w, x * (_GAIN / s["scale"]), category)


def decode(
    n: FrameNets, w: frame_nets.Weights, s: Shortcut, z: jax.Array, category: jax.Array
) -> jax.Array:
    """z [b, latents] and category weights [b, k] -> compressed mels [b, frames, mels]."""
    mean = jnp.einsum("bk,kfm->bfm", category, s["mean"])
    linear = jnp.einsum("bd,dfm->bfm", z * s["spread"][None], s["kernel"], precision="highest")
    return mean + linear + frame_nets.decode(n, w, z, category) * s["scale"]


def reservoir(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Join batches of (x [n, ...], category [n]); of more than `most` rows a random choice."""
    rng, rows, labels, ranks = np.random.default_rng(0), [], [], []
    for x, category in batches:
        rows.extend(map(np.array, x))  # copies: a view would keep its whole batch
        labels.extend(category)
        ranks.extend(rng.random(len(x)))
        if len(rows) > most:
            keep = np.sort(np.argsort(ranks)[:most])
            rows, labels, ranks = ([part[i] for i in keep] for part in (rows, labels, ranks))
    return np.asarray(rows, np.float32), np.asarray(labels, int)


def principal_components(
    x: np.ndarray, category: np.ndarray, categories: int, latents: int
) -> dict[str, np.ndarray]:
    """Fit a shortcut to compressed mels.

    A category's mean is pulled towards that of all sounds, the more the fewer sounds it has. Where
    there are fewer sounds than latents, the directions left over are zero, with a spread of 1.

    Args:
      x: [n, frames, mels]; changed in place.
      category: [n].
      categories: how many there are.
      latents: how many directions to find.
    """
    overall = x.mean(0)
    mean = np.stack(
        [
            (x[category == i].sum(0) + _PULL * overall) / (np.sum(category == i) + _PULL)
            for i in range(categories)
        ]
    )
    for i in range(categories):
        x[category == i] -= mean[i]
    flat = x.reshape(len(x), -1)
    variance, rows = np.linalg.eigh((flat @ flat.T).astype(np.float64) / len(flat))
    variance, rows = variance[::-1][:latents], rows[:, ::-1][:, :latents]
    good = variance > _LEAST * max(variance[0], 1e-30)
    kernel = np.zeros((latents, flat.shape[1]), np.float32)
    spread = np.ones(latents, np.float32)
    spread[: len(good)][good] = np.sqrt(variance[good])
    across = rows[:, good] / np.sqrt(variance[good] * len(flat))[None]
    kernel[: len(good)][good] = (flat.T @ across.astype(np.float32)).T
    return {
        "mean": mean.astype(np.float32),
        "kernel": kernel.reshape(latents, *x.shape[1:]),
        "spread": spread,
        "scale": np.asarray(max(float(flat.std()), 1e-6), np.float32),
    }
