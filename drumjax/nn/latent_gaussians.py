"""A Gaussian for the codes of each category, fitted to a training set."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np


def standard_normals(categories: int, latents: int) -> dict[str, jax.Array]:
    """Placeholders of the Gaussians: mean [k, d], covariance [k, d, d]."""
    covariance = jnp.tile(jnp.eye(latents)[None], (categories, 1, 1))
    return {"mean": jnp.zeros((categories, latents)), "covariance": covariance}


def measure_gaussians(
    encode: Callable[[np.ndarray, np.ndarray], jax.Array],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    categories: int,
) -> dict[str, jax.Array]:
    """Fit a Gaussian a category to the codes of a training set: mean [k, d], covariance [k, d, d].

    Args:
      encode: (audio [n, samples], category [n]) -> z [n, d].
      batches: of audio and category.
      categories: how many there are.
    """
    pairs = [(np.asarray(encode(audio, category)), category) for audio, category in batches]
    z, category = (np.concatenate(part) for part in zip(*pairs, strict=True))
    mean, covariance = fit_gaussians(z, category, categories)
    return {"mean": jnp.asarray(mean), "covariance": jnp.asarray(covariance)}


def fit_gaussians(
    z: np.ndarray, category: np.ndarray, categories: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of each category's codes, in float64 within.

    With fewer sounds than twice the latents a covariance is shrunk towards its diagonal, so that it
    stays a usable one; with fewer than two it is that of N(0, I).

    Args:
      z: [n, d].
      category: [n].
      categories: how many there are.

    Returns:
      (mean [categories, d], covariance [categories, d, d]), float32
    """
    means, covariances = [], []
    for i in range(categories):
        own = z[category == i].astype(np.float64)
        n, d = own.shape
        if n < 2:
            means.append(own.sum(0) if n else np.zeros(d))
            covariances.append(np.eye(d))
            continue
        full = np.cov(own.T)
        keep = min(1.0, n / (2 * d))
        means.append(own.mean(0))
        covariances.append(keep * full + (1 - keep) * np.diag(np.diag(full)))
    return np.stack(means).astype(np.float32), np.stack(covariances).astype(np.float32)
