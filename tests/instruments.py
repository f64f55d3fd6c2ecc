"""Tiny instruments with random weights, for the tests of the player and its commands."""

import functools

import jax
import numpy as np
import tiny

from drumjax.models import cwae, frame_wae, mcnn
from drumjax.play.instrument import Instrument, build_instrument


@functools.cache
def _fresh(model, config, seed):
    make = jax.jit(functools.partial(model.init, config))
    return jax.tree.map(np.asarray, make(jax.random.key(seed)))


def networks(cwae_config=tiny.CWAE, mcnn_config=tiny.MCNN, seed=0):
    """(CWAE variables, MCNN variables) as NumPy trees; norms and statistics as if trained."""
    rng = np.random.default_rng(seed)
    pairs = ((cwae, cwae_config), (mcnn, mcnn_config))
    variables = [jax.tree.map(np.array, _fresh(*pair, seed)) for pair in pairs]
    for tree in (variables[0]["params"], variables[0]["batch_stats"]):
        _jitter(tree, rng)
    decoder = variables[0]["params"]["decoder"]
    for layer in ("Dense_0", "Dense_1", "ConvTranspose_2"):
        if layer in decoder:
            decoder[layer]["kernel"] *= 4.0
    k, d = len(cwae_config.categories), cwae_config.latents
    constants = variables[0]["constants"]
    constants["scaler"]["mean"] -= np.linspace(0.0, 10.0, cwae_config.mel.frames)[:, None]
    constants["latents"]["mean"] += rng.normal(0, 0.5, (k, d)).astype(np.float32)
    spread = rng.normal(0, 0.5, (k, d, d)).astype(np.float32)
    constants["latents"]["covariance"] = np.eye(d, dtype=np.float32)[None] * 0.3 + np.einsum(
        "kde,kfe->kdf", spread, spread
    )
    return variables


def _jitter(tree, rng):
    for name, value in tree.items():
        if isinstance(value, dict):
            _jitter(value, rng)
        elif name in ("mean", "beta"):
            tree[name] = value + rng.normal(0, 0.2, value.shape).astype(np.float32)
        elif name in ("var", "gamma"):
            tree[name] = value * rng.uniform(0.5, 1.5, value.shape).astype(np.float32)


@functools.cache
def tiny_instrument() -> Instrument:
    """1,279 samples, 20 frames, 4 latents, 3 categories; with its encoder."""
    cwae_variables, mcnn_variables = networks()
    return build_instrument(tiny.CWAE, cwae_variables, tiny.MCNN, mcnn_variables, "tiny")


@functools.cache
def frame_networks(config=tiny.FRAMES, seed=0):
    """Variables of a frame WAE as NumPy trees: a measured shortcut, networks that say something."""
    variables = jax.tree.map(np.array, _fresh(frame_wae, config, seed))
    for name in ("frames/kernel", "code/kernel"):
        half = variables["params"]["decoder" if name.startswith("frames") else "encoder"]
        half[name] *= 5.0
    sounds = tiny.bursts(6, 6, 6, seed=seed)
    constants = frame_wae.fit(config, [(sounds.audio, sounds.category)])
    rng = np.random.default_rng(seed)
    k, d = len(config.categories), config.latents
    constants["latents"] = {
        "mean": rng.normal(0, 0.3, (k, d)).astype(np.float32),
        "covariance": np.tile(np.eye(d, dtype=np.float32)[None], (k, 1, 1)),
    }
    return {**variables, "constants": jax.tree.map(np.asarray, constants)}


@functools.cache
def tiny_frame_instrument(mcnn_too=False) -> Instrument:
    """As `tiny_instrument`, of a frame WAE; its sound is made by `audio.phase`, or by the MCNN."""
    vocoder = (tiny.MCNN, networks()[1]) if mcnn_too else (None, None)
    return build_instrument(tiny.FRAMES, frame_networks(), *vocoder, name="tiny frames")


@functools.cache
def tiny_phase_instrument() -> Instrument:
    """The tiny CWAE, its sound made by `audio.phase`."""
    return build_instrument(tiny.CWAE, networks()[0], name="tiny phase", rounds=4)
