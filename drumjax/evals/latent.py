"""How the codes lie and what lies between them: MMD to the prior, principal axes, smoothness."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from drumjax.errors import DataError
from drumjax.nn.mmd import mmd2

STEPS = 16  # codes on a path, both ends included
_DRAWS = 400  # of the prior, for the null's quantile: within some 8 % of it
_FLOOR = 1e-4  # -80 dB below a path's loudest element

Decode = Callable[[np.ndarray, np.ndarray], np.ndarray]


def mmd_to_prior(z: np.ndarray, n: int = 600, seed: int = 0) -> dict[str, float]:
    """Unbiased MMD² (NDM eq. 3, the sum of seven kernels) of one category's codes to N(0, I).

    Against its null: the same number of codes drawn from N(0, I) in their place. Fewer codes make
    the null wider, so that only deviations that so few can show stand out.

    Args:
      z: codes [c, d] of one category, c >= 2, as the prior is matched with.
      n: how many of them are used, drawn without replacement; all if there are fewer.
      seed: not negative; of the choice and of the prior's draw. The null is always the same.

    Returns:
      "mmd2"; "null_q95", the null's 95 % quantile; "ratio" of the two; "p", the share of the null
      that lies as high; "n", the codes used; "short", how many fewer than asked for.

    Raises:
      DataError: fewer than two codes, or codes that are not finite.
    """
    z = _codes(z)
    rng = np.random.default_rng([seed, 0])
    used = min(n, len(z))
    chosen = z[rng.permutation(len(z))[:used]]
    prior = rng.standard_normal(chosen.shape, np.float32)
    value = float(_mmd2(chosen, prior))
    null = _null(used, z.shape[1])
    quantile = float(np.quantile(null, 0.95))
    return {
        "mmd2": value,
        "null_q95": quantile,
        "ratio": value / quantile,
        "p": float((1 + np.sum(null >= value)) / (1 + len(null))),
        "n": used,
        "short": n - used,
    }


def mean_mmd(z: np.ndarray, n: int, seed: int = 0, draws: int = 8) -> dict[str, float]:
    """MMD² of n codes to N(0, I), the mean of several draws of the codes and of the prior.

    The null's quantile falls as n grows, so ratios can be compared for one n alone.

    Args:
      z: codes [c, d], c >= n.
      n: codes a draw, at least 2.
      seed: of the first draw.
      draws: how many.

    Returns:
      "mmd2"; "null_q95", of one draw; "ratio" of the two, "n".

    Raises:
      DataError: fewer than n codes, or as `mmd_to_prior`.
    """
    z = _codes(z, n)
    found = [mmd_to_prior(z, n, seed + i) for i in range(draws)]
    value, quantile = float(np.mean([f["mmd2"] for f in found])), found[0]["null_q95"]
    return {"mmd2": value, "null_q95": quantile, "ratio": value / quantile, "n": n}


_mmd2 = jax.jit(mmd2)


@functools.lru_cache(maxsize=64)
def _null(n: int, d: int) -> np.ndarray:
    """The statistic of pairs of draws of n codes of d latents from N(0, I): [_DRAWS]."""
    rng = np.random.default_rng([n, d])
    draws = (rng.standard_normal((2, n, d), np.float32) for _ in range(_DRAWS))
    return np.array([float(_mmd2(*pair)) for pair in draws])


def pca_share(z: np.ndarray, count: int = 3) -> float:
    """Share of the variance of codes [n, d] along their first `count` principal axes.

    N(0, I) in d dimensions gives count / d for many codes, and more for few: `expected_share`.

    Raises:
      DataError: fewer than two codes, or codes that are not finite or all the same.
    """
    z = _codes(z).astype(np.float64)
    variance = np.linalg.svd(z - z.mean(axis=0)[None], compute_uv=False) ** 2
    if not variance.sum() > 0:
        raise DataError("All codes are the same; they have no principal axes.")
    return float(variance[:count].sum() / variance.sum())


@functools.lru_cache(maxsize=64)
def expected_share(n: int, d: int, count: int = 3, draws: int = 10) -> float:
    """The mean of `pca_share` of n codes of d latents drawn from N(0, I)."""
    rng = np.random.default_rng([n, d, count])
    return float(np.mean([pca_share(rng.standard_normal((n, d)), count) for _ in range(draws)]))


def smoothness(
    decode: Decode, a: np.ndarray, b: np.ndarray, weights: np.ndarray, steps: int = STEPS
) -> dict[str, Any]:
    """How evenly the decoded sound changes on the way from a code to another.

    The step between neighbours is the mean absolute difference of their log-mels in dB, no lower
    than 80 dB below the path's peak.

    Args:
      decode: codes [n, d] and category weights [n, k] -> linear mel [n, frames, mels].
      a: where the paths begin, [p, d].
      b: where they end, [p, d].
      weights: category weights [p, k], the same along each path.
      steps: codes on each path, both ends included; at least 3.

    Returns:
      {"linear": ..., "spherical": ...}, each with "jump", the median over the paths of the
      greatest step over the mean one (1 is even); "worst", the same's maximum; "detour", the median
      length of the path over the distance of its ends; "pairs", the paths. "linear_smoother": share
      of the paths whose jump is the smaller on the straight line, ties counted half; "p": of a
      two-sided sign test of that.

    Raises:
      DataError: fewer than 3 steps, or codes that do not go together.
    """
    a, b = _codes(a, 1), _codes(b, 1)
    if a.shape != b.shape or len(weights) != len(a) or steps < 3:
        raise DataError("Paths take at least 3 steps, and as many ends and weights as beginnings.")
    jumps, table = {}, {}
    for curve, between in (("linear", _linear), ("spherical", _spherical)):
        ends = zip(a, b, weights, strict=True)
        paths = [_walk(decode, between(start, end, steps), w) for start, end, w in ends]
        jumps[curve] = np.array([jump for jump, _ in paths])
        table[curve] = {
            "jump": float(np.median(jumps[curve])),
            "worst": float(jumps[curve].max()),
            "detour": float(np.median([detour for _, detour in paths])),
            "pairs": len(paths),
        }
    less = int(np.sum(jumps["linear"] < jumps["spherical"]))
    more = int(np.sum(jumps["linear"] > jumps["spherical"]))
    share = (less + 0.5 * (len(a) - less - more)) / len(a)
    return {**table, "linear_smoother": share, "p": _sign_test(less, more)}


def _codes(z: np.ndarray, least: int = 2) -> np.ndarray:
    """Codes as float32 [n, d], n >= least."""
    z = np.asarray(z, np.float32)
    if z.ndim != 2 or len(z) < least or not np.isfinite(z).all():
        raise DataError(f"At least {least} codes [n, d] of finite numbers are needed here.")
    return z


def _linear(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the straight line from a [d] to b [d]: [steps, d]."""
    t = np.linspace(0.0, 1.0, steps)[:, None]
    return (1.0 - t) * a[None] + t * b[None]


