"""`drumjax train`: the same as `python -m drumjax.train`."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    from drumjax import train

    return train.main(["drumjax train", *argv])  # absl expects the program's name in front
