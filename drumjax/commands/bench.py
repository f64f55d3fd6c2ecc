"""`drumjax bench`: how fast this machine trains, plays, and serves."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drumjax.atomic import write_file
from drumjax.commands._flags import underscored
from drumjax.errors import ConfigError, DataError

RIVALS = ("linen", "torch", "torch-compile", "onnx", "griffin-lim")  # of `bench --play`


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(
        prog="drumjax bench",
        description="Time this machine. --train: a training step of both networks on noise, its "
        "sounds per second, its share of the measured peak, and the time of its input. --play: the "
        "player, from a code to the bytes of a WAV file, against other ways to run the same "
        "networks, which take turns so that a busy machine slows all alike. --studio: "
        "`drumjax serve`, from a message to the file that answers it, also in a drag and in a "
        "flood of messages.",
    )
    kind = p.add_mutually_exclusive_group()
    kind.add_argument("--train", action="store_true", help="the training steps (the default)")
    kind.add_argument("--play", action="store_true", help="the player and its rivals")
    kind.add_argument("--studio", action="store_true", help="the server")
    p.add_argument(
        "--runs", type=int, help="timed runs of each (7; with --play 200, with --studio 10,000)"
    )
    p.add_argument("--json", metavar="FILE", help="also write the figures there")
    train = p.add_argument_group("with --train")
    train.add_argument("--variant", default="small", help="variant of configs/*.py (small)")
    train.add_argument("--configs", metavar="DIR", help="where the configs are (drumjax's own)")
    train.add_argument("--model", choices=("cwae", "mcnn", "frame_wae", "both"), default="both")
    train.add_argument("--batch", type=int, default=0, help="override data.per_category")
    train.add_argument("--dtype", choices=("float32", "bfloat16"), help="override compute_dtype")
    train.add_argument(
        "--scaling",
        action="store_true",
        help="instead, one model's step on 1 to 8 devices and in 1 to 4 processes: this machine's "
        "GPUs, or fake devices that share its cores, which show what sharing a batch costs",
    )
    play = p.add_argument_group("with --play, and --instrument with --studio, too")
    play.add_argument(
        "--instrument",
        metavar="FILE",
        help="whose networks run; otherwise untrained ones of the paper's size",
    )
    play.add_argument(
        "--rivals",
        default=",".join(RIVALS),
        metavar="LIST",
        help=f"whom to race, with commas between ({','.join(RIVALS)}), or none",
    )
    play.add_argument(
        "--no_start", action="store_true", help="leave out the time from process start to a file"
    )
    return p


def load_config(folder: str | None, model: str, variant: str) -> Any:
    """Run configs/MODEL.py and return its config for a variant."""
    import runpy

    from drumjax.training.config_files import config_folder

    path = (config_folder() if folder is None else Path(folder)) / f"{model}.py"
    if not path.is_file():
        raise ConfigError(f"{path} is not there; give the folder of the configs as --configs.")
    return runpy.run_path(str(path))["get_config"](variant)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(underscored(argv))
    if args.runs is not None and args.runs < 1:
        raise ConfigError("--runs must be at least 1.")
    _check_writable(args.json)
    if args.scaling and (args.play or args.studio):
        raise ConfigError("--scaling goes with --train alone; leave out --play and --studio.")
    train = _scaling if args.scaling else _train
    kind = _play if args.play else _studio if args.studio else train
    figures = kind(args)
    if args.json:
        write_file(args.json, (json.dumps(figures, indent=2) + "\n").encode())
    return 0


def _check_writable(file: str | None) -> None:
    """Refuse a --json that cannot be written before the time is spent."""
    if file and (not Path(file).absolute().parent.is_dir() or Path(file).is_dir()):
        raise DataError(f"{file} cannot be written; choose another --json.")


def _config(args: argparse.Namespace, model: str, batch: int = 0) -> dict[str, Any]:
    """A model's config with what the flags change of it; `batch` if they say nothing of that."""
    config = load_config(args.configs, model, args.variant)
    if args.batch or batch:
        config.data.per_category = args.batch or batch
    if args.dtype:
        config[model].compute_dtype = args.dtype
    return config.to_dict()


def _train(args: argparse.Namespace) -> dict[str, Any]:
    """Time the training steps on all local devices, print the table and return it."""
    from drumjax.benchmarks import machine, training

    about, rows = machine.describe(), []
    for model in ("cwae", "mcnn") if args.model == "both" else (args.model,):
        config = _config(args, model)
        _say(f"timing {model}:{args.variant}")
        row = training.time_training(config, "auto", args.runs or 7)
        rows.append({"model": model, "variant": args.variant, **row})
    print(training.show(rows))
    return {"machine": about, "rows": rows}


def _scaling(args: argparse.Namespace) -> dict[str, Any]:
    """Time a training step on several devices and in processes, print the table and return it."""
    from drumjax.benchmarks import machine, scaling

    model = "cwae" if args.model == "both" else args.model
    config = _config(args, model, 8)
    if config["data"]["per_category"] % max(scaling.DEVICES) or not config["data"]["balanced"]:
        raise ConfigError(
            f"--scaling needs a balanced --batch that {max(scaling.DEVICES)} devices can share."
        )
    about = {"machine": machine.describe(), "model": model, "variant": args.variant}
    rows = scaling.bench_scaling(config, args.runs or 7, _say)
    print(scaling.show(rows))
    return {**about, "rows": rows}


def chosen_rivals(text: str) -> list[str]:
    """The rivals that a --rivals names.

    Raises:
      ConfigError: there is no such rival.
    """
    names = [name for name in text.split(",") if name not in ("", "none")]
    for name in names:
        if name not in RIVALS:
            raise ConfigError(
                f"There is no rival {name!r}; choose of {', '.join(RIVALS)}, or none."
            )
    return names


def _studio(args: argparse.Namespace) -> dict[str, Any]:
    """Time the server, print the figures and return them."""
    if args.instrument is None:
        _need_flax("--studio times networks of the paper's size, which need flax")
    from drumjax.benchmarks import machine, studio

    about = {"machine": machine.describe()}
    given = None if args.instrument is None else Path(args.instrument)
    result = studio.bench_studio(given, args.runs or 10_000, _say)
    print(studio.show(result))
    return about | result


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _need_flax(what: str) -> None:
    try:
        import flax  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"bench {what}: pip install 'drumjax[bench]'.") from error


def _play(args: argparse.Namespace) -> dict[str, Any]:
    """Race the player, print the table, and return its figures."""
    rivals = chosen_rivals(args.rivals)
    _need_flax("--play compares with the models, which need flax")
    from drumjax.benchmarks import machine, networks, play, start, table
    from drumjax.play.instrument import load_instrument

    result: dict[str, Any] = {"machine": machine.describe()}
    _say("preparing the networks")
    given = args.instrument
    instrument = load_instrument(given) if given else networks.random_instrument()
    if not {"cwae", "mcnn"} <= set(instrument.meta):
        raise ConfigError(
            f"{given} is no CWAE with an MCNN, which the rivals are built from; leave out "
            "--instrument to race networks of the paper's sizes."
        )
    if not args.no_start:
        _say("starting processes")
        result["start"] = start.measure_start(instrument)
    result |= play.bench_play(instrument, args.runs or 200, rivals, _say)
    print(table.show(result))
    return result
