"""`drumjax render`: the sounds of a recipe, made again."""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError

if TYPE_CHECKING:
    from drumjax.play.recipe import Recipe
    from drumjax.play.runtime import Player


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "render",
        "Make the sounds of a recipe again, byte for byte: of a kit.json, or of a WAV that drumjax "
        "made, which holds its own (a plain one has it in a .json beside it). A loop holds the "
        "recipe of its drum part, which 'drumjax humanise' plays again. A recipe belongs to the "
        "instrument that it was made with. Flags of shape apply to all sounds; they and those of "
        "form change what the recipe says. " + _flags.OVERWRITES,
        [
            "--recipe=drumjax_snare_03.wav --output=out/again",
            "--recipe=kit.json --rate=48000 --bits=24 --output=out/hifi",
            "--recipe=drumjax_tom_01.wav --pitch=-5 --output=low_tom.wav",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument(
        "--recipe", required=True, metavar="FILE", help="a recipe, or a WAV with one inside"
    )
    p.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="a folder, or NAME.wav for a single sound (a file that drumjax did not make is kept)",
    )
    _flags.add_any_instrument(p)
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = _flags.parse(parser(), argv)
    _flags.shape_of(args)
    single = args.output.lower().endswith(".wav")
    path = _files.check_file(args.output) if single else _files.check_folder(args.output)
    recipe = _files.load_recipe(args.recipe)
    if recipe.extra.get("command") == "humanise":
        raise ConfigError(
            f"{_words(args.recipe)} is a drum part; play it again with '{_again(recipe, args)}'."
        )
    sounds = [dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in recipe.sounds]
    output = _flags.output_of(args, recipe.output)
    recipe = dataclasses.replace(recipe, sounds=tuple(sounds), output=output)
    if single and len(sounds) > 1:
        raise ConfigError(f"{args.recipe} holds {len(sounds)} sounds; give a folder as --output.")
    if single:
        _files.check_wav(args.output, output.plain)
    player = _files.open_player(args.instrument)
    from drumjax.play.recipe import check_instrument

    recipe = check_instrument(recipe, player.instrument, args.recipe, args.any_instrument)
    if single:
        return _write_one(player, recipe, path)
    silent = _files.write_sounds(player, recipe, path)
    print(f"{', '.join(s.name for s in sounds)}: written to {_files.shown(path)}")
    _files.tell_silent(silent, len(sounds))
    _files.keep_recipe(recipe, path)
    return 0


def _write_one(player: "Player", recipe: "Recipe", path: Path) -> int:
    from drumjax.play.recipe import render
    from drumjax.studio.kits import wav_of

    [sound] = recipe.sounds
    samples = render(player, sound, recipe.output.sample_rate)
    content = wav_of(recipe, sound, samples)
    _files.write_wav_file(path, content, recipe.alone(sound))
    print(f"{sound.name}: written to {_files.shown(path)}")
    _files.tell_silent(int(not samples.any()), 1)
    return 0


def _again(recipe: "Recipe", args: argparse.Namespace) -> str:
    """The command that plays a drum part again; its amount and seed are in the recipe."""
    midi = recipe.extra.get("midi")
    part = f"--midi={midi if isinstance(midi, str) else 'FILE'}"
    return _words(" ".join(map(shlex.quote, ("drumjax", "humanise", part, f"--kit={args.recipe}"))))


def _words(text: str) -> str:
    """A stranger's words, without what would rule a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
