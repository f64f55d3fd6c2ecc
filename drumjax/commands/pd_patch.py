"""`drumjax pd-patch`: the instrument for Pure Data, a patch."""

import argparse
from collections.abc import Sequence

from drumjax.commands import _files, _flags
from drumjax.studio.ports import serve_command

NAME = "drumjax.pd"


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "pd-patch",
        "Write the patch for Pure Data 0.52 or later, without externals, which asks `drumjax "
        "serve` for its sounds. What is there is replaced if it is a patch that nobody has changed "
        "since drumjax wrote it.",
        ["--output=patches", "--output=patches/drums.pd --osc_port=9401"],
    )
    p.add_argument(
        "--output", required=True, metavar="PLACE", help=f"a folder, for {NAME}, or a NAME.pd"
    )
    _flags.add_client_port(p)
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    _flags.check_client_port(args.osc_port)
    from drumjax.atomic import write_files
    from drumjax.studio.pd.patch import is_untouched, patch_text

    place = _files.own_place(args.output, NAME, is_untouched)
    write_files(place.parent, [(place.name, patch_text(args.osc_port).encode())])
    print(
        f"{_files.shown(place)} is the instrument. Start `{serve_command(args.osc_port)}` on the "
        "same computer, leave it running, and open the patch in Pure Data; its line at the top "
        "says when the two have met."
    )
    return 0
