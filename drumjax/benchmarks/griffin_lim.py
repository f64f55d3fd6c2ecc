"""Griffin-Lim in librosa: the inversion that the MCNN replaces."""

from collections.abc import Callable

import numpy as np

from drumjax.audio.mel import MelConfig
from drumjax.evals.inversion import librosa_magnitude, librosa_phase

ITERATIONS = 32


def inversions(mel: np.ndarray, config: MelConfig) -> dict[str, Callable[[], np.ndarray]]:
    """Calls that turn one linear mel [frames, mels] into sound [samples], by their names.

    librosa first finds the magnitude by non-negative least squares, which takes most of the time,
    then its phase in `ITERATIONS` turns; the second call is that last part alone.

    Raises:
      ModuleNotFoundError: librosa is not installed.
    """
    least_squares, phase = librosa_magnitude(config), librosa_phase(config, ITERATIONS)
    magnitude = least_squares(mel)
    return {
        "Griffin-Lim, mel to sound": lambda: phase(least_squares(mel)),
        "Griffin-Lim, magnitude to sound": lambda: phase(magnitude),
    }
