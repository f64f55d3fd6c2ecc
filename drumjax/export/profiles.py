"""Sample formats that DAWs and hardware take, and the names of files for them."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from drumjax.audio.names import file_word
from drumjax.errors import ConfigError


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

FORMATS = ("wav", "sfz", "hydrogen")  # of a kit
SUFFIXES = {"sfz": ".sfz", "hydrogen": ".h2drumkit"}  # of the file that maps a kit's sounds


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in PROFILES:
        raise ConfigError(f"There is no profile {name!r}; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def file_name(category: str, number: int) -> str:
    """`drumjax_<category>_<nn>.wav`: ASCII without spaces, up to 32 characters (99,999 sounds)."""
    return f"drumjax_{_word(category)}_{number:02d}.wav"


def hybrid_word(shares: Mapping[str, float]) -> str:
    """A hybrid in 14 characters, its strongest category first: kick=0.7,snare=0.3 → kick_snar_7b1e.

    The four digits at the end, of a hash of the shares, keep the files of two hybrids apart.
    """
    order = sorted(shares, key=lambda name: (-shares[name], name))
    exact = json.dumps([[name, float(shares[name])] for name in order])
    return f"{file_word(' '.join(order), 9)}_{hashlib.sha256(exact.encode()).hexdigest()[:4]}"


def _word(category: str) -> str:
    """A category in at most 14 small letters, digits and underscores."""
    return file_word(category, 14)
