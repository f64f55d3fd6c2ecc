"""How near two sets of points lie: KAD, FAD, precision and recall, copies and diversity.

Every function takes features [n, e] of an `Embedding`. Numbers of different embeddings, told apart
by their digests, must not be compared.
"""

from collections.abc import Iterator

import numpy as np

from drumjax.errors import DataError
from drumjax.evals.statistics import Interval

_ROWS = 512  # rows of a distance matrix held at a time
_SIZES, _DRAWS, _HALVINGS = 8, 16, 4  # of the sets that FAD is extrapolated from
_MOST = 1000  # points whose distances are held at once
_NORMAL = 1.959964  # 97.5 % quantile of the standard normal


def bandwidth(reference: np.ndarray) -> float:
    """Median distance of the pairs of a reference set [n, e]; the width of `kad`'s kernel.

    Fit it once, on real sounds, and use it for all that is compared with them. If more than half
    of the pairs coincide, the mean distance stands in, and 1 if all do. Of more than 1,000 points,
    1,000 that are always the same are taken.
    """
    reference = _some(_checked(reference, 2))
    upper = np.triu_indices(len(reference), 1)
    distances = np.sqrt(np.concatenate(list(_blocks(reference, reference)))[upper])
    return float(np.median(distances) or np.mean(distances) or 1.0)


def kad(reference: np.ndarray, generated: np.ndarray, width: float) -> float:
    """Kernel audio distance × 1,000: the unbiased MMD² with a Gaussian kernel exp(-d² / 2 width²).

    Chung et al., arXiv 2502.15602. 0 on average where both sets come from one distribution,
    whatever their sizes; it may be negative. Each sound counts as a kit of its own.

    Args:
      reference: [n, e], n >= 2.
      generated: [m, e], m >= 2.
      width: `bandwidth` of the reference.

    Raises:
      DataError: fewer than two points, points of different sizes, or values that are not finite.
    """
    return kad_interval(reference, generated, width).mean


def kad_interval(
    reference: np.ndarray,
    generated: np.ndarray,
    width: float,
    kits: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Interval:
    """`kad` with its 95 % interval, by leaving out one group of sounds at a time.

    Within a set only pairs of different groups count: those of one kit are alike, which would move
    a set of few kits away from every other. So the mean is 0 where kits of both come from one
    distribution.

    The delete-one jackknife for two samples: the variances over the reference's groups and over
    the generated sounds' add up. A bootstrap would draw a sound twice, and the distance 0 between
    the two would count as likeness. The interval is too wide, not too narrow, where both sets come
    from one distribution.

    Args:
      reference: [n, e].
      generated: [m, e].
      width: `bandwidth` of the reference.
      kits: names [n] of the reference's kits; every sound is its own if None.
      groups: the same for the generated sounds [m], which are drawn independently if None.

    Returns:
      mean: the value itself, NaN where all sounds of a side are of one kit; n and groups: of the
      side with fewer groups. low and high are NaN where leaving out a kit leaves only one.

    Raises:
      DataError: as `kad`, or not one name for each sound.
    """
    reference, generated = _pair(reference, generated, 2)
    sides = [_Side.of(x, g, width) for x, g in ((reference, kits), (generated, groups))]
    cross = _kernel_sums(reference, generated, width)
    crossed = [np.bincount(s.group, c) for s, c in zip(sides, cross, strict=True)]
    total = cross[0].sum()
    value = sides[0].mean + sides[1].mean - 2.0 * total / (len(reference) * len(generated))
    variance = 0.0
    for side, other, own in zip(sides, sides[::-1], crossed, strict=True):
        left = len(side.group) - side.sizes
        if len(left) < 3:
            variance = np.nan
            break
        left_out = side.without() + other.mean - 2.0 * (total - own) / (left * len(other.group))
        variance += (len(left) - 1) * np.var(left_out)
    half = _NORMAL * float(np.sqrt(variance))
    least = min(sides, key=lambda side: len(side.sizes))
    return Interval(
        mean=1e3 * float(value),
        low=1e3 * float(value - half),
        high=1e3 * float(value + half),
        n=len(least.group),
        groups=len(least.sizes),
    )


class _Side:
    """One sample's kernel sums, as a whole and without each of its groups."""

    def __init__(self, group: np.ndarray, rows: np.ndarray, within: np.ndarray):
        self.group, self.sizes = group, np.bincount(group)
        self._rows, self._within = np.bincount(group, rows), within
        self._apart = rows.sum() - within.sum()  # over pairs of different groups
        pairs = len(group) ** 2 - np.sum(self.sizes**2)
        self.mean = self._apart / pairs if pairs else np.nan

    @classmethod
    def of(cls, x: np.ndarray, names: np.ndarray | None, width: float) -> "_Side":
        """Points [n, e], and the names [n] of their groups."""
        names = np.arange(len(x)) if names is None else np.asarray(names)
        if len(names) != len(x):
            raise DataError(f"There are {len(names)} names of kits for {len(x)} sounds.")
        group = np.unique(names, return_inverse=True)[1]
        rows, within, start = np.zeros(len(x)), np.zeros(len(x)), 0
        for block in _blocks(x, x):
            here = slice(start, start + len(block))
            kernel = np.exp(block / (-2.0 * width**2))
            np.fill_diagonal(kernel[:, start:], 0.0)  # a sound is no pair with itself
            rows[here] = kernel.sum(axis=1)
            same = group[here, None] == group[None]
            within[here] = np.where(same, kernel, 0.0).sum(axis=1)
            start += len(block)
        return cls(group, rows, np.bincount(group, within))

    def without(self) -> np.ndarray:
        """Mean kernel of the pairs of different groups that remain without each, [groups]."""
        left = len(self.group) - self.sizes
        pairs = left**2 - (np.sum(self.sizes**2) - self.sizes**2)
        return (self._apart - 2.0 * (self._rows - self._within)) / pairs


def _kernel_sums(a: np.ndarray, b: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the kernel between a [n, e] and b [m, e] over b, [n], and over a, [m]."""
    rows, columns = [], np.zeros(len(b))
    for block in _blocks(a, b):
        kernel = np.exp(block / (-2.0 * width**2))
        rows.append(kernel.sum(axis=1))
        columns += kernel.sum(axis=0)
    return np.concatenate(rows), columns


def fad(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet audio distance: of the Gaussians fitted to a [n, e] and b [m, e].

    |m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½) (Dowson and Landau, 1982). It is biased upwards for
    few points, so say how many, or use `fad_infinity`. The trace of the root is the sum of the
    singular values of C_a^½ C_b^½, so that singular covariances are safe.

    Raises:
      DataError: as `kad`.
    """
    a, b = _pair(a, b, 2)
    roots, traces = zip(*(_root(x) for x in (a, b)), strict=True)
    overlap = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    apart = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return float(apart + sum(traces) - 2.0 * overlap)


def _root(x: np.ndarray) -> tuple[np.ndarray, float]:
    """The symmetric root [e, e] of the covariance of [n, e], and the covariance's trace."""
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))
    values = np.maximum(values, 0.0)
    return (axes * np.sqrt(values)[None, :]) @ axes.T, float(values.sum())


