"""Measures the attribute controls on the sounds they make: does each move its own, and only it?"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drumjax.play.controls import SWEPT, draw_codes, move
from drumjax.play.descriptors import ATTRIBUTES, as_table, describe
from drumjax.play.runtime import Player

REACH = 2.0  # standard deviations to either side


def measure_sweeps(
    player: Player,
    seed: int = 0,
    count: int = 16,
    points: int = 9,
    categories: Sequence[str] | None = None,
    progress: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Sweep each attribute from -2 to 2 standard deviations and measure the sounds.

    Args:
      player: of an instrument with attributes.
      seed: of the sounds that are swept; none of them are those that the controls were fitted on.
      count: sounds a category.
      points: of a sweep.
      categories: names; all if None.
      progress: told a line a category.

    Returns:
      category, or "all" (the mean of the categories' numbers) -> attribute moved -> attribute
      measured -> numbers: see `summary`.

    Raises:
      KeyError: the instrument has no attributes.
    """
    amounts = np.linspace(-REACH, REACH, points)
    table = {}
    std = player.instrument.tensors["controls/attributes/std"]  # [k, a]
    for name in categories or player.categories:
        i = player.categories.index(name)
        z = draw_codes(player.instrument, i, count, seed, purpose=SWEPT)
        values = np.stack([_sweep(player, z, i, a, amounts) for a in ATTRIBUTES])
        table[name] = _table(values, std[i], amounts)
        progress(f"{name}: {len(ATTRIBUTES)} attributes swept on {count} sounds")
    table["all"] = _mean(list(table.values()))
    return table


def _sweep(
    player: Player, z: np.ndarray, category: int, attribute: str, amounts: np.ndarray
) -> np.ndarray:
    """Descriptors of moved sounds: [sounds, points, a]."""
    moved = [move(player.instrument, z, category, {attribute: float(a)}) for a in amounts]
    codes = np.stack(moved, axis=1)  # [sounds, points, d]
    sounds = player.render(codes.reshape(-1, codes.shape[-1]), category)
    return as_table(describe(sounds, player.sample_rate)).reshape(*codes.shape[:2], -1)


def _table(values: np.ndarray, std: np.ndarray, amounts: np.ndarray) -> dict[str, Any]:
    return {
        a: {b: summary(values[i, :, :, j], amounts, std[j]) for j, b in enumerate(ATTRIBUTES)}
        for i, a in enumerate(ATTRIBUTES)
    }


def summary(values: np.ndarray, amounts: np.ndarray, std: float) -> dict[str, float]:
    """How one descriptor goes with the amount of one control.

    Args:
      values: the descriptor of each sound at each amount [sounds, points].
      amounts: [points].
      std: the descriptor's standard deviation among the category's sounds.

    Returns:
      "each": the median over the sounds of Spearman's rank correlation of value and amount;
      "each_size": that of its absolute value;
      "together_size": the absolute rank correlation over all sounds at once of the amount and the
        change from the middle of the sweep: 0 if some sounds drift up and others down;
      "slope_size": the median over the sounds of the absolute change per unit, in standard
        deviations.
    """
    each = spearman(values, np.tile(amounts[None], (len(values), 1)))
    change = values - values[:, [values.shape[1] // 2]]
    centred = amounts - amounts.mean()
    slope = (values @ centred) / np.sum(centred**2) / std
    together = spearman(change.reshape(1, -1), np.tile(amounts, len(values))[None])[0]
    numbers = {
        "each": np.median(each),
        "each_size": np.median(np.abs(each)),
        "together_size": abs(together),
        "slope_size": np.median(np.abs(slope)),
    }
    return {k: round(float(v), 3) for k, v in numbers.items()}


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation of the rows of a and b [m, n], ties at their mean rank: [m]; 0 if flat."""
    ranks = [_ranks(x) - (x.shape[1] - 1) / 2 for x in (a, b)]
    size = np.sqrt(np.prod([np.sum(r**2, axis=1) for r in ranks], axis=0))
    return np.sum(ranks[0] * ranks[1], axis=1) / np.maximum(size, 1e-9)


def _ranks(x: np.ndarray) -> np.ndarray:
    above = x[:, :, None] > x[:, None, :]
    same = x[:, :, None] == x[:, None, :]
    return above.sum(2) + 0.5 * (same.sum(2) - 1)


def _mean(tables: list[Any]) -> Any:
    """The mean of every number in several nested dicts of the same keys."""
    if not isinstance(tables[0], dict):
        return round(float(np.mean(tables)), 3)
    return {key: _mean([t[key] for t in tables]) for key in tables[0]}


def as_text(table: dict[str, Any], number: str = "each_size") -> str:
    """One of the numbers of `measure_sweeps`, in rows that move and columns that measure.

    Args:
      table: from `measure_sweeps`.
      number: which, see `summary`; "each_size" is the plain reading of "rank correlation".
    """
    lines = [f"{'category':<12}{'moved':<12}" + "".join(f"{a:>11}" for a in ATTRIBUTES)]
    for name, moved in table.items():
        for a, row in moved.items():
            numbers = "".join(f"{row[b][number]:>11.2f}" for b in ATTRIBUTES)
            lines.append(f"{name:<12}{a:<12}{numbers}")
    return "\n".join(lines)
