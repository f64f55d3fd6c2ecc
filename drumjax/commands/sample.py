"""`drumjax sample`: new drum sounds from two trained networks, as WAV files and a contact sheet."""

import argparse
from collections.abc import Sequence

import numpy as np

from drumjax.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(
        prog="drumjax sample",
        description="Make new drum sounds with a trained CWAE and MCNN. The same seed makes the "
        "same files, byte for byte.",
    )
    p.add_argument(
        "--cwae", required=True, metavar="DIR", help="work directory of the trained CWAE"
    )
    p.add_argument(
        "--mcnn", required=True, metavar="DIR", help="work directory of the trained MCNN"
    )
    p.add_argument("--category", default="all", metavar="NAME", help="a category, or all (default)")
    p.add_argument("--count", type=int, default=16, metavar="N", help="sounds a category (16)")
    p.add_argument(
        "--seed", type=int, default=1, metavar="S", help="another seed, other sounds (1)"
    )
    p.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    p.add_argument("--bits", type=int, choices=(16, 24), default=16, help="bits a sample (16)")
    p.add_argument(
        "--prior",
        choices=("fitted", "normal"),
        default="fitted",
        help="draw from the Gaussian of each category's training sounds (fitted), or from N(0, I)",
    )
    p.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="which one to load (best)"
    )
    return p


def chosen(category: str, known: Sequence[str]) -> list[str]:
    """The categories that a --category asks for.

    Raises:
      ConfigError: the networks know no such category.
    """
    if category == "all":
        return list(known)
    if category not in known:
        raise ConfigError(
            f"The networks know no category {category!r}; choose all or one of {', '.join(known)}."
        )
    return [category]


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    if args.count < 1 or args.seed < 0:
        raise ConfigError("--count must be at least 1 and --seed must not be negative.")
    from drumjax.audio.files import make_folder, write_audio
    from drumjax.evals.generation import draw_codes, render
    from drumjax.evals.load import load_pair
    from drumjax.evals.pictures import draw_contact_sheet, to_ceiling

    encoder, vocoder = load_pair(args.cwae, args.mcnn, args.checkpoint)
    known, mel = encoder.config.categories, encoder.config.mel
    sheet, silent = {}, 0
    names = chosen(args.category, known)
    output = make_folder(args.output)
    for name in names:
        index = known.index(name)
        z = draw_codes(encoder, index, args.count, args.seed, args.prior)
        sounds = render(encoder, vocoder, z, index)
        silent += int(np.sum(~sounds.any(axis=1)))
        sheet[name] = np.stack([to_ceiling(x) for x in sounds])
        for i, sound in enumerate(sheet[name], 1):
            path = output / f"drumjax_{name}_{i:02d}.wav"
            write_audio(path, sound, mel.sample_rate, args.bits)
        print(f"{name}: {args.count} sounds", flush=True)
    draw_contact_sheet(output / "contact_sheet.png", sheet, mel)
    print(f"{args.count * len(names)} sounds and contact_sheet.png are in {output}")
    if silent:
        print(f"{silent} of them are silent: the networks need more training.")
    return 0
