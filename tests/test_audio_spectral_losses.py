"""Losses against NumPy loops, PyTorch and float64, and their gradients where norms vanish."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.audio import spectral_losses as losses
from drumjax.audio.mel import MelConfig, mel_spectrogram
from drumjax.errors import ConfigError

RESOLUTIONS = ((64, 40, 10), (128, 80, 20), (32, 16, 5))
SMALL = MelConfig(
    sample_rate=8000, num_samples=400, n_fft=128, win_length=64, hop_length=32, n_mels=10
)


@jax.jit
def small_multi_resolution(target, estimate):
    return sum(losses.multi_resolution_stft_loss(target, estimate, RESOLUTIONS))


@functools.cache
def value_and_grad(loss):
    """The sum of a loss over examples and its gradients by target and estimate, compiled once."""
    return jax.jit(jax.value_and_grad(lambda t, e: loss(t, e).sum(), argnums=(0, 1)))


SPECTRAL = [losses.spectral_convergence, losses.log_mel_loss]
ALL = [*SPECTRAL, small_multi_resolution, losses.mask_bce]


@pytest.fixture
def pair(rng):
    """Two batches of positive arrays; valid as mels, as sounds and as mask and logits."""
    return rng.uniform(0.01, 1.0, (2, 4, 7, 100)).astype(np.float32)


def test_spectral_convergence_equals_a_loop(pair):
    target, estimate = pair
    oracle = np.zeros(4)
    for n in range(4):
        cells = list(zip(target[n].flat, estimate[n].flat, strict=True))
        oracle[n] = np.sqrt(sum((t - e) ** 2 for t, e in cells) / sum(t**2 for t, _ in cells))
    np.testing.assert_allclose(losses.spectral_convergence(target, estimate), oracle, rtol=1e-5)


def test_log_mel_loss_equals_a_loop(pair):
    target, estimate = pair
    oracle = np.zeros(4)
    for n in range(4):
        logs = [
            (np.log(t + 1e-5), np.log(e + 1e-5))
            for t, e in zip(target[n].flat, estimate[n].flat, strict=True)
        ]
        oracle[n] = sum(abs(t - e) for t, e in logs) / sum(abs(t) for t, _ in logs)
    np.testing.assert_allclose(losses.log_mel_loss(target, estimate), oracle, rtol=1e-5)


def test_mask_bce_equals_float64(rng):
    mask = (rng.uniform(size=(3, 50)) > 0.5).astype(np.float64)
    logits = rng.uniform(-30.0, 30.0, (3, 50))
    chance = 1.0 / (1.0 + np.exp(-logits))
    opposite = 1.0 / (1.0 + np.exp(logits))
    oracle = -(mask * np.log(chance) + (1.0 - mask) * np.log(opposite)).mean(axis=-1)
    result = losses.mask_bce(jnp.asarray(mask, jnp.float32), jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(result, oracle, rtol=1e-5)


def test_mask_bce_stays_finite_and_keeps_its_gradient_when_saturated():
    mask, logits = jnp.array([1.0, 0.0, 1.0, 0.0]), jnp.array([-1e4, 1e4, 1e4, -1e4])
    value, grad = jax.value_and_grad(losses.mask_bce, argnums=1)(mask, logits)
    assert value == 5000.0
    np.testing.assert_allclose(grad, [-0.25, 0.25, 0.0, 0.0], atol=1e-7)


def numpy_magnitude(x, n_fft, win_length, hop):
    """|STFT| of [n] in float64: frames centred in reflected sound, a periodic Hann window."""
    window = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    window[start : start + win_length] = 0.5 - 0.5 * np.cos(
        2 * np.pi * np.arange(win_length) / win_length
    )
    padded = np.pad(x.astype(np.float64), n_fft // 2, mode="reflect")
    starts = range(0, len(padded) - n_fft + 1, hop)
    frames = np.stack([window * padded[s : s + n_fft] for s in starts])  # [f, n_fft]
    return np.maximum(np.abs(np.fft.rfft(frames, axis=1)), 1e-4)


@pytest.fixture
def sounds(rng):
    """Target and estimate [3, 300]; the third target's magnitudes lie below the floor."""
    target, estimate = rng.standard_normal((2, 3, 300)).astype(np.float32)
    target[2, 50:] = 0.0
    return target, estimate


def test_multi_resolution_loss_equals_numpy(sounds):
    target, estimate = sounds
    convergence, log_magnitude = np.zeros(3), np.zeros(3)
    for n_fft, win_length, hop in RESOLUTIONS:
        for n in range(3):
            a = numpy_magnitude(target[n], n_fft, win_length, hop)
            b = numpy_magnitude(estimate[n], n_fft, win_length, hop)
            convergence[n] += np.sqrt(np.sum((a - b) ** 2) / np.sum(a**2)) / 3
            log_magnitude[n] += np.mean(np.abs(np.log(a) - np.log(b))) / 3
    loss = jax.jit(losses.multi_resolution_stft_loss, static_argnums=2)
    result = loss(target, estimate, RESOLUTIONS)
    np.testing.assert_allclose(result[0], convergence, rtol=1e-4)
    np.testing.assert_allclose(result[1], log_magnitude, rtol=1e-4)


