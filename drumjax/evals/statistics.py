"""How sure a number is: intervals that know that the sounds of one kit are alike."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

_NORMAL = NormalDist()
_TAIL = 0.025  # on each side of a 95 % interval


class Interval(NamedTuple):
    """A mean with its 95 % interval, and how many values from how many groups stand behind it."""

    mean: float
    low: float
    high: float
    n: int
    groups: int


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of [n] values and its interval if other groups had been drawn.

    Whole groups (kits) are drawn with replacement, as sounds of one kit say little of other kits;
    the quantiles are corrected for bias and skewness (BCa: Efron, 1987, eqs. 3.8 and 7.3).

    Args:
      values: one a sound. A NaN, a measure that is undefined for its sound, is left out.
      groups: the kit of each.
      draws: how often groups are drawn.
      seed: of the draws; the same seed gives the same interval.

    Returns:
      All NaN without values. One group says nothing of others, and an infinite value nothing of
      its spread: low and high are NaN then.
    """
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    known = ~np.isnan(values)
    values, groups = values[known], groups[known]
    if not len(values):
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    mean = float(values.mean())
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan, len(values), len(names))
    sums, sizes = np.bincount(place, values), np.bincount(place)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1.0 / len(names)), draws
    )  # [draws, groups]: how often each is drawn
    means = (drawn @ sums) / (drawn @ sizes)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)  # each group left out once
    low, high = np.quantile(means, _corrected(means, mean, without))
    return Interval(mean, float(low), float(high), len(values), len(names))


def wilson(successes: int, n: int) -> Interval:
    """Share of successes with Wilson's (1927) score interval, each trial its own group.

    Returns:
      All NaN where n is 0.
    """
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    z, share = _NORMAL.inv_cdf(1.0 - _TAIL), successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n, n)


def _corrected(means: np.ndarray, mean: float, without: np.ndarray) -> list[float]:
    """The two quantiles of the drawn means [draws] that bound the interval."""
    below = np.mean(means < mean) + 0.5 * np.mean(means == mean)  # ties count half
    edge = 0.5 / len(means)  # keeps the bias finite where all lie on one side
    bias = _NORMAL.inv_cdf(float(np.clip(below, edge, 1.0 - edge)))
    apart = without.mean() - without
    spread = float(np.sum(apart**2))
    skewness = float(np.sum(apart**3)) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    shifted = [bias + _NORMAL.inv_cdf(q) for q in (_TAIL, 1.0 - _TAIL)]
    return [_NORMAL.cdf(bias + s / (1.0 - skewness * s)) for s in shifted]
