"""What a model hands to the training loop: pure functions, the same shape for every paper."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

Variables = dict[str, Any]  # {"params": ..., "batch_stats": ..., "constants": ...}
# {"audio": int16 [categories, n, samples], "category": int32 [categories, n]}
Batch = Mapping[str, Any]


class Loss(NamedTuple):
    """One player of the game.

    function: (variables, batch, key, axis_name) -> (loss, (new batch_stats, metrics)); `axis_name`
      says which part of the batch it is given, a `drumjax.nn.parts.Axis`.
    trains: the top-level keys of `params` that this player may change.
    """

    function: Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]
    trains: tuple[str, ...]


class Objective(NamedTuple):
    """Everything that the loop, the pictures and the samplers need of a model.

    init: (key) -> variables, with `constants` of the right shapes.
    fit: (batches of int16 audio [n, samples] and category [n]) -> constants, once before training.
    losses: player -> Loss, run in this order at every step.
    validate: (variables, audio [n, samples], category [n]) -> per-sound arrays [n, ...]; jittable.
    summarise: (per-sound arrays of the whole set, category [n]) -> scalars; "loss" finds the best.
    calibrate: (variables, batches of (audio, category)) -> constants, before each checkpoint.
    reconstruct: (variables, audio, category) -> {"mel": [n, frames, mels]}, with {"audio":
      [n, samples]} where the model makes sound itself.
    """

    init: Callable[[jax.Array], Variables]
    fit: Callable[[Iterable[tuple[np.ndarray, np.ndarray]]], dict[str, Any]]
    losses: dict[str, Loss]
    validate: Callable[..., dict[str, jax.Array]]
    summarise: Callable[[dict[str, np.ndarray], np.ndarray], dict[str, float]]
    calibrate: Callable[..., dict[str, Any]]
    reconstruct: Callable[..., dict[str, jax.Array]]


def to_float(audio: Any) -> jax.Array:
    """16-bit sound (full scale 32,767) to float32 in [-1, 1]; float32 passes through."""
    return audio.astype(np.float32) / 32767.0 if audio.dtype == np.int16 else audio


def merge_categories(x: jax.Array) -> jax.Array:
    """[categories, n, ...] -> [n * categories, ...]; n leads, so that a split of n stays one."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])


def split_categories(x: jax.Array, categories: int) -> jax.Array:
    """The inverse of `merge_categories`: [n * categories, ...] -> [categories, n, ...]."""
    return x.reshape(-1, categories, *x.shape[1:]).swapaxes(0, 1)


def mean_by_category(values: np.ndarray, category: np.ndarray, names: tuple[str, ...]) -> dict:
    """Mean of per-sound values for each category that occurs, keyed by its name."""
    present = [(i, name) for i, name in enumerate(names) if np.any(category == i)]
    return {name: float(values[category == i].mean()) for i, name in present}
