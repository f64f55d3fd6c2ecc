"""A sound as a client asks for it: where it starts from, where the controls are, how it is shaped.

The same request gives the same sound on the same instrument. As JSON, with its defaults:

    {"category": "kick",   or {"kick": 0.6, "snare": 0.4}; there is no default
     "seed": 0,            0 is the category's mean sound, another number the draw of that seed
     "alphas": [0, 0, 0],  the pad and Fine, -1 to 1: where the sound is moved to, from its start
     "range": 1,           standard deviations that an alpha of 1 moves it
     "attributes": {},     {"brightness": 0.5}: attributes and learnt controls, see `controls.move`
     "z": null,            the code of a sound of the client's own, which then is the start
     "amount": 0,          with z: how far the variation of the seed goes from it, 0 to 1
     "shape": {}}          see `play.shape.Shape`
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from drumjax.audio.names import brief
from drumjax.errors import ConfigError
from drumjax.play.controls import FURTHEST, from_alphas, move, names, vary_codes
from drumjax.play.gaussian import moments
from drumjax.play.instrument import Instrument
from drumjax.play.kit import draw
from drumjax.play.meta import Mode
from drumjax.play.recipe import Category, Sound, decimal, mixture, weights_of
from drumjax.play.shape import Shape

MOST_RANGE = 4.0  # standard deviations
MOST_ATTRIBUTE = 3.0  # standard deviations
MOST_SEED = 2**31 - 1  # OSC's integers hold no more

_AXIS = re.compile(r"a\d+")


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no single truth of being equal
class Spec:
    """What the module's first lines say; `reach` is the range.

    `z` is float32 [d], `alphas` up to three numbers.
    """

    category: Category
    seed: int = 0
    alphas: tuple[float, ...] = (0.0, 0.0, 0.0)
    reach: float = 1.0
    attributes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    z: np.ndarray | None = None
    amount: float = 0.0
    shape: Shape = dataclasses.field(default_factory=Shape)


def read_spec(values: Any, instrument: Instrument) -> Spec:
    """The request that a client's JSON holds, checked field by field.

    Args:
      values: what JSON text holds.
      instrument: that is to play it.

    Raises:
      ConfigError: it is no table, a field is unknown, or a value cannot be used.
    """
    known = ("category", "seed", "alphas", "range", "attributes", "z", "amount", "shape")
    if not isinstance(values, Mapping):
        raise ConfigError(f"A sound is a table of {', '.join(known)}.")
    if unknown := [key for key in values if key not in known]:
        raise ConfigError(f"A sound has no {brief(unknown[0])}, but {', '.join(known)}.")
    alphas = values.get("alphas", (0.0, 0.0, 0.0))
    if not isinstance(alphas, list | tuple) or len(alphas) > 3:
        raise ConfigError("The alphas are a list of up to three numbers.")
    return Spec(
        category=read_category(values.get("category"), instrument),
        seed=_seed(values.get("seed", 0)),
        alphas=tuple(_number("an alpha", a, -1.0, 1.0) for a in alphas),
        reach=_number("the range", values.get("range", 1.0), 0.0, MOST_RANGE),
        attributes=_attributes(values.get("attributes", {}), instrument),
        z=_code(values.get("z"), instrument),
        amount=_number("the amount", values.get("amount", 0.0), 0.0, 1.0),
        shape=Shape.from_dict(values.get("shape", {})),
    )


def read_category(value: Any, instrument: Instrument) -> Category:
    """A category's name, or the weights of a hybrid, of a name or a table of shares.

    Raises:
      ConfigError: it is neither, or of a category that the instrument does not know.
    """
    shares = {value: 1.0} if isinstance(value, str) else value
    if not isinstance(shares, Mapping) or not shares:
        raise ConfigError("The category must be a name, or a table of names and their shares.")
    known = instrument.categories
    for name, share in shares.items():
        if name not in known:
            raise ConfigError(
                f"The instrument knows no category {brief(name)}; choose one of {', '.join(known)}."
            )
        _number(f"the share of {name}", share, 1e-6, 1e6)
    return mixture(shares)


def control_names(instrument: Instrument) -> tuple[str, ...]:
    """The attributes and learnt controls that a request may name, without the axes a1, a2, …."""
    return tuple(name for name in names(instrument) if not _AXIS.fullmatch(name))


def sound_of(
    instrument: Instrument, spec: Spec, name: str = "take", mode: Mode = "audible"
) -> Sound:
    """The sound of a request: NDM's inverse PCA of the pad and Fine, around where the sound starts.

    Differs from the paper: the axes go through the sound that a seed or an own sound gives. With
    seed 0 they go through the mean, as there.

    Args:
      instrument: that is to play it.
      spec: the request.
      name: of the sound, see `recipe.check_name`.
      mode: whose axes the alphas move along, see `controls.from_alphas`.

    Raises:
      ConfigError: the instrument has no axes or attributes, and they are asked for.
    """
    weights = weights_of(spec.category, instrument.categories)
    z = _start(instrument, spec, weights, mode)
    if any(spec.alphas):
        alphas = np.asarray(spec.alphas)
        there = from_alphas(instrument, alphas, weights, mode, spec.reach)
        z = z + there - from_alphas(instrument, 0.0 * alphas, weights, mode)
    z = move(instrument, z, weights, spec.attributes)
    return Sound(name, spec.category, z, spec.shape, origin=_origin(spec, mode))


def _start(instrument: Instrument, spec: Spec, weights: np.ndarray, mode: Mode) -> np.ndarray:
    """Where the pad's centre is: float32 [d]."""
    if spec.z is not None:
        if not (spec.seed and spec.amount):
            return spec.z
        return vary_codes(instrument, spec.z, weights, spec.amount, 1, spec.seed)[0]
    if spec.seed:
        return draw(instrument, spec.category, 1, spec.seed)[0]
    if mode == "paper":
        return from_alphas(instrument, np.zeros(1), weights, mode)
    return moments(instrument, weights)[0].astype(np.float32)


