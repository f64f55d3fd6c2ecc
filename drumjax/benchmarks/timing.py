"""Timing functions side by side, so that a busy machine slows all of them alike."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

BLOCK = 10  # calls timed in a row
PAUSE = 0.02  # seconds before a block: threads that the last function left spinning go to sleep
FEWEST = 3  # runs of each function, however slow it is


class Timing(NamedTuple):
    """Seconds a call: the median, the 99th percentile, the fastest, and the number of runs."""

    p50: float
    p99: float
    best: float
    n: int


def timing_of(seconds: list[float]) -> Timing:
    """Summarise measured seconds; percentiles are the nearest values that were measured."""
    ordered = sorted(seconds)
    ranks = (math.ceil(q * len(ordered)) - 1 for q in (0.5, 0.99))
    return Timing(*(ordered[max(0, r)] for r in ranks), best=ordered[0], n=len(ordered))


def race(
    contenders: Mapping[str, Callable[[], Any]], runs: int, seconds: float = math.inf
) -> dict[str, Timing]:
    """Time each contender `runs` times, in turns of `BLOCK` calls after one untimed call.

    Args:
      contenders: functions without arguments that have finished when they return.
      runs: timed calls of each.
      seconds: a contender that has used this much takes no further turn, after `FEWEST` runs.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    while True:
        running = [
            name
            for name, past in taken.items()
            if len(past) < runs and (sum(past) < seconds or len(past) < FEWEST)
        ]
        if not running:
            return {name: timing_of(past) for name, past in taken.items()}
        for name in running:
            time.sleep(PAUSE)
            contenders[name]()
            taken[name] += _block(contenders[name], runs - len(taken[name]), seconds)


def _block(function: Callable[[], Any], runs: int, seconds: float) -> list[float]:
    """Seconds of the next calls, at most `BLOCK`; a slow function's block ends early."""
    taken: list[float] = []
    while len(taken) < min(runs, BLOCK) and (sum(taken) < seconds or len(taken) < FEWEST):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return taken
