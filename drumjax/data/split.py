"""Divides sounds into training and validation, file by file or by whole kits."""

from collections.abc import Sequence

import numpy as np

from drumjax.categories import CATEGORIES

_TRIES = 32  # random orders of the kits, of which the best division is taken


def split_by_file(categories: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Which of the sounds, given by category, are for validation: bool [n].

    `fraction` of each category, drawn at random, and at least one sound on either side wherever a
    category has two.
    """
    chosen = np.zeros(len(categories), bool)
    for index, category in enumerate(CATEGORIES):
        members = np.flatnonzero(np.array(categories) == category)
        if len(members) > 1:
            count = min(max(round(fraction * len(members)), 1), len(members) - 1)
            rng = np.random.default_rng([seed, index])
            chosen[rng.permutation(members)[:count]] = True
    return chosen


def split_by_kit(
    categories: Sequence[str], kits: Sequence[str], fraction: float, seed: int
) -> np.ndarray:
    """Which of the sounds, given by category and kit, are for validation: bool [n].

    A kit goes to one side as a whole. Kits are taken in random order, each if it brings the shares
    of the categories nearer to `fraction` and leaves each category a sound to train on. Of several
    orders the best counts. A category with one kit only stays in training.
    """
    names, kit = np.unique(kits, return_inverse=True)
    present, category = np.unique(categories, return_inverse=True)
    counts = np.zeros((len(names), len(present)), int)  # [kits, categories]
    np.add.at(counts, (kit, category), 1)
    rng = np.random.default_rng(seed)
    tries = [_greedy(counts, rng.permutation(len(names)), fraction) for _ in range(_TRIES)]
    best = min(tries, key=lambda taken: _cost(counts[taken].sum(0), counts, fraction))
    return best[kit]


def _greedy(counts: np.ndarray, order: np.ndarray, fraction: float) -> np.ndarray:
    """Take kits for validation one by one in `order`: bool [kits]."""
    total = counts.sum(0)
    taken = np.zeros(len(counts), bool)
    held = np.zeros_like(total)
    for k in order:
        more = held + counts[k]
        if (more < total).all() and _cost(more, counts, fraction) < _cost(held, counts, fraction):
            taken[k], held = True, more
    return taken


def _cost(held: np.ndarray, counts: np.ndarray, fraction: float) -> float:
    """How far the validation counts [categories] are from `fraction`; none at all costs most."""
    distance = held / counts.sum(0) - fraction
    return float(np.sum(distance**2 + (held == 0)))