def _origin(spec: Spec, mode: Mode) -> dict[str, Any]:
    """How the sound came to be, for its recipe."""
    origin: dict[str, Any] = {"command": "serve", "seed": spec.seed}
    if any(spec.alphas):
        alphas = [decimal(a) for a in spec.alphas]
        origin |= {"alphas": alphas, "range": decimal(spec.reach), "axes": mode}
    if spec.attributes:
        origin["attributes"] = dict(spec.attributes)
    if spec.z is not None:
        origin |= {"from": "a sound of one's own", "amount": spec.amount}
    return origin


def _attributes(values: Any, instrument: Instrument) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise ConfigError("The attributes are a table of names and numbers.")
    known = control_names(instrument)
    for name in values:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"The instrument has no attribute {brief(name)}; {has}.")
    most = MOST_ATTRIBUTE
    return {name: _number(name, v, -most, most) for name, v in values.items()}


def _code(values: Any, instrument: Instrument) -> np.ndarray | None:
    if values is None:
        return None
    if not isinstance(values, list | tuple) or len(values) != instrument.latents:
        raise ConfigError(f"A code z is a list of {instrument.latents} numbers.")
    code = [_number("a number of the code", v, -FURTHEST, FURTHEST) for v in values]
    return np.asarray(code, np.float32)


def _seed(value: Any) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 <= value <= MOST_SEED and value == int(value)):
        raise ConfigError(f"The seed is {brief(value)}; choose a whole number, 0 or more.")
    return int(value)


def _number(what: str, value: Any, low: float, high: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not low <= value <= high:
        raise ConfigError(
            f"{what[0].upper()}{what[1:]} is {brief(value)}; choose {low:g} to {high:g}."
        )
    return float(value)
