"""`drumjax max-device`: the instrument for Ableton Live, a Max for Live device."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError, DataError

NAME = "drumjax.amxd"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "max-device",
        "Write the Max for Live instrument, which asks `drumjax serve` for its sounds, and the "
        "same as a Max patcher, NAME.maxpat, beside it. What is there is replaced if it is a "
        "device that nobody has changed since drumjax wrote it.",
        ['--output="Ableton/User Library/Presets/Instruments/Max Instrument"'],
    )
    p.add_argument(
        "--output", required=True, metavar="PLACE", help=f"a folder, for {NAME}, or a NAME.amxd"
    )
    p.add_argument(
        "--osc_port",
        type=int,
        default=9400,
        metavar="PORT",
        help="where `drumjax serve` takes OSC (9400)",
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    if not 1 <= args.osc_port <= 65535:
        raise ConfigError(f"--osc_port={args.osc_port} is no port; choose 1 to 65535.")
    device, patcher = _places(args.output)
    from drumjax.atomic import write_files
    from drumjax.studio.max.container import patcher_text, write_editable
    from drumjax.studio.max.device import build_device

    built = build_device(args.osc_port)
    files = [(device.name, write_editable(built)), (patcher.name, patcher_text(built))]
    write_files(device.parent, files)
    print(f"{_files.shown(device)} is the instrument, {_files.shown(patcher)} its patch to read.")
    port = "" if args.osc_port == 9400 else f" --osc_port={args.osc_port}"
    print(
        f"Start `drumjax serve{port}` on the same computer, leave it running, and drag "
        f"{device.name} onto a MIDI track in Live; its line below the waveform says when the two "
        "have met."
    )
    return 0


def _places(output: str) -> tuple[Path, Path]:
    """Where the device and its patcher go: into a folder, or beside each other by a given name.

    Raises:
      DataError: nothing can be written there, or what is there is not ours or was changed.
    """
    from drumjax.studio.max.device import is_untouched

    if not output:
        raise ConfigError("The name of --output is empty; give a folder, or a NAME.amxd.")
    named = output.lower().endswith(".amxd") and not Path(output).is_dir()
    device = Path(output) if named else Path(output) / NAME
    _files.check_folder(str(device.parent))
    places = device, device.with_suffix(".maxpat")
    for place in places:
        try:
            foreign = place.exists() and not (place.is_file() and is_untouched(place.read_bytes()))
        except OSError as error:
            raise DataError(
                f"{place} cannot be read ({error.strerror}); choose another --output."
            ) from error
        if foreign:
            raise DataError(
                f"{place} is there already and is not the device as drumjax wrote it; move it "
                "away, or choose another --output."
            )
    return places
