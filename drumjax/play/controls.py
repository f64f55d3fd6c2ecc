"""What a musician moves: seeds, variations, interpolation, axes and named controls of a code."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from drumjax.errors import ConfigError
from drumjax.play.attribute_map import AttributeMap
from drumjax.play.gaussian import (
    category_weights,
    gaussian_of,
    global_gaussian,
    global_moments,
    moments,
)
from drumjax.play.instrument import Instrument
from drumjax.play.meta import MODES, Mode

_AXES = "controls/{}/directions"
_SPREAD = "controls/{}/spread"
STEP = "controls/step/"  # + name: [k, d], what +1 adds to a code of each category
# What noise is for ends its key, so that no two purposes share any. Never 0: NumPy pads keys with
# zeros, so that (1, 2, 0) gives the numbers of (1, 2).
DRAWN, VARIED, WANDERED, CHECKED, SWEPT = 1, 2, 3, 4, 5
FURTHEST = 100.0  # no code that a category makes comes near it, in any latent
_MOST = 100.0  # standard deviations that a control is moved by


def draw_codes(
    instrument: Instrument,
    category: int | str,
    count: int,
    seed: int,
    prior: str = "fitted",
    temperature: float = 1.0,
    purpose: int = DRAWN,
) -> np.ndarray:
    """Draw codes of one category: float32 [count, d], each latent within ±100.

    Code i depends on (seed, category, i, purpose) alone: a longer run begins with a shorter one's
    sounds.

    Args:
      instrument: which.
      category: its index or name.
      count: how many.
      seed: not negative.
      prior: "fitted" draws from the Gaussian of the category's training codes; "normal" draws from
        N(0, I), the prior of NDM eq. 3.
      temperature: 0 to 100, scales the distance from the mean; 0 gives the mean itself.
      purpose: DRAWN, or another tag for sounds that no seed of a musician's gives.

    Raises:
      ConfigError: an unknown category or prior, weights of several categories, a temperature that
        cannot be used, or a negative seed.
    """
    if not isinstance(category, str | int | np.integer):
        raise ConfigError("Codes are drawn of one category; name it, or give its index.")
    if prior not in ("fitted", "normal"):
        raise ConfigError(f"The prior must be fitted or normal, not {prior!r}.")
    if not 0.0 <= temperature <= _MOST:
        raise ConfigError(f"The temperature must lie between 0 and {_MOST:g}, not {temperature}.")
    index = int(np.argmax(category_weights(instrument, category)))
    noise = _noise([_checked(seed), index], purpose, count, instrument.latents)
    gaussian = gaussian_of(instrument, index)
    codes = noise @ gaussian.root if prior == "fitted" else noise
    mean = gaussian.mean[None] if prior == "fitted" else 0.0
    return _bounded(mean + temperature * codes)


def vary_codes(
    instrument: Instrument, z: np.ndarray, category: Any, amount: float, count: int, seed: int
) -> np.ndarray:
    """Variations of a sound: float32 [count, d], each latent within ±100.

    z' = mean + sqrt(1 - amount²) (z - mean) + amount · noise, within the category's Gaussian: a
    code that was drawn from it stays a draw from it, whatever the amount.

    Args:
      instrument: which.
      z: code [d].
      category: a name, an index or weights [k].
      amount: 0 is the sound itself, 1 is anything that the category makes.
      count: how many; variation i depends on (seed, i) alone.
      seed: not negative.

    Raises:
      ConfigError: an unknown category, an amount outside 0 to 1, a negative seed, or a code that
        is none.
    """
    if not 0.0 <= amount <= 1.0:
        raise ConfigError(f"The amount must lie between 0 and 1, not {amount}.")
    gaussian = gaussian_of(instrument, category)
    noise = _noise([_checked(seed)], VARIED, count, instrument.latents) @ gaussian.root
    kept = np.sqrt(1.0 - amount**2) * (_codes(instrument, z) - gaussian.mean)
    return _bounded(gaussian.mean[None] + kept[None] + amount * noise)


def _codes(instrument: Instrument, z: Any) -> np.ndarray:
    """Codes [..., d] as float64, all numbers."""
    codes = np.asarray(z, np.float64)
    if codes.shape[-1:] != (instrument.latents,) or not np.isfinite(codes).all():
        raise ConfigError(f"A code must be {instrument.latents} finite numbers.")
    return codes


def _bounded(z: np.ndarray) -> np.ndarray:
    """Codes as float32, brought back from where no sounds are."""
    return np.clip(z, -FURTHEST, FURTHEST).astype(np.float32)


def _checked(seed: int) -> int:
    if seed < 0:
        raise ConfigError(f"The seed must not be negative, as {seed} is.")
    return int(seed)


def _noise(key: list[int], purpose: int, count: int, latents: int) -> np.ndarray:
    """Standard normal [count, d]; row i depends on (key, i, purpose) alone."""
    keys = ([*key, i, purpose] for i in range(count))
    rows = [np.random.default_rng(k).standard_normal(latents) for k in keys]
    return np.stack(rows) if rows else np.zeros((0, latents))


def between(a: np.ndarray, b: np.ndarray, steps: int, curve: str = "linear") -> np.ndarray:
    """Codes on the way from a [d] to b [d], both ends included: float32 [steps, d].

    Args:
      a: code [d].
      b: code [d].
      steps: at least 2.
      curve: "linear", or "spherical": along the great circle (Shoemake, 1985), so that the codes
        between two that are far from the origin stay as far from it.

    Raises:
      ConfigError: too few steps, or an unknown curve.
    """
    if steps < 2:
        raise ConfigError(f"A way between two sounds takes at least 2 steps, not {steps}.")
    if curve not in ("linear", "spherical"):
        raise ConfigError(f"The curve must be linear or spherical, not {curve!r}.")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    t = np.linspace(0.0, 1.0, steps)[:, None]
    shares = 1.0 - t, t
    if curve == "spherical":
        cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        if np.sin(angle) > 1e-6:  # no great circle is the shortest through parallel codes
            shares = np.sin((1.0 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    path = shares[0] * a[None] + shares[1] * b[None]
    path[0], path[-1] = a, b
    return path.astype(np.float32)


def names(instrument: Instrument) -> tuple[str, ...]:
    """What `move` moves: a1, a2, … (the audible axes), the attributes, and the controls learnt."""
    key = _AXES.format("audible")
    count = instrument.tensors[key].shape[1] if key in instrument.tensors else 0
    words = instrument.meta.get("controls", {})
    axes = (f"a{i + 1}" for i in range(count))
    return (*axes, *words.get("attributes", ()), *sorted(words.get("learnt", ())))


def with_controls(
    instrument: Instrument, tensors: Mapping[str, np.ndarray], words: Mapping[str, Any]
) -> Instrument:
    """The instrument with more controls: tensors by name, and words for `meta["controls"]`.

    Tensors (d latents, k categories, n axes, a attributes):
      controls/paper/directions [n, d], spread [n]: unit vectors, and standard deviations
      controls/paper_category/..., controls/audible/...: the same for each category, [k, ...]
      controls/attributes/mean, std [k, a]: of the descriptors among a category's sounds
      controls/map/...: see `attribute_map`
      controls/step/NAME [k, d]: what moving a control learnt by 1 adds
    """
    meta = {**instrument.meta, "controls": {**instrument.meta.get("controls", {}), **words}}
    return dataclasses.replace(instrument, tensors={**instrument.tensors, **tensors}, meta=meta)


def move(
    instrument: Instrument, z: np.ndarray, category: Any, amounts: Mapping[str, float]
) -> np.ndarray:
    """Move codes along named controls: float32, z's shape.

    Axes and controls learnt are straight lines. Attributes are then moved all together along the
    slopes of the `AttributeMap`, so that those not named stay as they are.

    Args:
      instrument: which.
      z: code [d] or [b, d].
      category: a name, an index or weights [k], which mix the directions.
      amounts: control -> how far, within ±100: of an attribute, in standard deviations of it
        among the category's sounds, as the map foretells them (0.68 to 0.85 of that is measured on
        the sounds, see `play.attributes`); of an axis, in those of the codes along it; of a
        control learnt, in distances from other sounds to its examples.

    Returns:
      float32 [d] or [b, d], each latent within ±100.

    Raises:
      ConfigError: an unknown control or category, or an amount or a code that is none.
    """
    weights = category_weights(instrument, category)
    codes = np.atleast_2d(_codes(instrument, z))
    attributes = instrument.meta.get("controls", {}).get("attributes", [])
    for name, amount in amounts.items():
        if not abs(amount) <= _MOST:  # nor is NaN
            raise ConfigError(f"The amount of {name} must lie within ±{_MOST:g}, not {amount}.")
        if name not in attributes:
            codes = codes + float(amount) * (weights @ _steps(instrument, name))[None]
    change = np.array([float(amounts.get(name, 0.0)) for name in attributes])
    if change.any():
        attribute_map = AttributeMap.of(instrument.tensors)
        _, covariance = moments(instrument, weights)
        codes = attribute_map.move(codes, weights, change, covariance)
    return _bounded(codes).reshape(np.shape(z))


def _steps(instrument: Instrument, name: str) -> np.ndarray:
    """What moving an axis or a control learnt by 1 adds to a code of each category: [k, d]."""
    known = names(instrument)
    if name not in known:
        say = f"there are {', '.join(known)}" if known else "it has none; export it again"
        raise ConfigError(f"The instrument has no control {name!r}; {say}.")
    if STEP + name in instrument.tensors:
        return np.asarray(instrument.tensors[STEP + name], np.float64)
    return _axis_steps(instrument, "audible")[:, int(name[1:]) - 1]


def _axis_steps(instrument: Instrument, mode: str) -> np.ndarray:
    """Direction × spread: [k, n, d], or [n, d] in the mode "paper"."""
    key = _AXES.format(mode)
    if mode not in MODES:
        raise ConfigError(f"The mode must be one of {', '.join(MODES)}, not {mode!r}.")
    if key not in instrument.tensors:
        raise ConfigError("The instrument has no axes; export it again with this drumjax.")
    spread = np.asarray(instrument.tensors[_SPREAD.format(mode)], np.float64)
    return np.asarray(instrument.tensors[key], np.float64) * spread[..., None]


def _axes_at(instrument: Instrument, category: Any, mode: str) -> np.ndarray:
    """The axes' steps in one category [n, d]."""
    steps = _axis_steps(instrument, mode)
    if mode == "paper":
        return steps
    return np.einsum("k,knd->nd", category_weights(instrument, category), steps)


