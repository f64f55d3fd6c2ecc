"""`drumjax export-instrument`: what was trained becomes one file that any laptop plays."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "export-instrument",
        "Gather a trained CWAE or frame WAE, and an MCNN, into one instrument file, with the "
        "controls that are measured on the sounds it makes. Without an MCNN, sound is made from "
        "the spectrograms' phase gradient. The encoder, which vary, morph and learn-control need, "
        "goes to NAME.encoder.safetensors beside it.",
        [
            "--cwae=runs/cwae --mcnn=runs/mcnn --output=studio.safetensors "
            '--licence="CC0 1.0" --credits="recorded by A. Drummer"'
        ],
    )
    p.add_argument(
        "--cwae",
        required=True,
        metavar="DIR",
        help="work directory of the trained CWAE or frame WAE",
    )
    p.add_argument("--mcnn", metavar="DIR", help="work directory of the trained MCNN, if any")
    p.add_argument("--output", required=True, metavar="FILE", help="NAME.safetensors")
    p.add_argument("--name", help="what musicians call it (the file's name)")
    p.add_argument(
        "--licence", default="not stated", help="licence of the sounds it was trained on"
    )
    p.add_argument("--credits", default="", help="who made those sounds, and where they are from")
    p.add_argument(
        "--precision",
        choices=("float16", "float32"),
        default="float16",
        help="of the weights in the file: half the size (default), or every bit",
    )
    p.add_argument("--no_encoder", action="store_true", help="write the player's file alone")
    p.add_argument(
        "--no_controls", action="store_true", help="leave out the axes and attribute controls"
    )
    p.add_argument(
        "--control_sounds",
        type=int,
        default=1000,
        metavar="N",
        help="sounds of each category that the controls are fitted on (1000)",
    )
    p.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the sounds the controls are fitted on"
    )
    p.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="which one to load (best)"
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    _flags.check_seed(args.seed)
    _flags.check_count("control_sounds", args.control_sounds, 50)
    output = _files.check_instrument(Path(args.output))
    name = args.name or output.stem
    if not (name.isprintable() and len(name) <= 200):
        raise ConfigError("--name must be at most 200 characters that can be printed.")
    from drumjax.play.instrument import save_instrument

    words = {"licence": args.licence, "credits": args.credits}
    instrument = _files.build(args.cwae, args.mcnn, args.checkpoint, name, words)
    if not args.no_controls:
        from drumjax.play.attributes import fit_controls
        from drumjax.play.cache import use_cache
        from drumjax.play.runtime import Player

        use_cache()
        instrument = fit_controls(Player(instrument), args.seed, args.control_sounds)
    for path in save_instrument(instrument, output, args.precision, not args.no_encoder):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0
