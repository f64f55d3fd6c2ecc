"""Where the configs are: beside the package in a checkout, inside it where it was installed."""

import re
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """The folder of cwae.py, frame_wae.py and mcnn.py that came with this drumjax."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def with_configs(argv: Sequence[str]) -> list[str]:
    """A command line on which configs/NAME.py works outside a checkout, too.

    A file of that name in the current folder is taken; where there is none, the one that came with
    drumjax. All other words stay as they are.
    """
    return [re.sub(r"^(--?config=)?(configs/\w+\.py)", _located, word) for word in argv]


def _located(match: re.Match[str]) -> str:
    flag, name = match[1] or "", Path(match[2])
    own = config_folder() / name.name
    return f"{flag}{own if own.is_file() and not name.is_file() else match[2]}"
