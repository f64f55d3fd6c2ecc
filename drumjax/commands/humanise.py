"""`drumjax humanise`: a MIDI drum part, each hit of which is a little different."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError

if TYPE_CHECKING:
    from drumjax.play.midi import Hit
    from drumjax.play.recipe import Recipe, Sound
    from drumjax.play.runtime import Player


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "humanise",
        "Play a MIDI drum part (General MIDI's drum keys, tempo and velocity) into one WAV file; "
        "each hit is a take of its own, a little different from the last. An output that is there "
        "is replaced if drumjax made it, and else refused.",
        [
            "--instrument=studio.safetensors --midi=groove.mid --output=loop.wav",
            "--instrument=studio.safetensors --midi=groove.mid --kit=out/kit/kit.json --amount=0.3 "
            "--profile=daw --output=loop.wav",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--midi", required=True, metavar="FILE", help="the drum part")
    p.add_argument(
        "--kit", metavar="FILE", help="a kit.json, or an earlier loop (else the kit of --seed)"
    )
    p.add_argument(
        "--amount",
        type=float,
        default=0.15,
        metavar="A",
        help="how far the takes lie apart: 0, all alike, to 1, anything (0.15)",
    )
    _flags.add_seed(p)
    p.add_argument("--output", required=True, metavar="FILE", help="NAME.wav")
    _flags.add_any_instrument(p)
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    _flags.check_amount(args.amount)
    _flags.check_seed(args.seed)
    _flags.shape_of(args)
    if not args.output.lower().endswith(".wav"):
        raise ConfigError(f"--output={args.output} must end in .wav.")
    path = _files.check_file(args.output)
    from drumjax.play.humanise import perform
    from drumjax.play.midi import read_hits
    from drumjax.play.shape import convert

    hits = read_hits(args.midi)
    kit = _files.load_recipe(args.kit) if args.kit else None
    output = _flags.output_of(args, kit.output if kit else None)
    player = _files.open_player(args.instrument)
    recipe = dataclasses.replace(_kit(player, args, kit), output=output)
    pads = pads_of(hits, recipe.sounds)
    started = time.monotonic()
    ticks = _files.progress([hit for hit in hits if hit.note in pads], "hits")
    take = _taker(player, recipe.sounds, args, ticks)
    mix = perform(hits, pads, take, player.sample_rate, _choke(recipe.sounds))
    next(ticks, None)  # its end, which takes the line away
    if output.sample_rate != player.sample_rate:
        mix = convert(mix, player.sample_rate, output.sample_rate)
    _write(path, mix, recipe)
    _tell(hits, pads)
    seconds = len(mix) / output.sample_rate
    print(f"{_files.shown(path)}: {seconds:.1f} s of music in {time.monotonic() - started:.1f} s")
    return 0


def _kit(player: "Player", args: argparse.Namespace, kit: "Recipe | None") -> "Recipe":
    """The sounds that are played, with notes, and what the recipe tells of the part."""
    from drumjax.commands.kit import with_notes
    from drumjax.play.kit import default_pads, make
    from drumjax.play.recipe import Recipe, check_instrument, describe

    if kit:
        kit = check_instrument(kit, player.instrument, args.kit, args.any_instrument)
        about, sounds = kit.instrument, kit.sounds
    else:
        about = describe(player.instrument)
        sounds = make(player.instrument, default_pads(player.categories), args.seed)
    shaped = [dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in sounds]
    extra = {"command": "humanise", "midi": _files.shown(Path(args.midi).name)}
    extra |= {"amount": args.amount, "seed": args.seed}
    return Recipe(about, with_notes(shaped), extra=extra)


def pads_of(hits: Sequence["Hit"], sounds: Sequence["Sound"]) -> dict[int, str]:
    """The pad that each key of a part plays: the one with that note, else of its category."""
    from drumjax.export.gm import category_of

    own = {sound.note: sound.name for sound in sounds}
    first = {sound.label: sound.name for sound in reversed(sounds)}
    pads = {}
    for note in {hit.note for hit in hits}:
        name = own.get(note) or first.get(category_of(note) or "")
        if name is not None:
            pads[note] = name
    return pads


def _taker(
    player: "Player", sounds: Sequence["Sound"], args: argparse.Namespace, ticks: Iterator["Hit"]
) -> Callable[[str, int, int], np.ndarray]:
    """The function that renders a hit's take, and counts it on `ticks`."""
    from drumjax.play.humanise import jitter
    from drumjax.play.recipe import render

    by_name = {sound.name: sound for sound in sounds}
    covariance = player.instrument.tensors["latents/covariance"]  # [k, d, d]
    variances = np.diagonal(covariance, axis1=1, axis2=2)  # [k, d]

    def take(name: str, index: int, velocity: int) -> np.ndarray:
        next(ticks, None)
        sound = by_name[name]
        spread = np.sqrt(sound.weights(player.categories) @ variances)
        z = jitter(sound.z, spread, args.amount, args.seed, index)
        return render(player, dataclasses.replace(sound, z=z), player.sample_rate)

    return take


def _choke(sounds: Sequence["Sound"]) -> Mapping[str, tuple[str, ...]]:
    """Pad → the pads that its hits silence."""
    from drumjax.play.humanise import CHOKE

    return {
        sound.name: tuple(s.name for s in sounds if s.label in CHOKE.get(sound.label, ()))
        for sound in sounds
    }


def _write(path: Path, mix: np.ndarray, recipe: "Recipe") -> None:
    from drumjax.audio.files import make_folder
    from drumjax.export.wav import write_wav

    make_folder(str(path.parent))
    output, document = recipe.output, recipe.to_dict()
    rate, bits = output.sample_rate, output.bits
    write_wav(
        path,
        mix,
        rate,
        bits,
        title=Path(recipe.extra["midi"]).stem,
        recipe=document,
        plain=output.plain,
    )


def _tell(hits: Sequence["Hit"], pads: Mapping[int, str]) -> None:
    """Print how often each pad is hit, and which keys are left out."""
    from collections import Counter

    played = Counter(pads[hit.note] for hit in hits if hit.note in pads)
    print(", ".join(f"{name} {count}" for name, count in played.most_common()))
    left = Counter(hit.note for hit in hits if hit.note not in pads)
    if left:
        keys = ", ".join(map(str, sorted(left)))
        print(f"left out, as no category plays their keys ({keys}): {left.total()}")
