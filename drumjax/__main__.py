"""The command line: `drumjax COMMAND …`; each command is imported when it is called."""

import importlib
import os
import sys
from collections.abc import Sequence

from drumjax import __version__
from drumjax.errors import DrumjaxError

COMMANDS = {  # name: one line about it; `main(argv)` stands in drumjax/commands, - becoming _
    "prepare": "turn folders of one-shots into a data set",
    "train": "train a model, or go on with an earlier run",
    "export-instrument": "gather what was trained into one file that plays",
    "info": "say what an instrument file holds",
    "verify": "see whether instruments, checkpoints and data sets are intact",
    "learn-control": "make a control out of sounds that you have tagged",
    "sample": "make new drum sounds as WAV files",
    "vary": "make variations of a sound of your own",
    "morph": "make the sounds between two of your own",
    "kit": "make a kit, and new sounds for some of its pads",
    "humanise": "play a MIDI drum part, each hit a little different",
    "render": "make the sounds of a recipe again",
    "serve": "play in the browser, and over OSC in a DAW",
    "max-device": "write the instrument for Ableton Live, a Max for Live device",
    "pd-patch": "write the instrument for Pure Data, a patch",
    "evaluate": "judge an instrument on real sounds, with a page to listen through",
    "bench": "time this machine at training, playing and serving",
}

TRAIN = {"absl", "flax", "matplotlib", "ml_collections", "optax", "orbax", "tensorboardX"}
TRAIN |= {"tensorflow_datasets", "tqdm"}  # what the extra `train` brings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0 done, 1 unusable input, 2 wrong command line, 130 interrupted."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"drumjax {__version__}")
        return 0
    if name not in COMMANDS:
        if name:
            print(f"drumjax: there is no command {name!r}.", file=sys.stderr)
        print(usage(), file=sys.stderr)
        return 2
    return run(name, rest)


def run(name: str, argv: Sequence[str]) -> int:
    """Run one command, and put its errors into a line for the user; returns the exit status."""
    try:
        status = importlib.import_module(module_of(name)).main(argv)
        sys.stdout.flush()
        return status
    except DrumjaxError as error:
        print(f"drumjax {name}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in TRAIN:
            raise
        print(
            f"drumjax {name}: {error.name} is not installed; this needs more than playing does: "
            "pip install 'drumjax[train]', or -e '.[train]' in a checkout.",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # `drumjax … | head`; what was to be read has been read
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"\ndrumjax {name}: interrupted; run the same command again.", file=sys.stderr)
        return 130


def module_of(name: str) -> str:
    """The module of a command."""
    return f"drumjax.commands.{name.replace('-', '_')}"


def usage() -> str:
    """The commands, a line each."""
    listed = [f"  {name:<19}{about}" for name, about in COMMANDS.items()]
    head = "usage: drumjax COMMAND …   (python -m drumjax COMMAND … is the same)\n"
    tail = "\ndrumjax COMMAND --help shows a command's flags; drumjax --version, the version."
    return "\n".join([head, *listed, tail])


if __name__ == "__main__":
    sys.exit(main())
