"""`drumjax kit`: a drum kit out of one seed, and new sounds for some of its pads."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError
from drumjax.export.profiles import FORMATS, SUFFIXES

if TYPE_CHECKING:
    from drumjax.play.instrument import Instrument
    from drumjax.play.recipe import Recipe, Sound
    from drumjax.play.runtime import Player

NAME = "drumjax_kit"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "kit",
        "Make a drum kit, one sound for each pad, and its recipe, kit.json. With a recipe, --seed "
        "makes new sounds for all pads but those of --lock, --reroll for those pads alone, and "
        "neither makes the same kit again, byte for byte. Flags of shape apply to all pads, also "
        "to those that --lock keeps. " + _flags.OVERWRITES + " A kit.json, .sfz "
        "or .h2drumkit of that name is replaced if drumjax made it, and else refused.",
        [
            "--seed=7 --output=out/kit",
            "--seed=8 --lock=kick,snare --recipe=out/kit/kit.json --output=out/kit8",
            "--reroll=snare_02 --output=out/kit",
            "--pads=kick,kick,snare,clap --format=wav,sfz --profile=daw --output=out/four",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument(
        "--seed",
        type=int,
        metavar="S",
        help="of the new sounds (1; of those that are made anew, the pad's own plus one)",
    )
    p.add_argument(
        "--recipe",
        metavar="FILE",
        help="the kit to start from (with --lock or --reroll: the kit.json in --output)",
    )
    some = p.add_mutually_exclusive_group()
    some.add_argument("--lock", metavar="PADS", help="pads, or categories, that keep their sounds")
    some.add_argument("--reroll", metavar="PADS", help="the only ones that get new sounds")
    p.add_argument(
        "--pads",
        metavar="TABLE",
        help="the categories of a new kit's pads, kick,kick,snare, or a TOML file whose [pads] has "
        'lines like boom = "kick" and ghost = {snare = 0.7, clap = 0.3} (16 pads)',
    )
    p.add_argument(
        "--format", metavar="LIST", help=f"of {', '.join(FORMATS)}; several with commas (wav)"
    )
    p.add_argument("--name", help=f"what samplers show ({NAME})")
    p.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    _flags.add_any_instrument(p)
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = _parse(argv)
    folder = _files.check_folder(args.output)
    before = _before(args, folder)
    output = _flags.output_of(args, before.output if before else None)
    extra = _extra(args, before)
    for path in _indices(folder, extra["name"], extra["formats"]):
        _files.check_file(path)
    player = _files.open_player(args.instrument)
    from drumjax.play.recipe import Recipe, check_instrument, describe
    from drumjax.studio.kits import with_notes

    about, own = describe(player.instrument), before
    if before:
        source = str(_source(args, folder))
        own = check_instrument(before, player.instrument, source, args.any_instrument)
        about = own.instrument
    sounds = _sounds(args, player.instrument, own.sounds if own else ())
    recipe = Recipe(about, with_notes(sounds), output, extra)
    silent = _write(player, recipe, folder)
    _tell(recipe, before)
    print(f"{len(sounds)} pads are in {_files.shown(folder)}; kit.json is their recipe")
    _files.tell_silent(silent, len(sounds))
    _tell_earlier(folder, extra["name"], extra["formats"])
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags, checked before anything is read."""
    p = parser()
    args = _flags.parse(p, argv)
    if args.pads is not None and any(x is not None for x in (args.recipe, args.lock, args.reroll)):
        p.error("--pads is for a new kit; leave out --recipe, --lock and --reroll")
    _flags.shape_of(args)
    if args.seed is not None:
        _flags.check_seed(args.seed)
    return args


def _source(args: argparse.Namespace, folder: Path) -> Path:
    """The recipe to start from."""
    return folder / "kit.json" if args.recipe is None else Path(args.recipe)


def _before(args: argparse.Namespace, folder: Path) -> "Recipe | None":
    """The kit to start from, if there is to be one."""
    if args.recipe is None and args.lock is None and args.reroll is None:
        return None
    source = _source(args, folder)
    if args.recipe is None and not source.is_file():
        raise ConfigError(
            f"--lock and --reroll need a kit, and {folder} holds no kit.json; name one with "
            "--recipe."
        )
    return _files.load_recipe(source)


