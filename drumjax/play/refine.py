"""Codes that fit a sound more closely than the encoder's first guess, by a few gradient steps."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from drumjax.audio.mel import mel_spectrogram
from drumjax.audio.spectral_losses import spectral_convergence
from drumjax.nn.compression import compress
from drumjax.play.networks import decode
from drumjax.play.plan import Plan

STEPS = 16  # of validation sounds' errors, ten steps take nine tenths of what sixty would
_RATE = 0.15  # of Adam, falling to 0: in the codes' own unit, the deviation of the prior
_POWER = 1.0 / 3.0  # quiet elements count by the cube root of their mels
_QUIET = 3.0  # their weight beside the spectral convergence
_DECAY, _SQUARE_DECAY = 0.9, 0.99


def error(plan: Plan, w: Any, target: jax.Array, z: jax.Array, category: jax.Array) -> jax.Array:
    """What the steps lower, of each sound [b].

    The spectral convergence of the linear mels (NDM eq. 11), and the squared error of their cube
    roots relative to the target's.

    Args:
      plan, w: of the instrument; `w` from `networks.lay_out_decoder`.
      target: linear mels [b, frames, mels].
      z: [b, d].
      category: weights [b, k].
    """
    made, _ = decode(plan, w, z, category)
    a, b = (compress(mel, _POWER) for mel in (target, made))
    quiet = jnp.sum((a - b) ** 2, axis=(1, 2)) / jnp.maximum(jnp.sum(a * a, axis=(1, 2)), 1e-6)
    return spectral_convergence(target, made) + _QUIET * quiet


@functools.partial(jax.jit, static_argnums=(0, 5))
def refine(
    plan: Plan, w: Any, audio: jax.Array, z: jax.Array, category: jax.Array, steps: int
) -> jax.Array:
    """Move codes towards sounds by steps of Adam (Kingma and Ba, 2015); each sound keeps its best.

    Args:
      plan, w: of the instrument; `w` from `networks.lay_out_decoder`.
      audio: float32 [b, samples].
      z: where to start [b, d].
      category: weights [b, k].
      steps: how many.

    Returns:
      [b, d], for each sound the code of the least error on the way, the start included.
    """
    target = mel_spectrogram(audio, plan.mel)

    def summed(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        errors = error(plan, w, target, z, category)
        return errors.sum(), errors

    def step(state: tuple[jax.Array, ...], i: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        z, best, least, mean, square = state
        (_, errors), gradient = jax.value_and_grad(summed, has_aux=True)(z)
        better = errors < least
        best = jnp.where(better[:, None], z, best)
        least = jnp.where(better, errors, least)
        mean = _DECAY * mean + (1.0 - _DECAY) * gradient
        square = _SQUARE_DECAY * square + (1.0 - _SQUARE_DECAY) * gradient**2
        first, second = mean / (1.0 - _DECAY ** (i + 1)), square / (1.0 - _SQUARE_DECAY ** (i + 1))
        rate = _RATE * (1.0 - i / steps)
        z = z - rate * first / (jnp.sqrt(second) + 1e-8)
        return (z, best, least, mean, square), None

    start = (z, z, jnp.full(len(z), jnp.inf), jnp.zeros_like(z), jnp.zeros_like(z))
    (z, best, least, *_), _ = jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.float32))
    return jnp.where((error(plan, w, target, z, category) < least)[:, None], z, best)
