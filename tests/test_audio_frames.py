"""Frames and the STFT against NumPy loops, SciPy and librosa."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from drumjax.audio.frames import (
    _stft_by_fft,
    _stft_by_products,
    frame,
    hann_window,
    istft,
    magnitude,
    safe_sqrt,
    stft,
)
from drumjax.errors import ConfigError

GEOMETRIES = [(64, 32, 8), (64, 64, 16), (64, 30, 7)]  # n_fft, window, hop


@pytest.mark.parametrize(("length", "hop"), [(8, 4), (8, 3), (3, 8), (1, 1), (30, 7)])
def test_frame_equals_a_loop(rng, length, hop):
    x = rng.standard_normal((2, 3, 30)).astype(np.float32)
    starts = range(0, 30 - length + 1, hop)
    oracle = np.stack([x[..., s : s + length] for s in starts], axis=-2)
    np.testing.assert_array_equal(frame(x, length, hop), oracle)


def test_frame_refuses_a_signal_shorter_than_a_frame():
    with pytest.raises(ConfigError, match="does not fit"):
        frame(jnp.zeros(7), 8, 2)


@pytest.mark.parametrize(("win_length", "n_fft"), [(8, 8), (6, 16), (5, 16)])
def test_window_equals_librosa(win_length, n_fft):
    oracle = librosa.util.pad_center(librosa.filters.get_window("hann", win_length), size=n_fft)
    np.testing.assert_allclose(hann_window(win_length, n_fft), oracle, atol=1e-7)


def test_window_must_fit():
    with pytest.raises(ConfigError, match="FFT of 8"):
        hann_window(9, 8)


def test_stft_equals_a_double_loop(rng):
    x = rng.standard_normal(50)
    n_fft, hop = 16, 5
    padded = np.pad(x, n_fft // 2, mode="reflect")
    window = np.pad(np.sin(np.pi * np.arange(12) / 12) ** 2, 2)
    oracle = np.zeros((1 + 50 // hop, n_fft // 2 + 1), complex)
    for f in range(oracle.shape[0]):
        for k in range(oracle.shape[1]):
            turn = np.exp(-2j * np.pi * k * np.arange(n_fft) / n_fft)
            oracle[f, k] = np.sum(padded[f * hop : f * hop + n_fft] * window * turn)
    result = stft(jnp.asarray(x, jnp.float32), n_fft, 12, hop)
    assert result.dtype == jnp.complex64
    np.testing.assert_allclose(result, oracle, atol=2e-6)


@pytest.mark.parametrize("geometry", [*GEOMETRIES, (2048, 1024, 256)])
def test_form_of_stft_for_a_tpu_equals_the_fft(rng, geometry):
    """By products with waves, and its gradient, of signals with leading axes."""
    x = rng.standard_normal((2, 1, geometry[0] + 200), dtype=np.float32)
    weights = np.cos(np.arange(geometry[0] // 2 + 1, dtype=np.float32))

    def both(form):
        def level(x):
            spectrum = form(x, geometry)
            return jnp.sum(weights[None, None, None] * spectrum.real + spectrum.imag**2), spectrum

        gradient, spectrum = jax.grad(level, has_aux=True)(x)
        return spectrum, gradient

    for ours, theirs in zip(both(_stft_by_products), both(_stft_by_fft), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


def test_only_a_tpu_is_given_products(rng):
    traced = jax.jit(lambda x: magnitude(x, 64, 32, 8)).trace(np.zeros(200, np.float32))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("convolution" in text, "fft" in text) == (platform == "tpu", platform != "tpu")


@pytest.mark.parametrize(("n_fft", "win_length", "hop"), GEOMETRIES)
def test_stft_equals_librosa(rng, n_fft, win_length, hop):
    x = rng.standard_normal((2, 200)).astype(np.float32)
    oracle = librosa.stft(
        x, n_fft=n_fft, win_length=win_length, hop_length=hop, pad_mode="reflect"
    ).swapaxes(-1, -2)
    np.testing.assert_allclose(stft(x, n_fft, win_length, hop), oracle, atol=1e-5)


def test_stft_without_centring_equals_scipy(rng):
    x = rng.standard_normal(200).astype(np.float32)
    _, _, oracle = scipy.signal.stft(
        x, window="hann", nperseg=64, noverlap=48, boundary=None, padded=False, scaling="spectrum"
    )
    result = stft(x, 64, 64, 16, center=False)
    np.testing.assert_allclose(result, oracle.T * hann_window(64, 64).sum(), atol=1e-5)


@pytest.mark.parametrize(("n_fft", "win_length", "hop"), GEOMETRIES)
def test_istft_undoes_stft(rng, n_fft, win_length, hop):
    x = rng.standard_normal((2, 200)).astype(np.float32)
    spectrum = stft(x, n_fft, win_length, hop)
    np.testing.assert_allclose(istft(spectrum, n_fft, win_length, hop, 200), x, atol=2e-6)


def test_istft_of_any_spectrum_equals_librosa(rng):
    spectrum = rng.standard_normal((11, 33, 2)).astype(np.float32) @ np.array([1, 1j])
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    oracle = librosa.istft(spectrum.T, n_fft=64, win_length=32, hop_length=16, length=160)
    result = istft(jnp.asarray(spectrum, jnp.complex64), 64, 32, 16, 160)
    np.testing.assert_allclose(result, oracle, atol=1e-5)


def test_istft_fills_what_the_frames_do_not_reach_with_zeros():
    x = istft(jnp.ones((3, 9), jnp.complex64), 16, 16, 4, 40)
    assert x.shape == (40,)
    np.testing.assert_array_equal(x[2 * 4 + 8 :], 0.0)


def test_neural_drum_machine_geometry_has_86_frames():
    assert jax.eval_shape(lambda x: stft(x, 2048, 1024, 256), jnp.zeros(22015)).shape == (86, 1025)


def test_magnitude_is_the_absolute_value(rng):
    x = jnp.asarray(rng.standard_normal(200), jnp.float32)
    np.testing.assert_allclose(magnitude(x, 64, 32, 8), np.abs(stft(x, 64, 32, 8)), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-20, 1e-12])
def test_magnitude_has_finite_gradients_down_to_silence(rng, scale):
    x = jnp.asarray(rng.standard_normal(100) * scale, jnp.float32)
    value, grad = jax.jit(jax.value_and_grad(lambda x: magnitude(x, 64, 32, 8).sum()))(x)
    assert np.isfinite(grad).all()
    if scale == 0.0:
        assert value == 0.0
        np.testing.assert_array_equal(grad, 0.0)


def test_magnitude_gradient_equals_finite_differences(rng):
    x = rng.standard_normal(60)
    window = hann_window(16, 16).astype(np.float64)

    def oracle(x):
        padded = np.pad(x, 8, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, 16)[::4] * window
        return np.abs(np.fft.rfft(frames)).sum()

    steps = 1e-6 * np.eye(60)
    slope = [(oracle(x + step) - oracle(x - step)) / 2e-6 for step in steps]
    grad = jax.grad(lambda x: magnitude(x, 16, 16, 4).sum())(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(grad, slope, rtol=1e-3, atol=1e-3)


def test_safe_sqrt_puts_no_floor_on_the_value():
    np.testing.assert_allclose(safe_sqrt(jnp.array([0.0, 1e-30, 4.0])), [0.0, 1e-15, 2.0])