def position(
    instrument: Instrument, z: np.ndarray, category: Any, mode: Mode = "audible"
) -> np.ndarray:
    """Where a code lies on the axes, in standard deviations: z [d] or [b, d] -> [n] or [b, n].

    The place on the axes that is next to the code, counted in the category's standard deviations;
    what `from_alphas` made has the place it was made of, in mixed categories as well.

    Args:
      instrument: which.
      z: codes.
      category: a name, an index or weights [k]; the mode "paper" does not look at it.
      mode: "audible", "paper_category" or "paper".

    Raises:
      ConfigError: an unknown category or mode, a code that is none, or an instrument without
        axes.
    """
    steps = _axes_at(instrument, category, mode)
    paper = mode == "paper"
    gaussian = global_gaussian(instrument) if paper else gaussian_of(instrument, category)
    w = gaussian.whiten(_codes(instrument, z))
    # One category's whitened steps are orthonormal; those of mixed ones are not.
    return (w @ np.linalg.pinv(steps @ gaussian.inverse)).astype(np.float32)


def from_alphas(
    instrument: Instrument,
    alphas: np.ndarray,
    category: Any,
    mode: Mode = "audible",
    reach: float = 2.0,
) -> np.ndarray:
    """The paper's inverse PCA with its range selector: α [n] or [b, n] -> z float32 [d] or [b, d].

    Args:
      instrument: which.
      alphas: -1 to 1 spans the range; fewer than there are axes leave the rest at 0.
      category: a name, an index or weights [k]; the mode "paper" does not look at it.
      mode: "audible", "paper_category" or "paper".
      reach: standard deviations at α = 1, the range selector.

    Raises:
      ConfigError: an unknown category or mode, more alphas than axes, numbers beyond ±100, or no
        axes.
    """
    alphas = np.asarray(alphas, np.float64)
    steps = _axes_at(instrument, category, mode)
    if not alphas.ndim or not (math.isfinite(reach) and (np.abs(reach * alphas) <= _MOST).all()):
        raise ConfigError(f"Alphas are a list; times the reach, each lies within ±{_MOST:g}.")
    n = alphas.shape[-1]
    if n > len(steps):
        raise ConfigError(f"There are {len(steps)} axes, not {n}.")
    paper = mode == "paper"
    mean, _ = global_moments(instrument) if paper else moments(instrument, category)
    return _bounded(mean + reach * (alphas @ steps[:n]))
