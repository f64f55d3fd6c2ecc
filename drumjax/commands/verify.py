"""`drumjax verify`: whether instruments, checkpoints and data sets are as they were written."""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from drumjax.commands import _files, _flags
from drumjax.errors import CheckpointError, DataError, DrumjaxError
from drumjax.instruments import factory
from drumjax.integrity import (
    DATA_SET,
    IntegrityError,
    Verified,
    has_manifest,
    step_label,
    verify_folder,
)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "verify",
        "Read every byte of an instrument, of the checkpoints of a run or of a data set, and say "
        "whether they are as they were written: their SHA-256 must match. Loading does the same "
        "with all that it reads.",
        ["", "mine.safetensors", "runs/cwae data/drums"],
    )
    p.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="an instrument, NAME.safetensors; the --workdir of a run, or one of its checkpoints; "
        "a data set (the factory instrument)",
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    status = 0
    found = [c for path in args.paths or [factory()] for c in checks(Path(path))]
    for check in found:
        try:
            print(check(), flush=True)
        except DrumjaxError as error:
            print(f"drumjax verify: {error}", file=sys.stderr, flush=True)
            status = 1
    return status


def checks(path: Path) -> list[Callable[[], str]]:
    """What there is to verify at a path; each says what it found, or raises a DrumjaxError.

    Raises:
      DataError: nothing is there, or nothing that drumjax wrote.
    """
    if path.is_file():
        return [lambda: _instrument(path)]
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if folder.absolute().name == "checkpoints":
        steps = [f for f in folder.glob("[0-9]*") if f.name.isdecimal() and f.is_dir()]
        if steps:
            return [functools.partial(_step, f) for f in sorted(steps, key=lambda f: int(f.name))]
    if path.name.isdecimal() and (path / "model").is_dir():
        return [lambda: _step(path.absolute())]
    if has_manifest(path) or (path / "dataset_info.json").is_file():
        return [lambda: _data_set(path)]
    raise DataError(
        f"{path} is no instrument, no data set and no run with checkpoints; check the path."
        if path.exists()
        else f"There is no {path}; check the path."
    )


def _instrument(path: Path) -> str:
    """An instrument, with its encoder if one lies beside it; or the two, from the encoder."""
    from drumjax.play.instrument import encoder_path, load_instrument

    if path.name.endswith(".encoder.safetensors"):
        path = path.with_name(path.name.replace(".encoder.safetensors", ".safetensors"))
    files = [path, *(p for p in [encoder_path(path)] if p.is_file())]
    load_instrument(path, encoder=len(files) == 2)
    what = "instrument and its encoder" if len(files) == 2 else "instrument"
    return _line(path, what, Verified(len(files), sum(f.stat().st_size for f in files)))


def _step(folder: Path) -> str:
    """A checkpoint; a run that goes on meanwhile may remove it for a newer one."""
    from drumjax.training.whole import is_whole

    label = step_label(folder.name)
    what = f"checkpoint of {label}"
    try:
        if has_manifest(folder) or is_whole(folder):
            return _line(folder, what, verify_folder(folder, label))
    except IntegrityError as error:
        if not folder.exists():
            return f"{_files.shown(folder)}: {what}, removed meanwhile"
        raise CheckpointError(
            f"{error.what}; bring back a copy of the checkpoint, or train on: that moves it away "
            "and goes on from the newest whole one, if there is one."
        ) from error
    raise CheckpointError(
        f"{folder} has no manifest, as an older drumjax wrote none, so that it cannot be verified; "
        "train on: what is saved from then on can be."
    )


def _data_set(folder: Path) -> str:
    try:
        if has_manifest(folder):
            return _line(folder, DATA_SET, verify_folder(folder, DATA_SET))
        raise IntegrityError(
            f"{folder} has no manifest, as it was lost or an older drumjax wrote none, so that it "
            "cannot be verified"
        )
    except IntegrityError as error:
        raise DataError(
            f"{error.what}; copy the data set again, or prepare it again with --overwrite."
        ) from error


def _line(path: Path, what: str, found: Verified) -> str:
    files = f"{found.files} file{'s' * (found.files != 1)}"
    return f"{_files.shown(path)}: {what}, {files}, {found.bytes / 1e6:.1f} MB, intact"
