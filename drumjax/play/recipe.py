"""Recipes: JSON documents that make the same sounds again, bit for bit, from the same instrument.

A document holds the instrument's identity, the output's form and, for each sound, its name,
category, code z and shape. How a sound came to be ("origin") is told in words, and makes no sound.
"""

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drumjax.audio.names import brief, is_name
from drumjax.audio.resample import convert
from drumjax.errors import ConfigError, DataError, InstrumentError
from drumjax.play.controls import FURTHEST
from drumjax.play.instrument import Instrument
from drumjax.play.meta import check_plain
from drumjax.play.runtime import Player
from drumjax.play.shape import Shape, apply

FORMAT, SCHEMA = "drumjax-recipe", 1
RATES = (22050, 44100, 48000)  # Hz, of the files
BITS = (16, 24, 32)  # 32 is float

_NUMBERS = re.compile(r"\[\n *-?\d[^\[\]]*\]")  # a list of numbers as JSON prints it
_LONGEST = 48  # signs of a sound's name
_PARSING: dict[type[Exception], str] = {
    UnicodeDecodeError: "it is no text",
    RecursionError: "it is nested too deeply",
}
_LEAST = 1e-6  # share of a hybrid's category

Category = str | Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Output:
    """The form of the files: rate in Hz, 16, 24 or 32 (float) bits, and whether sound alone.

    Raises:
      ConfigError: a rate or a number of bits that is not written.
    """

    sample_rate: int = 22050
    bits: int = 16
    plain: bool = False

    def __post_init__(self):
        for what, value, known in (
            ("sample rate", self.sample_rate, RATES),
            ("number of bits", self.bits, BITS),
        ):
            if type(value) is not int or value not in known:
                listed = ", ".join(map(str, known))
                raise ConfigError(
                    f"A {what} of {brief(value)} is not written; choose one of {listed}."
                )
        if not isinstance(self.plain, bool):
            raise ConfigError(f"plain is {brief(self.plain)}; choose true or false.")


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Sound:
    """One sound of a recipe.

    Attributes:
      name: of the pad, or of the file after "drumjax_": letters, digits, spaces, - and _.
      category: one of the instrument's, or weights by name that sum to 1.
      z: code, float32 [d].
      shape: what is done to the sound afterwards.
      note: the MIDI note of a pad.
      origin: how the sound came to be, of JSON's types.
    """

    name: str
    category: Category
    z: np.ndarray
    shape: Shape = dataclasses.field(default_factory=Shape)
    note: int | None = None
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """See `label_of`."""
        return label_of(self.category)

    @property
    def strongest(self) -> str:
        """The category, or the one of which a hybrid has the most."""
        return self.label.split("+")[0]

    @property
    def file_name(self) -> str:
        """See `file_name_of`."""
        return file_name_of(self.name)

    def weights(self, categories: Sequence[str]) -> np.ndarray:
        """See `weights_of`."""
        return weights_of(self.category, categories)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Sounds, what plays them, and the form they are written in.

    Attributes:
      instrument: "name", "identity" (see `Instrument.identity`) and "file".
      sounds: of which no two share a name.
      output: the files' form.
      extra: what a command must know to do the same again, of JSON's types.
    """

    instrument: Mapping[str, Any]
    sounds: tuple[Sound, ...]
    output: Output = dataclasses.field(default_factory=Output)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def alone(self, sound: Sound) -> "Recipe":
        """The recipe of one of its sounds, as it is stored inside that sound's file."""
        return Recipe(self.instrument, (sound,), self.output)

    def to_dict(self) -> dict[str, Any]:
        """The document; `read` turns it back into an equal recipe."""
        document = {
            "format": FORMAT,
            "schema": SCHEMA,
            "instrument": dict(self.instrument),
            "output": dataclasses.asdict(self.output),
            "sounds": [_sound_to_dict(sound) for sound in self.sounds],
        }
        return document | ({"extra": dict(self.extra)} if self.extra else {})

    def to_json(self) -> str:
        """The document as text, a line for each entry but the codes', which share one."""
        text = json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False)
        return _NUMBERS.sub(lambda x: f"[{' '.join(x[0][1:-1].split())}]", text) + "\n"


def label_of(category: Category) -> str:
    """A category in one word; a hybrid's are joined by +, the strongest first."""
    if isinstance(category, str):
        return category
    return "+".join(sorted(category, key=lambda name: (-category[name], name)))


