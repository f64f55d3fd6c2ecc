"""Griffin-Lim in librosa: the inversion that the MCNN replaces."""

from collections.abc import Callable

import numpy as np

from drumjax.audio.mel import MelConfig

ITERATIONS = 32


def inversions(mel: np.ndarray, config: MelConfig) -> dict[str, Callable[[], np.ndarray]]:
    """Calls that turn one linear mel [frames, mels] into sound [samples], by their names.

    librosa first finds the magnitude by non-negative least squares, which takes most of the time,
    then its phase in `ITERATIONS` turns; the second call is that last part alone.

    Raises:
      ModuleNotFoundError: librosa is not installed.
    """
    from librosa import griffinlim
    from librosa.feature.inverse import mel_to_stft

    def least_squares() -> np.ndarray:
        return mel_to_stft(
            mel.T,
            sr=config.sample_rate,
            n_fft=config.n_fft,
            power=1.0,
            fmin=config.f_min,
            fmax=config.top,
            htk=config.scale == "htk",
            norm=config.norm,
        )

    def phase(magnitude: np.ndarray) -> np.ndarray:
        return griffinlim(
            magnitude,
            n_iter=ITERATIONS,
            n_fft=config.n_fft,
            win_length=config.win_length,
            hop_length=config.hop_length,
            length=config.num_samples,
        )

    magnitude = least_squares()
    return {
        "Griffin-Lim, mel to sound": lambda: phase(least_squares()),
        "Griffin-Lim, magnitude to sound": lambda: phase(magnitude),
    }
