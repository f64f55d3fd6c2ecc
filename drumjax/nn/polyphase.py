"""Transposed convolutions: phase by phase on a CPU, where no zeros are multiplied, or XLA's own."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = Any  # of jax or NumPy
Spec = tuple[tuple[int, ...], ...]  # strides, padding, output padding, each one an axis
Form = Callable[..., jax.Array]


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


def plan_axis(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> Axis:
    """Plan the phases of one axis; `out` is the length that torch documents for ConvTranspose."""
    out = (size - 1) * stride - 2 * padding + kernel + output_padding
    first, last = padding // stride, (padding + out - 1) // stride
    return Axis(-(-kernel // stride), stride, first, last, padding - stride * first, out)


def phase_kernel(kernel: Array, strides: Sequence[int]) -> Array:
    """Reorder a kernel into its phases; a NumPy array stays one, and nothing is compiled.

    Args:
      kernel: [*k, c_in, c_out], in a transposed convolution's scatter sense:
        `y[s i + k] += x[i] w[k]`.
      strides: one an axis.

    Returns:
      [taps * c_in, phases * c_out]; taps and phases are the axes' products, in row-major order.
    """
    dims = len(strides)
    padded = [(0, -k % s) for k, s in zip(kernel.shape, strides, strict=False)] + [(0, 0)] * 2
    kernel = _library(kernel).pad(kernel, padded)
    split = [n for k, s in zip(kernel.shape, strides, strict=False) for n in (k // s, s)]
    kernel = kernel.reshape(*split, *kernel.shape[-2:])  # [j0, p0, j1, p1, ..., c_in, c_out]
    order = [*range(0, 2 * dims, 2), 2 * dims, *range(1, 2 * dims, 2), 2 * dims + 1]
    kernel = kernel.transpose(order)  # [j0, j1, ..., c_in, p0, p1, ..., c_out]
    rows = kernel.shape[dims]
    for taps in kernel.shape[:dims]:
        rows *= taps
    return kernel.reshape(rows, -1)


def _library(x: Array) -> Any:
    """NumPy for its own arrays, which are laid out once; jax for the rest."""
    return np if isinstance(x, np.ndarray) else jnp


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
    """Weave the phases into one signal: [..., *positions, phases * c_out] -> [..., *outs, c]."""
    dims = len(axes)
    lead, positions = y.shape[: -1 - dims], y.shape[-1 - dims : -1]
    channels = y.shape[-1]
    for axis in axes:
        channels //= axis.stride
    y = y.reshape(*lead, *positions, *(a.stride for a in axes), channels)
    base = len(lead)
    order = [base + k for axis in range(dims) for k in (axis, dims + axis)]
    y = y.transpose(*range(base), *order, y.ndim - 1)  # [..., u0, p0, u1, p1, ..., c_out]
    y = y.reshape(*lead, *(u * a.stride for u, a in zip(positions, axes, strict=True)), channels)
    crop = tuple(slice(a.crop, a.crop + a.out) for a in axes)
    return y[(..., *crop, slice(None))]


def _dimension_numbers(dims: int) -> tuple[str, str, str]:
    """Channels-last layouts for one or two spatial axes."""
    return ("NHC", "HIO", "NHC") if dims == 1 else ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(x: jax.Array, w: jax.Array, edges: tuple[tuple[int, int], ...]) -> jax.Array:
    """Correlation without strides whose gradients are as fast as itself on a CPU.

    XLA writes the gradient by the kernel as a convolution with a kernel as large as the picture,
    which its CPU backend runs far slower than one matrix product a tap.

    Args:
      x: [b, *sizes, c_in].
      w: [*taps, c_in, c_out].
      edges: zeros before and after each spatial axis; negative crops.

    Returns:
      [b, *positions, c_out]
    """
    dims = len(edges)
    numbers = _dimension_numbers(dims)
    return lax.conv_general_dilated(x, w, (1,) * dims, edges, dimension_numbers=numbers)


def _correlate_forward(x: jax.Array, w: jax.Array, edges: tuple[tuple[int, int], ...]):
    return correlate(x, w, edges), (x, w)


def _correlate_backward(
    edges: tuple[tuple[int, int], ...], kept: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, w = kept
    dims = len(edges)
    taps, positions = w.shape[:dims], dy.shape[1:-1]
    mirrored = jnp.flip(w, tuple(range(dims))).swapaxes(-1, -2)
    back = tuple((t - 1 - low, t - 1 - high) for t, (low, high) in zip(taps, edges, strict=True))
    dx = correlate(dy, mirrored, back)

    config = [(0, 0, 0), *((low, high, 0) for low, high in edges), (0, 0, 0)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), config)
    rows = dy.reshape(-1, dy.shape[-1])  # [b * positions, c_out]
    products = []
    for offset in itertools.product(*(range(t) for t in taps)):
        window = tuple(slice(o, o + n) for o, n in zip(offset, positions, strict=True))
        columns = padded[(slice(None), *window)].reshape(-1, x.shape[-1])
        products.append(columns.T @ rows)
    return dx, jnp.stack(products).reshape(w.shape)


correlate.defvjp(_correlate_forward, _correlate_backward)


def correlation_kernel(kernel: Array, strides: Sequence[int]) -> Array:
    """The kernel of the correlation that a transposed convolution amounts to; NumPy stays NumPy.

    Args:
      kernel: [*k, c_in, c_out], scatter orientation.
      strides: one an axis.

    Returns:
      [*taps, c_in, phases * c_out] for `correlate`.
    """
    taps = tuple(-(-k // s) for k, s in zip(kernel.shape, strides, strict=False))
    phases = phase_kernel(kernel, strides).reshape(*taps, kernel.shape[-2], -1)
    return _library(phases).flip(phases, tuple(range(len(strides))))


def upsample(x: jax.Array, kernel: jax.Array, axes: Sequence[Axis]) -> jax.Array:
    """Transposed convolution of x [b, *sizes, c_in] with a `correlation_kernel`: [b, *outs, c]."""
    edges = tuple(
        (a.taps - 1 - a.first, a.last - (n - 1)) for a, n in zip(axes, x.shape[1:-1], strict=True)
    )
    return interleave(correlate(x, kernel, edges), axes)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
) -> jax.Array:
    """Transposed convolution, in the form that is fast where it runs (see `by_platform`).

    Args:
      x: [b, *sizes, c_in], one or two spatial axes.
      kernel: [*k, c_in, c_out], scatter orientation (that of `torch.nn.ConvTranspose`).
      strides, padding, output_padding: one an axis, in samples; torch's meaning.

    Returns:
      [b, *outs, c_out], `out = (size - 1) * stride - 2 * padding + k + output_padding`.
    """
    spec = tuple(strides), tuple(padding), tuple(output_padding)
    return by_platform(
        functools.partial(conv_transpose_dilated, spec=spec),
        cpu=functools.partial(conv_transpose_phases, spec=spec),
    )(x, kernel)


def conv_transpose_phases(x: jax.Array, kernel: jax.Array, spec: Spec) -> jax.Array:
    """`conv_transpose` for a CPU: one correlation that yields all phases, then interleaved."""
    of_axes = zip(x.shape[1:-1], kernel.shape, *spec, strict=False)
    axes = [plan_axis(*of_axis) for of_axis in of_axes]
    return upsample(x, correlation_kernel(kernel, spec[0]), axes)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_transpose_dilated(x: jax.Array, kernel: jax.Array, spec: Spec) -> jax.Array:
    """`conv_transpose` for an accelerator: XLA's convolution of the input spread by the strides.

    It is the transpose of a convolution with strides, and its gradients are written as that one's:
    XLA turns whole signals round in memory for the kernel's that is derived from the form here.
    """
    strides, padding, output_padding = spec
    dims = len(strides)
    edges = [
        (k - 1 - p, k - 1 - p + extra)
        for k, p, extra in zip(kernel.shape, padding, output_padding, strict=False)
    ]
    kernel = jnp.flip(kernel, tuple(range(dims)))
    numbers = _dimension_numbers(dims)
    return lax.conv_general_dilated(
        x, kernel, (1,) * dims, edges, lhs_dilation=strides, dimension_numbers=numbers
    )


def _dilated_forward(x: jax.Array, kernel: jax.Array, spec: Spec):
    return conv_transpose_dilated(x, kernel, spec), (x, kernel)


def _dilated_backward(
    spec: Spec, kept: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    strides, padding, output_padding = spec
    edges = [(p, p - extra) for p, extra in zip(padding, output_padding, strict=True)]

    def strided(kernel: jax.Array) -> jax.Array:
        swapped, numbers = kernel.swapaxes(-1, -2), _dimension_numbers(len(strides))
        return lax.conv_general_dilated(dy, swapped, strides, edges, dimension_numbers=numbers)

    dx, pull = jax.vjp(strided, kernel)
    return dx, *pull(x)


conv_transpose_dilated.defvjp(_dilated_forward, _dilated_backward)


def by_platform(default: Form, **forms: Form) -> Form:
    """Forms of one function of arrays: what is compiled, its gradient too, depends on the platform.

    XLA's CPU backend multiplies the zeros of a transposed convolution and is slow at its gradients,
    so that matrix products, which read each sample many times, are the better form there. GPUs
    and TPUs run convolutions as they are; what they wait for is memory. Reverse mode only.

    Args:
      default: the form for all other platforms.
      **forms: by platform: "cpu", "cuda", "rocm" or "tpu".
    """

    @jax.custom_vjp
    def run(*args: jax.Array) -> jax.Array:
        return lax.platform_dependent(*args, default=default, **forms)

    def pull(form: Form) -> Callable[..., tuple[jax.Array, ...]]:
        return lambda dy, *args: jax.vjp(form, *args)[1](dy)

    def backward(args: tuple[jax.Array, ...], dy: jax.Array) -> tuple[jax.Array, ...]:
        pulls = {platform: pull(form) for platform, form in forms.items()}
        return lax.platform_dependent(dy, *args, default=pull(default), **pulls)

    run.defvjp(lambda *args: (run(*args), args), backward)
    return run
