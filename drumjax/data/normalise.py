"""Brings a sound into the form that the networks take (NDM, data set)."""

from typing import NamedTuple

import numpy as np

from drumjax.audio.envelope import (
    fade_out,
    peak_normalise,
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

    Silence before and after the sound is trimmed first, for the limits of 0.1 and 1 second hold
    for the sound itself. The result has peak 32,767 and its last sample is not zero. A sound
    between NUM_SAMPLES and 1 s loses its last 35 samples at most, under a fade of 10 ms.

    Args:
        cut_long: cut longer sounds instead of refusing them, under the same fade.

    Raises:
        UnfitError: the sound is silent, not finite, too short or too long.
    """
    if not np.isfinite(samples).all():
        raise UnfitError("holds NaN or infinite values")
    samples = trim_trailing_silence(trim_leading_silence(samples, _SILENCE), _SILENCE)
    if not len(samples):
        raise UnfitError("silent")
    samples = peak_normalise(resample(peak_normalise(samples), rate, SAMPLE_RATE))
    if len(samples) < round(SHORTEST * SAMPLE_RATE):
        raise UnfitError(f"shorter than {SHORTEST} s")
    if len(samples) > round(LONGEST * SAMPLE_RATE) and not cut_long:
        raise UnfitError(f"longer than {LONGEST} s")
    if len(samples) > NUM_SAMPLES:
        samples = peak_normalise(fade_out(samples[:NUM_SAMPLES], round(_FADE * SAMPLE_RATE)))
    return np.trim_zeros(np.round(samples * FULL_SCALE).astype(np.int16), "b")


def pad(sound: np.ndarray) -> np.ndarray:
    """Fill int16 [m] up to NUM_SAMPLES with zeros."""
    return np.pad(sound, (0, NUM_SAMPLES - len(sound)))
