"""Sounds as points: log-mel statistics, an embedding without learnt parameters or downloads."""

import functools
import hashlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.frames import magnitude
from drumjax.audio.mel import MelConfig, mel_filterbank
from drumjax.errors import DataError
from drumjax.models.objective import to_float

# dB below the loudest band of the sound. At -80, noise 60 dB below the peak, which hardly anyone
# hears in a drum, weighs three times what a poor generator does; at -60 it is missed.
FLOOR = -70.0
FINEST = 0.5  # dB: a direction in which real sounds differ by less is not magnified any further
_BANDS, _TIMES = 16, 16
_CHUNK = 64  # sounds at a time


class Embedding(NamedTuple):
    """A map from sounds to points; distances mean nothing across different digests.

    function: sound [n, samples], float32 or int16 -> features float32 [n, e].
    """

    name: str
    digest: str  # SHA-256 of all that the map depends on
    function: Callable[[np.ndarray], np.ndarray]


def log_mel_statistics(mel: MelConfig, reference: np.ndarray) -> Embedding:
    """About 48 numbers a sound: means, spreads and the course of its log-mel, whitened.

    16 coarse bands in dB below the sound's peak, no lower than -70 dB: the mean and the standard
    deviation over time of each, and the mean over the bands in up to 16 spans of time, short ones
    first. They are turned to the principal axes of the reference and divided by the standard
    deviation along each. An axis along which the reference hardly changes is divided by
    0.5 dB, so that a feature that is constant there gives zeros for it and large numbers for a
    sound that departs from it.

    Args:
      mel: what the sounds' spectra are made of.
      reference: real training sounds [n, samples], n >= 2.

    Raises:
      DataError: fewer than two sounds, sounds of another length, or values that are not finite.
    """
    if len(reference) < 2:
        raise DataError("An embedding is fitted on at least 2 real sounds; prepare more of them.")
    known = _statistics(reduced_log_mel(reference, mel, _BANDS)).astype(np.float64)  # [n, e]
    mean = known.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(known, rowvar=False))
    whiten = axes / np.sqrt(np.maximum(variance, FINEST**2))[None, :]  # [e, e]

    def embed(sound: np.ndarray) -> np.ndarray:
        values = _statistics(reduced_log_mel(sound, mel, _BANDS))
        return ((values - mean[None]) @ whiten).astype(np.float32)

    return Embedding("log-mel statistics", digest_of((mel, FLOOR, FINEST), mean, whiten), embed)


def reduced_log_mel(sound: np.ndarray, mel: MelConfig, bands: int) -> np.ndarray:
    """Log-mels of few bands, in dB below each sound's own peak: float32 [n, frames, bands].

    The mel bands are averaged in up to `bands` groups of neighbours. Loudness is gone, and what
    lies more than 70 dB below the peak is -70; a silent sound is -70 throughout.

    Args:
      sound: [n, samples], float32 or int16.
      mel: the spectrum.
      bands: how many at most.

    Raises:
      DataError: sounds of another length, or values that are not finite.
    """
    sound = np.asarray(sound)
    if sound.ndim != 2 or sound.shape[1] != mel.num_samples:
        raise DataError(
            f"Sounds to embed must be an array [n, {mel.num_samples}], not {list(sound.shape)}."
        )
    if not np.isfinite(sound).all():
        raise DataError("Sounds with values that are not finite cannot be embedded; render again.")
    made = [np.zeros((0, mel.frames, min(bands, mel.n_mels)), np.float32)]
    for start in range(0, len(sound), _CHUNK):
        part = sound[start : start + _CHUNK]
        padded = part[np.arange(_CHUNK) % len(part)]
        made.append(np.asarray(_decibels(padded, mel, bands))[: len(part)])
    return np.concatenate(made)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _decibels(sound: jax.Array, mel: MelConfig, bands: int) -> jax.Array:
    """[n, samples] -> [n, frames, bands]."""
    filters = mel_filterbank(mel) @ _groups(mel.n_mels, bands)  # [bins, bands]
    bins = magnitude(to_float(sound), mel.n_fft, mel.win_length, mel.hop_length)  # [n, t, bins]
    spectrum = jnp.einsum("ntb,bm->ntm", bins, filters, precision="highest")
    peak = jnp.max(spectrum, axis=(1, 2), keepdims=True)
    level = spectrum / jnp.where(peak > 0, peak, 1.0)
    return 20.0 * jnp.log10(jnp.maximum(level, 10 ** (FLOOR / 20)))


def _groups(size: int, count: int) -> np.ndarray:
    """Averages of `size` values in up to `count` groups of neighbours: float32 [size, count]."""
    count = min(size, count)
    group = np.arange(size) * count // size  # [size]
    member = group[:, None] == np.arange(count)[None, :]
    return (member / member.sum(axis=0, keepdims=True)).astype(np.float32)


def _statistics(decibels: np.ndarray) -> np.ndarray:
    """[n, frames, bands] -> [n, 2 bands + spans of time]."""
    frames = decibels.shape[1]
    edges = np.unique(np.round(np.geomspace(1, frames + 1, _TIMES + 1)).astype(int)) - 1
    course = [decibels[:, a:b].mean(axis=(1, 2)) for a, b in itertools.pairwise(edges)]
    return np.concatenate(
        [decibels.mean(axis=1), decibels.std(axis=1), np.stack(course, axis=1)], axis=1
    )


def digest_of(about: Any, *arrays: np.ndarray) -> str:
    """SHA-256 in hex of a description and of arrays, with their types and shapes."""
    digest = hashlib.sha256(repr(about).encode())
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
