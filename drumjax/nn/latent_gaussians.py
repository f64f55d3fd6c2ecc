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
    encode: Callable[[np.ndarray, np.ndarray], jax.Array | tuple[jax.Array, jax.Array]],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    categories: int,
) -> dict[str, jax.Array]:
    """Fit a Gaussian a category to the codes of a training set: mean [k, d], covariance [k, d, d].

    Args:
      encode: (audio [n, samples], category [n]) -> z [n, d]; or, where a sound's code is drawn from
        a Gaussian of its own, that one's mean and variance, [n, d] each.
      batches: of audio and category.
      categories: how many there are.
    """
    rows = [(category, *_on_host(encode(audio, category))) for audio, category in batches]
    category, z, *variance = (np.concatenate(part) for part in zip(*rows, strict=True))
    mean, covariance = fit_gaussians(z, category, categories, *variance)
    return {"mean": jnp.asarray(mean), "covariance": jnp.asarray(covariance)}


def _on_host(codes: jax.Array | tuple[jax.Array, jax.Array]) -> list[np.ndarray]:
    return [np.asarray(part) for part in (codes if isinstance(codes, tuple) else (codes,))]


def fit_gaussians(
    z: np.ndarray, category: np.ndarray, categories: int, variance: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of each category's codes, in float64 within.

    With fewer sounds than twice the latents a covariance is shrunk towards its diagonal, so that it
    stays a usable one; with fewer than two it is that of N(0, I).

    Codes that are drawn, each from N(z, diag(variance)), vary by more than their means do: by the
    law of total variance, Cov(code) = Cov(E[code | sound]) + E[Cov(code | sound)].

    Args:
      z: [n, d].
      category: [n].
      categories: how many there are.
      variance: of each sound's own codes [n, d]; None where z is its only one.

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
        full = np.atleast_2d(np.cov(own.T))
        keep = min(1.0, n / (2 * d))
        fitted = keep * full + (1 - keep) * np.diag(np.diag(full))
        if variance is not None:
            fitted += np.diag(variance[category == i].mean(0, dtype=np.float64))
        means.append(own.mean(0))
        covariances.append(fitted)
    return np.stack(means).astype(np.float32), np.stack(covariances).astype(np.float32)
