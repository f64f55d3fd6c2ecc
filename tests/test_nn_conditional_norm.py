"""Conditional batch normalisation against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.nn.conditional_norm import ConditionalBatchNorm

K, C = 3, 4


@pytest.fixture
def parts(rng):
    """Layer, input [5, 2, 3, C], category weights [5, K] of which two are mixed, and variables."""
    x = rng.normal(2.0, 3.0, (5, 2, 3, C))
    category = np.eye(K)[[0, 1, 2, 0, 0]]
    category[3:] = [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]
    params = {"gamma": rng.standard_normal((K, C)), "beta": rng.standard_normal((K, C))}
    stats = {"mean": rng.standard_normal(C), "var": rng.uniform(0.5, 2.0, C)}
    variables = {"params": params, "batch_stats": {"BatchNorm_0": stats}}
    to_jax = lambda tree: jax.tree.map(jnp.float32, tree)  # noqa: E731
    return ConditionalBatchNorm(K), to_jax(x), to_jax(category), to_jax(variables)


def expected(x, category, variables, mean, var):
    x, category = np.asarray(x, np.float64), np.asarray(category, np.float64)
    out = np.empty_like(x)
    for i in range(len(x)):
        gamma = sum(category[i, k] * np.asarray(variables["params"]["gamma"][k]) for k in range(K))
        beta = sum(category[i, k] * np.asarray(variables["params"]["beta"][k]) for k in range(K))
        for c in range(C):
            out[i, ..., c] = (x[i, ..., c] - mean[c]) / np.sqrt(var[c] + 1e-5) * gamma[c] + beta[c]
    return out


def test_training_uses_the_batch(parts):
    layer, x, category, variables = parts
    y, _ = layer.apply(variables, x, category, True, mutable=["batch_stats"])
    flat = np.asarray(x, np.float64).reshape(-1, C)
    theirs = expected(x, category, variables, flat.mean(0), flat.var(0))
    np.testing.assert_allclose(y, theirs, rtol=1e-4, atol=1e-4)


def test_evaluation_uses_the_running_statistics(parts):
    layer, x, category, variables = parts
    stats = variables["batch_stats"]["BatchNorm_0"]
    theirs = expected(x, category, variables, np.asarray(stats["mean"]), np.asarray(stats["var"]))
    np.testing.assert_allclose(
        layer.apply(variables, x, category, False), theirs, rtol=1e-4, atol=1e-4
    )


def test_running_statistics_move_a_tenth_of_the_way(parts):
    layer, x, category, variables = parts
    before = variables["batch_stats"]["BatchNorm_0"]
    _, changed = layer.apply(variables, x, category, True, mutable=["batch_stats"])
    after = changed["batch_stats"]["BatchNorm_0"]
    flat = np.asarray(x, np.float64).reshape(-1, C)
    for name, batch in (("mean", flat.mean(0)), ("var", flat.var(0))):
        moved = 0.9 * np.asarray(before[name], np.float64) + 0.1 * batch
        np.testing.assert_allclose(after[name], moved, rtol=1e-5)


def test_starts_as_plain_normalisation(parts):
    layer, x, category, _ = parts
    variables = layer.init(jax.random.key(0), x, category, True)
    shapes = {"gamma": (K, C), "beta": (K, C)}
    assert jax.tree.map(jnp.shape, variables["params"]) == shapes
    y, _ = layer.apply(variables, x, category, True, mutable=["batch_stats"])
    np.testing.assert_allclose(np.asarray(y).reshape(-1, C).mean(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.asarray(y).reshape(-1, C).std(0), 1.0, rtol=1e-5)


def test_devices_share_the_statistics_of_the_whole_batch(rng):
    x = jnp.float32(rng.normal(np.arange(8), 1.0, (3, 8))).T[..., None]  # [8, 3, 1]
    category = jnp.tile(jnp.eye(K)[:1], (8, 1))
    layer = ConditionalBatchNorm(K, axis_name="data")
    variables = ConditionalBatchNorm(K).init(jax.random.key(0), x, category, True)

    def apply(x, category):
        return layer.apply(variables, x, category, True, mutable=["batch_stats"])

    y, changed = jax.pmap(apply, "data")(x[:, None], category[:, None])
    alone, expected_stats = ConditionalBatchNorm(K).apply(
        variables, x, category, True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y[:, 0], alone, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(changed), jax.tree.leaves(expected_stats), strict=True):
        np.testing.assert_allclose(ours, np.tile(theirs, (8, 1)), rtol=1e-5)