def _extra(args: argparse.Namespace, before: "Recipe | None") -> dict:
    """What kit.json holds besides the sounds: the kit's name and formats."""
    from drumjax.export.kit import check_kit_name

    held = before.extra if before else {}
    formats, name = held.get("formats", ["wav"]), held.get("name", NAME)
    if args.format is not None:
        formats = [f.strip() for f in args.format.split(",")]
    name = name if args.name is None else args.name
    if not isinstance(name, str) or not isinstance(formats, list) or not formats:
        raise ConfigError("The recipe's name or formats cannot be used; give --name and --format.")
    if unknown := [f for f in formats if f not in FORMATS]:
        raise ConfigError(f"There is no format {unknown[0]!a}; choose of {', '.join(FORMATS)}.")
    check_kit_name(name)
    return {"command": "kit", "name": name, "formats": sorted(set(formats), key=FORMATS.index)}


def _indices(folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """The files besides the WAV files."""
    return [folder / "kit.json", *(folder / f"{name}{SUFFIXES[f]}" for f in formats if f != "wav")]


def _sounds(
    args: argparse.Namespace, instrument: "Instrument", before: Sequence["Sound"]
) -> tuple["Sound", ...]:
    """The kit's sounds: new ones, or those of `before` with some made anew."""
    from drumjax.play import kit

    if not before:
        known = instrument.categories
        pads = kit.default_pads(known)
        if args.pads is not None:
            pads = kit.read_pads(args.pads, known)
        seed = 1 if args.seed is None else args.seed
        return kit.make(instrument, pads, seed, shape=_flags.shape_of(args))
    if args.reroll is not None:
        named = kit.chosen(before, "reroll", args.reroll)
        anew = [s for s in before if s.name in named]
    elif args.lock is not None:
        named = kit.chosen(before, "lock", args.lock)
        anew = [s for s in before if s.name not in named]
    else:
        anew = [] if args.seed is None else before
    seeds = {s.name: _next_seed(s) if args.seed is None else args.seed for s in anew}
    made = kit.reroll(instrument, before, seeds)
    return tuple(dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in made)


def _next_seed(sound: "Sound") -> int:
    seed = sound.origin.get("seed")
    return seed + 1 if type(seed) is int and seed >= 0 else 1


def _write(player: "Player", recipe: "Recipe", folder: Path) -> int:
    """Make all pads, then write the kit; returns how many are silent.

    Where a pad cannot be made, the folder stays as it was.
    """
    from drumjax.studio.kits import pad_of, write_kit

    pads = [pad_of(recipe, sound, player) for sound in _files.progress(recipe.sounds, "pads")]
    write_kit(folder, recipe, pads)
    return sum(not pad.samples.any() for pad in pads)


def _tell(recipe: "Recipe", before: "Recipe | None") -> None:
    """Print a line for each pad: name, note, and where its sound is from."""
    held = {}
    if before and before.instrument.get("identity") == recipe.instrument["identity"]:
        held = {sound.name: sound for sound in before.sounds}
    for s in recipe.sounds:
        seed = s.origin.get("seed")
        seed = seed if type(seed) is int else "?"
        kept = " as it was" if _same(s, held.get(s.name)) else ""
        print(f"  {s.name:<16} note {s.note:<4} seed {seed:<6}{kept}")


def _same(a: "Sound", b: "Sound | None") -> bool:
    """Whether two sounds are heard alike on one instrument."""
    if b is None:
        return False
    return (a.z.tobytes(), a.category, a.shape) == (b.z.tobytes(), b.category, b.shape)


def _tell_earlier(folder: Path, name: str, formats: Sequence[str]) -> None:
    """Print which files of other formats an earlier kit of the name left: they still play that."""
    for form, suffix in SUFFIXES.items():
        path = folder / f"{name}{suffix}"
        if form not in formats and path.is_file():
            print(f"{_files.shown(path)} stays as it was; --format=wav,{form} makes it anew")
