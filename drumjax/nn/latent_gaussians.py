"""A Gaussian for the codes of each category, fitted to a training set."""

import numpy as np


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
