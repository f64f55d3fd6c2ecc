"""Change of sample rate."""

import numpy as np

from drumjax.audio.levels import peak_safe, sounding


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 [n] from one rate in Hz to another; equal rates return x as it is.

    SoX's VHQ setting: linear phase, aliases below 24-bit noise. An overshoot beyond ±1 is kept.
    """
    if from_rate == to_rate:
        return x
    import soxr

    return soxr.resample(x.astype(np.float32), from_rate, to_rate, quality="VHQ")


def resample_exactly(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """As `resample`, with the length that the duration of [n] asks for, at least 1: float32 [m]."""
    length = max(1, round(len(x) * to_rate / from_rate))
    result = resample(x, from_rate, to_rate)[:length]
    return np.pad(result, (0, length - len(result)))


def convert(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 [n] for a file: [m], m the whole number next to n * to_rate / from_rate.

    Exact zeros at the end stay zeros. Where the result exceeds -0.1 dBFS it is scaled down to it
    as a whole. Equal rates return the samples as they are.
    """
    if from_rate == to_rate:
        return samples
    end = sounding(samples)
    sound = resample_exactly(samples[:end], from_rate, to_rate)
    length = max(len(sound), round(len(samples) * to_rate / from_rate))
    return peak_safe(np.pad(sound, (0, length - len(sound))))
