"""Teaches the small networks that know what an instrument's codes sound like.

This loop is no part of `training`, as `play` must start without optax and Flax, and as the networks
belong to one instrument file: they are fitted once, on the sounds that it renders, when it is made.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.play.attribute_map import AttributeMap

NETWORKS = 4  # their mean has steadier slopes than one
HIDDEN = (256, 128)
_BATCH = 128
_STEPS = 8000
_RATE, _WEIGHT_DECAY = 4e-3, 0.3
_FURTHEST = 9.0  # squared standard deviations from which on a sound's error counts no more


class Data(NamedTuple):
    """Codes and what they sound like."""

    z: np.ndarray  # [n, d]
    category: np.ndarray  # index [n]
    values: np.ndarray  # descriptors [n, a]

    def where(self, chosen: np.ndarray) -> "Data":
        """The rows that `chosen`, bool [n], picks."""
        return Data(*(part[chosen] for part in self))


def join(parts: Sequence[Data]) -> Data:
    """All rows of several."""
    z, category, values = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Data(z, category, values)


def train_map(data: Data, categories: int, seed: int) -> AttributeMap:
    """Teach the networks (AdamW, the rate falling to 0 in a line); the same data, the same map.

    Args:
      data: codes, and their descriptors, standardised.
      categories: how many the instrument has.
      seed: of the first weights and the order of the batches.
    """
    z, category, values = data
    centre, scale = z.mean(0), z.std(0) + 1e-6
    blank = AttributeMap(centre, scale, ())
    x = blank.inputs(z, np.eye(categories)[category]).astype(np.float32)
    y = values.astype(np.float32)
    sizes = (x.shape[1], *HIDDEN, y.shape[1])
    keys = jax.random.split(jax.random.key(seed), len(sizes) - 1)
    layers = tuple(
        (jax.random.normal(k, (NETWORKS, m, n)) / np.sqrt(m), jnp.zeros((NETWORKS, 1, n)))
        for k, m, n in zip(keys, sizes, sizes[1:], strict=False)
    )
    zeros = jax.tree.map(jnp.zeros_like, layers)
    rng = np.random.default_rng(seed)
    order = np.stack([rng.integers(len(x), size=_BATCH) for _ in range(_STEPS)])
    layers = _train((layers, zeros, zeros), x, y, order)
    return AttributeMap(centre, scale, jax.tree.map(np.asarray, layers))


def _loss(layers: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Squared error of each network, summed over the networks: x [b, in], y [b, a]."""
    out = jnp.tile(x[None], (NETWORKS, 1, 1))
    for kernel, bias in layers[:-1]:
        out = jax.nn.silu(out @ kernel + bias)
    out = out @ layers[-1][0] + layers[-1][1]
    return NETWORKS * jnp.mean(jnp.minimum((out - y[None]) ** 2, _FURTHEST))


@jax.jit
def _train(state: Any, x: jax.Array, y: jax.Array, order: jax.Array) -> Any:
    """Run all steps of AdamW; `order` [steps, batch] says which sounds each one sees."""
    steps = len(order)

    def step(state: Any, at: Any) -> tuple[Any, None]:
        layers, first, second = state
        t, rows = at
        grads = jax.grad(_loss)(layers, x[rows], y[rows])
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rate = _RATE * (1.0 - t / steps)
        debias = jnp.sqrt(1.0 - 0.999 ** (t + 1)) / (1.0 - 0.9 ** (t + 1))
        update = functools.partial(_adam, rate=rate, debias=debias)
        return (jax.tree.map(update, layers, first, second), first, second), None

    times = jnp.arange(steps, dtype=jnp.float32)
    return jax.lax.scan(step, state, (times, order))[0][0]


def _adam(p: jax.Array, m: jax.Array, v: jax.Array, rate: Any, debias: Any) -> jax.Array:
    return p * (1.0 - rate * _WEIGHT_DECAY) - rate * debias * m / (jnp.sqrt(v) + 1e-8)