def test_multi_resolution_loss_equals_torch(sounds):
    torch = pytest.importorskip("torch")
    target, estimate = sounds

    def torch_magnitude(x, n_fft, win_length, hop):
        spectrum = torch.stft(
            torch.tensor(x), n_fft, hop, win_length, torch.hann_window(win_length),
            return_complex=True,
        )  # fmt: skip
        return torch.sqrt(torch.clamp(spectrum.real**2 + spectrum.imag**2, min=1e-8))

    convergence, log_magnitude = np.zeros(3), np.zeros(3)
    for n_fft, hop, win_length in ((n, h, w) for n, w, h in RESOLUTIONS):
        a = torch_magnitude(target, n_fft, win_length, hop)
        b = torch_magnitude(estimate, n_fft, win_length, hop)
        for n in range(3):
            convergence[n] += (torch.linalg.norm(a[n] - b[n]) / torch.linalg.norm(a[n])).item() / 3
            log_magnitude[n] += torch.mean(torch.abs(a[n].log() - b[n].log())).item() / 3
    loss = jax.jit(losses.multi_resolution_stft_loss, static_argnums=2)
    result = loss(target, estimate, RESOLUTIONS)
    np.testing.assert_allclose(result[0], convergence, rtol=1e-4)
    np.testing.assert_allclose(result[1], log_magnitude, rtol=1e-4)


@pytest.mark.parametrize("loss", ALL)
def test_an_example_does_not_feel_its_neighbours(pair, loss):
    target, estimate = pair[:, :, :, :60]
    if loss in (small_multi_resolution, losses.mask_bce):
        target, estimate = pair[:, :, 0]
    together = loss(target, estimate)
    loud = np.concatenate([target[:1], 100.0 * target[1:]])
    changed = loss(loud, np.concatenate([estimate[:1], target[1:]]))
    alone = loss(target[:1], estimate[:1])
    assert together.shape == (4,)
    assert not np.allclose(changed[1:], together[1:], rtol=1e-3)
    np.testing.assert_allclose(together[:1], alone, rtol=1e-6)
    np.testing.assert_allclose(changed[:1], alone, rtol=1e-6)


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("wrong", [(1, 400), (400,), (3, 1)])
def test_shapes_that_would_be_broadcast_are_refused(loss, wrong):
    """One estimate against three targets, or one sample against all."""
    lead = () if loss in (small_multi_resolution, losses.mask_bce) else (2,)
    right = jnp.zeros((3, *lead, 400))
    wrong = jnp.zeros((*wrong[:-1], *lead, wrong[-1]))
    for pair in ((right, wrong), (wrong, right)):
        with pytest.raises(ConfigError, match="arrays of one shape"):
            jax.eval_shape(loss, *pair)


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_finite_at_equality_and_at_silence(pair, loss):
    x = jnp.asarray(pair[0, :, 0])  # [b, n], or one spectrogram
    for target, estimate in ((x, x), (0 * x, 0 * x), (0 * x, x), (x, 0 * x)):
        for gradient in value_and_grad(loss)(target, estimate)[1]:
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [*SPECTRAL, small_multi_resolution])
@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_loss_and_gradient_vanish_at_equality(pair, loss, gain):
    x = gain * jnp.asarray(pair[0, :, 0])
    value, (_, gradient) = value_and_grad(loss)(x, x)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


@pytest.mark.parametrize("loss", SPECTRAL)
def test_gradients_reach_through_the_mel_of_a_silent_sound(pair, loss):
    target = mel_spectrogram(jnp.asarray(pair[0, 0, :4].reshape(400)), SMALL)

    @jax.jit
    @jax.grad
    def grad(x):
        return loss(target, mel_spectrogram(x, SMALL))

    assert np.isfinite(grad(jnp.zeros(400))).all()
    assert np.isfinite(grad(jnp.zeros(400).at[100].set(1e-12))).all()


def test_log_mel_loss_is_bounded_where_the_log_of_the_target_is_zero():
    target = jnp.full((3, 4), 1.0 - 1e-5)
    np.testing.assert_allclose(losses.log_mel_loss(target, 2.0 * target), 693.1, rtol=1e-3)


def test_default_resolutions_take_a_one_shot():
    shapes = jax.eval_shape(losses.multi_resolution_stft_loss, *2 * (jnp.zeros((3, 22015)),))
    assert [s.shape for s in shapes] == [(3,), (3,)]
