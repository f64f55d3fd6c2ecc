"""What is wrong with a command line's `--config.a.b=value`, in one sentence."""

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from drumjax.audio.names import brief
from drumjax.errors import DrumjaxError
from drumjax.models import MODELS
from drumjax.training.config import flatten

_OVERRIDE = re.compile(r"--?config\.([^=]*)(?:=(.*))?", re.DOTALL)


def say_override(argv: Sequence[str], error: Exception) -> str:
    """The first override that the config cannot take; else what `error` says in its first line.

    Args:
      argv: the command line, program name first, of which the flags could not be parsed.
      error: what was raised then.
    """
    config = _without_overrides(argv)
    for match in filter(None, map(_OVERRIDE.fullmatch, argv if config else ())):
        if wrong := _say_field(match[1], config):
            return wrong
    for name, value in _given(argv) if config else ():
        if str(error).startswith(f"flag --config.{name}={value}: "):
            return f"{name} is {brief(value)}; give a value like {flatten(config).get(name)!r}."
    return str(error).splitlines()[0]


def _without_overrides(argv: Sequence[str]) -> dict[str, Any]:
    """The config as its file has it; empty where it cannot be read."""
    values = flags.FlagValues()
    words = [word for word in argv if not re.match(r"--?(no)?config\.", word)]
    try:
        config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=words)
        values(words, known_only=True)
        config = values["config"].value
        return {} if config is None else config.to_dict()
    except (AttributeError, LookupError, TypeError, ValueError, OSError, DrumjaxError, flags.Error):
        return {}


def _say_field(name: str, config: Mapping[str, Any]) -> str:
    """Why a dotted name is no field of the config; empty if it is one."""
    known = flatten(config)
    if name in known:
        return ""
    section, _, leaf = name.rpartition(".")
    first = name.partition(".")[0]
    below = [field for field in known if field.startswith(f"{name}.")]
    if below:
        return f"{name} is a section; set its fields one by one, such as --config.{below[0]}."
    said = f"The config has no field {name if name.isprintable() else brief(name)}"
    if first in MODELS and first not in config:
        return f"{said}, as its model is {config.get('model')}; give --config=configs/{first}.py."
    beside = [
        field.removeprefix(f"{section}.") for field in known if field.startswith(f"{section}.")
    ]
    near = [f"{section}.{other}" for other in difflib.get_close_matches(leaf, beside, 1)]
    near += [field for field in known if field.rpartition(".")[2] == leaf]
    near += [] if beside else difflib.get_close_matches(name, known, 1)
    if near:
        return f"{said}; did you mean {near[0]}?"
    if beside:
        return f"{said}; those of {section} are {', '.join(beside)}."
    return f"{said}; its sections are {', '.join(k for k in config if k not in known)}."


def _given(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the command line gives: a field's name and its value, which may be the next word."""
    for word, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
        if match := _OVERRIDE.fullmatch(word):
            yield match[1], following if match[2] is None else match[2]
