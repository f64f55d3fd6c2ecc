"""Frame-wise networks against loops over batch, time and channels in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.nn import frame_nets
from drumjax.nn.frame_nets import TAPS, FrameNets

SMALL = FrameNets(7, 3, 2, 4, width=5, wide=6, blocks=2, hidden=7, narrow=2, seed=3, condition=5)
B = 2


def filled(shapes, seed=0):
    """Every weight random, the biases and the small last layer too."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(s) / np.sqrt(max(s[0], 1))).astype(np.float32)
        for name, s in shapes.items()
    }


@pytest.fixture(scope="module")
def weights():
    """(encoder's, decoder's)"""
    return filled(frame_nets.encoder_shapes(SMALL)), filled(frame_nets.decoder_shapes(SMALL), 1)


@pytest.fixture
def labels(rng):
    """Mixed categories."""
    return rng.dirichlet(np.ones(SMALL.categories), B).astype(np.float32)


# The oracle, in float64


def gelu(x):
    """Hendrycks and Gimpel (2016), the approximation by tanh."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def dense(w, name, x):
    return x @ np.float64(w[f"{name}/kernel"]) + np.float64(w[f"{name}/bias"])


def normalise(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6)


def block(w, name, x, condition):
    """x [t, c] of one sound, condition [any]."""
    t, c = x.shape
    modulation, taps = dense(w, f"{name}/modulate", condition), np.float64(w[f"{name}/taps"])
    out = np.array(x)
    for i in range(t):
        y = np.zeros(c)
        for channel in range(c):
            for tap in range(TAPS):
                at = i + tap - TAPS // 2
                if 0 <= at < t:
                    y[channel] += x[at, channel] * taps[tap, channel]
        y = normalise(y) * (1 + modulation[:c]) + modulation[c:]
        y = dense(w, f"{name}/down", gelu(dense(w, f"{name}/up", y)))
        out[i] += y * w[f"{name}/gain"]
    return out


def join(x):
    """Neighbours in time side by side."""
    return np.stack([np.concatenate([x[i], x[i + 1]]) for i in range(0, len(x), 2)])


def part(x):
    half = x.shape[1] // 2
    return np.stack([row[k * half : (k + 1) * half] for row in x for k in (0, 1)])


def encode_one(n, w, x, category):
    x = np.concatenate([x, np.zeros((n.padding, n.mels))])
    x = dense(w, "pairs", join(x))
    for i in range(n.blocks):
        x = block(w, f"block{i}", x, category)
    x = dense(w, "join", join(x))
    for i in range(n.blocks, 2 * n.blocks):
        x = block(w, f"block{i}", x, category)
    seen = [dense(w, "narrow", normalise(row)) for row in x]
    hidden = gelu(dense(w, "hidden", np.concatenate([*seen, category])))
    return dense(w, "code", hidden)


def decode_one(n, w, z, category):
    given = np.concatenate([z, category])
    condition = gelu(dense(w, "condition", given))
    seed = dense(w, "seed", gelu(dense(w, "hidden", given))).reshape(n.steps, n.seed)
    x = np.stack([dense(w, "widen", row) for row in seed]) + w["position"]
    for i in range(n.blocks):
        x = block(w, f"block{i}", x, condition)
    x = part(dense(w, "part", x))
    for i in range(n.blocks, 2 * n.blocks):
        x = block(w, f"block{i}", x, condition)
    x = part(np.stack([dense(w, "frames", normalise(row)) for row in x]))
    return x[: n.frames]


def test_block_equals_the_loops(rng, weights, labels):
    w, x = weights[0], rng.standard_normal((B, 6, SMALL.width)).astype(np.float32)
    found = frame_nets.block(w, "block1", jnp.asarray(x), jnp.asarray(labels))
    for one, sound, category in zip(found, x, labels, strict=True):
        np.testing.assert_allclose(one, block(w, "block1", sound, category), rtol=1e-4, atol=1e-5)
    assert np.abs(found - x).max() > 0.1


@pytest.mark.parametrize("frames", [7, 8])
def test_encode_equals_the_loops(rng, weights, labels, frames):
    n = dataclasses.replace(SMALL, frames=frames)
    x = rng.standard_normal((B, frames, n.mels)).astype(np.float32)
    found = jax.jit(frame_nets.encode, static_argnums=0)(n, weights[0], x, labels)
    expected = [encode_one(n, weights[0], *pair) for pair in zip(x, labels, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_decode_equals_the_loops(rng, weights, labels):
    z = rng.standard_normal((B, SMALL.latents)).astype(np.float32)
    found = jax.jit(frame_nets.decode, static_argnums=0)(SMALL, weights[1], z, labels)
    expected = [decode_one(SMALL, weights[1], *pair) for pair in zip(z, labels, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 17, 86])
def test_any_number_of_frames_comes_back(frames):
    n = dataclasses.replace(SMALL, frames=frames)
    w = [
        {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes(n).items()}
        for shapes in (frame_nets.encoder_shapes, frame_nets.decoder_shapes)
    ]
    x, category = jnp.zeros((3, frames, n.mels)), jnp.zeros((3, n.categories))
    z = jax.eval_shape(lambda w: frame_nets.encode(n, w, x, category), w[0])
    assert z.shape == (3, n.latents)
    made = jax.eval_shape(lambda w: frame_nets.decode(n, w, jnp.zeros(z.shape), category), w[1])
    assert made.shape == x.shape


def test_a_drum_is_22_steps():
    n = FrameNets(86, 512, 11, 128)
    assert (n.steps, n.padding) == (22, 2)
    assert frame_nets.decoder_shapes(n)["position"] == (22, 384)
    assert frame_nets.encoder_shapes(n)["hidden/kernel"] == (22 * 96 + 11, 768)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_fresh_weights(half):
    """Their deviations; the last layer's are small, so that training begins at the linear map."""
    n = FrameNets(86, 64, 11, 16, width=48, wide=64, blocks=1, hidden=96, narrow=8, seed=8)
    shapes = getattr(frame_nets, f"{half}_shapes")(n)
    w = frame_nets.init(shapes, jax.random.key(0))
    assert {k: v.shape for k, v in w.items()} == shapes
    last = {"encoder": "code", "decoder": "frames"}[half]
    for name, value in w.items():
        if name.endswith("/bias"):
            assert not value.any()
        elif name.endswith("/kernel"):
            small = name == f"{last}/kernel" or "modulate" in name
            expected = 0.02 if small else value.shape[0] ** -0.5
            assert float(value.std()) == pytest.approx(expected, rel=0.1), name
    x = jax.random.normal(jax.random.key(1), (2, 9, w["block0/taps"].shape[1]))
    condition = jnp.zeros((2, w["block0/modulate/kernel"].shape[0]))
    moved = frame_nets.block(w, "block0", x, condition) - x
    assert 0 < float(jnp.linalg.norm(moved)) < 0.2 * float(jnp.linalg.norm(x))


def test_silence_has_finite_gradients(weights, labels):
    """A frame without any spread is where the normalisation divides by nearly nothing."""
    x = jnp.zeros((B, SMALL.frames, SMALL.mels))

    def loss(w, x):
        return frame_nets.encode(SMALL, w, x, jnp.asarray(labels)).sum()

    zero = {k: jnp.zeros_like(v) if k == "pairs/bias" else v for k, v in weights[0].items()}
    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss, argnums=(0, 1)))(zero, x)):
        assert np.isfinite(leaf).all()
