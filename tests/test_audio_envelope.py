"""Levels, trims, fades, masks and resampling against closed forms and NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.audio import envelope
from drumjax.audio.resample import resample
from drumjax.errors import AudioDecodeError

RATE = 22050


def f32(values):
    return np.array(values, np.float32)


def test_peak_normalise_takes_the_negative_peak_too():
    np.testing.assert_array_equal(envelope.peak_normalise(f32([0.1, -0.5])), f32([0.2, -1.0]))


@pytest.mark.parametrize("x", [np.zeros(4, np.float32), np.zeros(0, np.float32)])
def test_peak_normalise_refuses_silence(x):
    with pytest.raises(AudioDecodeError, match="silent"):
        envelope.peak_normalise(x)


def test_trims_are_relative_to_the_peak():
    x = f32([0, 4e-4, 6e-4, -0.5, 0.1, 6e-4, 4e-4, 0])  # -60 dB of 0.5 is 5e-4
    np.testing.assert_array_equal(envelope.trim_leading_silence(x), x[2:])
    np.testing.assert_array_equal(envelope.trim_trailing_silence(x), x[:6])
    np.testing.assert_array_equal(envelope.trim_leading_silence(x, -10.0), x[3:])
    np.testing.assert_array_equal(envelope.trim_trailing_silence(x, -10.0), x[:4])


@pytest.mark.parametrize("trim", [envelope.trim_leading_silence, envelope.trim_trailing_silence])
def test_trims_leave_nothing_of_silence(trim):
    assert trim(np.zeros(5, np.float32)).size == 0
    assert trim(np.zeros(0, np.float32)).size == 0


def test_fades_are_linear_and_touch_zero():
    np.testing.assert_array_equal(envelope.fade_in(np.ones(6), 4), f32([0, 0.25, 0.5, 0.75, 1, 1]))
    np.testing.assert_array_equal(envelope.fade_out(np.ones(6), 4), f32([1, 1, 0.75, 0.5, 0.25, 0]))


@pytest.mark.parametrize("fade", [envelope.fade_in, envelope.fade_out])
def test_fades_of_no_length_and_of_more_than_the_sound(fade):
    np.testing.assert_array_equal(fade(f32([1, 2]), 0), f32([1, 2]))
    assert fade(f32([1, 1]), 9).max() == 0.5
    assert fade(f32([]), 3).size == 0


@pytest.mark.parametrize(("n", "frame", "hop"), [(10, 4, 2), (11, 4, 3), (3, 4, 2), (5, 1, 1)])
def test_rms_envelope_equals_a_loop(rng, n, frame, hop):
    x = rng.standard_normal(n).astype(np.float32)
    oracle, start = [], 0
    while True:
        chunk = x[start : start + frame].astype(np.float64)
        oracle.append(np.sqrt(np.sum(chunk**2) / frame))
        start += hop
        if start - hop + frame >= n:
            break
    np.testing.assert_allclose(envelope.rms_envelope(x, frame, hop), oracle, rtol=1e-6)


def test_attack_time_of_a_linear_ramp_is_eight_tenths_of_it():
    ramp = np.minimum(np.arange(RATE) / (0.2 * RATE), 1.0).astype(np.float32)
    assert envelope.attack_time(ramp, RATE) == pytest.approx(0.16, abs=0.002)


@pytest.mark.parametrize("decibels", [60, 20])
def test_decay_time_of_an_exponential_is_its_closed_form(decibels):
    tau = 0.05
    t = np.arange(RATE) / RATE
    x = (np.exp(-t / tau) * np.sin(2 * np.pi * 2000 * t)).astype(np.float32)
    expected = tau * np.log(10.0) * decibels / 20.0
    assert envelope.decay_time(x, RATE, decibels) == pytest.approx(expected, abs=0.003)


def test_times_of_silence_are_zero_and_an_endless_sound_decays_at_its_end():
    assert envelope.attack_time(np.zeros(99, np.float32), RATE) == 0.0
    assert envelope.decay_time(np.zeros(0, np.float32), RATE) == 0.0
    x = np.ones(RATE, np.float32)
    assert envelope.decay_time(x, RATE) == pytest.approx(1.0, abs=0.002)


def test_activity_mask_equals_a_loop():
    x = f32([[0, 1, 0, -2, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1e-9], [3, 0, 0, 0, 0, 0]])
    oracle = np.zeros_like(x)
    for row, mask in zip(x, oracle, strict=True):
        for i in range(len(row)):
            mask[i] = float(any(row[i:] != 0))
    mask = jax.jit(envelope.activity_mask)(x)
    assert mask.dtype == jnp.float32
    np.testing.assert_array_equal(mask, oracle)
    np.testing.assert_array_equal(envelope.activity_mask(x[0]), oracle[0])


def test_activity_mask_has_no_gradient_and_no_nan():
    x = jnp.array([0.0, 1.0, 0.0])
    np.testing.assert_array_equal(jax.grad(lambda x: envelope.activity_mask(x).sum())(x), 0.0)


@pytest.mark.parametrize("rates", [(44100, 22050), (48000, 22050), (11025, 22050)])
def test_resampled_sine_is_the_sine_at_the_new_rate(rates):
    source, target = (np.sin(2 * np.pi * 1000 * np.arange(rate // 4) / rate) for rate in rates)
    result = resample(f32(source), *rates)
    assert result.dtype == np.float32
    assert abs(len(result) - len(target)) <= 1
    inner = slice(500, len(target) - 500)
    np.testing.assert_allclose(result[inner], target[inner], atol=1e-5)


def test_resampling_leaves_no_alias_and_equal_rates_alone():
    x = f32(np.sin(2 * np.pi * 15000 * np.arange(11025) / 44100))
    assert np.abs(resample(x, 44100, 22050)[500:-500]).max() < 1e-5
    assert resample(x, 44100, 44100) is x


def test_remove_offset_takes_off_what_a_sound_rests_on():
    time = np.arange(8000) / 8000
    sound = (np.sin(2 * np.pi * 60 * time) * np.exp(-20 * time)).astype(np.float32)
    for offset in (0.002, -0.3):
        moved = (sound + np.float32(offset)).astype(np.float32)
        result = envelope.remove_offset(moved, 8000)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, sound, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 3e-4])
def test_remove_offset_leaves_other_sounds_as_they_are(offset):
    time = np.arange(2000) / 8000
    swings = np.sin(2 * np.pi * 21 * time) * np.exp(-3 * time)  # cut off in full swing
    decayed = np.sin(2 * np.pi * 60 * time) * np.exp(-80 * time)
    for sound in (swings, decayed, np.zeros(2000), np.zeros(0)):
        moved = sound + offset * (np.max(np.abs(sound), initial=0.0) > 0)
        np.testing.assert_array_equal(envelope.remove_offset(moved, 8000), moved)
