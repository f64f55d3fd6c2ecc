"""Sound from a mel without a network: against least squares, and against the sounds themselves."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.audio import phase
from drumjax.audio.mel import MelConfig, mel_filterbank, mel_spectrogram

MEL = MelConfig(num_samples=5119)  # 20 frames of the paper's analysis
ROUNDS = 16
HOP = MEL.hop_length


@functools.cache
def program(config, rounds):
    return jax.jit(lambda mel: phase.invert(mel, config, rounds))


def invert(mel, config=MEL, rounds=ROUNDS):
    return np.asarray(program(config, rounds)(jnp.asarray(mel)))


def analyse(x, config=MEL):
    return np.asarray(mel_spectrogram(jnp.asarray(x, jnp.float32), config))


def convergence(target, estimate):
    return np.linalg.norm(target - estimate) / np.linalg.norm(target)


@pytest.fixture(scope="module")
def sounds():
    """An impulse where the start expects one, a decaying sine, the same lower, a burst of noise."""
    t = np.arange(MEL.num_samples) / MEL.sample_rate
    impulse = np.zeros(len(t))
    impulse[120] = 1.0
    high, low = (np.sin(2 * np.pi * f * t) * np.exp(-t / d) for f, d in ((900, 0.03), (90, 0.06)))
    noise = np.random.default_rng(0).standard_normal(len(t)) * np.exp(-t / 0.03)
    return np.stack([impulse, high, low, noise])


@pytest.fixture(scope="module")
def mels(sounds):
    return analyse(sounds)


@pytest.mark.parametrize(
    "config",
    [
        MelConfig(n_fft=512, win_length=512, n_mels=100),
        MelConfig(n_fft=256, win_length=256, n_mels=64, scale="htk", f_min=40.0),
    ],
)
def test_magnitudes_are_the_ridge_regression(rng, config):
    """Oracle: numpy.linalg.lstsq of the filters with the ridge as more rows, in float64."""
    filters = np.float64(mel_filterbank(config))
    ridge = 1e-4 * np.linalg.svd(filters, compute_uv=False)[0] ** 2
    mel = np.abs(rng.standard_normal((7, len(filters)))) @ filters
    rows = np.concatenate([filters.T, np.sqrt(ridge) * np.eye(len(filters))])
    given = np.concatenate([mel.T, np.zeros((len(filters), 7))])
    expected, *_ = np.linalg.lstsq(rows, given, rcond=None)
    found = mel @ np.float64(phase.inverse_filterbank(config))
    np.testing.assert_allclose(found, expected.T, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    made = phase.magnitudes(jnp.asarray(mel[None], jnp.float32), config)
    expected = np.maximum(expected.T, 0)[None]
    np.testing.assert_allclose(made, expected, atol=1e-4 * expected.max())


def test_sounds_come_back(sounds, mels):
    """Spectral convergence (NDM eq. 11; silence scores 1) and, of the tones, the wave itself.

    The wave at the shift and sign that fit best: a mel does not tell the phase of a low tone.
    """
    made = invert(mels)
    assert made.shape == sounds.shape
    found = [convergence(*pair) for pair in zip(mels, analyse(made), strict=True)]
    for value, limit in zip(found, (0.25, 0.12, 0.25, 0.25), strict=True):
        assert value < limit, found
    for i, least in ((1, 0.95), (2, 0.85)):
        products = np.correlate(sounds[i], made[i], "full")
        peak = np.abs(products).max() / (np.linalg.norm(sounds[i]) * np.linalg.norm(made[i]))
        assert peak > least


def crest(sound):
    """Peak over RMS of the first 50 ms."""
    start = sound[: round(0.05 * MEL.sample_rate)]
    return np.abs(start).max() / np.sqrt(np.mean(start**2))


def test_noise_does_not_meet_in_a_click(monkeypatch):
    """A mel as smooth as decoded noise is; without scatter and detuning the crest is four times."""
    seconds = np.arange(MEL.frames) * HOP / MEL.sample_rate
    mel = np.exp(-seconds / 0.03)[None, :, None] * np.ones(MEL.n_mels)
    ours = crest(invert(np.float32(mel))[0])

    def in_step(config):
        """Phases of an impulse 15/128 of a window after sample 0, and of bins in tune."""
        bins = np.arange(config.n_fft // 2 + 1)
        turns = bins * (0.5 - 15 / 128 * config.win_length / config.n_fft)
        hops = bins * config.hop_length / config.n_fft
        return tuple(np.float32(2 * np.pi * np.mod(t, 1.0)) for t in (turns, hops))

    for found, expected in zip(phase._first_and_carrier(MEL), in_step(MEL), strict=True):
        low = np.arange(len(found)) * MEL.sample_rate / MEL.n_fft <= 300  # these stay as they are
        np.testing.assert_allclose(found[low], expected[low], atol=1e-4)
    monkeypatch.setattr(phase, "_first_and_carrier", in_step)
    plain = crest(np.asarray(phase.invert(jnp.float32(mel), MEL, ROUNDS))[0])
    assert ours < 8 < 16 < plain


def test_a_step_at_the_beginning_is_ramped(monkeypatch):
    """By half a period of a cosine, of which four samples are below 1."""
    step = np.exp(-np.arange(MEL.num_samples) / 100)
    mel = jnp.asarray(analyse(step[None]))
    made = invert(mel)[0]
    monkeypatch.setattr(phase, "_RISE", 0)
    bare = np.asarray(phase.invert(mel, MEL, ROUNDS))[0]
    assert np.abs(bare[0]) > 0.5 * np.abs(bare).max()
    rise = np.sin(np.pi / 10 * np.array([1, 2, 3, 4, 5, 5, 5])) ** 2
    np.testing.assert_allclose(made[:7], rise * bare[:7], rtol=1e-3)


def test_an_impulse_is_where_it_was(mels):
    """Half of its energy comes before sample 120 give or take 1.5 ms; 90 % is within 6 ms of it."""
    made = invert(mels)[0]
    share = np.cumsum(made**2) / np.sum(made**2)
    assert abs(int(np.searchsorted(share, 0.5)) - 120) <= 32
    assert share[252] - share[0] > 0.9
    assert abs(int(np.abs(made).argmax()) - 120) <= 32


def test_more_rounds_are_no_worse(mels):
    found = []
    for rounds in (1, 16, 64):
        made = analyse(invert(mels, rounds=rounds))
        found.append([convergence(*pair) for pair in zip(mels, made, strict=True)])
    found = np.array(found)
    assert (found[1:] <= found[:-1] + 0.01).all(), found
    assert (found.mean(1)[1:] < found.mean(1)[:-1]).all(), found


def test_silence_stays_silent(mels):
    made = invert(np.concatenate([mels[:3], np.zeros((1, *mels.shape[1:]), np.float32)]))
    assert made[:3].any(axis=1).all()
    assert not made[3].any()
    assert np.isfinite(made).all()


@pytest.mark.parametrize("gain", [1e-3, 1e4])
def test_a_gain_is_a_gain(mels, gain):
    made, louder = invert(mels), invert(gain * mels)
    assert np.abs(louder / gain - made).max() < 1e-3 * np.abs(made).max()


def test_no_energy_where_the_mel_sees_none(mels):
    """At 0 Hz and at half the rate the filters fall to zero; so does the inverse."""
    found = np.asarray(phase.magnitudes(jnp.asarray(mels), MEL))
    assert not found[..., [0, -1]].any()
    assert found.any(axis=(0, 1))[1:-1].all()


def ended(mels, frames, silent):
    """The first frames of the sounds, and frames of silence."""
    blank = np.zeros((len(mels), silent, mels.shape[2]), np.float32)
    return np.concatenate([mels[:, :frames], blank], axis=1)


SHAPES = [MEL, *(dataclasses.replace(MEL, win_length=w) for w in (512, 2048, 870))]


@pytest.mark.parametrize("config", SHAPES, ids=["4", "2", "8", "3.4"])
def test_silence_at_the_end_changes_nothing(sounds, config):
    """From ceil(window / hop) - 2 frames on."""
    mels, need = analyse(sounds, config), -(-config.win_length // config.hop_length) - 2
    frames, n = 4, 4 * config.hop_length
    made = [invert(ended(mels, frames, k), config) for k in (need, config.frames - 4)]
    peak = np.abs(made[-1]).max()
    assert made[0].shape[1] == (frames + need) * config.hop_length
    assert made[-1].shape[1] == config.num_samples
    assert np.abs(made[0][:, :n] - made[1][:, :n]).max() < 1e-4 * peak
    tail = made[-1][:, (frames - 1) * config.hop_length + config.win_length // 2 :]
    assert not tail.any()


def test_too_little_silence_at_the_end_is_heard(mels):
    """The test above can fail: without any, the sound's end is another."""
    made = [invert(ended(mels, 4, k)) for k in (0, 16)]
    difference = np.abs(made[0][:, : 4 * HOP] - made[1][:, : 4 * HOP]).max()
    assert difference > 1e-3 * np.abs(made[1]).max()


def test_a_sound_does_not_hear_its_neighbours(mels):
    together = invert(mels)
    for i, mel in enumerate(mels):
        alone = invert(mel[None])[0]
        assert np.abs(alone - together[i]).max() < 1e-4 * np.abs(alone).max()