def weights_of(category: Category, categories: Sequence[str]) -> np.ndarray:
    """Weights float32 [k] of a category, or of a hybrid, among an instrument's categories."""
    shares = {category: 1.0} if isinstance(category, str) else category
    return np.array([shares.get(name, 0.0) for name in categories], np.float32)


def mixture(shares: Mapping[str, float]) -> Category:
    """The category of positive shares: weights that sum to 1, or the name where one is left.

    Shares below a millionth are left out: nobody hears them, and the smallest are no numbers that
    a recipe could hold.
    """
    total = sum(shares.values())
    weights = {name: decimal(share / total) for name, share in shares.items()}
    weights = {name: weight for name, weight in weights.items() if weight >= _LEAST}
    return weights if len(weights) > 1 else next(iter(weights))


def file_name_of(name: str) -> str:
    """The WAV file's name of a sound's."""
    return f"drumjax_{name.replace(' ', '_')}.wav"


def describe(instrument: Instrument) -> dict[str, Any]:
    """What a recipe says of its instrument."""
    return {
        "name": str(instrument.meta["name"]),
        "identity": instrument.identity,
        "file": instrument.path.name if instrument.path else None,
    }


def decimal(value: Any) -> float:
    """The shortest decimal that is the same float32, as a float."""
    short = float(str(np.float32(value)))
    return short if np.float32(short) == np.float32(value) else float(np.float32(value))


