"""Encoder and decoder that work on whole frames, as pure functions of a flat table of weights.

A frame is a vector, not a picture: every layer is a matrix product over a frame's channels, beside
a short convolution along time (blocks as in ConvNeXt, Liu et al. 2022; modulated as in FiLM, Perez
et al. 2018). Nothing is upsampled along frequency, so that no stripes arise there, and a CPU does
matrix products several times faster than the strided convolutions of a spectrogram's plane.
Training and playing share this file; weights are named as an instrument's tensors are.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp

Weights = Mapping[str, jax.Array]
Shapes = dict[str, tuple[int, ...]]
TAPS = 7  # frames that a block's convolution along time spans
STRIDES = (2, 2)  # in time: into pairs of frames, and pairs of those


@dataclasses.dataclass(frozen=True)
class FrameNets:
    """The sizes of both networks."""

    frames: int
    mels: int
    categories: int
    latents: int
    width: int = 320  # channels of a pair of frames
    wide: int = 384  # channels of a pair of pairs
    blocks: int = 2  # at each of the two resolutions
    hidden: int = 768  # of the dense layer beside the latents
    narrow: int = 96  # channels a step that the encoder's dense layer sees
    seed: int = 128  # channels a step that the decoder's dense layer makes
    condition: int = 256  # what modulates the decoder's blocks
    dtype: str = "float32"  # of the arithmetic between the first layer and the last

    @property
    def steps(self) -> int:
        """Time steps at the coarse resolution: frames / 4, rounded up."""
        return -(-self.frames // math.prod(STRIDES))

    @property
    def padding(self) -> int:
        """Frames of silence that are added at the end."""
        return self.steps * math.prod(STRIDES) - self.frames


def encoder_shapes(n: FrameNets) -> Shapes:
    """Name and shape of each of the encoder's weights."""
    shapes: Shapes = dict(_dense("pairs", STRIDES[0] * n.mels, n.width))
    for i in range(n.blocks):
        shapes |= dict(_block(f"block{i}", n.width, n.categories))
    shapes |= dict(_dense("join", STRIDES[1] * n.width, n.wide))
    for i in range(n.blocks, 2 * n.blocks):
        shapes |= dict(_block(f"block{i}", n.wide, n.categories))
    shapes |= dict(_dense("narrow", n.wide, n.narrow))
    shapes |= dict(_dense("hidden", n.steps * n.narrow + n.categories, n.hidden))
    return shapes | dict(_dense("code", n.hidden, n.latents))


def decoder_shapes(n: FrameNets) -> Shapes:
    """Name and shape of each of the decoder's weights."""
    given = n.latents + n.categories
    shapes: Shapes = dict(_dense("condition", given, n.condition))
    shapes |= dict(_dense("hidden", given, n.hidden))
    shapes |= dict(_dense("seed", n.hidden, n.steps * n.seed))
    shapes |= dict(_dense("widen", n.seed, n.wide))
    shapes["position"] = (n.steps, n.wide)
    for i in range(n.blocks):
        shapes |= dict(_block(f"block{i}", n.wide, n.condition))
    shapes |= dict(_dense("part", n.wide, STRIDES[1] * n.width))
    for i in range(n.blocks, 2 * n.blocks):
        shapes |= dict(_block(f"block{i}", n.width, n.condition))
    return shapes | dict(_dense("frames", n.width, STRIDES[0] * n.mels))


