"""`drumjax sample`: new drum sounds from an instrument, or from trained networks."""

import argparse
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError

if TYPE_CHECKING:
    from drumjax.play.recipe import Category, Sound
    from drumjax.play.runtime import Player
    from drumjax.play.shape import Shape

SHEET = "drumjax_contact_sheet.png"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "sample",
        "Make new drum sounds. The same seed makes the same files, byte for byte, and a longer run "
        "begins with a shorter one's. Categories are made one after the other. Recipes made with "
        "--cwae and --mcnn belong to those networks: an instrument's file rounds their numbers, "
        "which makes it another instrument. " + _flags.OVERWRITES,
        [
            "--category=snare --output=out/snares",
            "--category=kick=0.7,snare=0.3 --count=4 --output=out/hybrids",
            "--set=brightness=+1.5,decay=-1 --profile=daw --output=out/bright",
            "--instrument=mine.safetensors --output=out/mine",
            "--cwae=runs/cwae --mcnn=runs/mcnn --category=all --count=4 --output=out/run",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument(
        "--cwae", metavar="DIR", help="or the work directory of a trained CWAE or frame WAE"
    )
    p.add_argument("--mcnn", metavar="DIR", help="and that of a trained MCNN, if any")
    p.add_argument(
        "--category",
        default="all",
        metavar="NAME",
        help="a category, the shares of a hybrid (kick=0.7,snare=0.3), or all (default)",
    )
    p.add_argument("--count", type=int, default=16, metavar="N", help="sounds a category (16)")
    _flags.add_seed(p)
    p.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    p.add_argument(
        "--prior",
        choices=("fitted", "normal"),
        default="fitted",
        help="draw from the Gaussian of each category's training sounds (fitted), or from N(0, I)",
    )
    p.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="below 1 nearer to the category's middle, above 1 stranger (1)",
    )
    p.add_argument(
        "--set",
        metavar="CONTROLS",
        help="move controls, in standard deviations: brightness=+1.5,a1=-0.5 "
        "('drumjax info' names them)",
    )
    p.add_argument("--no_sheet", action="store_true", help=f"draw no {SHEET}")
    p.add_argument(
        "--checkpoint",
        choices=("best", "latest"),
        default="best",
        help="which one of --cwae and --mcnn to load (best)",
    )
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    p = parser()
    args = _flags.parse(p, argv)
    own, cwae, mcnn = (x is not None for x in (args.instrument, args.cwae, args.mcnn))
    if (own and cwae) or (mcnn and not cwae):
        p.error("give --instrument, or --cwae with or without --mcnn")
    _flags.check_count("count", args.count, 1)
    _flags.check_seed(args.seed)
    if not 0.0 <= args.temperature <= 10.0:
        raise ConfigError(f"--temperature={args.temperature:g} cannot be used; choose 0 to 10.")
    shape, output = _flags.shape_of(args), _flags.output_of(args)
    folder = _files.check_folder(args.output)
    from drumjax.play.recipe import Recipe, describe

    if cwae:
        player = _files.open_networks(args.cwae, args.mcnn, args.checkpoint)
    else:
        player = _files.open_player(args.instrument)
    categories = _categories(args.category, player.categories)
    moves = _flags.parse_numbers("set", args.set) if args.set is not None else {}
    groups = [_sounds(player, args, category, moves, shape) for category in categories]
    about, silent = describe(player.instrument), 0
    for group in groups:
        started = time.monotonic()
        recipe = Recipe(about, group, output)
        silent += _files.write_sounds(player, recipe, folder)
        _files.keep_recipe(recipe, folder)
        seconds = time.monotonic() - started
        print(f"{group[0].label}: {_files.sounds(args.count)} in {seconds:.1f} s", flush=True)
    print(f"{_files.sounds(args.count * len(groups))} written to {_files.shown(folder)}")
    _files.tell_silent(silent, args.count * len(groups))
    if not args.no_sheet:
        _draw_sheet(player, groups, folder)
    return 0


def _categories(text: str, known: Sequence[str]) -> list["Category"]:
    """What a --category asks for."""
    return [_flags.parse_category(word, known) for word in (known if text == "all" else [text])]


def _sounds(
    player: "Player",
    args: argparse.Namespace,
    category: "Category",
    moves: dict[str, float],
    shape: "Shape",
) -> tuple["Sound", ...]:
    from drumjax.export.profiles import file_name, hybrid_word
    from drumjax.play.controls import move
    from drumjax.play.kit import draw
    from drumjax.play.recipe import Sound, weights_of

    word = category if isinstance(category, str) else hybrid_word(category)
    weights = weights_of(category, player.categories)
    codes = draw(
        player.instrument, category, args.count, args.seed, args.prior, args.temperature
    )  # [count, d]
    codes = move(player.instrument, codes, weights, moves) if moves else codes
    origin = {"command": "sample", "seed": args.seed, "prior": args.prior}
    origin |= {"temperature": args.temperature, "set": moves}
    return tuple(
        Sound(
            file_name(word, i).removeprefix("drumjax_").removesuffix(".wav"),
            category,
            z,
            shape,
            origin={**origin, "number": i},
        )
        for i, z in enumerate(codes, 1)
    )


def _draw_sheet(player: "Player", groups: Sequence[Sequence["Sound"]], folder: Path) -> None:
    """Draw the sounds, if matplotlib is installed; a line says so if not."""
    if importlib.util.find_spec("matplotlib") is None:
        print("no contact sheet is drawn, as matplotlib is not installed")
        return
    from drumjax.evals.pictures import draw_contact_sheet
    from drumjax.play.recipe import render

    mel, sheet = player.instrument.mel, {}
    n = mel.num_samples
    for group in groups:
        sounds = [render(player, sound, player.sample_rate)[:n] for sound in group[:8]]
        sheet[group[0].label] = np.stack([np.pad(x, (0, n - len(x))) for x in sounds])
    draw_contact_sheet(folder / SHEET, sheet, mel)
    print(f"{_files.shown(folder / SHEET)} shows them")
