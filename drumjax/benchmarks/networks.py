"""The networks of the race: random ones of the paper's size, and what all contenders agree on."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.models import cwae, freeze, mcnn
from drumjax.models.cwae import CwaeConfig
from drumjax.models.mcnn import McnnConfig
from drumjax.play.gaussian import gaussian_of
from drumjax.play.instrument import Instrument, build_instrument

NATURAL = 0.46  # seconds: mean length of a one-shot
FALL = 1e-3  # by then, relative to its start: -60 dB, where the player ends a sound


def in_float32(instrument: Instrument) -> Instrument:
    """The same instrument with all its tensors in float32, whatever its file holds."""
    tensors = {k: np.asarray(v, np.float32) for k, v in instrument.tensors.items()}
    return dataclasses.replace(instrument, tensors=tensors)


def random_instrument(
    cwae_config: CwaeConfig | None = None, mcnn_config: McnnConfig | None = None, seed: int = 0
) -> Instrument:
    """An instrument of networks that never trained; by default of the paper's size.

    The norms' statistics and the categories' scales are random, the decoder's output has unit
    deviation, and the scaler's mean falls as that of a one-shot of `NATURAL` seconds.
    """
    c, m = cwae_config or CwaeConfig(), mcnn_config or McnnConfig()
    keys = jax.random.split(jax.random.key(seed))
    variables = jax.jit(lambda key: cwae.init(c, key))(keys[0])
    rng = np.random.default_rng(seed)
    for name in [n for n in variables["params"]["decoder"] if n.startswith("Conditional")]:
        norm = variables["params"]["decoder"][name]
        norm |= {"gamma": _near(rng, norm["gamma"], 1.0), "beta": _near(rng, norm["beta"], 0.0)}
        stats = variables["batch_stats"]["decoder"][name]["BatchNorm_0"]
        stats |= {"mean": _near(rng, stats["mean"], 0.0), "var": _near(rng, stats["var"], 1.0)}
    _scale_output(c, variables, rng)
    variables["constants"]["scaler"]["mean"] = _falling(c)
    vocoder = jax.jit(lambda key: mcnn.init(m, key))(keys[1])
    return build_instrument(c, variables, m, vocoder, "random weights, for timing")


def _near(rng: np.random.Generator, like: Any, centre: float) -> jax.Array:
    return jnp.asarray(centre + rng.uniform(-0.3, 0.3, like.shape), jnp.float32)


def _scale_output(c: CwaeConfig, variables: dict[str, Any], rng: np.random.Generator) -> None:
    """Scale the decoder's last kernel so that its output has unit deviation."""
    z, weights = codes(rng, c.latents, len(c.categories), 8)
    logs = jax.jit(lambda v: cwae.Cwae(c).apply(cwae.networks(v), z, weights, method="decode"))(
        variables
    )
    last = variables["params"]["decoder"][f"ConvTranspose_{len(c.channels) - 1}"]
    last["kernel"] = last["kernel"] / jnp.std(jnp.asarray(logs))


def _falling(c: CwaeConfig) -> jax.Array:
    """Mean log-mel [frames, mels], which falls by `FALL` every `NATURAL` seconds."""
    seconds = np.arange(c.mel.frames) * c.mel.hop_length / c.mel.sample_rate
    fall = math.log(FALL) * seconds / NATURAL
    return jnp.asarray(np.tile(fall[:, None], (1, c.mel.n_mels)), jnp.float32)


def codes(
    rng: np.random.Generator, latents: int, categories: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes z [count, latents] from N(0, I), and categories in turn, one-hot [count, k]."""
    z = rng.standard_normal((count, latents), np.float32)
    return z, np.eye(categories, dtype=np.float32)[np.arange(count) % categories]


def draw_codes(instrument: Instrument, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [count, d] from each category's Gaussian, and the categories in turn, one-hot."""
    categories = range(len(instrument.categories))
    z, weights = codes(np.random.default_rng(0), instrument.latents, len(categories), count)
    gaussians = [gaussian_of(instrument, i) for i in categories]
    drawn = [gaussians[i % len(categories)].colour(w) for i, w in enumerate(z)]
    return np.stack(drawn).astype(np.float32), weights


def mcnn_config(instrument: Instrument) -> McnnConfig:
    """The configuration of an instrument's MCNN."""
    shared = {"mel": instrument.mel, "categories": instrument.categories}
    return freeze(McnnConfig, {**instrument.meta["mcnn"], **shared}, "mcnn")


def finisher(instrument: Instrument) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """`mcnn.finish` compiled, for networks that run outside JAX: [b, samples or more] twice."""
    config, n = mcnn_config(instrument), instrument.mel.num_samples
    compiled = jax.jit(lambda sound, logits: mcnn.finish(config, sound[:, :n], logits[:, :n]))
    return lambda sound, logits: np.asarray(compiled(sound, logits))


def relative_error(x: np.ndarray, reference: np.ndarray, logits: np.ndarray) -> float:
    """Norm of the difference over that of the reference, [b, samples] each.

    Samples whose mask logit is nearer to the threshold than rounding can tell are left out.
    """
    sure = np.abs(logits) > 1e-4 * np.max(np.abs(logits))
    difference = np.linalg.norm(np.where(sure, x - reference, 0.0))
    return float(difference / max(np.linalg.norm(reference), 1e-12))
