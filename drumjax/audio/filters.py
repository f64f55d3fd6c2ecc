"""Zero-phase filters in the frequency domain, for whole one-shots."""

import jax
import jax.numpy as jnp
import numpy as np


def ramp(frequencies: np.ndarray, start: float, end: float) -> np.ndarray:
    """Raised cosine from 0 at `start` to 1 at `end` (Hz; `start` may lie above `end`)."""
    position = np.clip((frequencies - start) / (end - start), 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * position)


def keep_audible(x: jax.Array, sample_rate: int, top: float) -> jax.Array:
    """Take away what lies outside [16 Hz, top] without moving the rest in time.

    The ramps run from 4 to 16 Hz and from `top` to 1.4 % below it. The ends are padded with an
    eighth of the length or a little more (to a multiple of 1,024, which transforms faster), so that
    what is taken away at one does not come back at the other.

    Args:
      x: [..., samples]; silence stays silence.
      sample_rate: in Hz.
      top: upper edge in Hz, at most half the sample rate.

    Returns:
      [..., samples]
    """
    samples = x.shape[-1]
    length = -(-(samples + samples // 8) // 1024) * 1024
    frequencies = np.fft.rfftfreq(length, 1.0 / sample_rate)
    gain = ramp(frequencies, 4.0, 16.0) * ramp(frequencies, top * 0.998, top * 0.984)
    gain = jnp.asarray(gain.astype(np.float32)).reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.fft.irfft(jnp.fft.rfft(x, length) * gain, length)[..., :samples]
