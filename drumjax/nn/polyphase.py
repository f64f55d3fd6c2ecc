"""Transposed convolutions as matrix products, phase by phase (exact; no multiplications by inserted zeros)."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Axis(NamedTuple):
    """How one spatial axis is cut into phases.

    With `m = n + padding = stride * u + phase` for output sample `n`, the transposed convolution is
    `y[m] = sum_j x[u - j] * w[stride * j + phase]`: an ordinary correlation over `taps` inputs that
    yields `stride` outputs at each `u` in [`first`, `last`].
    """

    taps: int
    stride: int
    first: int
    last: int
    crop: int
    out: int


def plan_axis(
    size: int, kernel: int, stride: int, padding: int, output_padding: int
) -> Axis:
    """Plan the phases of one axis; `out = (size - 1) * stride - 2 * padding + kernel + output_padding`."""
    out = (size - 1) * stride - 2 * padding + kernel + output_padding
    first, last = padding // stride, (padding + out - 1) // stride
    return Axis(-(-kernel // stride), stride, first, last, padding - stride * first, out)


def phase_kernel(kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """Reorder a kernel into its phases.

    Args:
      kernel: [*k, c_in, c_out], in the scatter sense of a transposed convolution (`y[s i + k] += x[i] w[k]`).
      strides: one an axis.

    Returns:
      [taps * c_in, phases * c_out]; taps and phases are the axes' products, in row-major order.
    """
    dims = len(strides)
    padded = [(0, -k % s) for k, s in zip(kernel.shape, strides, strict=False)] + [(0, 0)] * 2
    kernel = jnp.pad(kernel, padded)
    split = [n for k, s in zip(kernel.shape, strides, strict=False) for n in (k // s, s)]
    kernel = kernel.reshape(*split, *kernel.shape[-2:])  # [j0, p0, j1, p1, ..., c_in, c_out]
    order = [*range(0, 2 * dims, 2), 2 * dims, *range(1, 2 * dims, 2), 2 * dims + 1]
    kernel = kernel.transpose(order)  # [j0, j1, ..., c_in, p0, p1, ..., c_out]
    rows = kernel.shape[dims]
    for taps in kernel.shape[:dims]:
        rows *= taps
    return kernel.reshape(rows, -1)


def gather_taps(x: jax.Array, axes: Sequence[Axis]) -> jax.Array:
    """Lay the input samples that each output position needs side by side.

    Args:
      x: [..., *sizes, c_in]; the last `len(axes)` axes before the channels are spatial.
      axes: one plan a spatial axis.

    Returns:
      [..., *positions, taps * c_in] in the row order of `phase_kernel`.
    """
    dims = len(axes)
    sizes = x.shape[-1 - dims : -1]
    before = [(0, 0)] * (x.ndim - 1 - dims)
    edges = [
        (max(0, a.taps - 1 - a.first), max(0, a.last - (n - 1)))
        for a, n in zip(axes, sizes, strict=True)
    ]
    x = jnp.pad(x, [*before, *edges, (0, 0)])
    columns = []
    for taps in itertools.product(*(range(a.taps) for a in axes)):
        window = tuple(
            slice(a.first - j + low, a.last - j + low + 1)
            for a, j, (low, _) in zip(axes, taps, edges, strict=True)
        )
        columns.append(x[(..., *window, slice(None))])
    return jnp.concatenate(columns, axis=-1)


def interleave(y: jax.Array, axes: Sequence[Axis]) -> jax.Array:
    """Weave the phases into one signal: [..., *positions, phases * c_out] -> [..., *outs, c_out]."""
    dims = len(axes)
    lead, positions = y.shape[: -1 - dims], y.shape[-1 - dims : -1]
    channels = y.shape[-1]
    for axis in axes:
        channels //= axis.stride
    y = y.reshape(*lead, *positions, *(a.stride for a in axes), channels)
    base = len(lead)
    order = [base + k for pair in zip(range(dims), range(dims, 2 * dims), strict=True) for k in pair]
    y = y.transpose(*range(base), *order, y.ndim - 1)  # [..., u0, p0, u1, p1, ..., c_out]
    y = y.reshape(*lead, *(u * a.stride for u, a in zip(positions, axes, strict=True)), channels)
    crop = tuple(slice(a.crop, a.crop + a.out) for a in axes)
    return y[(..., *crop, slice(None))]


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
) -> jax.Array:
    """Transposed convolution over the axes before the channels, as one matrix product.

    Args:
      x: [..., *sizes, c_in].
      kernel: [*k, c_in, c_out], scatter orientation (that of `torch.nn.ConvTranspose`).
      strides, padding, output_padding: one an axis, in samples; torch's meaning.

    Returns:
      [..., *outs, c_out], `out = (size - 1) * stride - 2 * padding + k + output_padding`.
    """
    sizes = x.shape[-1 - len(strides) : -1]
    axes = [
        plan_axis(*of_axis)
        for of_axis in zip(sizes, kernel.shape, strides, padding, output_padding, strict=False)
    ]
    return interleave(gather_taps(x, axes) @ phase_kernel(kernel, strides), axes)


class ConvTranspose(nn.Module):
    """Linen layer around `conv_transpose`: x [b, *sizes, c_in] -> [b, *outs, features]."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    use_bias: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the layer; see `conv_transpose` for shapes."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = conv_transpose(x, kernel, self.strides, self.padding, self.output_padding)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
        return y
