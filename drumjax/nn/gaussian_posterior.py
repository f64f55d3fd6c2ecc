"""The Gaussian posterior of a variational auto-encoder, and its divergence from N(0, I)."""

import jax
import jax.numpy as jnp

from drumjax.nn.parts import Axis, own_part

_LOWEST, _HIGHEST = -12.0, 4.0  # of the log-variance: neither a spike nor an overflow


def posterior_variance(log_variance: jax.Array) -> jax.Array:
    """The variance that codes are drawn with; keeps the shape."""
    return jnp.exp(jnp.clip(log_variance, _LOWEST, _HIGHEST))


def sample_posterior(mean: jax.Array, log_variance: jax.Array, noise: jax.Array) -> jax.Array:
    """Codes drawn from N(mean, exp(log_variance)) with standard normal noise; all [..., d]."""
    return mean + jnp.exp(0.5 * jnp.clip(log_variance, _LOWEST, _HIGHEST)) * noise


def kl_to_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats: [..., d] twice -> [...] (NDM eq. 1)."""
    log_variance = jnp.clip(log_variance, _LOWEST, _HIGHEST)
    terms = mean**2 + jnp.exp(log_variance) - 1.0 - log_variance
    return 0.5 * jnp.sum(terms, axis=-1)


def shared_noise(key: jax.Array, shape: tuple[int, int, int], axis_name: Axis) -> jax.Array:
    """This part's rows of one standard normal draw, so that the split changes no sound's noise.

    Args:
      key: the same for every part.
      shape: [categories, n of all parts, d].
      axis_name: which part this is: the mapped device axis, a micro-batch, or None.

    Returns:
      [categories, n of this part, d]
    """
    return own_part(jax.random.normal(key, shape), axis_name, 1)