def read(document: Any, source: str) -> Recipe:
    """The recipe of a document, checked entry by entry.

    Args:
      document: JSON text, bytes, or what JSON text holds.
      source: where it is from, for the messages.

    Raises:
      DataError: it is no recipe, of a newer schema, or holds what cannot be used.
    """
    values = _parse(document, source)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{source} is no drumjax recipe; give a recipe or a WAV that holds one.")
    schema = values.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise DataError(f"{source} was made by a newer drumjax; update this one.")
    try:
        if type(schema) is not int or schema < 1:
            raise ValueError(f"its schema is {brief(schema)}")
        return _recipe(values)
    except (ConfigError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise DataError(f"{source} is a damaged recipe ({reason}); take another copy.") from error


def render(player: Player, sound: Sound, sample_rate: int) -> np.ndarray:
    """Play and shape one sound: float32 [n] at `sample_rate`, within -0.1 dBFS.

    Always one by one, so that a sound does not depend on how many are made.

    Args:
      player: of the recipe's instrument.
      sound: what to play.
      sample_rate: in Hz, one of `RATES` or the instrument's.

    Raises:
      DataError: the networks made numbers that are not finite.
      ConfigError: the shape leaves nothing of the sound, which is named.
    """
    samples = player.render(sound.z, sound.weights(player.categories))
    if not np.isfinite(samples).all():
        raise DataError(
            f"The instrument made numbers that are not finite of {sound.name}; choose another "
            "seed, or smaller movements of its controls."
        )
    try:
        shaped = apply(samples, player.sample_rate, sound.shape)
    except ConfigError as error:
        raise ConfigError(f"{sound.name}: {error}") from error
    return convert(shaped, player.sample_rate, sample_rate)


def check_instrument(recipe: Recipe, instrument: Instrument, source: str, any_one: bool) -> Recipe:
    """The recipe, if the instrument can play it; with `any_one`, made that instrument's own.

    Raises:
      InstrumentError: it is another instrument than the recipe's, and not `any_one`.
      DataError: the instrument lacks a category, or has codes of another size.
    """
    own = describe(instrument)
    if recipe.instrument.get("identity") != own["identity"]:
        if not any_one:
            raise InstrumentError(
                f"{source} was made with {_who(recipe.instrument)}, and this is {_who(own)}; name "
                "that file with --instrument, or add --any_instrument to hear it through this one."
            )
        recipe = dataclasses.replace(recipe, instrument=own)
    known = instrument.categories
    for sound in recipe.sounds:
        shares = [sound.category] if isinstance(sound.category, str) else sound.category
        if unknown := [name for name in shares if name not in known]:
            raise DataError(
                f"{source}: {sound.name} is of the category {brief(unknown[0])}, which the "
                f"instrument does not know; it knows {', '.join(known)}."
            )
        if len(sound.z) != instrument.latents:
            raise DataError(
                f"{source}: {sound.name} has a code of {len(sound.z)} numbers, where the "
                f"instrument takes {instrument.latents}."
            )
    return recipe


def _who(about: Mapping[str, Any]) -> str:
    """An instrument as a recipe tells of it: its name, its file, the start of its identity."""
    name, file, identity = (brief(about.get(key)) for key in ("name", "file", "identity"))
    place = "of no file" if about.get("file") is None else file
    return f"the instrument {name} ({place}, identity {identity.strip(chr(39))[:8]})"


def _parse(document: Any, source: str) -> Any:
    """JSON's values; numbers that are none are refused wherever they stand."""

    def refuse(text: str) -> float:
        raise ValueError(f"{text} is no number")

    def finite(text: str) -> float:
        return value if math.isfinite(value := float(text)) else refuse(text)

    try:
        text = document if isinstance(document, str | bytes) else json.dumps(document)
        values = json.loads(text, parse_constant=refuse, parse_float=finite)
        check_plain(values)
        return values
    except (ValueError, RecursionError) as error:
        reason = _PARSING.get(type(error), error)
        raise DataError(
            f"{source} is no recipe, or a damaged one ({reason}); give a recipe, or a WAV that "
            "holds one."
        ) from error


def _recipe(values: Mapping[str, Any]) -> Recipe:
    instrument, extra, form = values["instrument"], values.get("extra", {}), values["output"]
    if not all(isinstance(table, dict) for table in (instrument, extra, form)):
        raise ValueError("instrument, output and extra must be tables")
    known = [field.name for field in dataclasses.fields(Output)]
    if unknown := [key for key in form if key not in known]:
        raise ValueError(f"its output has no {brief(unknown[0])}, but {', '.join(known)}")
    if not isinstance(values["sounds"], list) or not values["sounds"]:
        raise ValueError("it holds no sounds")
    sounds = tuple(_sound(entry) for entry in values["sounds"])
    (file, count), *_ = Counter(sound.file_name.lower() for sound in sounds).most_common(1)
    if count > 1:
        raise ValueError(f"two sounds would be written to {file}")
    return Recipe(instrument, sounds, Output(**form), extra)


def _sound(entry: Any) -> Sound:
    if not isinstance(entry, dict):
        raise ValueError(f"a sound is {brief(entry)}, not a table")
    name, note, origin = entry["name"], entry.get("note"), entry.get("origin", {})
    check_name(name)
    if note is not None and (type(note) is not int or not 0 <= note <= 127):
        raise ValueError(f"{name} has the note {brief(note)}, not 0 to 127")
    if not isinstance(origin, dict):
        raise ValueError(f"{name} has an origin that is no table")
    if not isinstance(entry["z"], list) or not entry["z"]:
        raise ValueError(f"the code of {name} is {brief(entry['z'])}, not a list of numbers")
    z = np.asarray([_number(x, name) for x in entry["z"]], np.float32)
    shape = Shape.from_dict(entry["shape"])
    return Sound(name, _category(entry["category"], name), z, shape, note, origin)


def check_name(name: Any) -> None:
    """Refuse a sound's name that could not be part of a file's.

    Raises:
      ConfigError: it is not made of 1 to 48 letters, digits, spaces, - and _.
    """
    if not is_name(name, _LONGEST):
        raise ConfigError(
            f"A sound cannot be called {brief(name)}; use 1 to {_LONGEST} letters, digits, "
            "spaces, - and _."
        )


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > FURTHEST:
        raise ValueError(
            f"the code of {name} holds {brief(value)}, not a number within ±{FURTHEST:g}"
        )
    return float(value)


def _category(value: Any, name: str) -> Category:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not all(
        type(share) in (int, float) and 0.0 < share <= 1.0 for share in value.values()
    ):
        raise ValueError(f"the category of {name} is neither a name nor weights by name")
    if abs(sum(value.values()) - 1.0) > 1e-3:
        raise ValueError(f"the category weights of {name} do not sum to 1")
    return value


def _sound_to_dict(sound: Sound) -> dict[str, Any]:
    category = sound.category
    document = {
        "name": sound.name,
        "category": category if isinstance(category, str) else dict(category),
        "z": [decimal(x) for x in sound.z],
        "shape": sound.shape.to_dict(),
        "origin": dict(sound.origin),
    }
    return document | ({} if sound.note is None else {"note": sound.note})