def fad_infinity(
    reference: np.ndarray, generated: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """FAD as the sets grow without end, and the same between random halves of the reference.

    Chong and Forsyth (2020): FAD of subsets of N points of each set, drawn without replacement,
    is fitted by a line over 1/N, and the line's value at 0 is taken. N reaches from half of the
    smaller set to all of it. The line is good where N is well above the features' number e; the
    second value, the floor, is what it leaves of a true 0.

    Raises:
      DataError: fewer than 8 points on a side, or else as `kad`.
    """
    reference, generated = _pair(reference, generated, 8)
    rng = np.random.default_rng([seed, 0])
    value = _extrapolated(reference, generated, rng)
    floors = []
    for _ in range(_HALVINGS):
        one, other = np.array_split(rng.permutation(reference), 2)
        floors.append(_extrapolated(one, other, rng, _DRAWS // _HALVINGS))
    return value, float(np.mean(floors))


def _extrapolated(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, draws: int = _DRAWS
) -> float:
    """The value at 1/N = 0 of the line through FAD of subsets of a [n, e] and b [m, e]."""
    most = min(len(a), len(b))
    inverse = np.linspace(1.0 / most, 2.0 / most, _SIZES)
    sizes = np.repeat(np.maximum(np.round(1.0 / inverse).astype(int), 2), draws)
    values = [fad(rng.choice(a, n, replace=False), rng.choice(b, n, replace=False)) for n in sizes]
    return float(np.polyfit(1.0 / sizes, values, 1)[1])


def prdc(reference: np.ndarray, generated: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    precision: share of the generated points that lie nearer to some real point than its k-th
    nearest real neighbour; recall: the same with the sides changed; density: in how many real
    points' balls a generated one lies, over k; coverage: share of the real points with a generated
    one in their ball. Precision alone rises under noise and collapse: read it beside the others.

    Args:
      reference: [n, e].
      generated: [m, e].
      k: neighbours; both sides need more points than that.

    Raises:
      DataError: too few points, or else as `kad`.
    """
    reference, generated = _pair(reference, generated, k + 1)
    real, made = _neighbour(reference, k), _neighbour(generated, k)
    inside, reached, covered, recalled = 0, np.zeros(len(generated), bool), 0, 0
    for start, block in zip(
        range(0, len(reference), _ROWS), _blocks(reference, generated), strict=True
    ):
        near = block < real[start : start + _ROWS, None]  # [rows, m]
        inside += near.sum()
        reached |= near.any(axis=0)
        covered += near.any(axis=1).sum()
        recalled += (block < made[None]).any(axis=1).sum()
    return {
        "precision": float(reached.mean()),
        "recall": float(recalled / len(reference)),
        "density": float(inside / (k * len(generated))),
        "coverage": float(covered / len(reference)),
    }


def copies(train: np.ndarray, generated: np.ndarray) -> float:
    """Share of the generated points that lie closer to a training point than such points do.

    Closer to the nearest than the first percentile of the distances from each training point to
    its nearest other one. Training points that occur twice are left out of the percentile.

    Args:
      train: all real training points [n, e], n >= 2.
      generated: [m, e].

    Raises:
      DataError: as `kad`.
    """
    train, generated = _pair(train, generated, 1)
    unique = np.unique(train, axis=0)
    if len(unique) < 2:
        raise DataError("Copies are told among at least 2 different training sounds.")
    limit = np.quantile(_neighbour(unique, 1), 0.01)
    nearest = np.concatenate([b.min(axis=1) for b in _blocks(generated, unique)])
    return float(np.mean(nearest < limit))


def nearer(known: np.ndarray, others: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points [m, e] lie nearer to one of `known` [n, e] than to all of `others` [n, e].

    As many of both, or the larger set is the nearer one by chance.

    Returns:
      bool [m].

    Raises:
      DataError: as `kad`, or sets of two sizes.
    """
    known, points = _pair(known, points, 1)
    others, _ = _pair(others, points, 1)
    if len(known) != len(others):
        raise DataError(f"{len(known)} and {len(others)} points are not as many of both.")
    first, second = (
        np.concatenate([b.min(axis=1) for b in _blocks(points, x)]) for x in (known, others)
    )
    return first < second


def vendi(features: np.ndarray, width: float | None = None) -> float:
    """Vendi score: how many quite different points [n, e] amount to, from 1 to n.

    exp of the entropy of the eigenvalues of K / n (Friedman and Dieng, 2023), with the kernel of
    `kad`. Of more than 1,000 points, 1,000 that are always the same are taken:
    compare sets of one size.

    Args:
      features: [n, e], n >= 2.
      width: of the kernel: the reference's `bandwidth`, to compare with it; by default the set's
        own, which does not see how far the whole set spreads.

    Raises:
      DataError: as `kad`.
    """
    features = _checked(features, 2)
    features = _some(features)
    width = bandwidth(features) if width is None else width
    squares = np.concatenate(list(_blocks(features, features)))
    shares = np.linalg.eigvalsh(np.exp(squares / (-2.0 * width**2)) / len(features))
    shares = shares[shares > 1e-12]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _some(x: np.ndarray) -> np.ndarray:
    """Up to 1,000 of the points [n, e], always the same."""
    return x[np.random.default_rng(0).permutation(len(x))[:_MOST]] if len(x) > _MOST else x


def _neighbour(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each of [n, e] from its k-th nearest other one, [n]."""
    return np.concatenate([np.partition(b, k, axis=1)[:, k] for b in _blocks(x, x)])


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances of a [n, e] from b [m, e], up to 512 rows [rows, m] at a time.

    Equal points are exactly 0 apart where a is b; elsewhere rounding leaves some 1e-13 of the
    points' squared norms.
    """
    squares = np.sum(b * b, axis=1)[None]
    for start in range(0, len(a), _ROWS):
        part = a[start : start + _ROWS]
        block = np.sum(part * part, axis=1)[:, None] + squares - 2.0 * (part @ b.T)
        if a is b:
            np.fill_diagonal(block[:, start:], 0.0)
        yield np.maximum(block, 0.0)


def _pair(a: np.ndarray, b: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sets, checked by themselves and against each other."""
    a, b = _checked(a, least), _checked(b, least)
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"Points of {a.shape[1]} and of {b.shape[1]} numbers cannot be compared; embed both "
            "sets with one embedding."
        )
    return a, b


def _checked(x: np.ndarray, least: int) -> np.ndarray:
    """Points as float64 [n, e], n >= least."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < least:
        raise DataError(f"At least {least} sounds are needed on each side, not {len(x)}; add more.")
    if not np.isfinite(x).all():
        raise DataError("Features that are not finite cannot be compared; check the sounds.")
    return x
