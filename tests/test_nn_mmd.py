"""The unbiased MMD against a double loop, and its distribution where both samples are alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.errors import ConfigError
from drumjax.nn.mmd import (
    SCALES,
    imq_kernel,
    mmd2,
    mmd2_by_label,
    mmd2_per_category,
    mmd2_pooled,
    squared_distances,
)

DRAWS = 200
# Standard deviation and 95 % quantile of the statistic for 64 codes of 64 latents under N(0, I).
NULL = {"imq7": (6.7e-3, 1.23e-2), "imq1": (1.6e-3, 2.9e-3)}


def double_loop(z, prior, scales):
    """NDM eq. 3 term by term in float64, k(a, b) = sum_s C s / (C s + |a - b|²), C = 2 d."""
    z, prior = np.asarray(z, np.float64), np.asarray(prior, np.float64)
    n, d = z.shape

    def kernel(a, b):
        distance = ((a - b) ** 2).sum()
        return sum(2 * d * s / (2 * d * s + distance) for s in scales)

    total = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += (kernel(z[i], z[j]) + kernel(prior[i], prior[j])) / (n * (n - 1))
            total -= 2 * kernel(z[i], prior[j]) / n**2
    return total


@pytest.fixture(scope="module", params=sorted(NULL))
def null(request):
    """The statistic of 200 pairs of samples from one distribution, and of 200 shifted by 0.2."""
    z = jax.random.normal(jax.random.key(1), (DRAWS, 64, 64))
    prior = jax.random.normal(jax.random.key(2), (DRAWS, 64, 64))
    run = jax.jit(jax.vmap(lambda a, b: mmd2(a, b, SCALES[request.param])))
    return request.param, np.asarray(run(z, prior)), np.asarray(run(z + 0.2, prior))


@pytest.mark.parametrize("kernel", sorted(SCALES))
@pytest.mark.parametrize("shape", [(2, 3), (9, 4), (16, 64)])
def test_equals_the_double_loop(rng, kernel, shape):
    z, prior = rng.normal(0.3, 1.5, shape), rng.standard_normal(shape)
    ours = mmd2(jnp.float32(z), jnp.float32(prior), SCALES[kernel])
    expected = double_loop(np.float32(z), np.float32(prior), SCALES[kernel])
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("z", "prior"),
    [((4, 3), (1, 3)), ((1, 3), (4, 3)), ((4, 3), (4, 1)), ((1, 3), (1, 3)), ((4,), (4,))],
)
def test_samples_that_cannot_be_compared_are_refused(z, prior):
    """A prior of one row would be broadcast to all codes; of one code there is no statistic."""
    with pytest.raises(ConfigError, match="n at least 2"):
        jax.eval_shape(mmd2, jnp.zeros(z), jnp.zeros(prior))


def test_every_mmd_refuses_a_prior_of_one_row():
    z, prior, labels = jnp.zeros((2, 4, 3)), jnp.zeros((2, 1, 3)), jnp.zeros((4, 2))
    for run in (mmd2_per_category, mmd2_pooled):
        with pytest.raises(ConfigError, match="as many draws"):
            jax.eval_shape(run, z, prior)
    with pytest.raises(ConfigError, match="as many draws"):
        jax.eval_shape(mmd2_by_label, z[0], prior[0], labels)


def test_distances_equal_numpy_and_are_never_negative(rng):
    x, y = rng.standard_normal((5, 7)), 100 + rng.standard_normal((6, 7))
    expected = ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)
    np.testing.assert_allclose(
        squared_distances(jnp.float32(x), jnp.float32(y)), expected, rtol=1e-4
    )
    assert np.all(squared_distances(jnp.float32(y), jnp.float32(y)) >= 0)


def test_kernel_of_zero_is_the_number_of_scales():
    np.testing.assert_allclose(imq_kernel(jnp.zeros((2, 2)), 128.0, SCALES["imq7"]), 7.0)
    np.testing.assert_allclose(imq_kernel(jnp.full((1,), 128.0), 128.0, (1.0,)), 0.5)


def test_is_unbiased(null):
    _, values, _ = null
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(DRAWS)


def test_is_not_clamped(null):
    _, values, _ = null
    assert 0.3 < np.mean(values < 0) < 0.7


def test_spreads_as_expected_where_both_samples_are_alike(null):
    kernel, values, _ = null
    deviation, quantile = NULL[kernel]
    assert values.std() == pytest.approx(deviation, rel=0.25)
    assert np.quantile(values, 0.95) == pytest.approx(quantile, rel=0.25)


def test_finds_a_small_shift_of_the_mean(null):
    kernel, _, shifted = null
    assert np.mean(shifted > NULL[kernel][1]) > 0.95


def test_gradient_pulls_codes_together_with_the_prior(rng):
    prior = jnp.float32(rng.standard_normal((32, 4)))
    z = jnp.float32(rng.standard_normal((32, 4)) + 1.0)
    gradient = jax.jit(jax.grad(mmd2))(z, prior)
    assert np.all(np.asarray(gradient).mean(axis=0) > 0)  # down the gradient is towards 0


def test_gradient_is_finite_where_codes_coincide():
    z = jnp.ones((4, 3))
    assert np.all(np.isfinite(jax.jit(jax.grad(mmd2))(z, z)))


def test_each_category_has_its_own_statistic(rng):
    z = jnp.float32(rng.standard_normal((3, 6, 5)) * np.array([0.5, 1, 2])[:, None, None])
    prior = jnp.float32(rng.standard_normal((3, 6, 5)))
    together = jax.jit(mmd2_per_category)(z, prior)
    alone = [jax.jit(mmd2)(*pair) for pair in zip(z, prior, strict=True)]
    np.testing.assert_allclose(together, alone, atol=5e-6)  # a difference of sums near 7


def test_devices_share_one_statistic_that_is_not_the_mean_of_theirs(rng):
    z = jnp.float32(rng.standard_normal((3, 16, 5)) * 1.3)
    prior = jnp.float32(rng.standard_normal((3, 16, 5)))
    shards = z.reshape(3, 8, 2, 5).swapaxes(0, 1)  # [devices, categories, n / devices, d]
    own = prior.reshape(3, 8, 2, 5).swapaxes(0, 1)
    run = jax.pmap(
        lambda a, b: mmd2_per_category(a, b, axis_name="data"), "data", in_axes=(0, None)
    )
    whole = mmd2_per_category(z, prior)
    for device in np.asarray(run(shards, prior)):
        np.testing.assert_allclose(device, whole, atol=5e-6)  # a difference of sums near 7
    apart = jnp.stack([mmd2_per_category(a, b) for a, b in zip(shards, own, strict=True)]).mean(0)
    assert np.all(np.abs(apart - whole) > 0.05 * np.abs(whole))
