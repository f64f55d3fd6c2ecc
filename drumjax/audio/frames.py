"""Frames, windows and the short-time Fourier transform; time (or frames) and bins come last."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from drumjax.errors import ConfigError


def frame(x: jax.Array, frame_length: int, hop_length: int) -> jax.Array:
    """Cut [..., samples] into overlapping [..., frames, frame_length]; lengths in samples.

    frames = 1 + (samples - frame_length) // hop_length; samples beyond the last frame are dropped.
    The frames are hop-sized blocks set side by side. Slices are as fast as a gather on a CPU, and
    their gradient is a sum of pads, which has one order, where a gather's is a scatter.

    Raises:
      ConfigError: the signal is shorter than one frame.
    """
    frames = _frame_count(x.shape[-1], frame_length, hop_length)
    per_frame = -(-frame_length // hop_length)
    blocks = _fit(x, (frames + per_frame - 1) * hop_length)
    blocks = blocks.reshape(*x.shape[:-1], -1, hop_length)  # [..., blocks, hop]
    shifted = [blocks[..., i : i + frames, :] for i in range(per_frame)]
    return jnp.concatenate(shifted, axis=-1)[..., :frame_length]  # [..., frames, frame_length]


def _frame_count(samples: int, frame_length: int, hop_length: int) -> int:
    """Whole frames in a signal; refuses one that is shorter than one."""
    if samples < frame_length:
        raise ConfigError(f"A frame of {frame_length} samples does not fit in {samples} samples.")
    return 1 + (samples - frame_length) // hop_length


def hann_window(win_length: int, n_fft: int) -> np.ndarray:
    """Periodic Hann window of win_length samples, centred in zeros: float32 [n_fft].

    Raises:
      ConfigError: the window is longer than the transform.
    """
    if not 0 < win_length <= n_fft:
        raise ConfigError(f"A window of {win_length} samples does not fit in an FFT of {n_fft}.")
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(win_length) / win_length)
    left = (n_fft - win_length) // 2
    return np.pad(window, (left, n_fft - win_length - left)).astype(np.float32)


def stft(
    x: jax.Array, n_fft: int, win_length: int, hop_length: int, center: bool = True
) -> jax.Array:
    """STFT of [..., samples] as complex64 [..., frames, n_fft // 2 + 1], unscaled.

    With `center`, n_fft // 2 samples are reflected at both ends, as in librosa and PyTorch, and
    frames = 1 + samples // hop_length for an even n_fft.
    """
    if center:
        x = _reflect(x, n_fft // 2)
    geometry = n_fft, win_length, hop_length
    # XLA for TPUs sets the frames out and makes several passes over memory of their FFT.
    return lax.platform_dependent(
        x,
        tpu=functools.partial(_stft_by_products, geometry=geometry),
        default=functools.partial(_stft_by_fft, geometry=geometry),
    )


def _stft_by_fft(x: jax.Array, geometry: tuple[int, int, int]) -> jax.Array:
    """`stft` without centring: frames are set out, windowed and transformed."""
    n_fft, win_length, hop_length = geometry
    frames = frame(x, n_fft, hop_length)  # [..., frames, n_fft]
    return jnp.fft.rfft(frames * _as_rank(hann_window(win_length, n_fft), frames.ndim))


def _stft_by_products(x: jax.Array, geometry: tuple[int, int, int]) -> jax.Array:
    """The same as two convolutions of hop-sized blocks with windowed waves: no frame is set out."""
    n_fft, win_length, hop_length = geometry
    frames = _frame_count(x.shape[-1], n_fft, hop_length)
    window, left, bins = hann_window(win_length, n_fft), (n_fft - win_length) // 2, n_fft // 2 + 1
    taps = -(-win_length // hop_length)
    turns = (left + jnp.arange(taps * hop_length))[:, None] * jnp.arange(bins)[None] % n_fft
    angles = (2.0 * np.pi / n_fft) * turns  # [taps * hop, bins]; turns are exact

    dtype = jnp.result_type(x, jnp.float32)
    blocks = _fit(x[..., left:], (frames + taps - 1) * hop_length).astype(dtype)
    blocks = blocks.reshape(-1, frames + taps - 1, hop_length)  # [b, blocks, hop]
    window = _fit(jnp.asarray(window[left:], dtype), taps * hop_length)[:, None]

    def correlate(waves: jax.Array) -> jax.Array:
        kernel = (window * waves.astype(dtype)).reshape(taps, hop_length, bins)
        layout, precise = ("NHC", "HIO", "NHC"), lax.Precision.HIGHEST
        return lax.conv_general_dilated(
            blocks, kernel, (1,), "VALID", dimension_numbers=layout, precision=precise
        )

    spectrum = lax.complex(correlate(jnp.cos(angles)), correlate(-jnp.sin(angles)))
    return spectrum.reshape(*x.shape[:-1], frames, bins)


def istft(
    spectrum: jax.Array, n_fft: int, win_length: int, hop_length: int, length: int
) -> jax.Array:
    """Least-squares inverse of the centred `stft`: [..., frames, bins] to [..., length].

    Griffin and Lim (1984), eq. 6: windowed frames are added and divided by the summed squares of
    the window. Samples that no window reaches are 0.
    """
    window = hann_window(win_length, n_fft)
    frames = jnp.fft.irfft(spectrum, n_fft)  # [..., frames, n_fft]
    summed = _overlap_add(frames * _as_rank(window, frames.ndim), hop_length)
    weight = np.zeros(summed.shape[-1], np.float32)
    for start in range(0, spectrum.shape[-2] * hop_length, hop_length):
        weight[start : start + n_fft] += window**2
    weight = np.where(weight > np.finfo(np.float32).tiny, weight, 1.0)
    start = n_fft // 2
    return _fit((summed / _as_rank(weight, summed.ndim))[..., start:], length)


def magnitude(
    x: jax.Array, n_fft: int, win_length: int, hop_length: int, center: bool = True
) -> jax.Array:
    """|STFT| of [..., samples]: [..., frames, n_fft // 2 + 1]; its gradient is 0 where it is 0."""
    spectrum = stft(x, n_fft, win_length, hop_length, center)
    power = spectrum.real**2 + spectrum.imag**2
    return safe_sqrt(power)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root of x >= 0 whose gradient at 0 is 0, not infinite; the value at 0 is exactly 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _reflect(x: jax.Array, margin: int) -> jax.Array:
    """Mirror `margin` samples at both ends of the last axis, without repeating the edge."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(margin, margin)], mode="reflect")


def _fit(x: jax.Array, length: int) -> jax.Array:
    """Cut the last axis to `length`, or fill it with zeros."""
    missing = max(0, length - x.shape[-1])
    return jnp.pad(x[..., :length], [(0, 0)] * (x.ndim - 1) + [(0, missing)])


def _as_rank(vector: np.ndarray, rank: int) -> np.ndarray:
    """A vector with leading axes of size 1, so that it broadcasts against the last axis."""
    return vector.reshape((1,) * (rank - 1) + (-1,))


def _overlap_add(frames: jax.Array, hop_length: int) -> jax.Array:
    """Add [..., frames, frame_length] at multiples of hop_length: [..., samples], zero-filled."""
    per_frame = -(-frames.shape[-1] // hop_length)
    frames = _fit(frames, per_frame * hop_length)
    blocks = frames.reshape(*frames.shape[:-1], per_frame, hop_length)
    lead = [(0, 0)] * (frames.ndim - 2)
    summed = sum(
        jnp.pad(blocks[..., i, :], [*lead, (i, per_frame - 1 - i), (0, 0)])
        for i in range(per_frame)
    )
    return jnp.reshape(summed, (*frames.shape[:-2], -1))
