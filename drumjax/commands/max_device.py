"""`drumjax max-device`: the instrument for Ableton Live, a Max for Live device."""

import argparse
from collections.abc import Sequence

from drumjax.commands import _files, _flags
from drumjax.studio.ports import serve_command

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
    _flags.add_client_port(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    _flags.check_client_port(args.osc_port)
    from drumjax.atomic import write_files
    from drumjax.studio.max.container import patcher_text, write_device
    from drumjax.studio.max.device import build_device, is_untouched

    device = _files.own_place(args.output, NAME, is_untouched)
    patcher = _files.check_own(device.with_suffix(".maxpat"), is_untouched)
    built = build_device(args.osc_port)
    files = [(device.name, write_device(built)), (patcher.name, patcher_text(built))]
    write_files(device.parent, files)
    print(f"{_files.shown(device)} is the instrument, {_files.shown(patcher)} its patch to read.")
    print(
        f"Start `{serve_command(args.osc_port)}` on the same computer, leave it running, and drag "
        f"{device.name} onto a MIDI track in Live; its line below the waveform says when the two "
        "have met."
    )
    return 0
