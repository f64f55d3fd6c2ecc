"""The flags that the commands that make sounds share, and what they mean."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from drumjax.errors import ConfigError
from drumjax.studio.ports import OSC_PORT

if TYPE_CHECKING:
    from drumjax.play.recipe import Category, Output
    from drumjax.play.shape import Shape

OVERWRITES = (
    "Files that earlier runs left in the folder (drumjax_*) are replaced where names are the same, "
    "once all new ones are made; all others stay as they are."
)

_SHAPE = {  # flag: (unit, what it does)
    "pitch": ("SEMITONES", "play it faster or slower, -24 to 24; its length follows"),
    "decay": ("FACTOR", "how long it takes to die away, 0.05 to 4 times"),
    "gain": ("DB", "louder or quieter, -60 to 24; never beyond -0.1 dBFS"),
    "fade": ("SECONDS", "fade its end out"),
    "trim_start": ("SECONDS", "cut off its start"),
    "trim_end": ("SECONDS", "cut off its end"),
    "length": ("SECONDS", "keep so much from its start on, 0 to 60; 0 keeps all of it (0)"),
}


def new_parser(name: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """A command's parser: a description, and examples that stand as they are written."""
    return argparse.ArgumentParser(
        prog=f"drumjax {name}",
        description=description,
        epilog="\n".join(["examples:", *(f"  drumjax {name} {x}".rstrip() for x in examples)]),
        formatter_class=_Formatter,
    )


class _Formatter(argparse.HelpFormatter):
    """Fills the description as usual, and leaves the examples alone."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)


def underscored(argv: Sequence[str]) -> list[str]:
    """The words of a command line, each --two-words written as --two_words."""
    return [re.sub(r"^--[^=]+", lambda x: "--" + x[0][2:].replace("-", "_"), w) for w in argv]


def parse(p: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The flags; --two-words are taken for --two_words. Those that contradict end with status 2."""
    args = p.parse_args(underscored(argv))
    if args.profile is not None and (args.rate is not None or args.bits is not None):
        p.error("--profile sets the rate and the bits; leave out --rate and --bits")
    return args


def add_instrument(p: argparse.ArgumentParser) -> None:
    """--instrument; `_files.open_player` and `_files.instrument_path` say what None means."""
    p.add_argument(
        "--instrument",
        metavar="FILE",
        help="what plays, NAME.safetensors (the factory instrument, which comes with drumjax)",
    )


def add_any_instrument(p: argparse.ArgumentParser) -> None:
    """--any_instrument."""
    p.add_argument(
        "--any_instrument",
        action="store_true",
        help="play the recipe even if it belongs to another instrument: other sounds, then",
    )


def add_seed(p: argparse.ArgumentParser) -> None:
    """--seed."""
    p.add_argument(
        "--seed", type=int, default=1, metavar="S", help="another seed, other sounds (1)"
    )


def add_client_port(p: argparse.ArgumentParser) -> None:
    """--osc_port, of a server that a client is written for; see `check_client_port`."""
    p.add_argument(
        "--osc_port",
        type=int,
        default=OSC_PORT,
        metavar="PORT",
        help=f"where `drumjax serve` takes OSC ({OSC_PORT})",
    )


def add_form(p: argparse.ArgumentParser) -> None:
    """The flags that shape a sound after it is made, and those of the files' form."""
    shape = p.add_argument_group("shape, after a sound is made")
    for name, (unit, what) in _SHAPE.items():
        shape.add_argument(f"--{name}", type=float, metavar=unit, help=what)
    shape.add_argument("--reverse", action="store_true", default=None, help="play it backwards")
    files = p.add_argument_group("form of the files")
    files.add_argument(
        "--profile", metavar="NAME", help="rate and bits for daw, elektron, mpc or polyend"
    )
    files.add_argument("--rate", type=int, metavar="HZ", help="22050 (default), 44100 or 48000")
    files.add_argument(
        "--bits", type=int, metavar="N", help="16 (default), 24, or 32 for floating point"
    )


def shape_of(args: argparse.Namespace, base: "Shape | None" = None) -> "Shape":
    """The shape that the flags ask for; those not given keep what `base` has.

    Raises:
      ConfigError: a value out of range.
    """
    from drumjax.play.shape import Shape

    flags = {name: getattr(args, name) for name in (*_SHAPE, "reverse")}
    given = {name: value for name, value in flags.items() if value is not None}
    return dataclasses.replace(base or Shape(), **given)


def output_of(args: argparse.Namespace, base: "Output | None" = None) -> "Output":
    """The form of the files that the flags ask for; those not given keep what `base` has.

    Raises:
      ConfigError: a rate, number of bits or profile that is not known.
    """
    from drumjax.export.profiles import find_profile
    from drumjax.play.recipe import Output

    if args.profile is not None:
        profile = find_profile(args.profile)
        return Output(profile.sample_rate, profile.bits, profile.plain)
    given = {"sample_rate": args.rate, "bits": args.bits}
    given = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(base or Output(), **given)


def check_seed(seed: int) -> None:
    """Refuse a negative seed.

    Raises:
      ConfigError: it is one.
    """
    if seed < 0:
        raise ConfigError(f"--seed={seed} cannot be used; choose 0 or more.")


def check_client_port(port: int) -> None:
    """Refuse what is no port of a server.

    Raises:
      ConfigError: it is none.
    """
    if not 1 <= port <= 65535:
        raise ConfigError(f"--osc_port={port} is no port; choose 1 to 65535.")


def check_count(flag: str, value: int, least: int, most: int = 10_000) -> None:
    """Refuse a number of sounds out of range.

    Raises:
      ConfigError: it is one.
    """
    if not least <= value <= most:
        raise ConfigError(f"--{flag}={value} cannot be used; choose {least} to {most:,}.")


def check_amount(amount: float) -> None:
    """Refuse an amount outside 0 to 1, NaN included.

    Raises:
      ConfigError: it is one.
    """
    if not 0.0 <= amount <= 1.0:
        raise ConfigError(f"--amount={amount:g} cannot be used; choose 0 to 1.")


def parse_category(text: str, known: Sequence[str]) -> "Category":
    """A category, or the weights of a hybrid: "snare" or "kick=0.7,snare=0.3".

    Raises:
      ConfigError: an unknown category, or shares that are not positive.
    """
    if "=" not in text:
        _check_known(text, known)
        return text
    shares = parse_numbers("category", text, 1e6)
    for name, share in shares.items():
        _check_known(name, known)
        if share <= 0.0:
            raise ConfigError(f"--category gives {name} a share of {share:g}; choose more than 0.")
    from drumjax.play.recipe import mixture

    return mixture(shares)


def parse_numbers(flag: str, text: str, most: float = 100.0) -> dict[str, float]:
    """ "a=1,b=-0.5" as a dict.

    Raises:
      ConfigError: it is not of that form, names one thing twice, or a number lies beyond ±most.
    """
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (word.strip() for word in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = np.nan
        if not (name and sign and np.isfinite(number)) or name in numbers:
            raise ConfigError(f"--{flag}={text} cannot be read; write it like name=1.5,other=-0.5.")
        if abs(number) > most:
            raise ConfigError(f"--{flag} gives {name} {number:g}; choose -{most:g} to {most:g}.")
        numbers[name] = number
    return numbers


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        listed = ", ".join(known)
        raise ConfigError(f"The instrument knows no category {name!r}; choose one of {listed}.")
