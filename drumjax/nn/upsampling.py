"""Ways to stretch a signal with a trained kernel, each as the transposed convolution it amounts to.

A transposed convolution whose kernel's phases differ prints a stripe pattern on what it makes. Each
way here but the plain one restricts the kernel. As all of them are one linear map, they cost the
same, and a player runs any of them once the kernel is composed.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.errors import ConfigError


def _interpolation(kind: str, stride: int) -> np.ndarray:
    """What an input sample becomes before the trained part, float64; one sample where nothing."""
    if kind == "linear":
        away = np.abs(np.arange(1 - stride, stride))
        return (stride - away) / stride  # 1/2, 1, 1/2 for a stride of 2
    return np.ones(stride if kind == "nearest" else 1)


def hann_taps(width: int) -> np.ndarray:
    """Hann window without its two zeros, of mean square 1: float32 [width].

    For an odd width its taps at any two phases of a stride of 2 have the same sum.
    """
    window = np.sin(np.pi * np.arange(1, width + 1) / (width + 1)) ** 2
    return (window / np.sqrt(np.mean(window**2))).astype(np.float32)


KINDS = ("transposed", "hann", "linear", "nearest")


def trained_width(kind: str, width: int, stride: int) -> int:
    """Taps that are trained where the composed kernel has `width` of them.

    Raises:
      ConfigError: the kind is unknown, or nothing is left to train.
    """
    if kind not in KINDS:
        raise ConfigError(f"upsampling must be one of {', '.join(KINDS)}, not {kind!r}.")
    taps = width + 1 - len(_interpolation(kind, stride))
    if taps < 1:
        raise ConfigError(f"{kind} upsampling by {stride} leaves none of {width} taps to train.")
    return taps


def gain(kind: str, stride: int) -> float:
    """Variance scale of the trained taps by which white noise keeps its level.

    An output of a plain transposed convolution sees 1 / stride of the taps; after an interpolation
    it sees all of them, and a signal that has lost some of its energy.
    """
    return stride / float(np.sum(_interpolation(kind, stride) ** 2))


def compose(kind: str, kernel: jax.Array, stride: int) -> jax.Array:
    """The kernel of the equal transposed convolution, in scatter orientation.

    Args:
      kind: "transposed" (the kernel itself), "hann" (times a Hann window), "linear" or "nearest"
        (the signal is interpolated, zeros beyond its ends, then convolved with the kernel).
      kernel: trained taps [..., trained_width, c_in, c_out].
      stride: in samples.

    Returns:
      [..., width, c_in, c_out]
    """
    if kind == "hann":
        window = jnp.asarray(hann_taps(kernel.shape[-3]), kernel.dtype)
        return kernel * window.reshape((1,) * (kernel.ndim - 3) + (-1, 1, 1))
    shape = _interpolation(kind, stride)
    if len(shape) == 1:
        return kernel
    lead = [(0, 0)] * (kernel.ndim - 3)
    last = len(shape) - 1
    shifted = (
        float(value) * jnp.pad(kernel, [*lead, (i, last - i), (0, 0), (0, 0)])
        for i, value in enumerate(shape)
    )
    return functools.reduce(jnp.add, shifted)
