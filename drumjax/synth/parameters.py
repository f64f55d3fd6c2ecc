"""The parameters of every drum: names, physical ranges, and the way from the unit cube to them."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """One knob: at 0 it stands at `low`, at 1 at `high`, in between on the given scale."""

    name: str
    low: float
    high: float
    unit: str
    scale: Literal["linear", "log"] = "linear"


def _level(name: str, low: float = 0.0, high: float = 1.0) -> Parameter:
    return Parameter(name, low, high, "ratio")


def _hz(name: str, low: float, high: float) -> Parameter:
    return Parameter(name, low, high, "Hz", "log")


def _seconds(name: str, low: float, high: float) -> Parameter:
    return Parameter(name, low, high, "s", "log")


# What every recording has: where it was cut (of its natural length) and the noise under it.
_RECORDING = (
    _level("length", 0.5, 1.2),
    Parameter("hiss", -95.0, -60.0, "dB"),
)


def _hat(decay_low: float, decay_high: float) -> tuple[Parameter, ...]:
    return (
        _hz("pitch", 180, 700),
        _level("spread", 0.7, 1.4),
        _level("noise"),
        _hz("high_pass", 1000, 8000),
        _hz("centre", 4000, 10000),
        _seconds("decay", decay_low, decay_high),
        _level("splash"),
        _level("strike"),
        _level("knock"),
        _hz("knock_pitch", 180, 700),
        _level("drive"),
        _hz("low_pass", 6000, 20000),
        _level("room", 0.0, 0.3),
    )


def _hand_drum(low: float, high: float, longest: float) -> tuple[Parameter, ...]:
    return (
        _hz("pitch", low, high),
        _level("bend", 0.0, 0.25),
        _seconds("decay", 0.15, longest),
        _level("slap"),
        _level("partials"),
        _level("damping"),
        _level("noise"),
        _hz("noise_centre", 600, 5000),
        _level("shell"),
        _level("drive"),
        _hz("low_pass", 2000, 20000),
        _level("room", 0.0, 0.5),
    )


_OWN: dict[str, tuple[Parameter, ...]] = {
    "kick": (
        _hz("pitch", 32, 80),
        Parameter("sweep", 0.3, 8.0, "ratio", "log"),
        _seconds("sweep_time", 0.005, 0.08),
        _seconds("decay", 0.15, 2.2),
        _seconds("hold", 0.001, 0.1),
        _level("skin"),
        _level("click"),
        _hz("click_centre", 800, 7000),
        _level("noise"),
        _level("drive"),
        _hz("low_pass", 1200, 20000),
        _level("room", 0.0, 0.3),
    ),
    "snare": (
        _hz("pitch", 105, 265),
        _level("sweep", 0.0, 1.0),
        _seconds("body_decay", 0.1, 0.8),
        _level("partials"),
        _level("wires", 0.15, 1.0),
        _seconds("wires_decay", 0.15, 1.5),
        _hz("wires_low", 200, 3000),
        _hz("wires_high", 4000, 14000),
        _level("strike"),
        _level("drive"),
        _hz("low_pass", 3000, 16000),
        _level("room", 0.0, 0.5),
    ),
    "clap": (
        Parameter("bursts", 3, 5, "count"),
        _seconds("spacing", 0.007, 0.016),
        _level("jitter", 0.0, 0.3),
        _level("unevenness"),
        _seconds("burst_decay", 0.01, 0.03),
        _hz("centre", 500, 3500),
        _level("width", 0.4, 2.8),
        _level("air"),
        _level("tail", 0.2, 1.0),
        _seconds("decay", 0.15, 1.6),
        _level("drive"),
        _hz("low_pass", 3000, 20000),
        _level("room", 0.0, 0.8),
    ),
    "snap": (
        _hz("centre", 1300, 4500),
        _level("ratio", 1.3, 2.6),
        _level("resonance"),
        _seconds("decay", 0.006, 0.04),
        _level("click"),
        _seconds("gap", 0.003, 0.014),
        _level("second"),
        _level("body"),
        _level("room", 0.1, 1.6),
        _seconds("room_decay", 0.2, 1.3),
        _hz("low_pass", 4000, 20000),
    ),
    "closed_hat": _hat(0.08, 0.5),
    "open_hat": _hat(0.7, 5.0),
    "tom": (
        _hz("pitch", 60, 210),
        _level("sweep", 0.0, 1.2),
        _seconds("sweep_time", 0.02, 0.2),
        _seconds("decay", 0.25, 2.5),
        _level("partials"),
        _level("damping"),
        _level("strike"),
        _hz("strike_centre", 800, 6000),
        _level("noise"),
        _level("drive"),
        _hz("low_pass", 1500, 16000),
        _level("room", 0.0, 0.4),
    ),
    "conga": _hand_drum(160, 350, 1.5),
    "bongo": _hand_drum(250, 600, 1.1),
    "shaker": (
        _hz("centre", 5000, 10500),
        _level("width", 0.3, 1.2),
        Parameter("density", 2000, 22000, "grains/s", "log"),
        _seconds("attack", 0.012, 0.09),
        _seconds("decay", 0.08, 0.7),
        _level("second"),
        _seconds("gap", 0.06, 0.2),
        _level("body"),
        _hz("low_pass", 8000, 20000),
        _level("room", 0.0, 0.3),
    ),
    "tambourine": (
        _hz("pitch", 3800, 7500),
        _level("spread", 1.4, 2.4),
        _seconds("ring", 0.15, 1.0),
        _seconds("rattle", 0.015, 0.2),
        _level("scatter"),
        _level("noise"),
        _level("skin"),
        _hz("skin_pitch", 180, 700),
        _hz("low_pass", 6000, 20000),
        _level("room", 0.0, 0.4),
    ),
}


PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    category: own + _RECORDING for category, own in _OWN.items()
}


def parameters_of(category: str) -> tuple[Parameter, ...]:
    """Return the category's parameters; ConfigError names the known ones if it has none."""
    if category not in PARAMETERS:
        known = ", ".join(CATEGORIES)
        raise ConfigError(f"There is no drum category '{category}'; choose one of: {known}.")
    return PARAMETERS[category]


