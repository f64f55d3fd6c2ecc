"""A user's own sound, made what the encoder takes, and the category it is most like."""

from pathlib import Path, PurePath
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from drumjax.audio.envelope import (
    fade_out,
    peak_normalise,
    remove_offset,
    trim_leading_silence,
    trim_trailing_silence,
)
from drumjax.audio.files import read_audio
from drumjax.audio.mel import mel_spectrogram
from drumjax.audio.resample import resample
from drumjax.data.aliases import Aliases
from drumjax.errors import DataError
from drumjax.play.runtime import Player

_SILENCE = -60.0  # dB below the peak: what is trimmed
_FLOOR = 1e-3  # of full scale, -60 dB: a sound whose peak lies lower is silent
_INAUDIBLE = 1e-2  # -40 dB: what resampling leaves of a sound that lies above the new rate's range
_FADE = 0.01  # seconds


class Source(NamedTuple):
    """A sound that was read.

    Attributes:
      audio: float32 [samples] at the instrument's rate, peak 1, zeros after its end.
      seconds: how long the trimmed sound was.
      cut: whether it was longer than the instrument's sounds are.
    """

    audio: np.ndarray
    seconds: float
    cut: bool


def read_source(path: str | Path, sample_rate: int, num_samples: int) -> Source:
    """Read a WAV, AIFF, FLAC, OGG or MP3 file, prepared as the training sounds were.

    Offset and silence at both ends taken off, mono, resampled, cut to num_samples under a fade of
    10 ms, and brought to a peak of 1.

    Args:
      path: of the file.
      sample_rate: the instrument's, in Hz.
      num_samples: the length of its sounds.

    Raises:
      AudioDecodeError: the file cannot be read as sound.
      DataError: it is silent, or nothing of it lies below half of sample_rate.
    """
    samples, rate = read_audio(path)
    samples = remove_offset(samples, rate)
    if np.max(np.abs(samples), initial=0.0) < _FLOOR:
        raise DataError(f"{path} is silent; choose a sound that can be heard.")
    before = trim_trailing_silence(trim_leading_silence(samples, _SILENCE), _SILENCE)
    before = peak_normalise(before)
    samples = resample(before, rate, sample_rate)
    if not samples.size or _level(samples) < _INAUDIBLE * _level(before):
        raise DataError(
            f"{path} lies above {sample_rate // 2} Hz, where the instrument has no sound; "
            "choose another one."
        )
    seconds = len(samples) / sample_rate
    cut = len(samples) > num_samples
    if cut:
        samples = fade_out(samples[:num_samples], round(_FADE * sample_rate))
    audio = np.pad(peak_normalise(samples), (0, num_samples - len(samples[:num_samples])))
    return Source(audio, seconds, cut)


def named_category(path: str | Path) -> str | None:
    """The category that a file's name, or else its folder's, speaks of; None if neither does."""
    names = PurePath(path)
    return Aliases().category(PurePath(names.parent.name, names.name))


def error_of(player: Player, audio: np.ndarray, z: np.ndarray, category: Any) -> float:
    """How far a code is from a sound: mel spectral convergence, NDM eq. 11.

    Args:
      player: whose decoder is heard.
      audio: float32 [samples].
      z: code [d].
      category: a name, an index or weights [k].

    Returns:
      0 for the sound itself, 1 for silence.

    Raises:
      ConfigError: an unknown category, or a code of the wrong size.
    """
    mel = np.asarray(mel_spectrogram(jnp.asarray(audio), player.instrument.mel))  # [frames, mels]
    made = player.decode(z, category)
    return float(np.linalg.norm(mel - made) / max(np.linalg.norm(mel), 1e-6))


def _level(samples: np.ndarray) -> float:
    """Root mean square of [n]."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
