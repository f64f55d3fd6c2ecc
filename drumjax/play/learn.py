"""One control from a musician's own sounds: the direction from other sounds to theirs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from drumjax.errors import ConfigError
from drumjax.play.attribute_map import AttributeMap
from drumjax.play.gaussian import Gaussian
from drumjax.play.instrument import Instrument

FEWEST = 3  # examples
_NEAREST = 0.1  # standard deviations that a control moves by at 1: less is not heard
_FURTHEST = 3.0  # beyond lie no sounds
_FLOOR = 0.01  # of the mean variance: flatter directions of a category's codes are not heard


class Codes(NamedTuple):
    """Sounds, each in its own category's whitened space."""

    w: np.ndarray  # [n, d]
    category: np.ndarray  # index [n]


class Separation(NamedTuple):
    """How sounds lie along the control that is learnt without them."""

    auc: float  # how often an example lies further along it than another sound: 0.5 is chance
    error: float  # the standard error of that
    distance: float  # standard deviations from the other sounds to the examples


class Learnt(NamedTuple):
    """A control that was learnt."""

    steps: np.ndarray  # float32 [k, d]: what moving it by 1 adds to a code of each category
    separation: Separation
    distance: float  # standard deviations that 1 stands for, at most 3
    held: float  # the part of its length that holding the attributes left; 1 if they were not held


def whitened(instrument: Instrument, z: np.ndarray, categories: Sequence[int]) -> Codes:
    """Codes z [n, d] of sounds of these categories [n], each in its category's whitened space.

    Directions that are nearly flat in training are not blown up.
    """
    blunt = {i: _blunt(instrument, i) for i in set(categories)}
    rows = [blunt[i].whiten(code) for i, code in zip(categories, z, strict=True)]
    w = np.stack(rows) if rows else np.zeros((0, instrument.latents))
    return Codes(w, np.asarray(categories, int))


def _blunt(instrument: Instrument, category: int) -> Gaussian:
    covariance = np.asarray(instrument.tensors["latents/covariance"][category], np.float64)
    least = _FLOOR * np.trace(covariance) / len(covariance)
    mean = instrument.tensors["latents/mean"][category]
    return Gaussian.of(mean, covariance + least * np.eye(len(covariance)))


def learn(
    instrument: Instrument, examples: Codes, against: Codes | None, hold: bool = False
) -> Learnt:
    """Learn a control: 1 goes as far as the examples lie from the other sounds, at most 3 sd.

    How far is measured with each sound left out of learning in its turn, along what is saved.

    Args:
      instrument: which.
      examples: the sounds that have the quality.
      against: sounds that do not; None: all that each category makes.
      hold: keep the attributes as they are, as far as that can be done along a straight line.

    Raises:
      ConfigError: fewer than 3 sounds, examples that lie no further along the control than other
        sounds, or the attributes are to be held and there are none.
    """
    sizes = [len(examples.w)] + ([] if against is None else [len(against.w)])
    if min(sizes) < FEWEST:
        raise ConfigError(f"A control takes at least {FEWEST} sounds to learn, not {min(sizes)}.")
    keep = _kept(instrument) if hold else None
    found = separation(examples, against, keep)
    if found.distance < _NEAREST:
        raise ConfigError(
            "Nothing was found that sets the examples apart from the other sounds; add sounds, or "
            "choose other ones."
        )
    distance = min(found.distance, _FURTHEST)
    u = direction(examples.w, None if against is None else against.w)
    k = len(instrument.categories)
    own = _within(np.tile(u, (k, 1)), np.arange(k), keep)
    left = np.linalg.norm(own, axis=1)
    roots = np.stack([_blunt(instrument, i).root for i in range(k)])
    steps = distance * (_unit(own)[:, None] @ roots)[:, 0]
    return Learnt(steps.astype(np.float32), found, distance, float(left.min()))


def direction(examples: np.ndarray, against: np.ndarray | None) -> np.ndarray:
    """The unit vector [d] from the mean of `against` to that of the examples, shrunk.

    Each coordinate x of the difference is multiplied by max(0, 1 - s² / x²), s² being what chance
    gives it (the non-negative garrote, Breiman, 1995), so that with few examples only what stands
    out counts.

    Args:
      examples: whitened codes [n, d].
      against: [m, d], or None for N(0, I), what each category makes.
    """
    if against is None:
        return _towards(examples.mean(0), 1 / len(examples))
    chance = 1 / len(examples) + 1 / len(against)
    return _towards(examples.mean(0) - against.mean(0), chance)