def _spherical(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the great circle from a [d] to b [d] (Shoemake, 1985): [steps, d]."""
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / max(norms, 1e-12), -1.0, 1.0))
    if np.sin(angle) < 1e-6:  # parallel: no great circle is the shortest
        return _linear(a, b, steps)
    t = np.linspace(0.0, 1.0, steps)[:, None]
    return (np.sin((1.0 - t) * angle) * a[None] + np.sin(t * angle) * b[None]) / np.sin(angle)


def _walk(decode: Decode, codes: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Greatest step over the mean one, and the path's length over its ends' distance."""
    mel = decode(codes.astype(np.float32), np.tile(weights, (len(codes), 1)))
    decibels = _decibels(np.asarray(mel))
    steps = np.abs(np.diff(decibels, axis=0)).mean(axis=(1, 2))  # [steps - 1]
    ends = np.abs(decibels[-1] - decibels[0]).mean()
    if not ends > 0 or not steps.mean() > 0:
        return 1.0, 1.0  # nothing changes on the way
    return float(steps.max() / steps.mean()), float(steps.sum() / ends)


def _decibels(mel: np.ndarray) -> np.ndarray:
    """Linear mels in dB below the loudest element of all of them, at least -80; the same shape."""
    peak = max(float(mel.max()), 1e-12)
    return 20.0 * np.log10(np.maximum(mel / peak, _FLOOR))


def _sign_test(less: int, more: int) -> float:
    """Two-sided exact probability of so uneven a split, were both equally likely."""
    from math import comb

    n, k = less + more, min(less, more)
    return min(1.0, 2.0 * sum(comb(n, i) for i in range(k + 1)) / 2.0**n)
