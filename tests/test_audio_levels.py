"""Levels and rates of what is written: against the sines themselves at the new rate."""

import numpy as np
import pytest

from drumjax.audio.levels import CEILING, peak_safe
from drumjax.audio.resample import convert

RATE = 22050


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_tone_keeps_its_pitch_and_level(rate):
    """Against the sine itself at the new rate, away from its ends."""
    n = np.arange(RATE)
    x = 0.5 * np.sin(2 * np.pi * 1000 * n / RATE).astype(np.float32)
    y = convert(x, RATE, rate)
    assert y.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    np.testing.assert_allclose(y[2000:-2000], expected[2000:-2000], atol=1e-5)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_peaks_between_samples_do_not_clip(rate):
    """A tone at a quarter of the rate, sampled 45° off its peaks, is √2 higher than its samples."""
    n = np.arange(2000)
    x = (0.98 * np.sign(np.sin(np.pi / 2 * n + np.pi / 4))).astype(np.float32)
    y = convert(x, RATE, rate)
    assert np.abs(y).max() == pytest.approx(CEILING, rel=1e-6)
    expected = np.sin(np.pi / 2 * np.arange(len(y)) * RATE / rate + np.pi / 4)[400:-400]
    gain = np.dot(y[400:-400], expected) / np.dot(expected, expected)
    np.testing.assert_allclose(y[400:-400], gain * expected, atol=1e-4)  # turned down, not cut


@pytest.mark.parametrize("rate", [44100, 48000])
def test_silence_after_a_sound_stays_silence(rng, rate):
    x = np.zeros(5000, np.float32)
    x[:3001] = rng.uniform(-0.5, 0.5, 3001)  # ends at once: the filter rings at its most
    y = convert(x, RATE, rate)
    end = int(np.ceil(3001 * rate / RATE))
    assert not y[end:].any()
    assert y[end - 1] != 0.0
    assert not convert(np.zeros(100, np.float32), RATE, rate).any()


def test_an_equal_rate_changes_nothing(rng):
    x = rng.uniform(-1, 1, 100).astype(np.float32)
    np.testing.assert_array_equal(convert(x, RATE, RATE), x)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_the_length_is_that_of_the_duration(rate):
    for samples in (1, 7, 5000, 22015):
        x = np.full(samples, 0.1, np.float32)
        assert len(convert(x, RATE, rate)) == max(1, round(samples * rate / RATE))


def test_what_is_loud_is_turned_down_as_a_whole():
    for kind in (np.float32, np.float64):
        x = np.array([0.5, -2.0, 1.0], kind)
        made = peak_safe(x)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, CEILING / 2 * x, rtol=1e-6)
    touching = np.float32([CEILING, 0.3, -np.nextafter(np.float32(CEILING), np.float32(1))])
    np.testing.assert_array_equal(peak_safe(touching), np.float32([CEILING, 0.3, -CEILING]))
    quiet = np.float32([0.5, -0.9])
    assert peak_safe(quiet) is quiet
