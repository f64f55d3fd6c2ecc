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

AMOUNT = 0.15


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "humanise",
        "Play a MIDI drum part (General MIDI's drum keys, tempo and velocity) into one WAV file; "
        "each hit is a take of its own, a little different from the last. An output that is there "
        "is replaced if drumjax made it, and else refused. The loop holds its recipe (a plain one "
        "has it in a .json beside it), and as --kit is played as it was, but for the flags given.",
        [
            "--midi=groove.mid --output=loop.wav",
            "--midi=groove.mid --kit=out/kit/kit.json --amount=0.3 --profile=daw --output=loop.wav",
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
        metavar="A",
        help="how far the takes lie apart, as in vary: 0, all alike, to 1, anything that the "
        f"category makes (that of the loop in --kit, else {AMOUNT})",
    )
    p.add_argument(
        "--seed",
        type=int,
        metavar="S",
        help="another seed, other takes (that of the loop in --kit, else 1)",
    )
    p.add_argument("--output", required=True, metavar="FILE", help="NAME.wav")
    _flags.add_any_instrument(p)
    _flags.add_form(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = _flags.parse(parser(), argv)
    if args.amount is not None:
        _flags.check_amount(args.amount)
    if args.seed is not None:
        _flags.check_seed(args.seed)
    _flags.shape_of(args)
    if not args.output.lower().endswith(".wav"):
        raise ConfigError(f"--output={args.output} must end in .wav.")
    path = _files.check_file(args.output)
    from drumjax.audio.resample import convert
    from drumjax.play.humanise import perform
    from drumjax.play.midi import read_hits

    hits = read_hits(args.midi)
    kit = _files.load_recipe(args.kit) if args.kit is not None else None
    output = _flags.output_of(args, kit.output if kit else None)
    _files.check_wav(args.output, output.plain)
    player = _files.open_player(args.instrument)
    recipe = dataclasses.replace(_kit(player, args, kit), output=output)
    pads = pads_of(hits, recipe.sounds)
    started = time.monotonic()
    ticks = _files.progress([hit for hit in hits if hit.note in pads], "hits")
    take = _taker(player, recipe, hits, pads, ticks)
    mix = perform(hits, pads, take, player.sample_rate, _choke(recipe.sounds))
    next(ticks, None)  # its end, which takes the line away
    mix = convert(mix, player.sample_rate, output.sample_rate)
    _write(path, mix, recipe)
    _tell(hits, pads)
    seconds = len(mix) / output.sample_rate
    print(f"{_files.shown(path)}: {seconds:.1f} s of music in {time.monotonic() - started:.1f} s")
    return 0


def _kit(player: "Player", args: argparse.Namespace, kit: "Recipe | None") -> "Recipe":
    """The sounds that are played, with notes, and what the recipe tells of the part."""
    from drumjax.play.kit import default_pads, make
    from drumjax.play.recipe import Recipe, check_instrument, describe
    from drumjax.studio.kits import with_notes

    amount, seed = _takes(args, kit)
    if kit:
        kit = check_instrument(kit, player.instrument, args.kit, args.any_instrument)
        about, sounds = kit.instrument, kit.sounds
    else:
        about = describe(player.instrument)
        sounds = make(player.instrument, default_pads(player.categories), seed)
    shaped = [dataclasses.replace(s, shape=_flags.shape_of(args, s.shape)) for s in sounds]
    extra = {"command": "humanise", "midi": _files.shown(Path(args.midi).name)}
    extra |= {"amount": amount, "seed": seed}
    return Recipe(about, with_notes(shaped), extra=extra)


def _takes(args: argparse.Namespace, kit: "Recipe | None") -> tuple[float, int]:
    """Amount and seed of the takes: those given, else those of the loop in --kit, else our own."""
    held = kit.extra if kit and kit.extra.get("command") == "humanise" else {}
    amount, seed = args.amount, args.seed
    if amount is None:
        amount = held.get("amount")
        usable = isinstance(amount, int | float) and 0.0 <= amount <= 1.0
        amount = amount if usable else AMOUNT
    if seed is None:
        seed = held.get("seed")
        seed = seed if type(seed) is int and seed >= 0 else 1
    return amount, seed


def pads_of(hits: Sequence["Hit"], sounds: Sequence["Sound"]) -> dict[int, str]:
    """The pad that each key of a part plays: the one with that note, else of its category."""
    from drumjax.export.gm import category_of

    own = {sound.note: sound.name for sound in sounds}
    first = {sound.strongest: sound.name for sound in reversed(sounds)}
    pads = {}
    for note in {hit.note for hit in hits}:
        name = own.get(note) or first.get(category_of(note) or "")
        if name is not None:
            pads[note] = name
    return pads


def _taker(
    player: "Player",
    recipe: "Recipe",
    hits: Sequence["Hit"],
    pads: Mapping[int, str],
    ticks: Iterator["Hit"],
) -> Callable[[str, int], np.ndarray]:
    """The function that renders a hit's take, and counts it on `ticks`.

    The n-th hit of a pad is the n-th variation that `vary` makes of its sound.
    """
    from drumjax.play.controls import vary_codes
    from drumjax.play.recipe import render

    by_name, codes = {sound.name: sound for sound in recipe.sounds}, {}
    amount, seed = recipe.extra["amount"], recipe.extra["seed"]
    for name in set(pads.values()):
        sound, own = by_name[name], [i for i, hit in enumerate(hits) if pads.get(hit.note) == name]
        weights = sound.weights(player.categories)
        made = vary_codes(player.instrument, sound.z, weights, amount, len(own), seed)
        codes |= dict(zip(own, made, strict=True))

    def take(name: str, index: int) -> np.ndarray:
        next(ticks, None)
        sound = dataclasses.replace(by_name[name], z=codes[index])
        return render(player, sound, player.sample_rate)

    return take


def _choke(sounds: Sequence["Sound"]) -> Mapping[str, tuple[str, ...]]:
    """Pad → the pads that its hits silence."""
    from drumjax.categories import CHOKES

    return {
        sound.name: tuple(s.name for s in sounds if s.strongest in CHOKES.get(sound.strongest, ()))
        for sound in sounds
    }


def _write(path: Path, mix: np.ndarray, recipe: "Recipe") -> None:
    from drumjax.export.wav import wav_bytes

    output, title = recipe.output, Path(recipe.extra["midi"]).stem
    content = wav_bytes(
        mix,
        output.sample_rate,
        output.bits,
        title=title,
        recipe=recipe.to_dict(),
        plain=output.plain,
    )
    _files.write_wav_file(path, content, recipe)


def _tell(hits: Sequence["Hit"], pads: Mapping[int, str]) -> None:
    """Print how often each pad is hit, and which keys are left out."""
    from collections import Counter

    played = Counter(pads[hit.note] for hit in hits if hit.note in pads)
    print(", ".join(f"{name} {count}" for name, count in played.most_common()))
    left = Counter(hit.note for hit in hits if hit.note not in pads)
    if left:
        keys = ", ".join(map(str, sorted(left)))
        print(f"left out, as no category plays their keys ({keys}): {left.total()}")
