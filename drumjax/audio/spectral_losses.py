"""Losses between spectra and between masks; every norm is taken per example, never over a batch.

A norm over the whole batch would let an example's loss depend on its neighbours, and one device
disagree with eight. Every function returns one value per example; the caller takes the mean. Both
arguments have the same shape, as broadcasting would compare an example with its neighbours; another
raises a ConfigError.
"""

import jax
import jax.numpy as jnp

from drumjax.audio.frames import magnitude, safe_sqrt
from drumjax.audio.mel import log_mel
from drumjax.errors import ConfigError

RESOLUTIONS = ((1024, 600, 120), (2048, 1200, 240), (512, 240, 50))  # n_fft, window, hop
_PLANE = (-2, -1)  # frames, bins


def spectral_convergence(target: jax.Array, estimate: jax.Array, eps: float = 1e-6) -> jax.Array:
    """‖target - estimate‖ / max(‖target‖, eps), Frobenius: [..., frames, bins] to [...].

    NDM eq. 11. The gradient is 0 where target and estimate are equal, silence included.
    """
    _check_alike(target, estimate)
    return _frobenius(target - estimate) / jnp.maximum(_frobenius(target), eps)


def log_mel_loss(target: jax.Array, estimate: jax.Array, floor: float = 1e-5) -> jax.Array:
    """L1 distance of log(mel + floor) over the L1 norm of the target's: [..., f, m] to [...].

    NDM eq. 12, on linear mels. The log crosses 0 at mel = 1, so that the norm may vanish: the
    mean of |log target| is taken as no less than 1e-3, which no natural sound comes near.
    """
    _check_alike(target, estimate)
    log_target = log_mel(target, floor)
    distance = jnp.mean(_absolute(log_target - log_mel(estimate, floor)), axis=_PLANE)
    return distance / jnp.maximum(jnp.mean(_absolute(log_target), axis=_PLANE), 1e-3)


def multi_resolution_stft_loss(
    target: jax.Array,
    estimate: jax.Array,
    resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS,
) -> tuple[jax.Array, jax.Array]:
    """Spectral convergence and L1 of log magnitudes, means over resolutions: [..., n] to 2 × [...].

    Parallel WaveGAN (Yamamoto et al., 2020), eqs. 5 to 7, each resolution being (n_fft, window,
    hop) in samples. As in auraloss, magnitudes are held at or above 1e-4.
    """
    _check_alike(target, estimate)
    convergence, log_magnitude = [], []
    for n_fft, win_length, hop_length in resolutions:
        a = jnp.maximum(magnitude(target, n_fft, win_length, hop_length), 1e-4)  # [..., f, b]
        b = jnp.maximum(magnitude(estimate, n_fft, win_length, hop_length), 1e-4)
        convergence.append(spectral_convergence(a, b))
        log_magnitude.append(jnp.mean(_absolute(jnp.log(a / b)), axis=_PLANE))
    count = float(len(resolutions))
    return sum(convergence[1:], convergence[0]) / count, sum(
        log_magnitude[1:], log_magnitude[0]
    ) / count


def mask_bce(mask: jax.Array, logits: jax.Array) -> jax.Array:
    """Mean binary cross-entropy of a mask in [0, 1] and its logits: [..., samples] to [...].

    NDM eq. 9, in nats, from logits so that it stays finite when the sigmoid saturates.
    """
    _check_alike(mask, logits)
    loss = mask * jax.nn.softplus(-logits) + (1.0 - mask) * jax.nn.softplus(logits)
    return jnp.mean(loss, axis=-1)


def _check_alike(target: jax.Array, estimate: jax.Array) -> None:
    if target.shape != estimate.shape:
        raise ConfigError(
            f"A loss compares arrays of one shape, not {list(target.shape)} with "
            f"{list(estimate.shape)}; bring both to the same length and batch."
        )


def _frobenius(x: jax.Array) -> jax.Array:
    """Norm over the last two axes whose gradient at 0 is 0."""
    return safe_sqrt(jnp.sum(x * x, axis=_PLANE))


def _absolute(x: jax.Array) -> jax.Array:
    """|x| whose gradient at 0 is 0; that of jnp.abs is 1 there, and silence would push upwards."""
    return x * jnp.sign(x)
