"""How often sounds are recognised as the category that they were asked for."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from drumjax.errors import DataError
from drumjax.evals.statistics import Interval, wilson
from drumjax.evals.tables import FEWEST


def confusion(wanted: np.ndarray, heard: np.ndarray, count: int) -> np.ndarray:
    """How many sounds of each wanted category [n] were heard as each: [count, count], rows wanted.

    Raises:
      DataError: not one heard category for each wanted one, or an index beyond `count`.
    """
    wanted, heard = np.asarray(wanted, np.int64), np.asarray(heard, np.int64)
    if wanted.shape != heard.shape or wanted.ndim != 1:
        raise DataError(f"There are {heard.size} answers for {wanted.size} sounds.")
    both = np.concatenate([wanted, heard])
    if both.size and not 0 <= both.min() <= both.max() < count:
        raise DataError(f"A category's index lies outside 0 to {count - 1}.")
    return np.bincount(wanted * count + heard, minlength=count**2).reshape(count, count)


def recognition(wanted: np.ndarray, heard: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy of each category that occurs, and their mean, which no large category rules.

    The mean's interval joins the categories' own by squaring and adding (Zou and Donner, 2008).

    Args:
      wanted: indices [n] into `names`.
      heard: what a classifier says, [n].
      names: of the categories.

    Returns:
      "macro": Interval, groups = the categories that occur; "categories": {name: Interval by
      Wilson}; "confusion": lists [k][k] of counts, rows wanted.

    Raises:
      DataError: as `confusion`, or there are no sounds.
    """
    table = confusion(wanted, heard, len(names))
    if not table.sum():
        raise DataError("There are no sounds to recognise.")
    rows = {
        name: wilson(int(table[i, i]), int(table[i].sum()))
        for i, name in enumerate(names)
        if table[i].any()
    }
    values = list(rows.values())
    mean = sum(row.mean for row in values) / len(values)
    below = math.hypot(*(row.mean - row.low for row in values)) / len(values)
    above = math.hypot(*(row.high - row.mean for row in values)) / len(values)
    macro = Interval(mean, mean - below, mean + above, int(table.sum()), len(values))
    return {"macro": macro, "categories": rows, "confusion": table.tolist()}


def accuracy_ratio(generated: dict[str, Any], real: dict[str, Any]) -> float:
    """Macro accuracy of generated sounds over that of real ones, over the categories of both.

    Args:
      generated: of `recognition`.
      real: of `recognition`, by the same classifier.

    Returns:
      NaN if they share no category, or if no real sound of a shared one is recognised.
    """
    shared = generated["categories"].keys() & real["categories"].keys()
    made, known = (
        sum(side["categories"][name].mean for name in shared) for side in (generated, real)
    )
    return made / known if known else math.nan


def ratio_interval(
    real: np.ndarray,
    real_category: np.ndarray,
    kits: np.ndarray,
    made: np.ndarray,
    made_category: np.ndarray,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Macro accuracy of new sounds over that of real ones, with its 95 % interval.

    Over the categories of both. Kits of the real sounds are drawn with replacement, and new sounds
    within their categories; a draw takes the mean over the categories that it has real sounds of.

    Args:
      real: how right the answers to real sounds are [n], from 0 to 1.
      real_category: indices [n].
      kits: of the real sounds [n].
      made: the same of new sounds [m].
      made_category: indices [m].
      draws: how many.
      seed: of the draws.

    Returns:
      n and groups: real sounds of shared categories, and their kits. low and high are NaN below
      FEWEST kits; all is NaN if no category is shared, or no real sound of one is recognised.
    """
    shared = np.intersect1d(real_category, made_category)
    rows = np.isin(real_category, shared)
    real, real_category, kits = real[rows], real_category[rows], np.asarray(kits)[rows]
    own = real_category[:, None] == shared[None]  # [n, k]
    new = [made[made_category == c] for c in shared]
    known = [real[column].mean() for column in own.T]
    names, place = np.unique(kits, return_inverse=True)
    if not len(shared) or not np.sum(known) > 0:
        return Interval(math.nan, math.nan, math.nan, len(real), len(names))
    mean = float(sum(x.mean() for x in new) / np.sum(known))
    if len(names) < FEWEST:
        return Interval(mean, math.nan, math.nan, len(real), len(names))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)[:, place]
    sounds = drawn @ own  # [draws, k]
    right = drawn @ (own * real[:, None])
    there = sounds > 0
    shares = right / np.maximum(sounds, 1)
    again = [rng.multinomial(len(x), np.full(len(x), 1 / len(x)), draws) @ x / len(x) for x in new]
    below = np.where(there, shares, 0.0).sum(axis=1)
    above = np.where(there, np.stack(again, axis=1), 0.0).sum(axis=1)
    ratios = above[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(mean, float(low), float(high), len(real), len(names))
