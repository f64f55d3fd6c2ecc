"""Refined codes: nearer to the sound than the encoder's, never farther, whoever is in the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from instruments import tiny_frame_instrument
from tiny import NAMES

from drumjax.audio.mel import mel_spectrogram
from drumjax.nn.compression import compress
from drumjax.play import refine
from drumjax.play.runtime import Player

KINDS = list(NAMES[:2])


@pytest.fixture(scope="module")
def player():
    return Player(tiny_frame_instrument())


@pytest.fixture(scope="module")
def sounds(player):
    """Two of the instrument's own sounds, so that codes that fit them exist."""
    z = np.random.default_rng(3).normal(0, 1, (2, player.instrument.latents))
    return player.render(z.astype(np.float32), KINDS)


def errors(player, sounds, z):
    """The docstring's two terms in NumPy float64."""
    target = np.asarray(mel_spectrogram(jnp.asarray(sounds), player.plan.mel), np.float64)
    made = player.decode(z, KINDS).astype(np.float64)

    def norm(x):
        return np.sqrt((x**2).sum((1, 2)))

    a, b = (np.asarray(compress(x, 1 / 3)) for x in (target, made))
    return norm(target - made) / norm(target) + 3 * norm(a - b) ** 2 / norm(a) ** 2


def test_error_is_what_it_says(player, sounds):
    z = player.encode(sounds, KINDS)
    target = mel_spectrogram(jnp.asarray(sounds), player.plan.mel)
    weights = player.weights(KINDS, 2)
    ours = refine.error(player.plan, player._decoder, target, z, weights)
    np.testing.assert_allclose(ours, errors(player, sounds, z), rtol=1e-4)


def test_refined_codes_fit_better_and_more_steps_no_worse(player, sounds):
    before, few, many = (
        errors(player, sounds, player.encode(sounds, KINDS, refine=n)) for n in (0, 4, 16)
    )
    assert (few <= before + 1e-6).all()
    assert (many < 0.9 * before).all()


def test_steps_are_adams(player, sounds):
    z = player.encode(sounds, KINDS)
    weights = player.weights(KINDS, 2)
    target = mel_spectrogram(jnp.asarray(sounds), player.plan.mel)
    adam = optax.adam(optax.linear_schedule(refine._RATE, 0.0, 3), 0.9, 0.99)
    state, path = adam.init(z), [jnp.asarray(z)]
    slope = jax.grad(lambda z: refine.error(player.plan, player._decoder, target, z, weights).sum())
    for _ in range(3):
        step, state = adam.update(slope(path[-1]), state)
        path.append(path[-1] + step)
    values = np.stack([errors(player, sounds, np.asarray(p)) for p in path])  # [steps + 1, b]
    best = np.stack([np.asarray(path[i])[k] for k, i in enumerate(values.argmin(0))])
    ours = player.encode(sounds, KINDS, refine=3)
    np.testing.assert_allclose(ours, best, atol=2e-3)


def test_a_sound_is_refined_alike_alone_and_in_a_batch(player, sounds):
    together = player.encode(sounds, KINDS, refine=4)
    alone = player.encode(sounds[0], KINDS[0], refine=4)
    np.testing.assert_allclose(alone, together[0], atol=2e-3)
