"""`drumjax kit`: a drum kit out of one seed, and new sounds for some of its pads."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError

if TYPE_CHECKING:
    from drumjax.play.instrument import Instrument
    from drumjax.play.recipe import Recipe, Sound
    from drumjax.play.runtime import Player

FORMATS = ("wav", "sfz", "hydrogen")
NAME = "drumjax_kit"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "kit",
        "Make a drum kit, one sound for each pad, and its recipe, kit.json. With a recipe, --seed "
        "makes new sounds for all pads but those of --lock, --reroll for those pads alone, and "
        "neither makes the same kit again, byte for byte. "
        + _flags.OVERWRITES
        + " A kit.json, .sfz "
        "or .h2drumkit of that name is replaced if drumjax made it, and else refused.",
        [
            "--instrument=studio.safetensors --seed=7 --output=out/kit",
            "--instrument=studio.safetensors --seed=8 --lock=kick,snare --recipe=out/kit/kit.json "
            "--output=out/kit8",
            "--instrument=studio.safetensors --reroll=snare_02 --output=out/kit",
            "--instrument=studio.safetensors --pads=kick,kick,snare,clap --format=wav,sfz "
            "--profile=daw --output=out/four",
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
    p.add_argument("--lock", metavar="PADS", help="pads, or categories, that keep their sounds")
    p.add_argument("--reroll", metavar="PADS", help="the only ones that get new sounds")
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
    args = parser().parse_args(argv)
    _check(args)
    folder = _files.check_folder(args.output)
    before = _before(args, folder)
    output = _flags.output_of(args, before.output if before else None)
    extra = _extra(args, before)
    for path in _indices(folder, extra["name"], extra["formats"]):
        _files.check_file(path)
    player = _files.open_player(args.instrument)
    from drumjax.play.recipe import Recipe, check_instrument, describe

    about = describe(player.instrument)
    if before:
        source = str(args.recipe or folder / "kit.json")
        before = check_instrument(before, player.instrument, source, args.any_instrument)
        about = before.instrument
    sounds = _sounds(args, player.instrument, before.sounds if before else ())
    recipe = Recipe(about, with_notes(sounds), output, extra)
    _write(player, recipe, folder)
    _tell(recipe, before.sounds if before else ())
    print(f"{len(sounds)} pads are in {_files.shown(folder)}; kit.json is their recipe")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together, before anything is read."""
    _flags.shape_of(args)
    if args.seed is not None:
        _flags.check_seed(args.seed)
    if args.lock and args.reroll:
        raise ConfigError("--lock and --reroll say the same from two sides; give one of them.")
    if args.pads and (args.recipe or args.lock or args.reroll):
        raise ConfigError("--pads is for a new kit; leave out --recipe, --lock and --reroll.")


def _before(args: argparse.Namespace, folder: Path) -> "Recipe | None":
    """The kit to start from, if there is to be one."""
    if args.recipe is None and not (args.lock or args.reroll):
        return None
    if args.recipe is None and not (folder / "kit.json").is_file():
        raise ConfigError(
            f"--lock and --reroll need a kit, and {folder} holds no kit.json; name one with "
            "--recipe."
        )
    return _files.load_recipe(args.recipe or folder / "kit.json")


def _extra(args: argparse.Namespace, before: "Recipe | None") -> dict:
    """What kit.json holds besides the sounds: the kit's name and formats."""
    from drumjax.export.kit import Pad, check_kit

    held = before.extra if before else {}
    formats = (
        [f.strip() for f in args.format.split(",")] if args.format else held.get("formats", ["wav"])
    )
    name = args.name or held.get("name", NAME)
    if not isinstance(name, str) or not isinstance(formats, list):
        raise ConfigError("The recipe's name or formats cannot be used; give --name and --format.")
    if unknown := [f for f in formats if f not in FORMATS]:
        raise ConfigError(f"There is no format {unknown[0]!r}; choose of {', '.join(FORMATS)}.")
    check_kit(name, [Pad("x", "x", 36, np.zeros(1), 22050)])
    return {"command": "kit", "name": name, "formats": sorted(set(formats), key=FORMATS.index)}


