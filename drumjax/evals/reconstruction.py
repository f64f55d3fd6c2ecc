"""How well known sounds come back: mel spectral convergence of each network and of both."""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from drumjax.audio.mel import mel_spectrogram
from drumjax.audio.spectral_losses import spectral_convergence
from drumjax.data.source import Source
from drumjax.models import cwae, mcnn
from drumjax.models.objective import Variables, mean_by_category, to_float
from drumjax.training.sweep import sweep

STAGES = ("cwae", "mcnn", "chain")


class Network(NamedTuple):
    """A trained network: its frozen config, its variables, and what is known of its training."""

    config: Any  # CwaeConfig or McnnConfig
    variables: Variables
    about: Mapping[str, Any] = MappingProxyType({})  # "steps", "config", "data" of the run


@functools.partial(jax.jit, static_argnames="configs")
def chain_error(
    configs: tuple[cwae.CwaeConfig, mcnn.McnnConfig],
    variables: tuple[Variables, Variables],
    audio: jax.Array,
    category: jax.Array,
) -> dict[str, jax.Array]:
    """Spectral convergence (NDM eq. 11) of each sound, linear mel against the original's.

    Args:
      configs: of the CWAE and of the MCNN.
      variables: of both.
      audio: [b, samples].
      category: [b].

    Returns:
      "cwae" (mel through the bottleneck), "mcnn" (sound from the true mel), "chain" (sound from the
      mel through the bottleneck), each [b].
    """
    mel = configs[0].mel
    target = mel_spectrogram(to_float(audio), mel)
    estimate = cwae.reconstruct(configs[0], variables[0], audio, category)["mel"]
    generate = functools.partial(mcnn.generate, configs[1], variables[1])
    return {
        "cwae": spectral_convergence(target, estimate),
        "mcnn": spectral_convergence(target, mel_spectrogram(generate(target), mel)),
        "chain": spectral_convergence(target, mel_spectrogram(generate(estimate), mel)),
    }


def evaluate_chain(encoder: Network, vocoder: Network, source: Source) -> dict[str, dict]:
    """Mean spectral convergence by stage.

    Returns:
      {stage: {category: mean, ..., "categories": mean of those, "sounds": mean over the sounds}}
    """
    configs = encoder.config, vocoder.config
    variables = encoder.variables, vocoder.variables
    values = sweep(functools.partial(chain_error, configs, variables), source, 32)
    table = {}
    for stage in STAGES:
        rows = mean_by_category(values[stage], source.category, source.categories)
        table[stage] = {
            **rows,
            "categories": float(np.mean(list(rows.values()))),
            "sounds": float(values[stage].mean()),
        }
    return table


def as_markdown(table: dict[str, dict], source: Source) -> str:
    """The table for people: one row a category, with how many sounds and kits stand behind it."""
    kits = np.array(source.kits)
    labels = {"categories": "**mean of categories**", "sounds": "**mean of sounds**"}
    lines = ["| category | sounds | kits | CWAE | MCNN | chain |", "|---|---|---|---|---|---|"]
    for name in table["chain"]:
        chosen = np.ones(len(kits), bool)
        if name in source.categories:
            chosen = source.category == source.categories.index(name)
        label = labels.get(name, name)
        cells = " | ".join(f"{table[stage][name]:.3f}" for stage in STAGES)
        lines.append(f"| {label} | {chosen.sum()} | {len(set(kits[chosen]))} | {cells} |")
    return "\n".join(lines)
