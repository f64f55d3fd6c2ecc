"""Compressed mels and their principal components, against NumPy's singular values."""

import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.nn import compression, frame_nets
from drumjax.nn.frame_nets import FrameNets

NETS = FrameNets(6, 5, 3, 4, width=4, wide=5, blocks=1, hidden=6, narrow=2, seed=2, condition=3)
CATEGORY = np.array([0] * 9 + [1] * 4)  # and none of the third
PULL = 8


@pytest.fixture
def sounds(rng):
    """Compressed mels [13, 6, 5] whose categories differ, of falling variance along bands."""
    x = rng.standard_normal((13, 6, 5)) * np.array([3.0, 2.0, 1.0, 0.5, 0.2])
    return (x + 2.0 * CATEGORY[:, None, None]).astype(np.float32)


def fit(x, category=CATEGORY, latents=4):
    return compression.principal_components(np.array(x), category, NETS.categories, latents)


def zero_networks():
    shapes = frame_nets.encoder_shapes(NETS), frame_nets.decoder_shapes(NETS)
    return [{k: np.zeros(s, np.float32) for k, s in half.items()} for half in shapes]


def random_networks():
    rng = np.random.default_rng(7)
    return [
        {k: rng.normal(0, 0.3, v.shape).astype(np.float32) for k, v in half.items()}
        for half in zero_networks()
    ]


def one_hot(category):
    return np.eye(NETS.categories, dtype=np.float32)[category]


# The power law


@pytest.mark.parametrize("power", [0.1, 1 / 3, 0.5, 1.0])
def test_expand_undoes_compress(power):
    mel = np.concatenate([[0.0], np.geomspace(1e-6, 300.0, 50)]).astype(np.float32)
    x = compression.compress(jnp.asarray(mel), power)
    np.testing.assert_allclose(x, (np.float64(mel) + 1e-6) ** power, rtol=1e-5)
    np.testing.assert_allclose(compression.expand(x, power), mel, rtol=2e-5, atol=1e-9)


def test_what_is_negative_is_silence():
    found = compression.expand(jnp.array([-3.0, -1e-3, 0.0, 5e-3]), 1 / 3)
    np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize("power", [1 / 3, 1.0])
def test_silence_has_finite_gradients(power):
    for function in (compression.compress, compression.expand):
        gradient = jax.grad(lambda x, f=function: f(x, power).sum())(jnp.array([0.0, 2.0]))
        assert np.isfinite(gradient).all()


# Principal components


def residuals(x):
    """Sounds about their category's mean, which counts the whole set as eight sounds more."""
    x = np.float64(x)
    overall, means = sum(x) / len(x), []
    for i in range(NETS.categories):
        own = [one for one, c in zip(x, CATEGORY, strict=True) if c == i]
        means.append((sum(own, np.zeros(x.shape[1:])) + PULL * overall) / (len(own) + PULL))
    return np.stack(means), np.stack([x[i] - means[c] for i, c in enumerate(CATEGORY)])


