"""`drumjax serve`: play in the browser, and over OSC in Max for Live and Pure Data."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from drumjax.commands import _files, _flags
from drumjax.errors import ConfigError
from drumjax.studio.ports import OSC_PORT

PORT = 8400
HOME = Path("~/drumjax")


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = _flags.new_parser(
        "serve",
        "Play an instrument in the browser, and over OSC in Max for Live, Pure Data and whatever "
        "else sends it. Ctrl-C ends the server. Only this machine reaches it, unless --host names "
        "another address of it.",
        [
            "--open",
            "--instrument=mine.safetensors --takes=out/takes",
            "--port=8401 --osc_port=9401",
        ],
    )
    _flags.add_instrument(p)
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    p.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    p.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of the page ({PORT}; 0: any)"
    )
    p.add_argument(
        "--osc_port", type=int, default=OSC_PORT, metavar="N", help=f"of OSC ({OSC_PORT}; 0: any)"
    )
    p.add_argument(
        "--takes",
        metavar="DIR",
        default=str(HOME / "takes"),
        help=f"where the sounds that OSC asks for go; the oldest are removed ({HOME / 'takes'})",
    )
    p.add_argument(
        "--library",
        metavar="DIR",
        default=str(HOME / "library"),
        help=f"where the page saves sounds and kits ({HOME / 'library'})",
    )
    p.add_argument(
        "--axes",
        choices=("audible", "paper_category", "paper"),
        default="audible",
        help="what the pad moves along: what is heard to vary most, or the principal components "
        "of the latents, of a category or, as in the paper, of all (audible)",
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(_flags.underscored(argv))
    for flag in ("port", "osc_port"):
        if not 0 <= getattr(args, flag) <= 65535:
            raise ConfigError(f"--{flag}={getattr(args, flag)} cannot be used; choose 1 to 65535.")
    takes, library = (_folder(path) for path in (args.takes, args.library))
    player = _files.open_player(args.instrument)
    from drumjax.studio.server import Doors, serve

    doors = Doors(args.host, args.port, args.osc_port, takes, library, args.axes)
    try:
        # Windows' own kind of loop cannot watch the socket that OSC's datagrams are read from.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(serve(player, doors, _say, _open if args.open else lambda _: None))
    except KeyboardInterrupt:  # where the event loop knows no signals
        _say("ended")
    return 0


def _folder(path: str) -> Path:
    """A folder of the command line, absolute: clients are told whole paths."""
    try:
        folder = Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"There is no home folder for {path}; name another folder.") from error
    _files.check_folder(str(folder))
    return folder


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except (BrokenPipeError, ValueError):  # nobody reads any more; the server goes on
        sys.stdout = sys.stderr


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        _say(f"no browser could be opened; open {address} in one")