def physical_vector(category: str, unit_vector: ArrayLike) -> jax.Array:
    """Turn unit vectors [..., P] into float32 [..., P] in each parameter's unit.

    ConfigError if the category is unknown or the last axis is not P long.
    """
    table = parameters_of(category)
    unit_vector = jnp.asarray(unit_vector, jnp.float32)
    if unit_vector.shape[-1:] != (len(table),):
        raise ConfigError(
            f"A {category} has {len(table)} parameters, not {unit_vector.shape[-1:]}; give "
            f"[..., {len(table)}] in this order: {', '.join(p.name for p in table)}."
        )
    return _scaled(unit_vector, *_bounds(table))


def to_physical(category: str, unit_vector: ArrayLike) -> dict[str, jax.Array]:
    """Turn unit vectors [..., P] in [0, 1] into {name: [...]} in each parameter's unit.

    ConfigError if the category is unknown or the last axis is not P long.
    """
    physical = physical_vector(category, unit_vector)
    return {p.name: physical[..., i] for i, p in enumerate(parameters_of(category))}


def _bounds(table: tuple[Parameter, ...]) -> tuple[np.ndarray, ...]:
    low, high = np.array([(p.low, p.high) for p in table], np.float32).T
    return low, high, np.array([p.scale == "log" for p in table])


@jax.jit
def _scaled(unit_vector, low, high, is_log) -> jax.Array:
    low, high, is_log = (jnp.broadcast_to(x, unit_vector.shape) for x in (low, high, is_log))
    base = jnp.where(is_log, low, 1.0)
    ratio = jnp.where(is_log, high, 1.0) / base
    return jnp.where(is_log, base * ratio**unit_vector, low + (high - low) * unit_vector)
