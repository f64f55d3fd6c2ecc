"""The MCNN of an instrument as one pure function, each layer as a CPU runs it fastest."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.nn.polyphase import Axis, correlate, correlation_kernel, plan_axis
from drumjax.play.plan import Plan

Weights = dict[str, Any]
_NARROW, _FOLD = 4, 8  # layers that take so few channels compute 8 time steps at once


def _axis(plan: Plan, size: int) -> Axis:
    """How a layer stretches `size` steps: to exactly `head_stride` times as many."""
    extra = plan.head_stride - plan.width + 2 * plan.head_padding
    return plan_axis(size, plan.width, plan.head_stride, plan.head_padding, extra)


def lay_out_mcnn(plan: Plan, tensors: Mapping[str, np.ndarray]) -> Weights:
    """The MCNN's weights in float32, as the layers use them.

    The first layer, which all heads share the input of, becomes one correlation; the wide ones one
    correlation a head, which may run beside the other heads'; the narrow ones a matrix that makes
    several time steps at once. The heads' weights (eq. 7) go into the last layer, unless an ELU
    follows it.
    """
    heads = np.asarray(tensors["mcnn/head_weights"], np.float32)
    last_scale = np.ones((len(heads), 1, 1, plan.head_channels[-1]), np.float32)
    last_scale[..., 0] = heads[:, None, None]  # a head's weight for its sound, 1 for its mask
    layers = []
    for i, features in enumerate(plan.head_channels):
        kernel = np.asarray(tensors[f"mcnn/layer{i}/kernel"], np.float32)  # [h, w, c_in, c_out]
        if i == len(plan.head_channels) - 1 and not plan.elu_last:
            kernel = kernel * last_scale
        phases = np.stack(
            [correlation_kernel(k, (plan.head_stride,)) for k in kernel]
        )  # [h, taps, c_in, phases * c_out]
        if i == 0:
            split = phases.reshape(*phases.shape[:3], plan.head_stride, features)
            layers.append(split.transpose(1, 2, 3, 0, 4).reshape(*phases.shape[1:3], -1))
        else:
            narrow = phases.shape[2] <= _NARROW
            layers.append(_folded(phases, _FOLD) if narrow else phases)
    w: Weights = {"layers": layers}
    if plan.elu_last:
        w["last_scale"] = last_scale
    if plan.softsign:
        w["softsign"] = tensors["mcnn/softsign"]
    return w


def _folded(phases: np.ndarray, fold: int) -> np.ndarray:
    """The matrix that makes `fold` steps at once from the blocks of `fold` steps they reach into.

    [h, taps, c_in, n] -> [h, blocks * fold * c_in, fold * n]
    """
    h, taps, c_in, n = phases.shape
    blocks = -(-(fold + taps - 1) // fold)
    matrix = np.zeros((h, blocks * fold, c_in, fold, n), np.float32)
    for step in range(fold):
        matrix[:, step : step + taps, :, step] = phases
    return matrix.reshape(h, blocks * fold * c_in, fold * n)


def _wide(x: jax.Array, kernel: jax.Array, axis: Axis) -> jax.Array:
    """One correlation: [b, t, c_in] -> [b, positions, phases * c_out]."""
    edges = ((axis.taps - 1 - axis.first, axis.last - (x.shape[1] - 1)),)
    return correlate(x, kernel, edges)


def _narrow(x: jax.Array, matrix: jax.Array, axis: Axis) -> jax.Array:
    """Several steps at once: [b, t, c_in] -> [b, positions, phases * c_out]."""
    b, t, c_in = x.shape
    positions = axis.last - axis.first + 1
    rows, blocks = -(-positions // _FOLD), matrix.shape[0] // (_FOLD * c_in)
    low = axis.taps - 1 - axis.first
    high = (rows + blocks - 1) * _FOLD - t - low
    x = jax.lax.pad(x, jnp.float32(0), [(0, 0, 0), (low, high, 0), (0, 0, 0)])
    x = x.reshape(b, rows + blocks - 1, _FOLD * c_in)
    x = jnp.concatenate([x[:, k : k + rows] for k in range(blocks)], axis=-1)
    return (x @ matrix).reshape(b, rows * _FOLD, -1)[:, :positions]


def _weave(y: jax.Array, axis: Axis, features: int) -> jax.Array:
    """Phases into one signal: [..., positions, phases * c] -> [..., out, c]."""
    y = y.reshape(*y.shape[:-2], -1, features)
    return y[..., axis.crop : axis.crop + axis.out, :]


def _elu(x: jax.Array) -> jax.Array:
    """ELU; `exp` is vectorised on a CPU, `expm1` is not, and 6e-8 is what it loses near zero."""
    return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0.0)) - 1.0)


def run_heads(plan: Plan, w: Weights, mel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """NDM eq. 6 and 7, with the softsign of Fig. 2.

    Args:
      plan, w: of the instrument; `w` from `lay_out_mcnn`.
      mel: linear mel [b, frames, mels].

    Returns:
      (sound before the mask, mask logits), each [b, frames * hop]
    """
    axis, features = _axis(plan, mel.shape[1]), plan.head_channels[0]
    y = _weave(_wide(mel, w["layers"][0], axis), axis, plan.heads * features)
    y = y.reshape(*y.shape[:2], plan.heads, features)
    chains = [_head(plan, w, h, y[:, :, h]) for h in range(plan.heads)]
    total = functools.reduce(jnp.add, chains)  # [b, samples, 2]
    sound = total[..., 0]
    if plan.softsign:
        a, b = w["softsign"]
        sound = a * sound / (1.0 + jnp.abs(b * sound))
    return sound, total[..., 1]


def _head(plan: Plan, w: Weights, h: int, x: jax.Array) -> jax.Array:
    """One head after the shared layer: [b, t, c] -> [b, samples, 2]."""
    for i, features in enumerate(plan.head_channels[1:], 1):
        x = _elu(x)
        axis = _axis(plan, x.shape[1])
        step = _narrow if x.shape[2] <= _NARROW else _wide
        x = _weave(step(x, w["layers"][i][h], axis), axis, features)
    return _elu(x) * w["last_scale"][h] if plan.elu_last else x
