"""A small network that hears which category a sound is, trained on real training sounds only."""

import functools
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from drumjax.audio.mel import MelConfig
from drumjax.data.source import Source
from drumjax.errors import DataError
from drumjax.evals.embedding import FLOOR, Embedding, digest_of, reduced_log_mel

BANDS = 64
STEPS = 400
_PER_BATCH = 66
_SMOOTHING = 0.1  # of the labels: some sounds belong to two categories, and some are misfiled
# Augmentation, at most: later by frames, higher or lower by bands, noise in dB, tilted by dB from
# the lowest to the highest band, and fading faster or slower by a factor in dB.
_FRAMES, _BAND_SHIFT, _NOISE, _TILT, _FADE = 2, 3, 3.0, 8.0, 1.3
_CHUNK = 64


class _Network(nn.Module):
    """Log-mels in [-1, 1], [b, frames, bands] -> (features [b, 64], logits [b, categories])."""

    categories: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        x = x[..., None]
        for channels, size, stride in ((24, 5, 3), (40, 3, 2), (64, 3, 2)):
            x = nn.Conv(channels, (size, size), (stride, stride), use_bias=False)(x)
            x = nn.relu(nn.GroupNorm(num_groups=8)(x))
        # A drum's pitch and brightness tell it apart, so the place in frequency is kept; of time,
        # the beginning and the whole. (A maximum's gradient came out as 0 / 0 on a CPU.)
        x = jnp.concatenate([x[:, 0], x.mean(axis=1)], axis=-1)  # [b, bands / 12, 128]
        x = nn.Dropout(0.3, deterministic=not train)(x.reshape(len(x), -1))
        features = nn.relu(nn.Dense(64)(x))
        kept = nn.Dropout(0.3, deterministic=not train)(features)
        return features, nn.Dense(self.categories)(kept)


class Classifier(NamedTuple):
    """A trained network; a category without training sounds is never predicted."""

    mel: MelConfig
    categories: tuple[str, ...]
    seed: int
    params: Any
    known: np.ndarray  # bool [categories], which had training sounds
    digest: str  # SHA-256 of the weights and of what they expect

    def probabilities(self, sound: np.ndarray) -> np.ndarray:
        """Sounds [n, samples], float32 or int16 -> float32 [n, categories], rows sum to 1."""
        return self._run(sound)[1]

    def predict(self, sound: np.ndarray) -> np.ndarray:
        """Sounds [n, samples] -> indices into `categories`, int32 [n]."""
        return self.probabilities(sound).argmax(axis=1).astype(np.int32)

    def embed(self, sound: np.ndarray) -> np.ndarray:
        """Sounds [n, samples] -> what the network's last layer sees, float32 [n, 64]."""
        return self._run(sound)[0]

    @property
    def embedding(self) -> Embedding:
        """The features as an embedding."""
        return Embedding(f"classifier, seed {self.seed}", self.digest, self.embed)

    def _run(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = _scaled(reduced_log_mel(sound, self.mel, BANDS))
        k = len(self.categories)
        features, chances = [np.zeros((0, 64), np.float32)], [np.zeros((0, k), np.float32)]
        for start in range(0, len(x), _CHUNK):
            part = x[start : start + _CHUNK]
            padded = part[np.arange(_CHUNK) % len(part)]
            a, b = _forward(self.params, padded, self.known)
            features.append(np.asarray(a)[: len(part)])
            chances.append(np.asarray(b)[: len(part)])
        return np.concatenate(features), np.concatenate(chances)


def train_classifier(source: Source, seed: int, mel: MelConfig, steps: int = STEPS) -> Classifier:
    """Train on real sounds, of which each category gives the same number to a batch.

    The same source, seed and steps give the same network on one machine. A bar shows the progress
    on a terminal.

    Args:
      source: real training sounds; a category may have one sound, or none.
      seed: not negative.
      mel: its linear mel is averaged to 64 bands.
      steps: batches of 66 sounds.

    Raises:
      DataError: fewer than two categories have sounds, or the sounds are not of the mel's length.
    """
    pools = [np.flatnonzero(source.category == i) for i in range(len(source.categories))]
    known = np.array([len(pool) > 0 for pool in pools])
    if known.sum() < 2:
        raise DataError(
            "A classifier needs training sounds of at least 2 categories; prepare more of them."
        )
    x = reduced_log_mel(source.audio, mel, BANDS)
    rng = np.random.default_rng([seed, 0])
    first, rest = jax.random.split(jax.random.key(seed))
    params, state = _start(first, len(pools), x.shape[1:])
    keys = jax.random.split(rest, steps)
    filled = np.flatnonzero(known)
    for step in tqdm(range(steps), f"Classifier, seed {seed}", leave=False, disable=None):
        category = rng.permutation(np.resize(rng.permutation(filled), _PER_BATCH))
        rows = np.array([rng.choice(pools[i]) for i in category])
        batch = _scaled(_augmented(rng, x[rows]))
        rate = _rate(step, steps)
        params, state = _update(params, state, batch, category, known, keys[step], rate)
    params = jax.tree.map(np.asarray, params)
    about = (mel, source.categories, known.tolist(), BANDS, FLOOR)
    digest = digest_of(about, *jax.tree.leaves(params))
    return Classifier(mel, source.categories, seed, params, known, digest)


_ADAM = optax.adamw(1.0, weight_decay=1e-2)  # its steps are scaled by `_rate`


def _rate(step: int, steps: int) -> np.float32:
    """The learning rate: up to 3e-3 within a tenth of the steps, then down a cosine to 0."""
    done = (step + 1) / steps
    return np.float32(3e-3 * min(10.0 * done, 0.5 + 0.5 * np.cos(np.pi * done)))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _start(key: jax.Array, categories: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Fresh parameters and the optimiser's state."""
    params = _Network(categories).init(key, jnp.zeros((1, *shape)), train=False)["params"]
    return params, _ADAM.init(params)


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _update(
    params: Any,
    state: Any,
    x: jax.Array,
    category: jax.Array,
    known: jax.Array,
    key: jax.Array,
    rate: jax.Array,
) -> tuple[Any, Any]:
    """One step of Adam on the cross entropy of x [b, frames, bands] and category [b]."""

    def loss(params: Any) -> jax.Array:
        rngs = {"dropout": key}
        made = _Network(len(known)).apply({"params": params}, x, train=True, rngs=rngs)
        _, logits = cast(tuple[jax.Array, jax.Array], made)
        soft = _SMOOTHING * known / known.sum()
        labels = (1.0 - _SMOOTHING) * jax.nn.one_hot(category, len(known)) + soft[None]
        logits = jnp.where(known[None], logits, -1e9)
        return -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1).mean()

    changes, state = _ADAM.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, jax.tree.map(lambda c: rate * c, changes)), state


