"""A sound as an OSC client asks for it: read from a message's arguments, and made a take."""

import dataclasses
import random
from collections.abc import Mapping
from typing import NamedTuple

from drumjax.audio.files import quantise
from drumjax.audio.levels import sounding
from drumjax.play import recipe
from drumjax.play.meta import Mode
from drumjax.play.runtime import Player
from drumjax.studio.file_codes import Found
from drumjax.studio.kits import wav_of
from drumjax.studio.osc_messages import Arguments
from drumjax.studio.spec import MOST_RANGE, MOST_SEED, Spec, sound_of
from drumjax.studio.takes import Takes

RATE, BITS = 44100, 16  # of the takes


class Ask(NamedTuple):
    """The sound that a client asks for.

    Attributes:
      spec: of the sound; where there is a path, what the file holds takes the place of its code,
        category and shape.
      path: of a sound file to vary, or None.
      category: that the file is to be taken for; None leaves it open.
    """

    spec: Spec
    path: str | None = None
    category: str | None = None

    @property
    def file(self) -> tuple[str | None, str | None]:
        """The path, and what the file is to be taken for."""
        return self.path, self.category


class Take(NamedTuple):
    """A file that was written: its absolute path, its category, and how long it sounds, in ms."""

    path: str
    label: str
    milliseconds: float


def read_generate(args: Arguments) -> Ask:
    """a1 a2 a3 category reply_port [range [seed]]

    Raises (each of these functions):
      ConfigError: an argument is missing, too many or cannot be used.
    """
    alphas = tuple(args.number(f"a{i}", -1.0, 1.0) for i in (1, 2, 3))
    category = args.category()
    args.take("a reply port")
    reach = args.number("the range", 0.0, MOST_RANGE) if args.more else 1.0
    seed = args.whole("the seed", 0, MOST_SEED) if args.more else 0
    args.end()
    return Ask(Spec(category, seed, alphas, reach))


def read_random(args: Arguments) -> Ask:
    """category reply_port [seed]; without a seed, one is picked"""
    category = args.category()
    args.take("a reply port")
    seed = _seed_or_any(args)
    args.end()
    return Ask(Spec(category, seed))


def read_vary(args: Arguments) -> Ask:
    """path amount reply_port [category [seed]]; without a seed, one is picked"""
    path, amount = args.text("the path"), args.number("the amount", 0.0, 1.0)
    args.take("a reply port")
    category = args.category_or_none()
    seed = _seed_or_any(args)
    args.end()
    return Ask(Spec(category or "", seed, amount=amount), path, category)


def _seed_or_any(args: Arguments) -> int:
    if args.more:
        return args.whole("the seed", 0, MOST_SEED)
    return random.randint(1, MOST_SEED)


class TakeMaker:
    """Renders sounds and writes them into the takes folder."""

    def __init__(self, takes: Takes, mode: Mode):
        """`mode`: whose axes the alphas move along, see `controls.from_alphas`."""
        self._takes, self._mode = takes, mode

    def make(self, ask: Ask, found: Found | None, player: Player) -> Take:
        """A WAV file at 44.1 kHz, 16 bit, with the recipe inside. Belongs to the player's thread.

        An attribute counts from what the varied file already has of it, so that a take that is
        varied by 0 is the same sound again, and its variations do not move on and on.

        Args:
          ask: for what; of its attributes, those that are 0 take away what the file has of them.
          found: what the file holds that is to be varied, if there is one.
          player: that plays.

        Raises:
          DataError: the folder cannot be used.
          ConfigError: the instrument has no axes or attributes, and they are asked for.
        """
        spec, there = ask.spec, {}
        if found:
            spec = dataclasses.replace(spec, z=found.z, category=found.category, shape=found.shape)
            there = found.attributes
        moves = {name: value - there.get(name, 0.0) for name, value in spec.attributes.items()}
        moves = {name: move for name, move in moves.items() if move}
        sound = sound_of(
            player.instrument, dataclasses.replace(spec, attributes=moves), mode=self._mode
        )
        sound = _with_attributes(sound, {**there, **spec.attributes})
        samples = recipe.render(player, sound, RATE)
        about = recipe.describe(player.instrument)
        made = recipe.Recipe(about, (sound,), recipe.Output(RATE, BITS))
        content = wav_of(made, sound, samples)
        path = self._takes.write(sound.label, content)
        heard = quantise(samples, BITS)
        length = sounding(heard) if heard.any() else 0
        return Take(path.as_posix(), sound.label, 1000.0 * length / RATE)


def _with_attributes(sound: recipe.Sound, values: Mapping[str, float]) -> recipe.Sound:
    """The sound, whose origin tells of all attributes that it has."""
    origin = {key: value for key, value in sound.origin.items() if key != "attributes"}
    if held := {name: value for name, value in values.items() if value}:
        origin["attributes"] = held
    return dataclasses.replace(sound, origin=origin)
