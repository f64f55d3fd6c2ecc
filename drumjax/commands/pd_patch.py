"""`drumjax pd-patch`: the instrument for Pure Data, a patch."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError, DataError

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
    place = _place(args.output)
    from drumjax.atomic import write_files
    from drumjax.studio.pd.patch import patch_text

    write_files(place.parent, [(place.name, patch_text(args.osc_port).encode())])
    port = "" if args.osc_port == 9400 else f" --osc_port={args.osc_port}"
    print(
        f"{_files.shown(place)} is the instrument. Start `drumjax serve{port}` on the same "
        "computer, leave it running, and open the patch in Pure Data; its line at the top says "
        "when the two have met."
    )
    return 0


def _place(output: str) -> Path:
    """Where the patch goes: into a folder, or by a name of its own.

    Raises:
      ConfigError: the name is empty.
      DataError: nothing can be written there, or what is there is not ours or was changed.
    """
    from drumjax.studio.pd.patch import is_untouched

    if not output:
        raise ConfigError("The name of --output is empty; give a folder, or a NAME.pd.")
    named = output.lower().endswith(".pd") and not Path(output).is_dir()
    place = Path(output) if named else Path(output) / NAME
    _files.check_folder(str(place.parent))
    try:
        foreign = place.exists() and not (
            place.is_file() and is_untouched(place.read_bytes().decode("utf-8", "replace"))
        )
    except OSError as error:
        raise DataError(
            f"{place} cannot be read ({error.strerror}); choose another --output."
        ) from error
    if foreign:
        raise DataError(
            f"{place} is there already and is not the patch as drumjax wrote it; move it away, or "
            "choose another --output."
        )
    return place
