"""Sets of procedural drums: the data on which the networks train when there are no samples."""

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.categories import CATEGORIES
from drumjax.synth.drums import render
from drumjax.synth.parameters import parameters_of

CHUNK = 16  # sounds rendered at once: one compilation a category, whatever the count


def render_set(
    category: str,
    count: int,
    seed: int,
    sample_rate: int = 22050,
    num_samples: int = 22015,
    start: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Render `count` sounds of one category, their parameters drawn uniformly.

    Args:
      category: one of CATEGORIES; ConfigError otherwise.
      count: how many; sound i is the same for every count.
      seed: the set is a function of (category, seed).
      start: the first sound, a multiple of CHUNK.
      sample_rate: Hz. num_samples: length of each sound in samples.

    Returns:
      audio float32 [count, num_samples] and the unit parameters float32 [count, P].
    """
    size = len(parameters_of(category))
    root = jax.random.fold_in(jax.random.key(seed), CATEGORIES.index(category))
    audio = np.zeros((count, num_samples), np.float32)
    parameters = np.zeros((count, size), np.float32)
    for done in range(0, count, CHUNK):
        vectors, keys = _draw(root, jnp.arange(start + done, start + done + CHUNK), size)
        sounds = render(category, vectors, keys, sample_rate=sample_rate, num_samples=num_samples)
        taken = slice(done, min(done + CHUNK, count))
        audio[taken] = np.asarray(sounds)[: count - done]
        parameters[taken] = np.asarray(vectors)[: count - done]
    return audio, parameters


def _draw(root: jax.Array, places: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    def one(place):
        shape_key, noise_key = jax.random.split(jax.random.fold_in(root, place))
        return jax.random.uniform(shape_key, (size,)), noise_key

    return jax.vmap(one)(places)
