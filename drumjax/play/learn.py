"""One control from a musician's own sounds: the direction from other sounds to theirs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from drumjax.errors import ConfigError
from drumjax.play.attribute_map import AttributeMap
from drumjax.play.gaussian import Gaussian, gaussian_of
from drumjax.play.instrument import Instrument

FEWEST = 3  # examples
_FURTHEST = 3.0  # standard deviations that a control moves by at 1: beyond lie no sounds
_FLOOR = 0.01  # of the mean variance: flatter directions of a category's codes are not heard


class Learnt(NamedTuple):
    """A control that was learnt."""

    steps: np.ndarray  # [k, d]: what moving it by 1 adds to a code of each category
    distance: float  # standard deviations that 1 stands for
    auc: float  # how often a left-out example lies further along it than another sound
    held: float  # the part of its length that holding the attributes left; 1 if they were not held


def whitened(instrument: Instrument, z: np.ndarray, categories: Sequence[int]) -> np.ndarray:
    """Codes [n, d], each in its own category's whitened space [n, d].

    Directions that are nearly flat in training are not blown up.
    """
    blunt = {i: _blunt(instrument, i) for i in set(categories)}
    rows = [blunt[i].whiten(code) for i, code in zip(categories, z, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, instrument.latents))


def _blunt(instrument: Instrument, category: int) -> Gaussian:
    covariance = np.asarray(instrument.tensors["latents/covariance"][category], np.float64)
    least = _FLOOR * np.trace(covariance) / len(covariance)
    mean = instrument.tensors["latents/mean"][category]
    return Gaussian.of(mean, covariance + least * np.eye(len(covariance)))


def learn(
    instrument: Instrument, examples: np.ndarray, against: np.ndarray | None, hold: bool = False
) -> Learnt:
    """Learn a control: 1 goes as far as the examples lie from the other sounds, at most 3 sd.

    Args:
      instrument: which.
      examples: whitened codes [n, d] of the sounds that have the quality.
      against: whitened codes [m, d] of sounds that do not; None: all that each category makes.
      hold: keep the attributes as they are, as far as that can be done along a straight line.

    Raises:
      ConfigError: fewer than 3 examples, or the attributes are to be held and there are none.
    """
    sizes = [len(examples)] + ([] if against is None else [len(against)])
    if min(sizes) < FEWEST:
        raise ConfigError(f"A control takes at least {FEWEST} sounds to learn, not {min(sizes)}.")
    u = direction(examples, against)
    centre = 0.0 if against is None else against.mean(0) @ u
    distance = float(np.clip(examples.mean(0) @ u - centre, 0.0, _FURTHEST))
    steps, held = [], []
    for i in range(len(instrument.categories)):
        own, left = _without_attributes(instrument, i, u) if hold else (u, 1.0)
        steps.append(distance * own @ gaussian_of(instrument, i).root)
        held.append(left)
    made = np.stack(steps).astype(np.float32)
    return Learnt(made, distance, separation(examples, against), min(held))


def direction(examples: np.ndarray, against: np.ndarray | None) -> np.ndarray:
    """The unit vector [d] from the mean of `against` to that of the examples, shrunk.

    Each coordinate is shrunk by what chance would give it (the positive part of the James-Stein
    factor), so that with few examples only what stands out counts.
    """
    if against is None:
        return _towards(examples.mean(0), 1 / len(examples))
    chance = 1 / len(examples) + 1 / len(against)
    return _towards(examples.mean(0) - against.mean(0), chance)


def _towards(difference: np.ndarray, chance: float) -> np.ndarray:
    """Differences of means [..., d], each coordinate of variance `chance` -> unit vectors."""
    shrunk = difference * np.maximum(0.0, 1.0 - chance / np.maximum(difference**2, 1e-12))
    used = np.where(shrunk.any(-1, keepdims=True), shrunk, difference)
    return used / np.maximum(np.linalg.norm(used, axis=-1, keepdims=True), 1e-12)


def separation(examples: np.ndarray, against: np.ndarray | None) -> float:
    """Area under the ROC curve with each sound left out of learning in its turn: 0.5 is chance."""
    others = _left_out(examples)  # [n, d]
    chance = 1 / (len(examples) - 1)
    if against is None:  # N(0, 1) along any unit direction
        places = np.sum(_towards(others, chance) * examples, axis=1)
        return float(np.mean([0.5 * math.erfc(-place / math.sqrt(2)) for place in places]))
    chance += 1 / (len(against) - 1)
    wins = []
    for example, mean in zip(examples, others, strict=True):
        u = _towards(mean[None] - _left_out(against), chance)  # [m, d]
        wins.append(np.mean(np.sum((example[None] - against) * u, axis=1) > 0))
    return float(np.mean(wins))


def _left_out(x: np.ndarray) -> np.ndarray:
    """For each row of [n, d], the mean of the others."""
    return (x.sum(0)[None] - x) / (len(x) - 1)


def _without_attributes(
    instrument: Instrument, category: int, u: np.ndarray
) -> tuple[np.ndarray, float]:
    """A whitened direction without what moves the attributes at the category's mean.

    Returns it with the length 1, and the length that was left of it.
    """
    if "attributes" not in instrument.meta.get("controls", {}):
        raise ConfigError("The instrument has no attributes to hold; export it again.")
    gaussian = gaussian_of(instrument, category)
    weights = np.eye(len(instrument.categories))[[category]]
    attribute_map = AttributeMap.of(instrument.tensors)
    slopes = attribute_map.jacobian(gaussian.mean[None], weights)[1][0] @ gaussian.root  # [a, d]
    left = u - np.linalg.pinv(slopes) @ (slopes @ u)
    length = float(np.linalg.norm(left))
    return left / max(length, 1e-12), length
