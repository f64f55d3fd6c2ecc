"""What the config of a CWAE may say, and how an experiment names its model."""

import dataclasses

import pytest
from tiny import CWAE, NAMES, get_config

from drumjax.errors import ConfigError
from drumjax.models import build_objective, mel_config, model_config


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("kernel", "rbf", "imq7"),
        ("divergence", "gan", "mmd, mmd_global, none, kl"),
        ("scaling", "bin", "element or global"),
        ("recon_reduction", "max", "sum or mean"),
        ("compute_dtype", "float16", "bfloat16"),
        ("latents", 0, "latents must be at least 1, not 0"),
        ("latents", -3, "latents must be at least 1, not -3"),
        ("hidden", (0,), r"each of hidden must be at least 1, not \(0,\)"),
        ("hidden", (), "hidden is empty"),
        ("channels", (0, 8), r"each of channels must be at least 1, not \(0, 8\)"),
        ("channels", (), "channels is empty"),
        ("log_floor", 0.0, "log_floor must lie above 0"),
        ("log_floor", float("nan"), "log_floor must lie above 0"),
        ("log_floor", 1e-38, "1e-30 or higher"),
        ("std_floor", 0.0, "std_floor must lie above 0"),
    ],
)
def test_values_that_no_network_has_are_refused(field, value, named):
    with pytest.raises(ConfigError, match=named) as caught:
        dataclasses.replace(CWAE, **{field: value})
    assert str(caught.value).endswith(".")


def test_one_deviation_for_all_needs_no_floor():
    dataclasses.replace(CWAE, scaling="global", std_floor=0.0)


def test_config_becomes_a_frozen_dataclass():
    config = get_config("cwae").to_dict()
    made = model_config(config, list(NAMES))
    own = {"channels": (2, 3), "hidden": (8,), "mel": mel_config(config), "batch_size": 12}
    assert made == dataclasses.replace(CWAE, **own)
    assert hash(made)


def test_unknown_field_is_named_with_the_known_ones():
    config = get_config("cwae").to_dict()
    config["cwae"]["latent"] = 4
    with pytest.raises(ConfigError, match=r"no field latent; it has .*latents"):
        model_config(config, NAMES)


@pytest.mark.parametrize("build", [model_config, build_objective])
def test_unknown_model_is_named_with_the_known_ones(build):
    config = {**get_config("cwae").to_dict(), "model": "cvae"}
    with pytest.raises(ConfigError, match=r"'cvae'.*cwae, .*mcnn"):
        build(config, NAMES)


@pytest.mark.parametrize("build", [model_config, build_objective])
def test_model_without_its_section_is_refused(build):
    config = {**get_config("cwae").to_dict(), "model": "mcnn"}
    with pytest.raises(ConfigError, match="mcnn"):
        build(config, NAMES)
