"""Brings a sound into the form that the networks take (NDM, data set)."""

from typing import NamedTuple

import numpy as np

from drumjax.audio.envelope import (
    fade_out,
    peak_normalise,
    remove_offset,
    trim_leading_silence,
    trim_trailing_silence,
)
from drumjax.audio.resample import resample

SAMPLE_RATE = 22050  # Hz
NUM_SAMPLES = 22015
SHORTEST, LONGEST = 0.1, 1.0  # seconds
FULL_SCALE = 32767
_FADE = 0.01  # seconds
_SILENCE = -60.0  # dB below the peak
_FLOOR = 1e-3  # of full scale, -60 dB: a sound whose peak lies lower is silent
_INAUDIBLE = 1e-2  # -40 dB: what resampling leaves of a sound that lies above the new rate's range


class Sound(NamedTuple):
    """A prepared sound on its way into a data set."""

    audio: np.ndarray  # int16 [n], without padding
    category: str
    name: str
    kit: str
    fold: str | None  # None: to be split yet


class UnfitError(Exception):
    """A sound that the data set cannot take; the message is the reason, in a few words."""


def normalise(samples: np.ndarray, rate: int, cut_long: bool) -> np.ndarray:
    """Prepare a sound float32 [n] at `rate` Hz: int16 [m], m ≤ NUM_SAMPLES, at SAMPLE_RATE.

    A constant offset is taken off and silence before and after the sound is trimmed first, for the
    limits of 0.1 and 1 second hold for the sound itself. The result has peak 32,767 and its last
    sample is not zero. A sound between NUM_SAMPLES and 1 s loses its last 35 samples at most, under
    a fade of 10 ms.

    Args:
        cut_long: cut longer sounds instead of refusing them, under the same fade.

    Raises:
        UnfitError: the sound is not finite, too short, too long, or silent: its peak lies below
            -60 dB of full scale, or hardly any of it lies below half of SAMPLE_RATE.
    """
    if not np.isfinite(samples).all():
        raise UnfitError("holds NaN or infinite values")
    samples = remove_offset(samples, rate)
    if np.max(np.abs(samples), initial=0.0) < _FLOOR:
        raise UnfitError("silent")
    samples = trim_trailing_silence(trim_leading_silence(samples, _SILENCE), _SILENCE)
    before = peak_normalise(samples)
    samples = resample(before, rate, SAMPLE_RATE)
    if len(samples) < round(SHORTEST * SAMPLE_RATE):
        raise UnfitError(f"shorter than {SHORTEST} s")
    if _level(samples) < _INAUDIBLE * _level(before):
        raise UnfitError("silent")
    samples = peak_normalise(samples)
    if len(samples) > round(LONGEST * SAMPLE_RATE) and not cut_long:
        raise UnfitError(f"longer than {LONGEST} s")
    if len(samples) > NUM_SAMPLES:
        samples = peak_normalise(fade_out(samples[:NUM_SAMPLES], round(_FADE * SAMPLE_RATE)))
    return quantise(samples)


def quantise(samples: np.ndarray) -> np.ndarray:
    """Turn [n] within ±1 into int16 [m] within ±FULL_SCALE, without zeros at the end."""
    return np.trim_zeros(np.round(samples * FULL_SCALE).astype(np.int16), "b")


def pad(sound: np.ndarray) -> np.ndarray:
    """Fill int16 [m] up to NUM_SAMPLES with zeros."""
    return np.pad(sound, (0, NUM_SAMPLES - len(sound)))


def _level(samples: np.ndarray) -> float:
    """Root mean square of [n]."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
