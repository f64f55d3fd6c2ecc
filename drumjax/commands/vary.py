"""`drumjax vary`: variations of a sound of your own."""

import argparse
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drumjax.commands import _files, _flags
from drumjax.errors import DataError

if TYPE_CHECKING:
    from drumjax.play.recipe import Category
    from drumjax.play.runtime import Player


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "vary",
        "Make variations of a sound of your own: WAV, AIFF, FLAC, OGG or MP3, of which the first "
        "second counts. drumjax_NAME_00.wav is the sound itself as the instrument hears it. "
        + _flags.OVERWRITES,
        [
            "--input=my_snare.wav --output=out/snares",
            "--input=thud.wav --category=kick --amount=0.6 --count=32 --output=out/thuds",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--input", required=True, metavar="FILE", help="the sound to start from")
    p.add_argument(
        "--amount",
        type=float,
        default=0.3,
        metavar="A",
        help="from 0, the sound itself, to 1, anything that its category makes (0.3)",
    )
    p.add_argument("--count", type=int, default=16, metavar="N", help="how many (16)")
    p.add_argument(
        "--category",
        metavar="NAME",
        help="what to take it for, or the shares of a hybrid (kick=0.7,snare=0.3); by default what "
        "the file's or its folder's name says, else what comes nearest",
    )
    _flags.add_seed(p)
    p.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = _flags.parse(parser(), argv)
    _flags.check_amount(args.amount)
    _flags.check_count("count", args.count, 1)
    _flags.check_seed(args.seed)
    shape, output = _flags.shape_of(args), _flags.output_of(args)
    folder = _files.check_folder(args.output)
    player = _files.open_player(args.instrument)
    from drumjax.audio.names import file_word
    from drumjax.play.controls import vary_codes
    from drumjax.play.recipe import Recipe, Sound, describe, weights_of

    z, category = encode_file(player, args.input, args.category)
    weights = weights_of(category, player.categories)
    made = vary_codes(player.instrument, z, weights, args.amount, args.count, args.seed)
    name, codes = file_word(own_name(args.input), 40), np.concatenate([z[None], made])
    about = {"command": "vary", "input": _files.shown(Path(args.input).name), "seed": args.seed}
    sounds = tuple(
        Sound(
            f"{name}_{i:02d}",
            category,
            code,
            shape,
            origin={**about, "amount": args.amount if i else 0.0, "number": i},
        )
        for i, code in enumerate(codes)
    )
    recipe = Recipe(describe(player.instrument), sounds, output)
    silent = _files.write_sounds(player, recipe, folder)
    print(
        f"{len(sounds)} files in {_files.shown(folder)}: {sounds[0].file_name} is the sound as the "
        "instrument hears it, the rest are variations"
    )
    _files.tell_silent(silent, len(sounds))
    _files.keep_recipe(recipe, folder)
    return 0


def own_name(path: str) -> str:
    """A file's name without its suffix, and without the drumjax_ that a file of ours has."""
    return Path(path).stem.removeprefix("drumjax_")


def encode_file(player: "Player", path: str, asked: str | None) -> tuple[np.ndarray, "Category"]:
    """A user's sound as a code [d] and its category; says what was decided, and how.

    Args:
      player: of an instrument with an encoder.
      path: of the sound.
      asked: the --category, or None.

    Raises:
      DrumjaxError: the file, the category or the encoder cannot be used.
    """
    from drumjax.play.source_sound import encode_source, named_category, read_source

    category = None if asked is None else _flags.parse_category(asked, player.categories)
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder; give one sound file, such as a WAV in it.")
    source = read_source(path, player.sample_rate, player.samples)
    name = _files.shown(path)
    if source.cut:
        longest = player.samples / player.sample_rate
        print(f"{name} lasts {source.seconds:.2f} s; its first {longest:.2f} s are used")
    each = functools.partial(_files.progress, what="categories tried")
    found = encode_source(player, source.audio, category, named_category(path), each)
    print(
        f"{name} is taken for {_in_words(found.category)} ({found.how}); the instrument renders "
        f"it with a spectral error of {found.error:.2f} (0: the same; 1: as far off as silence)"
    )
    return found.z, found.category


def _in_words(category: "Category") -> str:
    if isinstance(category, str):
        return category
    return "a hybrid of " + " and ".join(f"{share:.0%} {c}" for c, share in category.items())
