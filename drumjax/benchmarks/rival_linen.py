"""Linen contenders: the package's own modules, and the networks written the plain way."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from drumjax.benchmarks.linen_networks import Linen
from drumjax.models import cwae, mcnn
from drumjax.models.cwae import KERNEL, PADDING, STRIDE, CwaeConfig
from drumjax.models.mcnn import McnnConfig, scaled_softsign
from drumjax.nn.conditional_norm import ConditionalBatchNorm

Render = Callable[[np.ndarray, np.ndarray], np.ndarray]  # z [b, d], weights [b, k] -> [b, samples]


def plain_padding(
    kernel: Sequence[int], padding: Sequence[int], extra: Sequence[int]
) -> list[tuple[int, int]]:
    """Torch's padding and output padding of a transposed convolution, as linen pads it."""
    return [(k - 1 - p, k - 1 - p + e) for k, p, e in zip(kernel, padding, extra, strict=True)]


class PlainDecoder(nn.Module):
    """`models.cwae.Decoder` with linen's own transposed convolutions."""

    config: CwaeConfig

    @nn.compact
    def __call__(self, z: jax.Array, category: jax.Array) -> jax.Array:
        """Codes [b, d], weights [b, k] -> standardised log-mel [b, frames, mels]."""
        c = self.config
        sizes = c.sizes[::-1]
        x = jnp.concatenate([z, category], axis=-1)
        for width in (*c.hidden[::-1], int(np.prod(sizes[0])) * c.channels[-1]):
            x = nn.relu(nn.Dense(width)(x))
        x = x.reshape(-1, *sizes[0], c.channels[-1])
        last = len(c.channels) - 1
        for i, channels in enumerate((*c.channels[-2::-1], 1)):
            lengths = zip(sizes[i + 1], sizes[i], STRIDE, PADDING, KERNEL, strict=True)
            extra = [out - ((n - 1) * s - 2 * p + k) for out, n, s, p, k in lengths]
            pads = plain_padding(KERNEL, PADDING, extra)
            x = nn.ConvTranspose(channels, KERNEL, STRIDE, pads, use_bias=i == last)(x)
            if i < last:
                x = nn.relu(ConditionalBatchNorm(len(c.categories))(x, category, False))
        return x[..., 0].swapaxes(1, 2)


class PlainHead(nn.Module):
    """One head of the MCNN: mel [b, frames, mels] -> sound and mask [b, samples, 2]."""

    config: McnnConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """A stack of transposed convolutions without biases."""
        c = self.config
        pads = plain_padding([c.width], [c.padding], [c.stride - c.width + 2 * c.padding])
        for i, features in enumerate(c.channels):
            conv = nn.ConvTranspose(features, (c.width,), (c.stride,), pads, use_bias=False)
            x = conv(x)
            if c.elu_last or i < len(c.channels) - 1:
                x = nn.elu(x)
        return x


def _mirrored(tree: Any, axes: int) -> Any:
    """Kernels [..., *spatial, c_in, c_out] as linen convolves them: their taps reversed."""
    return jax.tree.map(lambda k: jnp.flip(k, tuple(range(-2 - axes, -2))), tree)


def plain_variables(networks: Linen) -> tuple[Any, list[Any], Any]:
    """The same weights for `PlainDecoder`, for each `PlainHead`, and the MCNN's other scalars."""
    decoder = networks.cwae_variables["params"]["decoder"]
    turned = {
        name: {**leaf, "kernel": _mirrored(leaf["kernel"], 2)}
        for name, leaf in decoder.items()
        if name.startswith("ConvTranspose")
    }
    stats = networks.cwae_variables["batch_stats"]["decoder"]
    vocoder = networks.mcnn_variables["params"]["mcnn"]
    layers = [vocoder[f"layer{i + 1}"]["kernel"] for i in range(len(networks.mcnn.channels))]
    heads = [
        {f"ConvTranspose_{i}": {"kernel": _mirrored(k[h], 1)} for i, k in enumerate(layers)}
        for h in range(networks.mcnn.heads)
    ]
    scalars = {k: v for k, v in vocoder.items() if not k.startswith("layer")}
    return {"params": {**decoder, **turned}, "batch_stats": stats}, heads, scalars


def package_apply(networks: Linen) -> Render:
    """The package's own modules: `cwae.decode` and `mcnn.generate`, compiled together."""

    def render(variables: Any, z: jax.Array, weights: jax.Array) -> jax.Array:
        mel = cwae.decode(networks.cwae, variables[0], z, weights)
        return mcnn.generate(networks.mcnn, variables[1], mel)

    return _compiled(render, (networks.cwae_variables, networks.mcnn_variables))


def plain_apply(networks: Linen, vmapped: bool) -> Render:
    """The networks as a reader of the paper writes them, compiled.

    Args:
      networks: whose weights.
      vmapped: run the heads as one vmapped module, not one after the other.
    """
    c, m = networks.cwae, networks.mcnn
    decoder, heads, scalars = plain_variables(networks)
    if vmapped:
        heads = jax.tree.map(lambda *x: jnp.stack(x), *heads)

    def render(variables: Any, z: jax.Array, weights: jax.Array) -> jax.Array:
        decoder, heads, scaler, scalars = variables
        logs = cast(Any, PlainDecoder(c).apply(decoder, z, weights))
        mel = cwae.to_mel(c, {"scaler": scaler}, logs)

        def run(params: Any) -> Any:
            return PlainHead(m).apply({"params": params}, mel)

        y = jax.vmap(run)(heads) if vmapped else jnp.stack([run(p) for p in heads])
        sound = jnp.einsum("h,hbt->bt", scalars["head_weights"], y[..., 0])
        if m.softsign:
            sound = scaled_softsign(sound, scalars["softsign_a"], scalars["softsign_b"])
        n = m.mel.num_samples
        return mcnn.finish(m, sound[:, :n], y[..., 1].sum(0)[:, :n])

    scaler = networks.cwae_variables["constants"]["scaler"]
    return _compiled(render, (decoder, heads, scaler, scalars))


def reference(networks: Linen) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any, Any, Any]]:
    """What every contender is held to: (mel, finished sound, mask logits, raw sound) of the models.

    The finished one is that of `mcnn.generate`; the raw one, [b, samples], is before any filter.
    """

    def run(variables: Any, z: jax.Array, weights: jax.Array) -> tuple[Any, Any, Any, Any]:
        mel = cwae.decode(networks.cwae, variables[0], z, weights)
        sound = mcnn.generate(networks.mcnn, variables[1], mel)
        raw, logits = mcnn.forward(networks.mcnn, variables[1]["params"]["mcnn"], mel)
        return mel, sound, logits, raw

    compiled = jax.jit(run)
    variables = (networks.cwae_variables, networks.mcnn_variables)
    return lambda z, weights: jax.tree.map(np.asarray, compiled(variables, z, weights))


def _compiled(render: Callable[..., jax.Array], variables: Any) -> Render:
    compiled = jax.jit(render)
    return lambda z, weights: np.asarray(compiled(variables, z, weights))
