"""Values of single sounds become rows: means with intervals, by category and over all."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from drumjax.data.source import Source
from drumjax.evals.statistics import bootstrap_mean

Row = dict[str, Any]
FEWEST = 5  # kits behind an interval: below, its ends are a matter of chance


def interval(values: np.ndarray, kits: np.ndarray) -> Row:
    """Mean of values [n] with its 95 % interval, whole kits [n] resampled.

    Values not finite do not count; below FEWEST kits there is no interval.
    """
    good = np.isfinite(values)
    if not good.any():
        return {"mean": None, "low": None, "high": None, "sounds": 0, "kits": 0}
    x = bootstrap_mean(values[good], kits[good])
    told = x.groups >= FEWEST
    return {
        "mean": float(x.mean),
        "low": float(x.low) if told else None,
        "high": float(x.high) if told else None,
        "sounds": int(x.n),
        "kits": int(x.groups),
    }


def by_category(values: np.ndarray, source: Source) -> Row:
    """Values [n] of the source's sounds as a table.

    Returns:
      "sounds": the mean over all sounds, with its interval; "macro": the mean of the categories'
      means; "categories": for each category that has sounds, the mean with its interval.
    """
    values, kits = np.asarray(values, np.float64), np.array(source.kits)
    rows = {}
    for i, name in enumerate(source.categories):
        own = source.category == i
        if own.any():
            rows[name] = interval(values[own], kits[own])
    means = [row["mean"] for row in rows.values() if row["mean"] is not None]
    macro = float(np.mean(means)) if means else None
    return {"sounds": interval(values, kits), "macro": macro, "categories": rows}


def plain(value: Any) -> Any:
    """The same with Python's numbers in place of NumPy's, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def counts(source: Source) -> dict[str, Row]:
    """{category: sounds and kits behind it}, for the categories that have sounds."""
    kits = np.array(source.kits)
    own = {name: source.category == i for i, name in enumerate(source.categories)}
    return {
        name: {"sounds": int(rows.sum()), "kits": len(set(kits[rows]))}
        for name, rows in own.items()
        if rows.any()
    }
