"""Encoder and decoder of an instrument as pure functions, their weights laid out for use."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from drumjax.audio.mel import Scaler, log_mel, mel_spectrogram, standardise, unstandardise
from drumjax.nn import compression
from drumjax.nn.polyphase import Axis, correlation_kernel, plan_axis, upsample
from drumjax.play.plan import Plan

Weights = dict[str, Any]
END = 1e-3  # a frame below this share of the loudest one's level, -60 dB, is past the sound's end
SHORTEST = 4  # frames
LOUDEST = 20.0  # nepers, 170 dB above full scale: keeps what codes from afar make finite


def lay_out_decoder(plan: Plan, tensors: Mapping[str, np.ndarray]) -> Weights:
    """The decoder's weights in float32, each kernel as its correlation's."""
    w = _float32(tensors, ("decoder/", "scaler/", "shortcut/"))
    if plan.nets:
        return _grouped(w)
    for i in range(len(plan.channels)):
        name = f"decoder/conv{i}/kernel"
        w[name] = np.ascontiguousarray(correlation_kernel(w[name], plan.stride))
    return w


def lay_out_encoder(plan: Plan, tensors: Mapping[str, np.ndarray]) -> Weights:
    """The encoder's weights in float32."""
    w = _float32(tensors, ("encoder/", "scaler/", "shortcut/"))
    return _grouped(w) if plan.nets else w


def _grouped(w: Weights) -> Weights:
    """{"decoder/a": x} -> {"decoder": {"a": x}}, as `nn.compression` takes it."""
    groups: Weights = {}
    for name, value in w.items():
        room, _, rest = name.partition("/")
        groups.setdefault(room, {})[rest] = value
    return groups


def _float32(tensors: Mapping[str, np.ndarray], prefixes: tuple[str, ...]) -> Weights:
    return {n: np.asarray(v, np.float32) for n, v in tensors.items() if n.startswith(prefixes)}


def _dense(w: Weights, name: str, x: jax.Array) -> jax.Array:
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"][None]


def _norm(w: Weights, name: str, x: jax.Array, category: jax.Array) -> jax.Array:
    """Category norm, its statistics folded in, fused into what follows: x [b, h, w, c]."""
    scale, shift = (category @ w[f"{name}/{k}"] for k in ("scale", "shift"))
    return x * scale[:, None, None] + shift[:, None, None]


def _axes(plan: Plan, size: tuple[int, int], out: tuple[int, int]) -> list[Axis]:
    """How a grid of one size becomes the next larger one."""
    return [
        plan_axis(m, k, s, p, o - ((m - 1) * s - 2 * p + k))
        for m, o, s, p, k in zip(size, out, plan.stride, plan.padding, plan.kernel, strict=True)
    ]


def decode(
    plan: Plan, w: Weights, z: jax.Array, category: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Make linear mels.

    Args:
      plan, w: of the instrument; `w` from `lay_out_decoder`.
      z: [b, d].
      category: weights [b, k], one-hot or mixed.

    Returns:
      (linear mel [b, frames, mels], the frames until each sound's end [b]): the predicted one, but
      before the MCNN sees what is not there any more; it ends long sounds with a tick
    """
    mel = _frame_mel(plan, w, z, category) if plan.nets else _grid_mel(plan, w, z, category)
    return mel, jnp.minimum(predicted_end(mel), plan.latest_end)


def _frame_mel(plan: Plan, w: Weights, z: jax.Array, category: jax.Array) -> jax.Array:
    """A frame WAE's linear mel."""
    assert plan.nets is not None
    x = compression.decode(plan.nets, w["decoder"], w["shortcut"], z, category)
    most = np.exp(LOUDEST * plan.power)
    return compression.expand(jnp.minimum(x, most), plan.power)


def _grid_mel(plan: Plan, w: Weights, z: jax.Array, category: jax.Array) -> jax.Array:
    """A CWAE's linear mel."""
    x = jnp.concatenate([z, category], axis=-1)
    for i in range(plan.hidden + 1):
        x = jax.nn.relu(_dense(w, f"decoder/dense{i}", x))
    sizes, last = plan.sizes[::-1], len(plan.channels) - 1
    x = x.reshape(-1, *sizes[0], plan.channels[-1])  # [b, 19, 11, 128]
    for i in range(last + 1):
        x = upsample(x, w[f"decoder/conv{i}/kernel"], _axes(plan, sizes[i], sizes[i + 1]))
        if i < last:
            x = jax.nn.relu(_norm(w, f"decoder/norm{i}", x, category))
    x = (x[..., 0] + w[f"decoder/conv{last}/bias"][None, None]).swapaxes(1, 2)  # [b, frames, mels]
    logs = unstandardise(x, Scaler(w["scaler/mean"], w["scaler/std"]))
    return jnp.maximum(jnp.exp(jnp.minimum(logs, LOUDEST)) - plan.log_floor, 0.0)


def predicted_end(mel: jax.Array) -> jax.Array:
    """Frames until the last one within 60 dB of the loudest: [b, frames, mels] -> int32 [b]."""
    level = mel.sum(-1)
    count = jnp.arange(1, mel.shape[1] + 1)[None]
    alive = level > END * level.max(-1, keepdims=True)
    return jnp.maximum(jnp.max(jnp.where(alive, count, 0), axis=-1), SHORTEST)


def encode(plan: Plan, w: Weights, audio: jax.Array, category: jax.Array) -> jax.Array:
    """Sound [b, samples], category weights [b, k] -> z [b, d]; `w` from `lay_out_encoder`."""
    mel = mel_spectrogram(audio, plan.mel)
    if plan.nets:
        x = compression.compress(mel, plan.power)
        return compression.encode(plan.nets, w["encoder"], w["shortcut"], x, category)
    logs = log_mel(mel, plan.log_floor)
    x = standardise(logs, Scaler(w["scaler/mean"], w["scaler/std"])).swapaxes(1, 2)[..., None]
    pads = [(p, p) for p in plan.padding]
    numbers = ("NHWC", "HWIO", "NHWC")
    for i in range(len(plan.channels)):
        kernel = w[f"encoder/conv{i}/kernel"]
        x = lax.conv_general_dilated(x, kernel, plan.stride, pads, dimension_numbers=numbers)
        x = jax.nn.relu(_norm(w, f"encoder/norm{i}", x, category))
    x = x.reshape(x.shape[0], -1)
    for i in range(plan.hidden):
        x = jax.nn.relu(_dense(w, f"encoder/dense{i}", x))
    return _dense(w, f"encoder/dense{plan.hidden}", x)
