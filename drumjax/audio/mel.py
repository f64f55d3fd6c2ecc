"""Mel spectrograms and their per-element standardisation (NDM eq. 10 and section 3)."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drumjax.audio.frames import magnitude
from drumjax.errors import ConfigError, DataError

Scale = Literal["slaney", "htk"]
Array = jax.Array | np.ndarray

_LINEAR_HZ = 200.0 / 3.0  # Hz per mel below 1 kHz (Slaney, 1998)
_CORNER_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0  # natural log of the frequency ratio per mel above 1 kHz


@dataclass(frozen=True)
class MelConfig:
    """What a mel spectrogram is made of; lengths in samples, frequencies in Hz.

    The defaults are the Neural Drum Machine's one-shots: one second, 86 frames of 512 bands.
    """

    sample_rate: int = 22050
    num_samples: int = 22015
    n_fft: int = 2048
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 512
    f_min: float = 0.0
    f_max: float | None = None  # half the sample rate
    scale: Scale = "slaney"
    norm: Literal["slaney"] | None = "slaney"

    def __post_init__(self):
        for name in ("sample_rate", "num_samples", "n_fft", "win_length", "hop_length", "n_mels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"mel.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.n_fft % 2 or self.win_length > self.n_fft:
            raise ConfigError(
                f"mel.n_fft is {self.n_fft}; it must be even and no less than mel.win_length"
                f" ({self.win_length})."
            )
        if not 0.0 <= self.f_min < self.top <= self.sample_rate / 2:
            raise ConfigError(
                f"mel.f_min ({self.f_min}) and mel.f_max ({self.top}) must rise between 0 and half"
                f" the sample rate ({self.sample_rate / 2} Hz)."
            )
        _check_scale(self.scale)
        if self.norm not in ("slaney", None):
            raise ConfigError(f"mel.norm is {self.norm!r}; choose 'slaney' or None.")

    @property
    def frames(self) -> int:
        """Number of centred frames in num_samples."""
        return 1 + self.num_samples // self.hop_length

    @property
    def top(self) -> float:
        """Upper edge of the highest band in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max


class Scaler(NamedTuple):
    """Mean and standard deviation of each element of a training set's log-mels."""

    mean: Array  # [frames, n_mels]
    std: Array  # [frames, n_mels]


def hz_to_mel(hz: np.ndarray | float, scale: Scale) -> np.ndarray:
    """Mel of frequencies in Hz; 'slaney' is the Auditory Toolbox, 'htk' is 2595 log10(1 + f/700).

    Raises:
      ConfigError: the scale is unknown.
    """
    _check_scale(scale)
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = np.log(np.maximum(hz, _CORNER_HZ) / _CORNER_HZ) / _LOG_STEP
    return np.minimum(hz, _CORNER_HZ) / _LINEAR_HZ + above


def mel_to_hz(mel: np.ndarray | float, scale: Scale) -> np.ndarray:
    """Frequencies in Hz of mels; the inverse of `hz_to_mel`, with the same error."""
    _check_scale(scale)
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    corner = _CORNER_HZ / _LINEAR_HZ
    above = np.exp(_LOG_STEP * np.maximum(mel - corner, 0.0))
    return np.minimum(mel, corner) * _LINEAR_HZ * above


@functools.lru_cache(maxsize=16)
def mel_filterbank(config: MelConfig) -> np.ndarray:
    """Triangular mel filters F of NDM eq. 10: read-only float32 [n_fft // 2 + 1, n_mels].

    With norm 'slaney' each triangle has unit area in Hz. On the 'htk' scale, filters narrower
    than a bin may be empty (10 of 512 with the defaults); on the 'slaney' scale none is.
    """
    ends = hz_to_mel(np.array([config.f_min, config.top]), config.scale)
    edges = mel_to_hz(np.linspace(ends[0], ends[1], config.n_mels + 2), config.scale)
    bins = np.fft.rfftfreq(config.n_fft, 1.0 / config.sample_rate)[:, None]  # [bins, 1]
    rising = (bins - edges[None, :-2]) / np.diff(edges)[None, :-1]  # [bins, n_mels]
    falling = (edges[None, 2:] - bins) / np.diff(edges)[None, 1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if config.norm == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])[None, :]
    filters = filters.astype(np.float32)
    filters.flags.writeable = False
    return filters


def mel_spectrogram(x: jax.Array, config: MelConfig) -> jax.Array:
    """Linear mel spectrogram, |STFT| × F (NDM eq. 10): [..., samples] to [..., frames, n_mels]."""
    bins = magnitude(x, config.n_fft, config.win_length, config.hop_length)  # [..., frames, bins]
    return jnp.einsum("...b,bm->...m", bins, mel_filterbank(config), precision="highest")


def log_mel(mel: jax.Array, floor: float = 1e-5) -> jax.Array:
    """log(mel + floor), the same shape; the floor keeps silence finite."""
    return jnp.log(mel + floor)


def fit_scaler(batches: Iterable[Array], std_floor: float = 1e-3) -> Scaler:
    """Per-element mean and standard deviation over all examples of [n, frames, n_mels] batches.

    One pass in float64 (the pairwise update of Chan, Golub and LeVeque, 1979). Elements that
    never change, such as late frames of short sounds, get the standard deviation `std_floor`.

    Raises:
      DataError: there are no examples, their shapes differ, or they are not finite.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        batch = np.asarray(batch, np.float64)  # [n, frames, n_mels]
        if not len(batch):
            continue
        if count and batch.shape[1:] != mean.shape:
            raise DataError(f"Log-mels of shape {batch.shape[1:]} follow others of {mean.shape}.")
        added = len(batch)
        step = batch.mean(axis=0) - mean
        squares = squares + ((batch - batch.mean(axis=0)[None]) ** 2).sum(axis=0)
        squares = squares + step**2 * (count * added / (count + added))
        count += added
        mean = mean + step * (added / count)
    if not count:
        raise DataError("There are no sounds to fit the mel scaler on; give at least one.")
    if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
        raise DataError("Log-mels that are not finite cannot be scaled; check the sounds for NaN.")
    std = np.maximum(np.sqrt(squares / count), std_floor)
    return Scaler(mean.astype(np.float32), std.astype(np.float32))


def standardise(x: jax.Array, scaler: Scaler) -> jax.Array:
    """(x - mean) / std of [..., frames, n_mels], element by element."""
    mean, std = _as_rank(scaler, x.ndim)
    return (x - mean) / std


def unstandardise(x: jax.Array, scaler: Scaler) -> jax.Array:
    """The inverse of `standardise`: x × std + mean."""
    mean, std = _as_rank(scaler, x.ndim)
    return x * std + mean


def _as_rank(scaler: Scaler, rank: int) -> Scaler:
    """The scaler with leading axes of size 1."""
    return Scaler(*(jnp.expand_dims(a, tuple(range(rank - a.ndim))) for a in scaler))


def _check_scale(scale: str) -> None:
    if scale not in ("slaney", "htk"):
        raise ConfigError(f"mel.scale is {scale!r}; choose 'slaney' or 'htk'.")
