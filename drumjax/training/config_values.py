"""What the fields of an experiment's config may hold: the kind of their default, within bounds."""

from collections.abc import Mapping
from typing import Any

from drumjax.audio.names import brief
from drumjax.errors import ConfigError

_LARGEST = 1e30  # of any number; float32 ends at 3e38
_LARGEST_WHOLE = 2**31 - 1  # what JAX counts steps in
_LONGEST = 4096  # signs of a text, as a path may have
_MOST = 64  # items of a list
_MAY_BE_NONE = ("mel.f_max", "mel.norm")
_BOUNDS = {  # both included; what is not listed is bounded where it is used
    "seed": (0, _LARGEST_WHOLE),
    "data.augment.probability": (0, 1),
    "data.augment.speed": (0, 2),
    "data.augment.decay": (0, 120),
    "data.augment.tilt": (0, 60),
    "data.augment.layer": (0, 1),
    "train.learning_rate": (0, _LARGEST),
    "train.plateau_factor": (0, 1),
    "train.plateau_patience": (1, _LARGEST_WHOLE),
    "train.beta1": (0, 0.9999),
    "train.warmup": (0, _LARGEST_WHOLE),
    "train.calibrate_sounds": (0, _LARGEST_WHOLE),
}


def check_values(config: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    """Refuse fields that are unknown, missing, of another kind than the default, or out of bounds.

    Args:
      config: values by dotted names, see `config.flatten`.
      like: the defaults.

    Raises:
      ConfigError: names the field.
    """
    for name in config:
        if name not in like:
            raise ConfigError(f"The config has no field {brief(name)}; remove it.")
    for name, default in like.items():
        if name not in config:
            raise ConfigError(f"The config lacks {name}; set it, as to {default!r}.")
        _check(name, config[name], default)
        low, high = _BOUNDS.get(name, (None, None))
        if low is not None and not low <= config[name] <= high:
            raise ConfigError(f"{name} is {brief(config[name])}; choose {low:g} to {high:g}.")


def _check(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default's."""
    if value is None and name in _MAY_BE_NONE:
        return
    if isinstance(default, list):
        if not isinstance(value, list) or not 1 <= len(value) <= _MOST:
            raise ConfigError(f"{name} is {brief(value)}; give 1 to {_MOST} values, as {default}.")
        for item in value:
            _check(name, item, default[0])
    elif not _is_like(value, default):
        raise ConfigError(f"{name} is {brief(value)}; give a value like {default!r}.")


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool | str):
        return type(value) is type(default) and (not isinstance(value, str) or _fits(value))
    whole = isinstance(default, int)
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    return number and abs(value) <= (_LARGEST_WHOLE if whole else _LARGEST)  # not NaN, either


def _fits(text: str) -> bool:
    return len(text) <= _LONGEST and "\0" not in text
