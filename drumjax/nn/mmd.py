"""Maximum mean discrepancy: unbiased, with inverse multiquadric kernels (NDM eq. 2-4)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.errors import ConfigError
from drumjax.nn.parts import Axis, gather

# The seven scales that the Wasserstein auto-encoder sums over for CelebA (NDM: "as for CelebA").
SCALES = {"imq7": (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0), "imq1": (1.0,)}


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """Squared Euclidean distances of all pairs: x [n, d], y [m, d] -> [n, m], never negative."""
    cross = jnp.matmul(x, y.T, precision="highest")
    squares = jnp.sum(x * x, -1)[:, None] + jnp.sum(y * y, -1)[None, :]
    return jnp.maximum(squares - 2.0 * cross, 0.0)


def imq_kernel(distances: jax.Array, width: float, scales: Sequence[float]) -> jax.Array:
    """Sum over the scales s of C / (C + distance) with C = width * s; keeps the shape."""
    kernels = (width * s / (width * s + distances) for s in scales)
    return sum(kernels, jnp.zeros_like(distances))


def _check_samples(z: jax.Array, prior: jax.Array, least: int) -> None:
    """Refuse samples that would be broadcast against each other, or are too few."""
    if z.ndim != 2 or z.shape != prior.shape or len(z) < least:
        raise ConfigError(
            f"An MMD compares codes [n, d] with as many draws of the prior, n at least {least}; "
            f"these are {list(z.shape)} and {list(prior.shape)}."
        )


def mmd2(z: jax.Array, prior: jax.Array, scales: Sequence[float] = SCALES["imq7"]) -> jax.Array:
    """Unbiased squared MMD of two samples of the same size (NDM eq. 3).

    The diagonals of the two within-sample terms are left out; the cross term keeps its own. The
    estimate may be negative and is not clamped: a clamp would bias the gradient at the optimum.
    The kernel's width is 2 * d, twice the expected squared norm of N(0, I).

    Args:
      z: [n, d], n >= 2.
      prior: [n, d].
      scales: kernel scales, summed.

    Returns:
      A scalar.

    Raises:
      ConfigError: other shapes.
    """
    _check_samples(z, prior, 2)
    n, d = z.shape
    off_diagonal = 1.0 - jnp.eye(n, dtype=z.dtype)

    def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
        return imq_kernel(squared_distances(a, b), 2.0 * d, scales)

    within = (kernel(z, z) + kernel(prior, prior)) * off_diagonal
    return within.sum() / (n * (n - 1)) - 2.0 * kernel(z, prior).mean()


def mean_mmd2_to_prior(
    parts: Sequence[np.ndarray], rng: np.random.Generator, scales: Sequence[float]
) -> float:
    """Mean `mmd2` to the prior of the parts [n, d] of two codes or more; 0 if there are none."""
    values = []
    for z in parts:
        if len(z) > 1:
            prior = jnp.asarray(rng.standard_normal(z.shape, dtype=np.float32))
            values.append(float(mmd2(jnp.asarray(z), prior, scales)))
    return float(np.mean(values or 0))


def mmd2_per_category(
    z: jax.Array,
    prior: jax.Array,
    scales: Sequence[float] = SCALES["imq7"],
    axis_name: Axis = None,
) -> jax.Array:
    """MMD of each category against its own draw of the prior; the mean is NDM eq. 4.

    The statistic is not additive over the parts of a batch: with `axis_name` the codes of all of
    them are gathered first, and `prior` holds the draw for the whole batch, the same for each.

    Args:
      z: [categories, n, d] (n of this part when `axis_name` is given).
      prior: [categories, n of all parts, d].
      scales: kernel scales, summed.
      axis_name: which part this is: the mapped device axis, a micro-batch, or None.

    Returns:
      [categories]
    """
    z = gather(z, axis_name, 1)
    return jax.vmap(lambda a, b: mmd2(a, b, scales))(z, prior)


def mmd2_pooled(
    z: jax.Array,
    prior: jax.Array,
    scales: Sequence[float] = SCALES["imq7"],
    axis_name: Axis = None,
) -> jax.Array:
    """One MMD of the codes of all categories: an aggregated posterior that may hide the parts.

    Args:
      z, prior, scales, axis_name: as for `mmd2_per_category`.

    Returns:
      A scalar.
    """
    z = gather(z, axis_name, 1)
    return mmd2(z.reshape(-1, z.shape[-1]), prior.reshape(-1, prior.shape[-1]), scales)


def mmd2_by_label(
    z: jax.Array,
    prior: jax.Array,
    labels: jax.Array,
    scales: Sequence[float] = SCALES["imq7"],
    axis_name: Axis = None,
) -> tuple[jax.Array, jax.Array]:
    """Unbiased MMD^2 of each category where the counts in a batch are what chance makes them.

    Each code has a draw of the prior for itself, so that a category of c codes is compared with c
    draws, which no other category sees: `mmd2` of its rows. The shapes do not depend on the counts.

    Args:
      z: [n, d] (n of this part when `axis_name` is given).
      prior: [n of all parts, d].
      labels: one-hot [n, categories].
      scales: kernel scales, summed.
      axis_name: as for `mmd2_per_category`.

    Returns:
      (MMD^2 [categories], 0 where a category has fewer than two codes; counts [categories])

    Raises:
      ConfigError: z and prior differ in shape.
    """
    z, labels = gather((z, labels), axis_name, 0)
    _check_samples(z, prior, 1)
    n, d = z.shape
    off_diagonal = 1.0 - jnp.eye(n, dtype=z.dtype)

    def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
        return imq_kernel(squared_distances(a, b), 2.0 * d, scales)

    def own_pairs(values: jax.Array) -> jax.Array:
        return jnp.einsum("ik,ij,jk->k", labels, values, labels, precision="highest")

    within = own_pairs((kernel(z, z) + kernel(prior, prior)) * off_diagonal)
    across = own_pairs(kernel(z, prior))
    counts = labels.sum(0)
    pairs = jnp.maximum(counts * (counts - 1.0), 1.0)
    values = within / pairs - 2.0 * across / jnp.maximum(counts**2, 1.0)
    return jnp.where(counts > 1, values, 0.0), counts


def mmd2_mean(
    z: jax.Array,
    prior: jax.Array,
    labels: jax.Array | None,
    scales: Sequence[float] = SCALES["imq7"],
    axis_name: Axis = None,
) -> jax.Array:
    """NDM eq. 4 of a batch, balanced or not: the mean over the categories with two codes or more.

    Args:
      z: [categories, n, d], or a pool of all categories [1, n, d].
      prior: the same, with n of all parts.
      labels: of a pool, one-hot [n, categories]; None if z is balanced.
      scales: kernel scales, summed.
      axis_name: as for `mmd2_per_category`.

    Returns:
      A scalar.
    """
    if labels is None:
        return mmd2_per_category(z, prior, scales, axis_name).mean()
    # Differs from the paper, whose batches are balanced: the counts are what chance makes them.
    each, counts = mmd2_by_label(z[0], prior[0], labels, scales, axis_name)
    return each.sum() / jnp.maximum((counts > 1).sum(), 1)
