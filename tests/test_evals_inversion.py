"""Inverters without a network against SciPy and librosa, and how they are timed."""

import dataclasses
import os
import threading
import time

import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.optimize

from drumjax.audio.frames import magnitude
from drumjax.audio.griffin_lim import find_phase, griffin_lim, multiplicative_inverse
from drumjax.audio.mel import MelConfig, mel_filterbank, mel_spectrogram
from drumjax.evals import inversion
from drumjax.evals.paired import mel_errors

MEL = MelConfig(
    sample_rate=8000, num_samples=2000, n_fft=128, win_length=128, hop_length=32, n_mels=30
)


@pytest.fixture(scope="module")
def sounds():
    """A falling tone and a decaying noise [2, 2000]."""
    t = np.arange(2000) / 8000
    tone = np.sin(2 * np.pi * (1500 * t - 2000 * t**2)) * np.exp(-t / 0.1)
    noise = np.random.default_rng(0).normal(0, 0.3, 2000) * np.exp(-t / 0.05)
    return np.stack([tone, noise]).astype(np.float32)


@pytest.fixture(scope="module")
def mels(sounds):
    return np.asarray(mel_spectrogram(sounds, MEL))


def test_least_squares_reach_the_minimum_of_scipy(rng):
    crowded = dataclasses.replace(MEL, n_fft=32, win_length=32)  # 30 bands on 17 bins
    mel = rng.exponential(0.01, (1, 12, 30)).astype(np.float32)  # of no sound: it cannot be met
    made = np.asarray(inversion.nnls_inverse(mel, crowded, rounds=1000))[0]
    filters = mel_filterbank(crowded).astype(np.float64)
    assert made.min() >= 0.0
    for row, target in zip(made, mel[0], strict=True):
        least = scipy.optimize.nnls(filters.T, target)[1]
        assert least > 0.05 * np.linalg.norm(target)
        assert np.linalg.norm(row @ filters - target) == pytest.approx(least, rel=1e-3)


def test_least_squares_meet_a_real_mel_better_than_librosa(mels):
    filters = mel_filterbank(MEL)
    ours = inversion.nnls_inverse(mels, MEL) @ filters
    theirs = np.stack([librosa.util.nnls(filters.T, mel.T).T @ filters for mel in mels])
    assert np.all(mel_errors(mels, np.asarray(ours))["sc"] < 1e-3)
    assert np.all(mel_errors(mels, theirs)["sc"] > mel_errors(mels, np.asarray(ours))["sc"])


def test_the_multiplicative_inverse_meets_the_mel(mels):
    made = multiplicative_inverse(jnp.asarray(mels), MEL, 100)
    assert float(made.min()) >= 0.0
    assert np.all(mel_errors(mels, np.asarray(made @ mel_filterbank(MEL)))["sc"] < 0.01)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_phases_equal_librosa(sounds, momentum):
    bins = magnitude(sounds, 128, 128, 32)
    made = find_phase(bins, MEL, 8, momentum)
    for bin, sound in zip(np.asarray(bins), np.asarray(made), strict=True):
        oracle = librosa.griffinlim(
            bin.T,
            n_iter=8,
            hop_length=32,
            momentum=momentum,
            init=None,
            pad_mode="reflect",
            length=2000,
        )
        assert np.linalg.norm(sound - oracle) < 1e-2 * np.linalg.norm(oracle)


def test_momentum_pays(sounds):
    bins = magnitude(sounds, 128, 128, 32)
    plain, fast = (
        np.asarray(magnitude(find_phase(bins, MEL, 30, m), 128, 128, 32)) for m in (0.0, 0.99)
    )
    assert np.all(mel_errors(bins, fast)["sc"] < 0.9 * mel_errors(bins, plain)["sc"])


def test_each_way_gives_a_sound_of_that_mel(mels):
    ways = {
        "nnls": inversion.nnls_griffin_lim(mels, MEL),
        "multiplicative": griffin_lim(mels, MEL),
        "librosa": inversion.librosa_inverse(MEL)(mels),
    }
    for name, made in ways.items():
        assert made.shape == (2, 2000)
        again = np.asarray(mel_spectrogram(np.asarray(made, np.float32), MEL))
        assert np.all(mel_errors(mels, again)["sc"] < 0.125), name


def test_one_mel_needs_no_batch(mels):
    batch = inversion.nnls_griffin_lim(mels, MEL)
    alone = inversion.nnls_griffin_lim(mels[0], MEL)
    np.testing.assert_allclose(alone, batch[0], atol=1e-3)


def test_times_are_of_each_sound(mels):
    given = []

    def own(mel):
        given.append(mel.shape)
        time.sleep(0.05)
        return np.zeros((1, 2000))

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    table = inversion.inversion_times(np.tile(mels, (2, 1, 1))[:3], MEL, own)
    assert list(table) == [
        inversion.OWN,
        inversion.SQUARES,
        inversion.MULTIPLIED,
        inversion.LIBROSA,
    ]
    assert given == [(1, *mels.shape[1:])] * 4  # one of them untimed
    assert all(row["sounds"] == 3 for row in table.values())
    assert 50 <= table[inversion.OWN]["ms_best"] <= table[inversion.OWN]["ms"]
    assert table[inversion.OWN]["times_slower"] == 1
    assert cores is None or cores == len(os.sched_getaffinity(0))
    rival = table[inversion.SQUARES]
    assert rival["times_slower"] == pytest.approx(rival["ms"] / table[inversion.OWN]["ms"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no threads")
def test_all_threads_share_one_core_and_are_let_go():
    before, stop = os.sched_getaffinity(0), threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    threads = (0, other.native_id)
    try:
        with inversion.one_core() as cores:
            assert cores == 1
            assert [os.sched_getaffinity(t) for t in threads] == [{min(before)}] * 2
        assert [os.sched_getaffinity(t) for t in threads] == [before] * 2
    finally:
        stop.set()
        other.join()
