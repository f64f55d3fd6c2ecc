"""Batch normalisation whose scale and shift belong to the sound's category."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class ConditionalBatchNorm(nn.Module):
    """Normalise over batch and space, then scale and shift by category (Perez et al., as in NDM).

    x [b, ..., c], category [b, k] (one-hot, or weights that sum to 1: categories may be mixed) ->
    the shape of x. All categories share the statistics; gamma [k, c] starts at 1, beta [k, c] at 0.
    With `axis_name` the batch statistics are those of all devices.
    """

    categories: int
    axis_name: str | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, category: jax.Array, train: bool) -> jax.Array:
        """Apply; `train` uses the batch's statistics and updates the running ones."""
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            use_bias=False,
            use_scale=False,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )(x)
        shape = (self.categories, x.shape[-1])
        gamma = category @ self.param("gamma", nn.initializers.ones, shape)
        beta = category @ self.param("beta", nn.initializers.zeros, shape)
        spread = (x.shape[0],) + (1,) * (x.ndim - 2) + (x.shape[-1],)
        return x * gamma.reshape(spread).astype(x.dtype) + beta.reshape(spread).astype(x.dtype)
