"""The losses on phases against NumPy loops and torch's angles, and what they do in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.audio.frames import stft
from drumjax.audio.phase_losses import (
    instantaneous_frequency_loss,
    safe_angle,
    weighted_phase_loss,
)

FLOOR = 1e-2


@pytest.fixture
def spectra(rng):
    """Two of [2, 5, 4], with bins below the floor in either."""
    a, b = (rng.standard_normal((2, 5, 4)) + 1j * rng.standard_normal((2, 5, 4)) for _ in range(2))
    a[0, 2, 1] = b[0, 3, 2] = b[1, 0, 0] = 0.0
    a[1, 4] *= 1e-3 * FLOOR
    return a.astype(np.complex64), b.astype(np.complex64)


def frequency_by_loops(target, estimate):
    """Differences of the phase steps, brought to (-pi, pi] by adding turns."""
    total, count = 0.0, 0
    for t in range(len(target) - 1):
        for k in range(target.shape[1]):
            if min(abs(target[t, k]), abs(target[t + 1, k])) <= FLOOR:
                continue
            count += 1
            if min(abs(estimate[t, k]), abs(estimate[t + 1, k])) <= FLOOR:
                total += np.pi / 2
                continue
            steps = [np.angle(s[t + 1, k]) - np.angle(s[t, k]) for s in (target, estimate)]
            turn = steps[0] - steps[1]
            while turn > np.pi:
                turn -= 2 * np.pi
            while turn < -np.pi:
                turn += 2 * np.pi
            total += abs(turn)
    return total / count


def test_instantaneous_frequency_equals_the_loops(spectra):
    ours = instantaneous_frequency_loss(*map(jnp.asarray, spectra), FLOOR)
    expected = [frequency_by_loops(a, b) for a, b in zip(*spectra, strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_weighted_phase_equals_the_cosine(spectra):
    ours = weighted_phase_loss(*map(jnp.asarray, spectra))
    for value, a, b in zip(ours, *spectra, strict=True):
        apart = 1 - np.cos(np.angle(a) - np.angle(b))
        expected = (np.abs(a) * np.abs(b) * apart).sum() / (np.abs(a) ** 2).sum()
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_values_and_gradients_equal_torchs(rng):
    """Of sounds: torch's STFT, angles and autograd."""
    torch = pytest.importorskip("torch")
    a, b = rng.standard_normal((2, 2, 600)).astype(np.float32)

    def ours(x):
        s, e = (stft(v, 128, 64, 32) for v in (jnp.asarray(a), x))
        return (instantaneous_frequency_loss(s, e) + weighted_phase_loss(s, e)).sum()

    value, gradient = jax.jit(jax.value_and_grad(ours))(jnp.asarray(b))
    x = torch.tensor(b, requires_grad=True)
    window = torch.hann_window(64)
    s, e = (
        torch.stft(v, 128, 32, 64, window, center=True, return_complex=True).transpose(1, 2)
        for v in (torch.tensor(a), x)
    )
    steps = [v[:, 1:].angle() - v[:, :-1].angle() for v in (s, e)]
    turn = torch.remainder(steps[0] - steps[1] + torch.pi, 2 * torch.pi) - torch.pi
    apart = s.abs() * e.abs() * (1 - torch.cos(s.angle() - e.angle()))
    phase = apart.sum((1, 2)) / (s.abs() ** 2).sum((1, 2))
    total = (turn.abs().mean((1, 2)) + phase).sum()
    total.backward()
    np.testing.assert_allclose(value, total.item(), rtol=1e-4)
    error = np.linalg.norm(gradient - x.grad.numpy())
    assert error < 2e-3 * np.linalg.norm(x.grad.numpy())


def test_unrelated_phases_differ_by_a_quarter_turn(rng):
    a, b = (
        jnp.asarray(np.exp(2j * np.pi * rng.random((1, 60, 60))), jnp.complex64) for _ in range(2)
    )
    np.testing.assert_allclose(instantaneous_frequency_loss(a, b), np.pi / 2, rtol=0.03)
    np.testing.assert_allclose(weighted_phase_loss(a, b), 1.0, rtol=0.05)


def test_a_sound_agrees_with_itself_whatever_its_gain(rng):
    s = stft(jnp.asarray(rng.standard_normal((1, 600)), jnp.float32), 128, 64, 32)
    np.testing.assert_allclose(instantaneous_frequency_loss(s, 0.3 * s), 0.0, atol=1e-5)
    np.testing.assert_allclose(weighted_phase_loss(s, 0.3 * s), 0.0, atol=1e-6)


@pytest.mark.parametrize("silent", ["target", "estimate", "both"])
def test_gradients_in_silence_are_finite(rng, silent):
    x = np.zeros((1, 600), np.float32)
    x[0, :200] = rng.standard_normal(200)  # then exact zeros, as a drum's padding
    sounds = [
        jnp.zeros_like(x) if silent in (name, "both") else x for name in ("target", "estimate")
    ]
    sounds = [jnp.asarray(s) for s in sounds]

    def run(estimate):
        s, e = (stft(v, 128, 64, 32) for v in (sounds[0], estimate))
        return (instantaneous_frequency_loss(s, e) + weighted_phase_loss(s, e)).sum()

    value, gradient = jax.jit(jax.value_and_grad(run))(sounds[1])
    assert np.isfinite(value)
    assert np.isfinite(np.asarray(gradient)).all()


def test_angle_of_what_is_too_soft_is_still():
    def run(x, y):
        return safe_angle(jax.lax.complex(x, y), 0.1)

    loud, soft = ((jnp.float32(s * 3), jnp.float32(s * 4)) for s in (1.0, 0.01))
    np.testing.assert_allclose(run(*loud), np.arctan2(4, 3), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(run, (0, 1))(*loud), (-4 / 25, 3 / 25), rtol=1e-6)
    assert run(*soft) == 0
    assert jax.grad(run, (0, 1))(*soft) == (0, 0)
