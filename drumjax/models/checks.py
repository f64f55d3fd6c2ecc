"""What every model's config must hold before a network is built from it."""

from collections.abc import Collection
from typing import Any

from drumjax.errors import ConfigError

LOWEST_FLOOR = 1e-30  # of a log; float32 ends at 1e-38
NUMBERS = ("float32", "bfloat16")  # that networks compute in


def check_choices(config: Any, **known: Collection[str]) -> None:
    """Refuse words that a model does not know.

    Args:
      config: a model's frozen config.
      known: for each field, what it may be.

    Raises:
      ConfigError: a field is something else.
    """
    for name, words in known.items():
        if (value := getattr(config, name)) not in words:
            listed = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
            raise ConfigError(f"{name} must be {listed}, not {value!r}.")


def check_sizes(config: Any, *names: str) -> None:
    """Refuse sizes of which no network can be built.

    Args:
      config: a model's frozen config.
      names: of its fields, each a whole number or a tuple of them.

    Raises:
      ConfigError: one is below 1, or a tuple is empty.
    """
    for name in names:
        value = getattr(config, name)
        several = isinstance(value, tuple)
        if several and not value:
            raise ConfigError(f"{name} is empty; give the size of one layer or more.")
        if min(value if several else (value,)) < 1:
            each = "each of " if several else ""
            raise ConfigError(f"{each}{name} must be at least 1, not {value}.")


def check_log_floor(floor: float) -> None:
    """Refuse what is added to a mel before its log if the log of silence would not be finite.

    Raises:
      ConfigError: it is not above 0, or so small that float32 has no such number.
    """
    if not floor >= LOWEST_FLOOR:  # nor is NaN
        raise ConfigError(
            f"log_floor must lie above 0, at {LOWEST_FLOOR:g} or higher, not at {floor}: silence "
            "has no log without it."
        )
