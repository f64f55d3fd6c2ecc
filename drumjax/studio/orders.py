"""Files that a client asks for: a sound or a kit, in the form of a profile."""

import dataclasses
from typing import Any, NamedTuple

from drumjax.errors import ConfigError
from drumjax.export.kit import check_kit_name
from drumjax.export.profiles import FORMATS, PROFILES
from drumjax.play.instrument import Instrument
from drumjax.play.recipe import Output, check_name, file_name_of
from drumjax.studio.answers import read_table
from drumjax.studio.spec import Spec, read_spec

MOST_PADS = 100


class Wav(NamedTuple):
    """A sound, what it is called, and the form of its file."""

    name: str
    spec: Spec
    output: Output


class Pad(NamedTuple):
    """A sound of a kit, what it is called, and the MIDI note that plays it, if one was named."""

    name: str
    note: int | None
    spec: Spec


@dataclasses.dataclass(frozen=True)
class Kit:
    """A kit: its name, its formats as `profiles.FORMATS` orders them, the files' form, its pads."""

    name: str
    formats: tuple[str, ...]
    output: Output
    pads: tuple[Pad, ...]


def read_wav(values: Any, instrument: Instrument) -> Wav:
    """{"spec": …, "name": "snare_01", "profile": "daw" or null}, checked.

    Raises:
      ConfigError: a field is missing, unknown, or cannot be used.
    """
    table = read_table(values, "A sound file", ("spec", "name", "profile"))
    name = table.get("name", "sound")
    check_name(name)
    return Wav(name, read_spec(table.get("spec"), instrument), _output(table.get("profile")))


def read_kit(values: Any, instrument: Instrument) -> Kit:
    """{"name": …, "profile": …, "formats": ["wav", …], "pads": [{"name", "note", "spec"}, …]}.

    Raises:
      ConfigError: a field is missing, unknown, or cannot be used; two pads share a name or a note.
      DataError: the kit's name cannot be a file's.
    """
    table = read_table(values, "A kit", ("name", "profile", "formats", "pads"))
    name, formats, pads = table.get("name", ""), table.get("formats", ["wav"]), table.get("pads")
    check_kit_name(name)
    if not isinstance(formats, list) or not formats or any(f not in FORMATS for f in formats):
        raise ConfigError(f"The formats are a list of some of {', '.join(FORMATS)}.")
    if not isinstance(pads, list) or not 1 <= len(pads) <= MOST_PADS:
        raise ConfigError(f"The pads are a list of 1 to {MOST_PADS}.")
    read = tuple(_pad(pad, instrument) for pad in pads)
    _check_apart("written to", [file_name_of(pad.name).lower() for pad in read])
    _check_apart("played by note", [pad.note for pad in read if pad.note is not None])
    ordered = tuple(f for f in FORMATS if f in formats)
    return Kit(name, ordered, _output(table.get("profile")), read)


def _pad(values: Any, instrument: Instrument) -> Pad:
    table = read_table(values, "A pad", ("name", "note", "spec"))
    name, note = table.get("name", ""), table.get("note")
    check_name(name)
    if note is not None and not (type(note) is int and 0 <= note <= 127):
        raise ConfigError(f"The note of {name} is a whole number, 0 to 127, or null.")
    try:
        return Pad(name, note, read_spec(table.get("spec"), instrument))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _output(profile: Any) -> Output:
    """The form of a profile's files; of none, the commands' own."""
    if profile is None:
        return Output()
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ConfigError(f"The profile is null or one of {', '.join(PROFILES)}.")
    found = PROFILES[profile]
    return Output(found.sample_rate, found.bits, found.plain)


def _check_apart(how: str, values: list[Any]) -> None:
    if len(set(values)) < len(values):
        twice = max(values, key=values.count)
        raise ConfigError(f"Two pads are {how} {twice}; give each its own.")