def test_components_are_the_singular_vectors(sounds):
    s, (means, rest) = fit(sounds), residuals(sounds)
    np.testing.assert_allclose(s["mean"], means, rtol=1e-5, atol=1e-6)
    _, values, rows = np.linalg.svd(rest.reshape(13, -1), full_matrices=False)
    np.testing.assert_allclose(s["spread"], values[:4] / np.sqrt(13), rtol=1e-5)
    found = s["kernel"].reshape(4, -1)
    np.testing.assert_allclose(np.abs(found @ rows[:4].T), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(s["scale"], rest.std(), rtol=1e-5)
    assert {k: v.shape for k, v in s.items()} == compression.shapes(NETS)
    assert all(v.dtype == np.float32 for v in s.values())


def test_category_without_sounds_has_the_mean_of_all(sounds):
    np.testing.assert_allclose(fit(sounds)["mean"][2], sounds.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("copies", [0, 4])
def test_fewer_sounds_than_latents(sounds, copies):
    """Five sounds about their mean span four directions, copies of one no more; others are zero."""
    x = np.concatenate([sounds[:5], np.repeat(sounds[:1], copies, axis=0)])
    s = fit(x, np.zeros(len(x), int), latents=12)
    kernel = s["kernel"].reshape(12, -1)
    np.testing.assert_allclose(kernel @ kernel.T, np.diag([1.0] * 4 + [0.0] * 8), atol=1e-4)
    np.testing.assert_array_equal(s["spread"][4:], 1.0)
    assert (s["spread"][:4] > 0.01).all()


def test_a_set_of_silence_is_no_accident():
    s = fit(np.full((5, 6, 5), 0.01, np.float32), np.zeros(5, int))
    assert all(np.isfinite(v).all() for v in s.values())
    assert s["scale"] > 0
    assert (s["spread"] > 0).all()


# Through the latents


def test_networks_of_zeros_leave_the_linear_projection(sounds):
    s, (means, rest) = fit(sounds), residuals(sounds)
    labels = one_hot(CATEGORY)
    encoder, decoder = zero_networks()
    z = compression.encode(NETS, encoder, s, jnp.asarray(sounds), labels)
    flat, kernel = rest.reshape(13, -1), np.float64(s["kernel"]).reshape(4, -1)
    np.testing.assert_allclose(z, flat @ kernel.T / s["spread"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.mean(np.square(z), axis=0), 1.0, rtol=1e-4)
    made = compression.decode(NETS, decoder, s, z, labels)
    _, _, rows = np.linalg.svd(flat, full_matrices=False)
    projected = (flat @ rows[:4].T @ rows[:4]).reshape(rest.shape) + means[CATEGORY]
    np.testing.assert_allclose(made, projected, rtol=1e-4, atol=1e-4)


def test_as_many_latents_as_sounds_lose_nothing(sounds):
    """With the mean of a mixed category, too."""
    x = sounds[[0, 1, 9, 10]]
    s = fit(x, np.array([0, 0, 1, 1]))
    labels = one_hot(np.array([0, 0, 1, 1]))
    labels[1] = [0.25, 0.5, 0.25]
    encoder, decoder = zero_networks()
    kernel = s["kernel"].reshape(4, -1)
    x[1] = np.einsum("k,kfm->fm", labels[1], s["mean"]) + (kernel[2] - kernel[0]).reshape(6, 5)
    z = compression.encode(NETS, encoder, s, jnp.asarray(x), labels)
    made = compression.decode(NETS, decoder, s, z, labels)
    np.testing.assert_allclose(made, x, rtol=1e-4, atol=1e-4)


def test_networks_are_added_to_both_halves(sounds):
    """Scaled to a third of the deviation on the way in, to the deviation on the way out."""
    s, labels, (_, rest) = fit(sounds), one_hot(CATEGORY), residuals(sounds)
    (encoder, decoder), zeros = random_networks(), zero_networks()
    z, linear = (
        compression.encode(NETS, w, s, jnp.asarray(sounds), labels) for w in (encoder, zeros[0])
    )
    given = jnp.asarray(rest / (3 * s["scale"]), jnp.float32)
    own = frame_nets.encode(NETS, encoder, given, labels)
    np.testing.assert_allclose(z - linear, own, rtol=1e-3, atol=1e-4)
    made, linear = (compression.decode(NETS, w, s, z, labels) for w in (decoder, zeros[1]))
    own = frame_nets.decode(NETS, decoder, z, labels) * s["scale"]
    np.testing.assert_allclose(made - linear, own, rtol=1e-3, atol=1e-3)
    assert np.abs(own).max() > 0.1


# The choice of sounds


def batches(count, size=7):
    """Rows that hold their own number, and a category that follows from it."""
    for start in range(0, count, size):
        x = np.arange(start, min(count, start + size), dtype=np.float32)
        yield np.tile(x[:, None, None], (1, 2, 3)).copy(), x.astype(int) % 5


def test_few_enough_sounds_are_all_taken():
    x, category = compression.reservoir(batches(30), 30)
    np.testing.assert_array_equal(x[:, 0, 0], np.arange(30))
    np.testing.assert_array_equal(category, np.arange(30) % 5)
    assert x.shape == (30, 2, 3)


def test_of_more_a_fixed_choice_is_taken():
    x, category = compression.reservoir(batches(2000), 400)
    again, _ = compression.reservoir(batches(2000), 400)
    np.testing.assert_array_equal(x, again)
    rows = x[:, 0, 0]
    assert len(np.unique(rows)) == 400
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(category, rows.astype(int) % 5)
    counts, _ = np.histogram(rows, bins=10, range=(0, 2000))  # 40 each, deviation 5.4
    assert counts.min() > 15
    assert counts.max() < 65


def test_batches_are_let_go():
    """One row that is kept must not keep the sounds it came with."""
    seen = []

    def watched():
        for x, category in batches(280):
            assert sum(one() is not None for one in seen) <= 1
            seen.append(weakref.ref(x))
            yield x, category

    compression.reservoir(watched(), 20)
    assert len(seen) == 40


def test_no_batches_are_no_sounds():
    x, category = compression.reservoir(iter(()), 10)
    assert len(x) == len(category) == 0
