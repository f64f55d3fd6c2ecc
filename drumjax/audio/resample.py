"""Change of sample rate."""

import numpy as np


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 [n] from one rate in Hz to another; equal rates return x as it is.

    SoX's VHQ setting: linear phase, aliases below 24-bit noise. An overshoot beyond ±1 is kept.
    """
    if from_rate == to_rate:
        return x
    import soxr

    return soxr.resample(x.astype(np.float32), from_rate, to_rate, quality="VHQ")