def _towards(difference: np.ndarray, chance: float) -> np.ndarray:
    """Differences of means [..., d], each coordinate of variance `chance` -> unit vectors."""
    shrunk = difference * np.maximum(0.0, 1.0 - chance / np.maximum(difference**2, 1e-12))
    return _unit(np.where(shrunk.any(-1, keepdims=True), shrunk, difference))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def separation(
    examples: Codes, against: Codes | None, keep: np.ndarray | None = None
) -> Separation:
    """Where each sound lies along the direction that is learnt without it.

    Args:
      examples: at least 2 sounds.
      against: at least 2, or None for N(0, I), what each category makes.
      keep: what of a direction is saved in each category [k, d, d], or None: all of it.

    Returns:
      the area under the ROC curve with its standard error (Hanley and McNeil, 1982), and the mean
      distance; of pure noise, 0.5 and 0 but for chance.
    """
    others = _left_out(examples.w)  # [n, d]
    chance = 1 / (len(others) - 1)
    if against is None:  # N(0, 1) along any unit direction
        gaps = _places(examples, _towards(others, chance), keep)
        wins = np.array([0.5 * math.erfc(-gap / math.sqrt(2)) for gap in gaps])
    else:
        chance += 1 / (len(against.w) - 1)
        rivals, gaps, wins = _left_out(against.w), [], []
        for w, category, mean in zip(*examples, others, strict=True):
            u = _towards(mean[None] - rivals, chance)  # [m, d]
            same = Codes(np.broadcast_to(w, u.shape), np.full(len(u), category))
            ahead = _places(same, u, keep) - _places(against, u, keep)
            gaps.append(ahead.mean())
            wins.append(np.mean((ahead > 0) + 0.5 * (ahead == 0)))
    auc = float(np.mean(wins))
    error = _error(auc, len(examples.w), None if against is None else len(against.w))
    return Separation(auc, error, float(np.mean(gaps)))


def _places(sounds: Codes, u: np.ndarray, keep: np.ndarray | None) -> np.ndarray:
    """How far each of n sounds lies along what is saved of its own direction, u [n, d]: [n]."""
    return np.sum(sounds.w * _unit(_within(u, sounds.category, keep)), axis=1)


def _within(u: np.ndarray, category: np.ndarray, keep: np.ndarray | None) -> np.ndarray:
    """What is kept of directions u [n, d] in these categories [n]."""
    if keep is None:
        return u
    kept = np.empty_like(u)
    for i in np.unique(category):
        kept[category == i] = u[category == i] @ keep[i]
    return kept


def _error(auc: float, n: int, m: int | None) -> float:
    """Standard error of an AUC of n examples and m others, or endlessly many."""
    one = auc / (2 - auc) - auc**2
    two = 2 * auc**2 / (1 + auc) - auc**2
    if m is None:
        return math.sqrt(max(two, 0.0) / n)
    return math.sqrt(max(auc * (1 - auc) + (n - 1) * one + (m - 1) * two, 0.0) / (n * m))


def _left_out(x: np.ndarray) -> np.ndarray:
    """For each row of [n, d], the mean of the others."""
    return (x.sum(0)[None] - x) / (len(x) - 1)


def _kept(instrument: Instrument) -> np.ndarray:
    """Projections [k, d, d] of whitened directions onto those that leave the attributes alone.

    As they are at each category's mean.
    """
    if "attributes" not in instrument.meta.get("controls", {}):
        raise ConfigError("The instrument has no attributes to hold; export it again.")
    k, d = len(instrument.categories), instrument.latents
    means = np.asarray(instrument.tensors["latents/mean"], np.float64)
    slopes = AttributeMap.of(instrument.tensors).jacobian(means, np.eye(k))[1]  # [k, a, d]
    whole = slopes @ np.stack([_blunt(instrument, i).root for i in range(k)])
    return np.eye(d)[None] - np.linalg.pinv(whole) @ whole
