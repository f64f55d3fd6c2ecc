"""`drumjax render`: the sounds of a recipe, made again."""

import argparse
import dataclasses
from collections.abc import Sequence

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "render",
        "Make the sounds of a recipe again, byte for byte: a kit.json, or any WAV that drumjax "
        "made, for it holds its own. Flags of shape and form that are given change the recipe's. "
        + _flags.OVERWRITES,
        [
            "--instrument=studio.safetensors --recipe=drumjax_snare_03.wav --output=out/again",
            "--instrument=studio.safetensors --recipe=kit.json --rate=48000 --bits=24 "
            "--output=out/hifi",
            "--instrument=studio.safetensors --recipe=drumjax_tom_01.wav --pitch=-5 "
            "--output=low_tom.wav",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument(
        "--recipe", required=True, metavar="FILE", help="kit.json, or a WAV with one inside"
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
    args = parser().parse_args(argv)
    _flags.shape_of(args)
    single = args.output.lower().endswith(".wav")
    path = _files.check_file(args.output) if single else _files.check_folder(args.output)
    recipe = _files.load_recipe(args.recipe)
    if recipe.extra.get("command") == "humanise":
        raise ConfigError(
            f"{args.recipe} is a drum part; play it again with 'drumjax humanise "
            f"--midi={recipe.extra.get('midi')} --kit={args.recipe} "
            f"--amount={recipe.extra.get('amount')} --seed={recipe.extra.get('seed')}'."
        )
    sounds = [dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in recipe.sounds]
    output = _flags.output_of(args, recipe.output)
    recipe = dataclasses.replace(recipe, sounds=tuple(sounds), output=output)
    if single and len(sounds) > 1:
        raise ConfigError(f"{args.recipe} holds {len(sounds)} sounds; give a folder as --output.")
    player = _files.open_player(args.instrument)
    from drumjax.play.recipe import check_instrument

    recipe = check_instrument(recipe, player.instrument, args.recipe, args.any_instrument)
    if single:
        _files.write_sound(player, recipe, recipe.sounds[0], path)
        print(f"{recipe.sounds[0].name}: written to {_files.shown(path)}")
        return 0
    _files.write_sounds(player, recipe, path)
    print(f"{', '.join(s.name for s in sounds)}: written to {_files.shown(path)}")
    _files.keep_recipe(recipe, path)
    return 0
