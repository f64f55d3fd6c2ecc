"""Sample formats that DAWs and hardware take, and the names of files for them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from drumjax.audio.resample import resample
from drumjax.errors import ConfigError

CEILING = 10 ** (-0.1 / 20)  # -0.1 dBFS


class Profile(NamedTuple):
    """What a destination takes: rate in Hz, bits a sample, and whether fmt and data alone."""

    name: str
    sample_rate: int
    bits: int
    plain: bool


# Mono all. Some Akai machines refuse files that hold more than fmt and data.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("daw", 44_100, 24, plain=False),
        Profile("elektron", 48_000, 16, plain=True),  # Digitakt, Rytm
        Profile("mpc", 44_100, 16, plain=True),
        Profile("polyend", 44_100, 16, plain=True),
    )
}


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in PROFILES:
        raise ConfigError(f"There is no profile {name!r}; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def convert(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 [n] from one rate in Hz to another without clipping or new tails.

    Where resampling lifts the peak above -0.1 dBFS the whole is turned down to that, and the exact
    zeros that a sound ends in stay exact zeros. Equal rates return samples as they are.
    """
    if from_rate == to_rate:
        return samples
    converted = resample(samples, from_rate, to_rate)
    heard = np.flatnonzero(samples)
    end = int(heard[-1]) + 1 if heard.size else 0  # samples up to the last that is not zero
    converted[-(-end * to_rate // from_rate) :] = 0.0  # the filter rings on beyond it
    peak = np.max(np.abs(converted), initial=0.0)
    return converted * np.float32(CEILING / peak) if peak > CEILING else converted


def file_name(category: str, number: int) -> str:
    """`drumjax_<category>_<nn>.wav`: ASCII without spaces, shorter than 32 characters."""
    return f"drumjax_{_word(category)}_{number:02d}.wav"


def file_names(categories: Sequence[str]) -> list[str]:
    """A file name for each sound of a kit; those of one category are counted from 1."""
    counts: Counter[str] = Counter()
    names = []
    for category in categories:
        counts[_word(category)] += 1
        names.append(file_name(category, counts[_word(category)]))
    return names


def _word(category: str) -> str:
    """A category in at most 14 small letters, digits and underscores."""
    ascii_text = unicodedata.normalize("NFKD", category).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text)[:14].strip("_") or "sound"