def _dense(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/kernel", (inputs, outputs)
    yield f"{name}/bias", (outputs,)


def _block(name: str, width: int, condition: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/taps", (TAPS, width)
    yield from _dense(f"{name}/modulate", condition, 2 * width)
    yield from _dense(f"{name}/up", width, 3 * width)
    yield from _dense(f"{name}/down", 3 * width, width)
    yield f"{name}/gain", (width,)


def init(shapes: Shapes, key: jax.Array) -> dict[str, jax.Array]:
    """Fresh weights: kernels of unit gain, the last layer's small, blocks that hardly change x."""
    last = list(shapes)[-2]
    weights = {}
    for k, (name, shape) in zip(jax.random.split(key, len(shapes)), shapes.items(), strict=True):
        draw = jax.random.normal(k, shape)
        if name.endswith("/bias"):
            weights[name] = jnp.zeros(shape)
        elif name.endswith("/gain"):
            weights[name] = jnp.full(shape, 0.1)
        elif name == "position":
            weights[name] = 0.5 * draw
        elif name.endswith("/taps"):
            weights[name] = 0.2 * draw
        elif name == last or name.endswith("/modulate/kernel"):
            weights[name] = 0.02 * draw
        else:
            weights[name] = draw / math.sqrt(shape[0])
    return weights


def encode(n: FrameNets, w: Weights, x: jax.Array, category: jax.Array) -> jax.Array:
    """Scaled frames [b, frames, mels] and category weights [b, k] -> [b, latents]."""
    x, category = (a.astype(n.dtype) for a in (x, category))
    x = jnp.pad(x, ((0, 0), (0, n.padding), (0, 0)))
    x = dense(w, "pairs", _join(x, STRIDES[0]))  # [b, 44, width]
    for i in range(n.blocks):
        x = block(w, f"block{i}", x, category)
    x = dense(w, "join", _join(x, STRIDES[1]))  # [b, 22, wide]
    for i in range(n.blocks, 2 * n.blocks):
        x = block(w, f"block{i}", x, category)
    x = dense(w, "narrow", normalise(x)).reshape(x.shape[0], -1)  # [b, 22 * narrow]
    x = jax.nn.gelu(dense(w, "hidden", jnp.concatenate([x, category], axis=-1)))
    return dense(w, "code", x.astype(jnp.float32))


def decode(n: FrameNets, w: Weights, z: jax.Array, category: jax.Array) -> jax.Array:
    """Codes z [b, latents] and category weights [b, k] -> scaled frames [b, frames, mels]."""
    given = jnp.concatenate([z, category], axis=-1).astype(n.dtype)
    condition = jax.nn.gelu(dense(w, "condition", given))
    x = dense(w, "seed", jax.nn.gelu(dense(w, "hidden", given)))
    x = dense(w, "widen", x.reshape(-1, n.steps, n.seed))  # [b, 22, wide]
    x = x + w["position"][None].astype(x.dtype)
    for i in range(n.blocks):
        x = block(w, f"block{i}", x, condition)
    x = _part(dense(w, "part", x), STRIDES[1])  # [b, 44, width]
    for i in range(n.blocks, 2 * n.blocks):
        x = block(w, f"block{i}", x, condition)
    x = dense(w, "frames", normalise(x)).astype(jnp.float32)
    return _part(x, STRIDES[0])[:, : n.frames]


def block(w: Weights, name: str, x: jax.Array, condition: jax.Array) -> jax.Array:
    """One residual block: x [b, t, c], modulated by `condition` [b, any], keeps its shape."""
    scale, shift = jnp.split(dense(w, f"{name}/modulate", condition), 2, axis=-1)  # [b, c] each
    y = normalise(_along_time(x, w[f"{name}/taps"]))
    y = y * (1.0 + scale[:, None]) + shift[:, None]
    y = dense(w, f"{name}/down", jax.nn.gelu(dense(w, f"{name}/up", y)))
    return x + y * w[f"{name}/gain"][None, None].astype(x.dtype)


def dense(w: Weights, name: str, x: jax.Array) -> jax.Array:
    """[..., inputs] -> [..., outputs], in the arithmetic of x."""
    kernel, bias = (w[f"{name}/{part}"].astype(x.dtype) for part in ("kernel", "bias"))
    return x @ kernel + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def normalise(x: jax.Array, eps: float = 1e-6) -> jax.Array:
    """Zero mean and unit variance over the last axis (layer normalisation without parameters)."""
    own = x.dtype
    x = x.astype(jnp.float32)
    x = x - x.mean(-1, keepdims=True)
    return (x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps)).astype(own)


def _along_time(x: jax.Array, taps: jax.Array) -> jax.Array:
    """Correlate each channel of x [b, t, c] with its own taps [TAPS, c]; zeros beyond the ends."""
    t, margin = x.shape[1], TAPS // 2
    x = jnp.pad(x, ((0, 0), (margin, margin), (0, 0)))
    parts = [x[:, i : i + t] * taps[i][None, None].astype(x.dtype) for i in range(TAPS)]
    return sum(parts[1:], parts[0])


def _join(x: jax.Array, stride: int) -> jax.Array:
    """[b, t, c] -> [b, t / stride, stride * c]: neighbours in time side by side."""
    return x.reshape(x.shape[0], -1, stride * x.shape[2])


def _part(x: jax.Array, stride: int) -> jax.Array:
    """The inverse of `_join`."""
    return x.reshape(x.shape[0], -1, x.shape[2] // stride)
