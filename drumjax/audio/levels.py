"""The highest level that a sound of ours has, and how it is kept."""

import numpy as np

CEILING = 10 ** (-0.1 / 20)  # -0.1 dBFS
_ROUNDED = 1.000001  # beyond the ceiling by no more than float32's rounding: no reason to scale


def peak_safe(samples: np.ndarray) -> np.ndarray:
    """Float samples [n] as float32, scaled down as a whole where they exceed `CEILING`.

    What is float32 and lies within it is returned as it is, not copied.
    """
    ceiling = np.float32(CEILING)
    peak = max(np.max(samples, initial=0.0), -np.min(samples, initial=0.0))
    if peak > _ROUNDED * ceiling:
        samples = samples * samples.dtype.type(float(ceiling) / float(peak))
    if peak > ceiling:
        samples = np.clip(samples, -ceiling, ceiling)
    return samples.astype(np.float32, copy=False)


def sounding(samples: np.ndarray) -> int:
    """How many of [n] samples there are up to the last that is not 0; n for silence."""
    loud = np.flatnonzero(samples)
    return int(loud[-1]) + 1 if loud.size else len(samples)
