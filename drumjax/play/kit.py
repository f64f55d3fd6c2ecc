"""Kits: which pads there are, the sound that a seed gives each, and new ones for some of them."""

import dataclasses
import itertools
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drumjax.audio.names import brief
from drumjax.errors import ConfigError, DataError
from drumjax.play.controls import draw_codes, vary_codes
from drumjax.play.gaussian import gaussian_of
from drumjax.play.instrument import Instrument
from drumjax.play.recipe import (
    Category,
    Sound,
    check_name,
    file_name_of,
    label_of,
    mixture,
    weights_of,
)

PADS = 16
_MORE = ("kick", "snare", "closed_hat", "tom", "tom")  # who gets a second pad first
_MOST = 100  # MIDI has no more notes


def draw(
    instrument: Instrument,
    category: Category,
    count: int,
    seed: int,
    prior: str = "fitted",
    temperature: float = 1.0,
) -> np.ndarray:
    """Codes float32 [count, d] of a category, or of a hybrid.

    A category's are those of `controls.draw_codes`. A hybrid's come from the Gaussian between its
    categories'; code i depends on (seed, i) alone.

    Raises:
      ConfigError: see `controls.draw_codes`.
    """
    if isinstance(category, str) or prior == "normal":
        name = category if isinstance(category, str) else max(category, key=category.__getitem__)
        return draw_codes(instrument, name, count, seed, prior, temperature)
    weights = weights_of(category, instrument.categories)
    mean = gaussian_of(instrument, weights).mean
    codes = vary_codes(instrument, mean, weights, 1.0, count, seed)
    return (mean[None] + temperature * (codes - mean[None])).astype(np.float32)


def default_pads(categories: Sequence[str]) -> dict[str, Category]:
    """Sixteen pads, {name: category}: one of each category, and more of those a beat needs most."""
    counts = Counter(categories)
    more = itertools.chain((c for c in _MORE if c in counts), itertools.cycle(categories))
    counts.update(itertools.islice(more, max(0, PADS - len(categories))))
    return numbered(category for category in categories for _ in range(counts[category]))


def numbered(categories: Iterable[Category]) -> dict[str, Category]:
    """Pads of these categories, named by category and number: kick_01, kick_02, snare_01."""
    seen: Counter[str] = Counter()
    pads: dict[str, Category] = {}
    for category in categories:
        word = label_of(category).replace("+", "_")
        seen[word] += 1
        pads[f"{word[:40]}_{seen[word]:02d}"] = category
    return pads


def read_pads(table: str, categories: Sequence[str]) -> dict[str, Category]:
    """The pads of a --pads: "kick,kick,snare", or a TOML file.

    The file's table [pads] gives each pad a category or the shares of several:
        boom = "kick"
        ghost = {snare = 0.7, clap = 0.3}

    Raises:
      DataError: the file cannot be read.
      ConfigError: it holds no pads or too many, or an unknown category.
    """
    pads = _from_file(Path(table)) if table.endswith(".toml") else None
    pads = numbered(word.strip() for word in table.split(",")) if pads is None else pads
    if not 1 <= len(pads) <= _MOST:
        raise ConfigError(f"--pads={table} holds {len(pads)} pads; give 1 to {_MOST}.")
    checked = {name: _checked(name, value, categories) for name, value in pads.items()}
    files = {file_name_of(name).lower() for name in pads}
    if len(files) < len(pads):
        raise ConfigError(f"--pads={table}: two pads' names are alike but for spaces or capitals.")
    return checked


def _from_file(path: Path) -> dict[str, Any]:
    try:
        pads = tomllib.loads(path.read_text("utf-8-sig")).get("pads")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the table {path} cannot be read: {error}.") from error
    if not isinstance(pads, dict):
        raise DataError(f'{path}: write [pads] and, below it, lines like boom = "kick".')
    return pads


def _checked(name: str, value: Any, categories: Sequence[str]) -> Category:
    """A pad's category, known, with shares that sum to 1."""
    check_name(name)
    shares = {value: 1.0} if isinstance(value, str) else value
    if not isinstance(shares, dict) or not all(
        type(share) in (int, float) and 0.0 < share <= 1e6 for share in shares.values()
    ):
        raise ConfigError(f"The pad {name} needs a category or the shares of several.")
    if not shares or (unknown := [c for c in shares if c not in categories]):
        wrong = brief(unknown[0]) if shares else "without a name"
        raise ConfigError(
            f"The pad {name} is of a category {wrong} that the instrument does not know; it knows "
            f"{', '.join(categories)}."
        )
    return mixture(shares)


def make(
    instrument: Instrument, pads: Mapping[str, Category], seed: int, **settings: Any
) -> tuple[Sound, ...]:
    """The sounds that a seed gives the pads; the n-th pad of a category gets its n-th code.

    Args:
      instrument: which.
      pads: {name: category}.
      seed: not negative.
      settings: fields of `Sound` that all share.

    Raises:
      ConfigError: an unknown category, or a negative seed.
    """
    blank = [Sound(name, category, np.zeros(0), **settings) for name, category in pads.items()]
    return reroll(instrument, blank, {sound.name: seed for sound in blank})


def reroll(
    instrument: Instrument, sounds: Sequence[Sound], seeds: Mapping[str, int]
) -> tuple[Sound, ...]:
    """The kit with new codes for the pads that `seeds` names, and the others as they are.

    Raises:
      ConfigError: an unknown category, or a negative seed.
    """
    seen: Counter[str] = Counter()
    made = []
    for sound in sounds:
        number = seen[sound.label]
        seen[sound.label] += 1
        if sound.name in seeds:
            seed = seeds[sound.name]
            z = draw(instrument, sound.category, number + 1, seed)[number]
            origin = {"command": "kit", "seed": seed, "number": number + 1}
            sound = dataclasses.replace(sound, z=z, origin=origin)
        made.append(sound)
    return tuple(made)


def chosen(sounds: Sequence[Sound], flag: str, text: str) -> set[str]:
    """Names of the pads that a --lock or --reroll means: a pad, or all of a category.

    Raises:
      ConfigError: there is no such pad.
    """
    pads: set[str] = set()
    for word in (word.strip() for word in text.split(",")):
        found = {s.name for s in sounds if s.name == word} or {
            s.name for s in sounds if s.label == word
        }
        if not found:
            names = ", ".join(s.name for s in sounds)
            raise ConfigError(
                f"--{flag}={text}: the kit has no pad {word!r}; it has {names}, and takes a "
                "category for all of its pads."
            )
        pads |= found
    return pads
