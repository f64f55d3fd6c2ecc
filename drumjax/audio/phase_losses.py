"""Losses on the phase of a spectrogram, which the Neural Drum Machine removed (Arik et al., 2018).

They need spectra with their phase, complex [..., frames, bins] as `frames.stft` makes them. Where a
bin is too soft its phase means nothing: it has no gradient, and no number here is ever NaN.
"""

import jax
import jax.numpy as jnp

from drumjax.audio.frames import safe_sqrt

FLOOR = 1e-3  # of a magnitude, about 108 dB below a full-scale sine with a window of 1024
_PLANE = (-2, -1)  # frames, bins


def safe_angle(z: jax.Array, floor: float) -> jax.Array:
    """Angle of complex numbers in (-pi, pi]; 0, with a gradient of 0, where |z| <= floor."""
    heard = z.real**2 + z.imag**2 > floor**2
    x, y = jnp.where(heard, z.real, 1.0), jnp.where(heard, z.imag, 0.0)
    return jnp.arctan2(y, x)


def instantaneous_frequency_loss(
    target: jax.Array, estimate: jax.Array, floor: float = FLOOR
) -> jax.Array:
    """Mean |difference| of the phase steps from frame to frame: [..., frames, bins] to [...].

    In radians a hop, 0 to pi; phases that have nothing to do with each other differ by pi / 2.
    Only steps between two bins of the target above the floor count; where the estimate is below
    it, pi / 2 stands for the difference.

    Differs from the paper: a step is known but for whole turns, so that the difference is taken
    the short way round the circle; and it is a mean, where Arik et al. (2018) take an L1 norm.
    """
    steps = [s[..., 1:, :] * jnp.conj(s[..., :-1, :]) for s in (target, estimate)]  # [..., f-1, b]
    heard = [_both(s, floor) for s in (target, estimate)]
    angles = [safe_angle(s, floor**2) for s in steps]
    turn = angles[0] - angles[1]
    turn = turn - 2.0 * jnp.pi * jnp.round(turn / (2.0 * jnp.pi))
    error = jnp.where(heard[0] & heard[1], turn * jnp.sign(turn), 0.5 * jnp.pi)
    counted = jnp.sum(jnp.where(heard[0], error, 0.0), axis=_PLANE)
    return counted / jnp.maximum(jnp.sum(heard[0], axis=_PLANE), 1.0)


def _both(spectrum: jax.Array, floor: float) -> jax.Array:
    """Where a bin and the same one a frame later are above the floor: [..., frames - 1, bins]."""
    loud = spectrum.real**2 + spectrum.imag**2 > floor**2
    return loud[..., 1:, :] & loud[..., :-1, :]


def weighted_phase_loss(target: jax.Array, estimate: jax.Array) -> jax.Array:
    """Sum |S||E| (1 - cos of their phases' difference) over sum |S|^2: [..., f, b] to [...].

    0 where all phases agree, about 1 where the levels do and the phases are chance. Silence in the
    target gives 0.

    Differs from the paper: Arik et al. (2018) do not divide, so that loud and long sounds weigh
    more; here each has the same say, whatever its level.
    """
    agree = target.real * estimate.real + target.imag * estimate.imag
    power = [s.real**2 + s.imag**2 for s in (target, estimate)]
    apart = safe_sqrt(power[0]) * safe_sqrt(power[1]) - agree  # never below 0 but for rounding
    total = jnp.sum(power[0], axis=_PLANE)
    return jnp.sum(apart, axis=_PLANE) / jnp.maximum(total, 1e-6)
