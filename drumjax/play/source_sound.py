"""A user's own sound, made what the encoder takes, and the category it is most like."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from drumjax.play.recipe import Category, weights_of
from drumjax.play.refine import STEPS
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


class Encoded(NamedTuple):
    """What an instrument takes a sound for.

    Attributes:
      z: its code, float32 [d].
      category: that it was encoded as.
      how: that was decided, in words that stand in parentheses: "by its name", "as you say", or
        what came nearest.
      error: of the sound that the code makes; see `error_of`.
    """

    z: np.ndarray
    category: Category
    how: str
    error: float


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


def encode_source(
    player: Player,
    audio: np.ndarray,
    asked: Category | None = None,
    named: str | None = None,
    each: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Encoded:
    """Find a sound's category, where none is asked for, and the code that comes nearest to it.

    Args:
      player: of an instrument with an encoder.
      audio: float32 [samples], see `read_source`.
      asked: the category that the user names, which the instrument must know.
      named: what the sound's name says, see `named_category`; counts if the instrument knows it.
        If neither is given, each category is tried and the one of the least error taken.
      each: goes through the categories to be tried, and may show how far it is.

    Raises:
      InstrumentError: there is no encoder.
      ConfigError: an unknown category, or a sound of the wrong length.
    """
    steps = encoding(player, audio, asked, named, each)
    return next(found for found in steps if found is not None)


def encoding(
    player: Player,
    audio: np.ndarray,
    asked: Category | None = None,
    named: str | None = None,
    each: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Iterator[Encoded | None]:
    """`encode_source` step by step: None after each category that was tried, then what is found."""
    if asked is not None:
        category, how = asked, "as you say"
    elif named is not None and named in player.categories:
        category, how = named, "by its name"
    else:
        errors = {}
        for name in each(player.categories):
            errors[name] = error_of(player, audio, player.encode(audio, name), name)
            yield None
        category, how = _nearest(errors)
    weights = weights_of(category, player.categories)
    z = player.encode(audio, weights, refine=STEPS)
    yield Encoded(z, category, how, error_of(player, audio, z, weights))


def _nearest(errors: Mapping[str, float]) -> tuple[str, str]:
    """The category under which a sound comes back the nearest, and how near others come."""
    order = sorted(errors, key=errors.__getitem__)
    next_ones = ", ".join(f"{name} {errors[name]:.2f}" for name in order[1:3])
    return order[0], f"it comes back nearest as that; then {next_ones}"


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
