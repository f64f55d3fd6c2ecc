"""`drumjax morph`: the sounds on the way from one sound of your own to another."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drumjax.commands import _files, _flags
from drumjax.commands.vary import encode_file

if TYPE_CHECKING:
    from drumjax.play.recipe import Category


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "morph",
        "Make the sounds on the way from one sound of your own to another, both ends included, as "
        "the instrument hears them. Between a kick and a snare lie hybrids of both. "
        + _flags.OVERWRITES,
        [
            "--from=kick.wav --to=tom.wav --output=out/morph",
            "--from=a.wav --to=b.wav --from_category=clap --to_category=snare --steps=16 "
            "--curve=spherical --output=out/morph",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--from", required=True, metavar="FILE", dest="start", help="the first sound")
    p.add_argument("--to", required=True, metavar="FILE", dest="end", help="the last sound")
    p.add_argument("--steps", type=int, default=8, metavar="N", help="how many, with both ends (8)")
    p.add_argument(
        "--curve",
        choices=("linear", "spherical"),
        default="linear",
        help="straight through the space of sounds (linear), or along its sphere",
    )
    for end, what in (("from", "first"), ("to", "last")):
        p.add_argument(
            f"--{end}_category",
            metavar="NAME",
            help=f"what to take the {what} sound for (by its name, else what comes nearest)",
        )
    p.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = _flags.parse(parser(), argv)
    _flags.check_count("steps", args.steps, 2)
    shape, output = _flags.shape_of(args), _flags.output_of(args)
    folder = _files.check_folder(args.output)
    player = _files.open_player(args.instrument)
    from drumjax.play.controls import between
    from drumjax.play.recipe import Recipe, Sound, describe

    a, first = encode_file(player, args.start, args.from_category)
    b, last = encode_file(player, args.end, args.to_category)
    codes = between(a, b, args.steps, args.curve)  # [steps, d]
    about = {"command": "morph", "from": _files.shown(Path(args.start).name)}
    about |= {"to": _files.shown(Path(args.end).name), "curve": args.curve, "steps": args.steps}
    sounds = tuple(
        Sound(
            f"morph_{i + 1:02d}",
            mixed(first, last, i / (args.steps - 1)),
            z,
            shape,
            origin={**about, "number": i + 1},
        )
        for i, z in enumerate(codes)
    )
    recipe = Recipe(describe(player.instrument), sounds, output)
    silent = _files.write_sounds(player, recipe, folder)
    ends = f"{sounds[0].file_name} to {sounds[-1].file_name}"
    print(f"{args.steps} sounds, {ends}, are in {_files.shown(folder)}")
    _files.tell_silent(silent, len(sounds))
    _files.keep_recipe(recipe, folder)
    return 0


def mixed(first: "Category", last: "Category", share: float) -> "Category":
    """A category, or a hybrid's weights, at a share between 0 (`first`) and 1 (`last`)."""
    from drumjax.play.recipe import mixture

    ends = [{c: 1.0} if isinstance(c, str) else c for c in (first, last)]
    names = dict.fromkeys(name for end in ends for name in end)
    weights = {
        name: (1 - share) * ends[0].get(name, 0.0) + share * ends[1].get(name, 0.0)
        for name in names
    }
    return mixture(weights)
