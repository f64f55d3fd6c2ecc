"""The parts of an experiment's config that every model shares, and its named variants."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from drumjax.atomic import replace_file
from drumjax.audio.mel import MelConfig
from drumjax.audio.names import brief
from drumjax.errors import ConfigError
from drumjax.models import DERIVED, MODELS
from drumjax.training.config_values import check_values
from drumjax.training.whole import has_checkpoints

# Dotted fields and their values, or how they follow from the config so far.
Variant = Mapping[str, Any] | Callable[[ConfigDict], Mapping[str, Any]]

_LARGEST = 2**20  # bytes of a config.json, which are some 2,000
_MOST_TOLD = 8  # fields that differ

# What may change between a run and its continuation without changing what the run is.
FREE = (
    "train.steps",  # with the constant schedule alone: the cosine's rates depend on it
    "train.log_every",
    "train.validate_every",  # without a plateau, which counts validations
    "train.checkpoint_every",
    "train.parallel",
    "train.accumulate",  # with batch norms, which then see less at once, the numbers do change
    "train.remat",
    "data.path",  # the sounds found there must be the same
)


def base_config(model: str) -> ConfigDict:
    """Every field with its default; the model's own stand under `config[model]`."""
    kind, _ = MODELS[model]
    own = {f.name: f.default for f in dataclasses.fields(kind) if f.name not in DERIVED}
    mel = dataclasses.asdict(MelConfig())
    mel["f_max"] = mel["f_max"] or 0.5 * mel["sample_rate"]
    return ConfigDict(
        {
            "model": model,
            "seed": 0,
            "mel": mel,
            model: own,
            "data": {
                "path": "data/drums",  # what `drumjax prepare --output` made
                "balanced": True,  # the same number of each category, or all as one pool
                "per_category": 64,  # unbalanced: the whole batch
                "augment": {
                    "probability": 0.0,
                    "speed": 0.0,
                    "decay": 0.0,
                    "tilt": 0.0,
                    "layer": 0.0,
                },
            },
            "train": {
                "steps": 110_000,
                "learning_rate": 1e-3,
                "schedule": "constant",  # or "cosine": down to zero at the last step
                "warmup": 0,  # steps
                "plateau_factor": 0.5,
                "plateau_patience": 10,  # validations as `validate_every` has them
                "beta1": 0.9,
                "log_every": 10,  # steps
                # Steps; 0 is once an epoch, as the plateau's rule has it. Without a plateau (a
                # factor of 1) it is every 50 steps where an epoch is shorter.
                "validate_every": 0,
                "checkpoint_every": 1000,  # steps; validates, saves, writes a picture and sounds
                "calibrate_sounds": 0,  # sounds a category behind the latent Gaussians; 0 is all
                "parallel": "auto",  # "none", "pmap", "jit"
                "accumulate": 1,  # micro-batches of a device's share, for a small memory
                "remat": False,  # keep less for the gradients and compute it again
            },
        }
    )


def apply_variant(
    config: ConfigDict,
    variant: str,
    bases: Mapping[str, Variant],
    changes: Mapping[str, Variant],
) -> ConfigDict:
    """Set the dotted fields of a base and of changes joined to it by "+", from left to right.

    Args:
      config: all fields with their defaults.
      variant: "small", "small+no_mmd".
      bases: whole experiments by name, one of which comes first; the default is the first of them.
      changes: what may be joined to them.

    Raises:
      ConfigError: there is no such variant, or it is not one base with changes after it.
    """
    file, names = f"configs/{config.model}.py", variant.split("+")
    known = {**bases, **changes}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{file} has no variant {brief(name)}; choose one of {', '.join(bases)}, to which "
                f"these may be joined by +: {', '.join(changes)}."
            )
    if [name in bases for name in names] != [True] + [False] * (len(names) - 1):
        first = next((name for name in names if name in bases), next(iter(bases)))
        right = "+".join([first, *(name for name in names if name not in bases)])
        raise ConfigError(
            f"{file}:{variant} does not begin with one base ({', '.join(bases)}) and join changes "
            f"to it; give {file}:{right}."
        )
    for name in names:
        fields = known[name]
        config.update_from_flattened_dict(dict(fields(config) if callable(fields) else fields))
    return config


