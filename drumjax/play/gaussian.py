"""The Gaussian of a category's training codes, and the whitened space that it spans."""

import dataclasses
from typing import Any

import numpy as np

from drumjax.errors import ConfigError
from drumjax.play.instrument import Instrument


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Codes z [..., d] are mean + w @ root, with w ~ N(0, I); `inverse` undoes the root."""

    mean: np.ndarray  # float64 [d]
    root: np.ndarray  # the symmetric root of the covariance [d, d]
    inverse: np.ndarray  # [d, d]

    @staticmethod
    def of(mean: np.ndarray, covariance: np.ndarray) -> "Gaussian":
        """From a mean [d] and a covariance [d, d]; a flat direction stays flat."""
        values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
        # The symmetric root is unique; another one would turn with the linear algebra library.
        spread = np.sqrt(np.maximum(values, 0.0))
        alive = spread > 1e-6 * spread.max()
        shrunk = np.where(alive, 1 / np.where(alive, spread, 1.0), 0.0)
        root, inverse = ((vectors * s[None]) @ vectors.T for s in (spread, shrunk))
        return Gaussian(np.asarray(mean, np.float64), root, inverse)

    def colour(self, w: np.ndarray) -> np.ndarray:
        """Whitened codes [..., d] -> z."""
        return self.mean + w @ self.root

    def whiten(self, z: np.ndarray) -> np.ndarray:
        """Codes z [..., d] -> whitened codes."""
        return (z - self.mean) @ self.inverse


def moments(instrument: Instrument, category: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and covariance [d, d] of a category's codes; of mixed categories, the weighted ones.

    Args:
      instrument: which.
      category: see `category_weights`.

    Raises:
      ConfigError: see `category_weights`.
    """
    weights = category_weights(instrument, category)
    mean, covariance = (
        np.asarray(instrument.tensors[f"latents/{k}"], np.float64) for k in ("mean", "covariance")
    )
    return weights @ mean, np.einsum("k,kde->de", weights, covariance)


def gaussian_of(instrument: Instrument, category: Any) -> Gaussian:
    """The Gaussian of a category's codes (a name, an index or weights [k]), from its `moments`.

    Raises:
      ConfigError: see `category_weights`.
    """
    return Gaussian.of(*moments(instrument, category))


def global_moments(instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and covariance [d, d] of the codes of all categories.

    Differs from the paper: each category has the same share, not its share of the training sounds,
    so that the axes do not follow what the collection holds most of.
    """
    means = np.asarray(instrument.tensors["latents/mean"], np.float64)
    within = np.asarray(instrument.tensors["latents/covariance"], np.float64).mean(0)
    apart = means - means.mean(0)[None]
    return means.mean(0), within + apart.T @ apart / len(means)


def global_gaussian(instrument: Instrument) -> Gaussian:
    """The Gaussian of the codes of all categories together, from `global_moments`."""
    return Gaussian.of(*global_moments(instrument))


def category_weights(instrument: Instrument, category: Any) -> np.ndarray:
    """Weights float64 [k] of a category's name, its index, or weights [k] that sum to 1.

    Raises:
      ConfigError: there is no such category, or the weights are not k numbers from 0 on that sum
        to 1.
    """
    known = instrument.categories
    if isinstance(category, str):
        if category not in known:
            raise ConfigError(
                f"There is no category {category!r}; choose one of {', '.join(known)}."
            )
        category = known.index(category)
    if isinstance(category, int | np.integer):
        if not 0 <= category < len(known):
            raise ConfigError(
                f"Categories are numbered 0 to {len(known) - 1}, not {category}: "
                f"{', '.join(known)}."
            )
        return np.eye(len(known))[category]
    weights = np.asarray(category, np.float64)
    if (
        weights.shape != (len(known),)
        or not (weights >= 0).all()  # nor is NaN
        or not abs(weights.sum() - 1) <= 1e-3
    ):
        raise ConfigError(
            f"Category weights must be {len(known)} numbers, none negative, that sum to 1."
        )
    return weights