@jax.jit
def _forward(params: Any, x: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Features [b, 64] and probabilities [b, categories] of scaled log-mels."""
    made = _Network(len(known)).apply({"params": params}, x, train=False)
    features, logits = cast(tuple[jax.Array, jax.Array], made)
    return features, jax.nn.softmax(jnp.where(known[None], logits, -jnp.inf))


def _scaled(decibels: np.ndarray) -> np.ndarray:
    """FLOOR to 0 dB becomes -1 to 1."""
    return 1.0 - decibels * np.float32(2.0 / FLOOR)


def _augmented(rng: np.random.Generator, decibels: np.ndarray) -> np.ndarray:
    """Log-mels [b, frames, bands] of sounds that might as well have been recorded."""
    b, _, bands = decibels.shape
    late = rng.integers(0, _FRAMES + 1, b)
    high = rng.integers(-_BAND_SHIFT, _BAND_SHIFT + 1, b)
    moved = np.stack([_shift(*each) for each in zip(decibels, late, high, strict=True)])
    moved *= _FADE ** rng.uniform(-1.0, 1.0, (b, 1, 1)).astype(np.float32)
    slope = np.linspace(-0.5, 0.5, bands, dtype=np.float32)[None, None, :]
    moved += slope * rng.uniform(-_TILT, _TILT, (b, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(decibels.shape, np.float32)
    moved += noise * rng.uniform(0.0, _NOISE, (b, 1, 1)).astype(np.float32)
    return np.clip(moved - moved.max(axis=(1, 2), keepdims=True), FLOOR, 0.0)


def _shift(decibels: np.ndarray, late: int, high: int) -> np.ndarray:
    """[frames, bands] moved by `late` frames and `high` bands; the edges are repeated."""
    frames, bands = decibels.shape
    t = np.clip(np.arange(frames) - late, 0, frames - 1)
    f = np.clip(np.arange(bands) - high, 0, bands - 1)
    return decibels[t][:, f]
