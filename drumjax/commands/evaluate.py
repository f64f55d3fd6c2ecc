"""`drumjax evaluate`: how good an instrument is, measured, and on a page to listen through."""

import argparse
import functools
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drumjax.commands import _files, _flags

if TYPE_CHECKING:
    from drumjax.evals.run import Options
    from drumjax.evals.subject import Subject
    from drumjax.play.runtime import Player

_SWEPT, _QUICKLY_SWEPT = (9, 7), (1, 7)  # sounds of each category, and amounts


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "evaluate",
        "Judge an instrument, or trained networks, on real sounds: how well known ones come "
        "back (through each network, through both, and beside Griffin-Lim), how new ones compare "
        "with real ones that training never heard, and how the codes lie. The classifiers that "
        "listen are trained here, on real training sounds alone. Prints the headline; --output "
        "gets report.json, report.md and report.html, a page to listen through. Needs the extra "
        "'train'; some 5 minutes for 230 sounds.",
        [
            "--data=~/my_kits --output=out/report",
            "--instrument=studio.safetensors --data=data/mine --output=out/report --quick",
            "--cwae=runs/cwae --mcnn=runs/mcnn --data=data/mine --output=out/report",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument(
        "--cwae", metavar="DIR", help="or the work directory of a trained CWAE or frame WAE"
    )
    p.add_argument("--mcnn", metavar="DIR", help="and that of a trained MCNN, if any")
    p.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="what `drumjax prepare` made; or a folder of one-shots, in folders named like "
        "categories, kits below these (kick/808/1.wav) or before two underscores (808__1.wav)",
    )
    p.add_argument("--output", metavar="DIR", help="where the report goes")
    p.add_argument(
        "--split",
        choices=("validation", "train"),
        default="validation",
        help="which sounds of a prepared data set are sent through the networks (validation); new "
        "ones are always compared with validation sounds",
    )
    p.add_argument(
        "--checkpoint",
        choices=("best", "latest"),
        default="best",
        help="which one of --cwae and --mcnn to load (best)",
    )
    p.add_argument("--count", type=int, metavar="N", help="new sounds of each category (64)")
    _flags.add_seed(p)
    p.add_argument(
        "--quick", action="store_true", help="less of everything: under a minute, rougher numbers"
    )
    p.add_argument("--no_rivals", action="store_true", help="leave out Griffin-Lim")
    p.add_argument("--no_generation", action="store_true", help="leave out new sounds")
    p.add_argument("--no_latent", action="store_true", help="leave out codes and attributes")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    p = parser()
    args = p.parse_args(_flags.underscored(argv))
    own, cwae, mcnn = (x is not None for x in (args.instrument, args.cwae, args.mcnn))
    if (own and cwae) or (mcnn and not cwae):
        p.error("give --instrument, or --cwae with or without --mcnn")
    _flags.check_seed(args.seed)
    if args.count is not None:
        _flags.check_count("count", args.count, 8, 2_000)
    folder = None if args.output is None else _files.check_folder(args.output)
    _need_training_packages()
    from drumjax.evals.material import load_material
    from drumjax.evals.report import summary, write_report
    from drumjax.evals.run import evaluate

    if args.cwae is None:
        player = _files.open_player(args.instrument)
    else:
        player = _files.open_networks(args.cwae, args.mcnn, args.checkpoint)
    paths = filter(None, (player.instrument.path, args.cwae, args.mcnn))
    name = " and ".join(_files.shown(Path(path).absolute().name) for path in paths)
    subject = subject_of(player, name)
    data = str(Path(args.data).expanduser())  # shells leave the ~ in --data=~/kits alone
    material = load_material(
        data, args.split, subject.categories, subject.mel, 0, _reading, subject.about["data"]
    )
    options = _options(args)
    sweeps = _sweeps(player, args) if options.latent else None
    results = evaluate(subject, material, options, sweeps)
    print(summary(results.numbers))
    for note in results.numbers["notes"]:
        print(f"Note: {note}")
    if folder is not None:
        files = write_report(folder, results)
        print(f"{', '.join(files)} are in {_files.shown(folder)}")
    return 0


def _need_training_packages() -> None:
    """Say that a package is missing before minutes are spent.

    Raises:
      ModuleNotFoundError: flax, optax, matplotlib or tqdm is not installed.
    """
    for name in ("flax", "optax", "matplotlib", "tqdm"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(name, name=name)


def _options(args: argparse.Namespace) -> "Options":
    from drumjax.evals.run import QUICK, Options

    options = (QUICK if args.quick else Options())._replace(
        seed=args.seed, generation=not args.no_generation, latent=not args.no_latent
    )
    if args.count is not None:
        options = options._replace(count=args.count)
    return options._replace(rivals=0) if args.no_rivals else options


def _reading(items: Iterable[Any], total: int) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, "reading", total, unit=" files", disable=None, leave=False)


def subject_of(player: "Player", name: str) -> "Subject":
    """What `drumjax.evals` judges of an instrument."""
    from drumjax.evals.subject import Subject
    from drumjax.play.controls import draw_codes
    from drumjax.play.gaussian import gaussian_of
    from drumjax.play.instrument import encoder_path
    from drumjax.play.refine import STEPS

    instrument = player.instrument
    beside = instrument.path is not None and encoder_path(instrument.path).is_file()
    encodes = beside or instrument.has_encoder

    def standardise(z: np.ndarray, category: np.ndarray) -> np.ndarray:
        rows = [gaussian_of(instrument, int(c)).whiten(x) for x, c in zip(z, category, strict=True)]
        return np.stack(rows).astype(np.float32)

    sizes = Counter[str]()
    for key, tensor in instrument.tensors.items():
        sizes[key.split("/")[0]] += int(tensor.size)
    return Subject(
        name=name,
        mel=instrument.mel,
        categories=instrument.categories,
        latents=instrument.latents,
        decode=player.decode,
        invert=player.invert,
        render=player.render,
        draw=lambda category, count, seed: draw_codes(instrument, category, count, seed),
        encode=player.encode if encodes else None,
        refine=functools.partial(player.encode, refine=STEPS) if encodes else None,
        standardise=standardise,
        about={
            "identity": instrument.identity,
            "tensors": dict(sizes),
            **_provenance(instrument.meta),
        },
    )


def _provenance(meta: Any) -> dict[str, Any]:
    """How long each network was trained and on what, under which licence; its number format."""
    found = meta.get("provenance", {})
    runs = {k: v for k, v in found.items() if isinstance(v, dict) and "steps" in v}
    return {
        "steps": {k: v["steps"] for k, v in runs.items()},
        "data": {k: v.get("data") or {} for k, v in runs.items()},
        "licence": found.get("licence"),
        "precision": meta.get("precision"),
    }


def _sweeps(player: "Player", args: argparse.Namespace) -> Callable[..., dict[str, Any]] | None:
    """Measures the attributes of an instrument that has some."""
    if not player.instrument.meta.get("controls", {}).get("attributes"):
        return None
    from drumjax.play.sweep import measure_sweeps

    count, points = _QUICKLY_SWEPT if args.quick else _SWEPT

    def measure(tick: Callable[[float], Any]) -> dict[str, Any]:
        report = {"progress": lambda _: tick(1.0)}
        return {**measure_sweeps(player, args.seed, count, points, **report), "points": points}

    return measure
