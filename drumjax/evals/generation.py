"""New sounds from trained networks: draw codes, decode them to mel, turn the mel into sound."""

import functools

import jax
import numpy as np

from drumjax.errors import CheckpointError
from drumjax.evals.reconstruction import Network
from drumjax.models import cwae, mcnn


def draw_codes(
    encoder: Network, category: int, count: int, seed: int, prior: str = "fitted"
) -> np.ndarray:
    """Draw z [count, latents] for a category.

    Code i depends on (seed, category, i) alone: a longer run begins with a shorter one's sounds.

    Args:
      encoder: the CWAE.
      category: index into the CWAE's categories.
      count: how many.
      seed: not negative.
      prior: "fitted" draws from the Gaussian of the category's encoded training set, because codes
        do not fill the prior evenly; "normal" draws from N(0, I), the prior of NDM eq. 3.
    """
    d = encoder.config.latents
    noise = np.stack(
        [np.random.default_rng([seed, category, i]).standard_normal(d) for i in range(count)]
    )
    if prior == "normal":
        return noise.astype(np.float32)
    latents = encoder.variables["constants"]["latents"]
    mean, covariance = (
        np.asarray(latents[k][category], np.float64) for k in ("mean", "covariance")
    )
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root is unique; another one would turn with the linear algebra library.
    spread = (vectors * np.sqrt(np.maximum(values, 0.0))[None, :]) @ vectors.T
    return (mean[None, :] + noise @ spread.T).astype(np.float32)


def render(
    encoder: Network, vocoder: Network, z: np.ndarray, category: int, chunk: int = 16
) -> np.ndarray:
    """Codes z [count, latents] of one category -> sounds [count, samples], float32.

    Always computed in chunks of one size, so that a sound does not depend on how many are made.
    """
    step = _compiled(encoder.config, vocoder.config)
    one_hot = np.eye(len(encoder.config.categories), dtype=np.float32)[category]
    weights = np.tile(one_hot, (chunk, 1))
    sounds = []
    for start in range(0, len(z), chunk):
        part = z[start : start + chunk]
        padded = np.resize(part, (chunk, z.shape[1]))
        sound = step(encoder.variables, vocoder.variables, padded, weights)
        sounds.append(np.asarray(sound)[: len(part)])
    made = np.concatenate(sounds)
    if not np.isfinite(made).all():
        raise CheckpointError(
            "The networks made a sound that holds numbers that are not finite; "
            "load an earlier checkpoint or train them again."
        )
    return made


@functools.cache
def _compiled(encoder: cwae.CwaeConfig, vocoder: mcnn.McnnConfig):
    def step(cwae_variables, mcnn_variables, z: jax.Array, weights: jax.Array) -> jax.Array:
        mel = cwae.decode(encoder, cwae_variables, z, weights)
        return mcnn.generate(vocoder, mcnn_variables, mel)

    return jax.jit(step)
