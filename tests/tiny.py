"""Tiny networks and noise bursts for tests; as --config=tests/tiny.py:cwae, a tiny experiment."""

import functools

import jax
import numpy as np

from drumjax.audio.mel import MelConfig
from drumjax.data.source import Source
from drumjax.models.cwae import CwaeConfig
from drumjax.models.frame_wae import FrameWaeConfig
from drumjax.models.mcnn import McnnConfig

jax.config.update("jax_disable_most_optimizations", True)  # compiling is most of the tests' time

MEL = MelConfig(num_samples=1279, n_fft=256, win_length=256, hop_length=64, n_mels=32)  # 20 frames
NAMES = ("kick", "snare", "clap")
CWAE = CwaeConfig(MEL, NAMES, channels=(2, 3, 4), hidden=(16, 8), latents=4)
FRAMES = FrameWaeConfig(MEL, NAMES, latents=4, width=8, wide=12, blocks=1, hidden=16)
MCNN = McnnConfig(MEL, NAMES, heads=2, channels=(4, 3, 2), stride=4)  # 4 ** 3 is the hop


def bursts(*counts, seed=0, samples=MEL.num_samples):
    """Decaying noise, counts[i] sounds of category i; a category's decay and colour are its own."""
    rng = np.random.default_rng(seed)
    category = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    n = len(category)
    x = rng.standard_normal((n, samples))
    x[:, 1:] += np.linspace(-0.9, 0.9, len(counts))[category][:, None] * x[:, :-1]
    x *= np.exp(-np.arange(samples)[None, :] / (100.0 + 150.0 * category[:, None]))
    length = rng.integers(samples // 2, samples, n, dtype=np.int32)
    x[np.arange(samples)[None, :] >= length[:, None]] = 0.0
    audio = np.round(x / np.abs(x).max(axis=1, keepdims=True) * 32767).astype(np.int16)
    names = tuple(f"sound_{i}" for i in range(n))
    kits = tuple(f"kit_{i % 2}" for i in range(n))
    return Source(audio, category, length, names, kits, NAMES[: len(counts)], MEL.sample_rate)


def batch_of(source, per_category):
    """The first sounds of each category, as the sampler would hand them over."""
    audio = np.stack([source.audio[source.category == i][:per_category] for i in range(len(NAMES))])
    category = np.tile(np.arange(len(NAMES), dtype=np.int32)[:, None], (1, per_category))
    return {"audio": audio, "category": category}


@functools.cache
def state_maker(model, n_mels=MEL.n_mels):
    """The tiny experiment's config with its categories, and key -> fresh state, compiled once."""
    from drumjax.models import build_objective
    from drumjax.training.state import adam, create_state

    config = get_config(model)
    config.mel.n_mels = n_mels
    config = {**config.to_dict(), "categories": list(NAMES)}
    objective = build_objective(config, NAMES)
    return config, jax.jit(lambda key: create_state(objective, adam(), key))


def get_config(model="cwae"):
    """The tiny experiment of a model; its data are to be put in place of `load_source`."""
    from drumjax.training.config import base_config

    own = {
        "cwae": {"channels": (2, 3), "hidden": (8,), "latents": 4},
        "frame_wae": {"latents": 4, "width": 8, "wide": 12, "blocks": 1, "hidden": 16},
        "mcnn": {"heads": 2, "channels": (4, 3, 2), "stride": 4},
    }
    mel = {"num_samples": 1279, "n_fft": 256, "win_length": 256, "hop_length": 64, "n_mels": 32}
    train = {"steps": 3, "validate_every": 1000, "checkpoint_every": 1000, "log_every": 1}
    train["parallel"] = "none"
    augment = {"probability": 0.8, "speed": 0.2, "decay": 6.0, "tilt": 6.0, "layer": 0.5}
    config = base_config(model)
    for section, values in ((model, own[model]), ("mel", mel), ("train", train)):
        config.update_from_flattened_dict({f"{section}.{k}": v for k, v in values.items()})
    config.update_from_flattened_dict({f"data.augment.{k}": v for k, v in augment.items()})
    config.data.per_category = 4
    return config
