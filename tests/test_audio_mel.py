"""Mel filters and standardisation against librosa and NumPy."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from drumjax.audio import mel
from drumjax.audio.mel import MelConfig, Scaler
from drumjax.errors import ConfigError, DataError

SMALL = MelConfig(
    sample_rate=8000, num_samples=400, n_fft=128, win_length=64, hop_length=32, n_mels=10
)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_scale_equals_librosa_and_inverts(scale):
    hz = np.array([0.0, 50.0, 440.0, 999.9, 1000.0, 1000.1, 8000.0, 22050.0])
    mels = mel.hz_to_mel(hz, scale)
    np.testing.assert_allclose(mels, librosa.hz_to_mel(hz, htk=scale == "htk"), rtol=1e-12)
    np.testing.assert_allclose(mel.mel_to_hz(mels, scale), hz, rtol=1e-12)


def test_htk_mel_of_1_khz_is_1000():
    # Printed in O'Shaughnessy (1987): the scale is built so that 1000 Hz is 1000 mel.
    assert mel.hz_to_mel(1000.0, "htk") == pytest.approx(1000.0, abs=0.02)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize("base", [MelConfig(), dataclasses.replace(SMALL, f_min=60.0, f_max=3e3)])
def test_filterbank_equals_librosa(base, scale, norm):
    config = dataclasses.replace(base, scale=scale, norm=norm)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters", UserWarning)  # 10 of HTK's 512
        oracle = librosa.filters.mel(
            sr=config.sample_rate,
            n_fft=config.n_fft,
            n_mels=config.n_mels,
            fmin=config.f_min,
            fmax=config.top,
            htk=scale == "htk",
            norm=norm,
        )
    filters = mel.mel_filterbank(config)
    assert filters.dtype == np.float32
    assert filters.shape == (config.n_fft // 2 + 1, config.n_mels)
    np.testing.assert_allclose(filters, oracle.T, atol=1e-6 * oracle.max())


@pytest.mark.parametrize(("scale", "empty"), [("slaney", 0), ("htk", 10)])
def test_empty_filters_of_the_default_front_end(scale, empty):
    filters = mel.mel_filterbank(MelConfig(scale=scale))
    assert np.sum(filters.max(axis=0) == 0.0) == empty


def test_filterbank_is_made_once_and_cannot_be_written():
    filters = mel.mel_filterbank(SMALL)
    assert mel.mel_filterbank(dataclasses.replace(SMALL)) is filters
    with pytest.raises(ValueError, match="read-only"):
        filters[0, 0] = 1.0


def test_mel_spectrogram_equals_librosa(rng):
    x = rng.standard_normal((2, 3, 400)).astype(np.float32)
    oracle = librosa.feature.melspectrogram(
        y=x, sr=8000, n_fft=128, win_length=64, hop_length=32, n_mels=10, power=1.0,
        pad_mode="reflect",
    ).swapaxes(-1, -2)  # fmt: skip
    result = jax.jit(mel.mel_spectrogram, static_argnums=1)(x, SMALL)
    assert result.shape == (2, 3, SMALL.frames, SMALL.n_mels)
    np.testing.assert_allclose(result, oracle, rtol=1e-4, atol=1e-6)


def test_default_one_shot_gives_86_frames_of_512_bands():
    config = MelConfig()
    shape = jax.eval_shape(
        lambda x: mel.mel_spectrogram(x, config), jnp.zeros((2, config.num_samples))
    ).shape
    assert shape == (2, 86, 512)
    assert config.frames == 86


def test_silence_is_exactly_zero_and_has_a_finite_gradient():
    def loss(x):
        return mel.log_mel(mel.mel_spectrogram(x, SMALL)).sum()

    np.testing.assert_array_equal(mel.mel_spectrogram(jnp.zeros(400), SMALL), 0.0)
    assert np.isfinite(jax.jit(jax.grad(loss))(jnp.zeros(400))).all()


def test_log_mel_equals_numpy():
    values = np.array([0.0, 1e-5, 0.5, 100.0])
    np.testing.assert_allclose(mel.log_mel(jnp.array(values)), np.log(values + 1e-5), rtol=1e-6)


def test_scaler_equals_numpy_over_uneven_batches(rng):
    # A mean far from 0 is where the textbook E[x²] - E[x]² loses its digits.
    x = (1e4 + rng.standard_normal((23, 3, 4))).astype(np.float32)
    x[:, 0, 0] = -11.5
    batches = [x[:1], x[1:1], x[1:16], jnp.asarray(x[16:])]
    scaler = mel.fit_scaler(batches)
    std = x.astype(np.float64).std(axis=0)
    np.testing.assert_allclose(scaler.mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaler.std, np.maximum(std, 1e-3), rtol=1e-6)
    assert scaler.std[0, 0] == np.float32(1e-3)


def test_standardise_equals_numpy_and_inverts(rng):
    x = rng.standard_normal((2, 5, 3, 4)).astype(np.float32)
    scaler = Scaler(x.mean(axis=(0, 1)), x.std(axis=(0, 1)))
    z = mel.standardise(jnp.asarray(x), scaler)
    np.testing.assert_allclose(z, (x - scaler.mean) / scaler.std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mel.unstandardise(z, scaler), x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mel.standardise(x[0, 0], scaler), z[0, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no sounds"),
        ([np.zeros((0, 3, 4))], "no sounds"),
        ([np.zeros((2, 3, 4)), np.zeros((2, 3, 5))], "follow others"),
        ([np.full((2, 3, 4), np.nan)], "not finite"),
    ],
)
def test_scaler_refuses_what_it_cannot_fit(batches, message):
    with pytest.raises(DataError, match=message):
        mel.fit_scaler(batches)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_mels": 0}, "n_mels is 0"),
        ({"hop_length": -1}, "hop_length is -1"),
        ({"win_length": 4096}, "no less than mel.win_length"),
        ({"n_fft": 2047}, "must be even"),
        ({"f_min": -1.0}, "between 0 and half"),
        ({"f_min": 500.0, "f_max": 400.0}, "between 0 and half"),
        ({"f_max": 12000.0}, "between 0 and half"),
        ({"scale": "bark"}, "'slaney' or 'htk'"),
        ({"norm": "l2"}, "'slaney' or None"),
    ],
)
def test_config_refuses(changes, message):
    with pytest.raises(ConfigError, match=message):
        MelConfig(**changes)
