"""The models by name: the one registry, where a config becomes a frozen dataclass."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from drumjax.audio.mel import MelConfig
from drumjax.errors import ConfigError
from drumjax.models import cwae, frame_wae, mcnn
from drumjax.models.objective import Objective

MODELS = {
    "cwae": (cwae.CwaeConfig, cwae.objective),
    "frame_wae": (frame_wae.FrameWaeConfig, frame_wae.objective),
    "mcnn": (mcnn.McnnConfig, mcnn.objective),
}

# Fields of a model's config that follow from the rest of an experiment's, which offers none of
# them. Older runs hold a batch_size, whose value never counted.
DERIVED = ("mel", "categories", "batch_size")


def freeze(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """Build the dataclass `kind` from a mapping; lists become tuples, unknown keys an error."""
    known = [f.name for f in dataclasses.fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"config.{where} has no field {', '.join(unknown)}; it has {', '.join(known)}."
        )
    return kind(**{k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()})


def mel_config(config: Mapping[str, Any]) -> MelConfig:
    """The frozen analysis settings of an experiment's config."""
    return freeze(MelConfig, config["mel"], "mel")


def batch_size(config: Mapping[str, Any], categories: Sequence[str]) -> int:
    """Sounds in a training step, on all devices together."""
    data = config["data"]
    return data["per_category"] * (len(categories) if data["balanced"] else 1)


def model_config(config: Mapping[str, Any], categories: Sequence[str]) -> Any:
    """The frozen config of `config["model"]`, whose own fields stand under its name.

    Args:
      config: the experiment's config, as a mapping with "model", "mel" and the model's section.
      categories: the data set's categories, in its order.
    """
    name = config["model"]
    if name not in MODELS:
        raise ConfigError(f"There is no model {name!r}; the models are {', '.join(MODELS)}.")
    if name not in config:
        raise ConfigError(f"The config has no section {name!r}; give --config=configs/{name}.py.")
    kind, _ = MODELS[name]
    values = {k: v for k, v in config[name].items() if k not in DERIVED}
    values |= {"mel": mel_config(config), "categories": tuple(categories)}
    if "batch_size" in (f.name for f in dataclasses.fields(kind)):
        values["batch_size"] = batch_size(config, categories)
    return freeze(kind, values, name)


def build_objective(config: Mapping[str, Any], categories: Sequence[str]) -> Objective:
    """The objective of an experiment's config; see `model_config`."""
    frozen = model_config(config, categories)
    return MODELS[config["model"]][1](frozen)


def check_batches(config: Mapping[str, Any]) -> None:
    """Refuse, before anything is written, batches that the model's loss cannot take.

    Raises:
      ConfigError: too few sounds for an MMD, or a frame WAE's categories left to chance.
    """
    name, data = config["model"], config["data"]
    if name == "frame_wae" and not data["balanced"]:
        raise ConfigError("A frame WAE needs the same number of each category: data.balanced=True.")
    if name in ("cwae", "frame_wae") and data["per_category"] == 1:  # fewer: the sampler says so
        raise ConfigError("The MMD needs two sounds a category or more: raise data.per_category.")
