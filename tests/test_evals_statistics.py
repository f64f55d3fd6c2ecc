"""Intervals against SciPy, a loop over groups, and how often they hold the truth."""

import math

import numpy as np
import pytest
import scipy.stats

from drumjax.evals.statistics import bootstrap_mean, wilson


def drawn_kits(rng, kits, sounds, apart=1.0):
    """Values whose kits differ by `apart` and whose sounds differ by 0.2, around 0."""
    centres = rng.normal(0, apart, kits)
    values = centres[:, None] + rng.normal(0, 0.2, (kits, sounds))
    return values.ravel(), np.repeat([f"kit {i}" for i in range(kits)], sounds)


def test_bca_equals_scipy_on_the_means_of_equal_groups(rng):
    values, groups = drawn_kits(rng, 12, 5)
    values = np.exp(values)  # skewed: the percentile interval differs
    means = values.reshape(12, 5).mean(1)
    oracle, plain = (
        scipy.stats.bootstrap(
            (means,), np.mean, n_resamples=30_000, method=method, random_state=1
        ).confidence_interval
        for method in ("BCa", "percentile")
    )
    ours = bootstrap_mean(values, groups, draws=30_000)
    width = oracle.high - oracle.low
    np.testing.assert_allclose(ours[1:3], oracle, atol=0.02 * width)
    assert abs(ours.high - plain.high) > 0.05 * width
    assert (ours.n, ours.groups) == (60, 12)


def test_groups_of_unequal_size_equal_scipy_on_their_numbers(rng):
    sizes = [1, 2, 17, 3, 5, 4, 9, 2]
    groups = np.repeat(list("abcdefgh"), sizes)
    values = 5.0 + rng.exponential(size=len(groups)) + 0.1 * np.repeat(sizes, sizes)
    kits = [values[groups == kit] for kit in "abcdefgh"]
    oracle = scipy.stats.bootstrap(
        (np.arange(8),),
        lambda drawn: np.concatenate([kits[i] for i in drawn]).mean(),
        vectorized=False,
        n_resamples=5_000,
        method="BCa",
        random_state=1,
    ).confidence_interval
    ours = bootstrap_mean(values, groups, draws=20_000)
    assert ours.mean == pytest.approx(values.mean(), rel=1e-12)
    np.testing.assert_allclose(ours[1:3], oracle, atol=0.06 * (oracle.high - oracle.low))


def test_the_interval_holds_the_truth_where_one_of_single_sounds_does_not(rng):
    held = np.zeros(2)
    for seed in range(200):
        values, groups = drawn_kits(rng, 20, 10)
        own = bootstrap_mean(values, groups, draws=400, seed=seed)
        single = bootstrap_mean(values, np.arange(200), draws=400, seed=seed)
        held += [x.low <= 0.0 <= x.high for x in (own, single)]
    assert 0.87 <= held[0] / 200 <= 0.99  # 95 % but for the small number of kits
    assert held[1] / 200 < 0.6


def test_the_seed_alone_decides(rng):
    values, groups = drawn_kits(rng, 30, 3)
    assert bootstrap_mean(values, groups) == bootstrap_mean(values, groups)
    assert bootstrap_mean(values, groups) != bootstrap_mean(values, groups, seed=1)


def test_equal_values_have_no_width():
    assert bootstrap_mean([2.0] * 6, list("aabbcc")) == (2.0, 2.0, 2.0, 6, 3)


def test_a_nan_is_left_out():
    kept = bootstrap_mean([1.0, 2.0, 4.0], ["a", "b", "c"])
    assert bootstrap_mean([1.0, math.nan, 2.0, 4.0], ["a", "d", "b", "c"]) == kept


@pytest.mark.parametrize(
    ("values", "groups", "expected"),
    [
        ([], [], (math.nan, 0, 0)),
        ([1.0, 3.0], ["a", "a"], (2.0, 2, 1)),
        ([-math.inf, 3.0], ["a", "b"], (-math.inf, 2, 2)),
    ],
)
def test_no_interval_where_nothing_can_be_said(values, groups, expected):
    interval = bootstrap_mean(values, groups)
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    np.testing.assert_equal((interval.mean, interval.n, interval.groups), expected)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (3, 10), (199, 232), (7, 7)])
def test_wilson_equals_scipy(successes, n):
    oracle = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(successes, n)[:3], (successes / n, *oracle), atol=1e-12)


def test_wilson_of_no_trials():
    assert np.isnan(wilson(0, 0)[:3]).all()