def follows_plateau(t: Mapping[str, Any]) -> bool:
    """Whether the plateau decides the rate of a config's section "train"."""
    return t["plateau_factor"] != 1


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; tuples become lists, as JSON gives them back."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def check_same(
    config: Mapping[str, Any], saved: Mapping[str, Any], workdir: str, newest: bool = True
) -> None:
    """Refuse to continue a run with another config.

    Args:
      config: the experiment's.
      saved: the run's.
      workdir: where that lies, for the message.
      newest: whether it is of the newest checkpoint. A plateau's validate_every may not change from
        there on; what a run began with may be older than this rule.

    A field that is younger than the run had its default's value. "categories", which the config in
    a checkpoint holds besides, are the data set's, and not compared here; nor is a model's
    "batch_size", which older runs hold, and which always followed from the data's section.

    Raises:
      ConfigError: names the fields that differ, with both values.
    """
    new, old = flatten(config), flatten(saved)
    if isinstance(model := old.get("model"), str) and model in MODELS:
        old = flatten(base_config(model).to_dict()) | old
    derived = {"categories", *(f"{model}.{field}" for model in MODELS for field in DERIVED)}
    keys = sorted((set(new) | set(old)) - derived)
    free = set(FREE)
    if new.get("train.schedule") == "cosine":
        free.discard("train.steps")
    if newest and new.get("train.plateau_factor") != 1:
        free.discard("train.validate_every")
    differ = [k for k in keys if k not in free and new.get(k) != old.get(k)]
    if differ:
        listed = "; ".join(
            f"{_short(k)} was {brief(old.get(k))}, now {brief(new.get(k))}"
            for k in differ[:_MOST_TOLD]
        )
        listed += "; ..." if len(differ) > _MOST_TOLD else ""
        raise ConfigError(
            f"{workdir} holds a run of another config ({listed}). "
            "Choose another --workdir, or give the config that it began with."
        )


def _short(name: str) -> str:
    """A field's name, cut where it is long."""
    return name if name.isprintable() and len(name) <= 60 else brief(name)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse an experiment's config of which a field is unknown, missing, or cannot be used.

    Raises:
      ConfigError: names the field.
    """
    model = config.get("model")
    if not isinstance(model, str) or model not in MODELS:
        raise ConfigError(f"There is no model {brief(model)}; the models are {', '.join(MODELS)}.")
    if model not in config:
        raise ConfigError(f"The config has no section {model!r}; give --config=configs/{model}.py.")
    check_values(flatten(config), flatten(base_config(model).to_dict()))


def check_workdir(workdir: Path, config: dict[str, Any], alone: bool = False) -> None:
    """Refuse a config that cannot be used, or a work directory that holds a run of another one.

    Args:
      workdir: need not exist.
      config: the experiment's.
      alone: no other run can be at work there; a config beside which nothing was saved then is
        that of a run which came to nothing, and may be replaced.

    Raises:
      ConfigError: see `check_config` and `check_same`; or what the directory holds is damaged.
    """
    check_config(config)
    file = workdir / "config.json"
    if not file.exists() or (alone and not has_checkpoints(workdir)):
        return
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("too large for a config")
        saved = json.loads(file.read_text())
        if not isinstance(saved, dict):
            raise ValueError("no table")
        check_same(config, saved, str(workdir), newest=False)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} cannot be read; delete it if the run is to go on with this config."
        ) from error


def claim_workdir(workdir: Path, config: dict[str, Any]) -> None:
    """Write the config into a work directory where nothing was saved yet.

    Only once everything else accepted it, and `check_workdir` the place.
    """
    file = workdir / "config.json"
    if file.exists() and has_checkpoints(workdir):
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        replace_file(file, (json.dumps(config, indent=2) + "\n").encode())
    except OSError as error:
        raise ConfigError(
            f"{workdir} cannot be written to ({error.strerror}); choose another --workdir."
        ) from error
