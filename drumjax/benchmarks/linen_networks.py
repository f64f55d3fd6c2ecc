"""An instrument's decoder and MCNN as the linen models take them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drumjax.benchmarks.networks import mcnn_config
from drumjax.models import freeze
from drumjax.models.cwae import CwaeConfig
from drumjax.models.mcnn import McnnConfig
from drumjax.play.instrument import Instrument

EPSILON = 1e-5  # of the decoder's batch norm, which an instrument has folded in
LAYERS = {"dense": "Dense", "conv": "ConvTranspose", "norm": "ConditionalBatchNorm"}
PARTS = {"scale": "gamma", "shift": "beta"}


class Linen(NamedTuple):
    """Configs, and variables of the decoder and of the MCNN in float32."""

    cwae: CwaeConfig
    cwae_variables: dict[str, Any]
    mcnn: McnnConfig
    mcnn_variables: dict[str, Any]


def linen_networks(instrument: Instrument) -> Linen:
    """Turn an instrument's tensors back into the models' variables, without the encoder."""
    shared = {"mel": instrument.mel, "categories": instrument.categories}
    meta = instrument.meta
    of_decoder = {k: meta["cwae"][k] for k in ("latents", "channels", "hidden", "log_floor")}
    tensors = {k: jnp.asarray(v, jnp.float32) for k, v in instrument.tensors.items()}
    scaler = {k: tensors[f"scaler/{k}"] for k in ("mean", "std")}
    return Linen(
        freeze(CwaeConfig, {**of_decoder, **shared}, "cwae"),
        {**_decoder(tensors), "constants": {"scaler": scaler}},
        mcnn_config(instrument),
        {"params": {"mcnn": _mcnn(tensors)}, "batch_stats": {}, "constants": {}},
    )


def _decoder(tensors: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Parameters, and for the folded norms statistics that change nothing."""
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    for key in (k for k in tensors if k.startswith("decoder/")):
        _, layer, part = key.split("/")
        kind = layer.rstrip("0123456789")
        name = f"{LAYERS[kind]}_{layer.removeprefix(kind)}"
        params.setdefault(name, {})[PARTS.get(part, part)] = tensors[key]
        if kind == "norm":
            channels = tensors[key].shape[-1]
            still = {"mean": jnp.zeros(channels), "var": jnp.full(channels, 1.0 - EPSILON)}
            stats[name] = {"BatchNorm_0": still}
    return {"params": {"decoder": params}, "batch_stats": {"decoder": stats}}


def _mcnn(tensors: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Kernels under the model's names, which count from 1, and the scalars."""
    kernels = [k for k in tensors if k.startswith("mcnn/layer")]
    params: dict[str, Any] = {
        f"layer{i + 1}": {"kernel": tensors[f"mcnn/layer{i}/kernel"]} for i in range(len(kernels))
    }
    params["head_weights"] = tensors["mcnn/head_weights"]
    if "mcnn/softsign" in tensors:
        a, b = tensors["mcnn/softsign"]
        params |= {"softsign_a": a, "softsign_b": b}
    return params