def _indices(folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """The files besides the WAV files."""
    suffixes = {"sfz": ".sfz", "hydrogen": ".h2drumkit"}
    return [folder / "kit.json", *(folder / f"{name}{suffixes[f]}" for f in formats if f != "wav")]


def _sounds(
    args: argparse.Namespace, instrument: "Instrument", before: Sequence["Sound"]
) -> tuple["Sound", ...]:
    """The kit's sounds: new ones, or those of `before` with some made anew."""
    from drumjax.play import kit

    if not before:
        known = instrument.categories
        pads = kit.read_pads(args.pads, known) if args.pads else kit.default_pads(known)
        seed = 1 if args.seed is None else args.seed
        return kit.make(instrument, pads, seed, shape=_flags.shape_of(args))
    named = kit.chosen(before, "lock" if args.lock else "reroll", args.lock or args.reroll)
    if args.reroll:
        anew = [s for s in before if s.name in named]
    elif args.lock or args.seed is not None:
        anew = [s for s in before if s.name not in named]
    else:
        anew = []
    seeds = {s.name: _next_seed(s) if args.seed is None else args.seed for s in anew}
    made = kit.reroll(instrument, before, seeds)
    return tuple(dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in made)


def _next_seed(sound: "Sound") -> int:
    seed = sound.origin.get("seed")
    return seed + 1 if type(seed) is int and seed >= 0 else 1


def with_notes(sounds: Sequence["Sound"]) -> tuple["Sound", ...]:
    """The sounds, each with a MIDI note of its own."""
    from drumjax.export.gm import assign_notes

    held = [sound.note for sound in sounds]
    if None not in held and len(set(held)) == len(held):
        return tuple(sounds)
    notes = assign_notes([sound.label for sound in sounds])
    return tuple(dataclasses.replace(s, note=n) for s, n in zip(sounds, notes, strict=True))


def _write(player: "Player", recipe: "Recipe", folder: Path) -> None:
    """Write kit.json and the kit in each format."""
    from drumjax.atomic import write_file
    from drumjax.audio.files import make_folder
    from drumjax.export.gm import choke_group
    from drumjax.export.hydrogen import write_hydrogen
    from drumjax.export.kit import Pad
    from drumjax.export.profiles import Profile
    from drumjax.export.sfz import write_sfz
    from drumjax.play.recipe import render

    output, name = recipe.output, recipe.extra["name"]
    profile = Profile("kit", output.sample_rate, output.bits, output.plain)
    make_folder(str(folder))
    pads = []
    for s in _files.progress(recipe.sounds, "pads"):
        samples = render(player, s, output.sample_rate)
        about = recipe.alone(s).to_dict()
        note = s.note or 0
        pads.append(
            Pad(s.name, s.label, note, samples, output.sample_rate, about, choke_group(s.label))
        )
        if "wav" in recipe.extra["formats"]:
            write_file(folder / s.file_name, _files.wav_of(recipe, s, samples))
    if "sfz" in recipe.extra["formats"]:
        write_sfz(folder, pads, name, profile)
    if "hydrogen" in recipe.extra["formats"]:
        write_hydrogen(folder / f"{name}.h2drumkit", pads, name, profile)
    write_file(folder / "kit.json", recipe.to_json().encode())


def _tell(recipe: "Recipe", before: Sequence["Sound"]) -> None:
    """Print a line for each pad: name, note, and where its sound is from."""
    held = {sound.name: sound.z.tobytes() for sound in before}
    for s in recipe.sounds:
        kept = held.get(s.name) == s.z.tobytes()
        seed = s.origin.get("seed", "?")
        print(f"  {s.name:<16} note {s.note:<4} seed {seed:<6}{' as it was' if kept else ''}")
