"""Shaping of finished sounds, against closed forms, SciPy's spectra and bit-for-bit copies."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.signal import get_window

from drumjax.audio.envelope import decay_time
from drumjax.audio.levels import CEILING
from drumjax.errors import ConfigError
from drumjax.play.shape import Shape, apply

RATE = 22050
NUM = 22015


def drum(seconds=0.6, rate_of_decay=20.0, seed=0):
    """A decaying noisy tone of peak 0.9 with exact zeros behind it: float32 [NUM]."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    x = (np.sin(2 * np.pi * 200 * time) + 0.3 * noise) * np.exp(-rate_of_decay * time)
    x[-1] = x[-1] or 1e-6
    return np.pad(0.9 * x / np.abs(x).max(), (0, NUM - len(time))).astype(np.float32)


def tone(frequency, seconds=0.9):
    """A sine with long smooth ends, so that all it holds is near its frequency: float32 [n]."""
    n = round(seconds * RATE)
    ends = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.2 * n))
    window = 0.5 - 0.5 * np.cos(np.pi * ends)
    return (0.9 * window * np.sin(2 * np.pi * frequency / RATE * np.arange(n))).astype(np.float32)


def spectrum(x):
    """Amplitudes [bins] with side lobes below -120 dB, and Hz a bin; a full sine reads 1 or so."""
    window = get_window(("kaiser", 18.0), len(x))
    length = 8 * len(x)
    return np.abs(np.fft.rfft(x * window, length)) * 2 / window.sum(), RATE / length


def test_a_shape_that_does_nothing_returns_the_sound_bit_for_bit():
    x = drum()
    np.testing.assert_array_equal(apply(x, RATE, Shape()), x)
    peak = x * np.float32(CEILING / np.abs(x).max())
    np.testing.assert_array_equal(apply(peak, RATE, Shape()), peak)


@pytest.mark.parametrize("semitones", [-24, -12, -7, -0.5, 0.01, 3, 12, 24])
def test_pitch_moves_a_sine_to_within_a_cent(semitones):
    """Oracle: f · 2^(semitones / 12) and the length n / 2^(semitones / 12)."""
    x, ratio = tone(1000.0), 2 ** (semitones / 12)
    y = apply(x, RATE, Shape(pitch=semitones))
    amplitudes, hz = spectrum(y)
    cents = 1200 * np.log2(np.argmax(amplitudes) * hz / (1000.0 * ratio))
    resolution = 1200 * np.log2(1 + 0.5 * hz / (1000 * ratio))
    assert abs(cents) <= max(1.0, resolution)
    assert abs(len(y) - len(x) / ratio) <= 1


def test_pitch_is_finer_than_the_spectrum():
    """Oracle: the phase of an analytic sine advances by 2π f / rate a sample; to 0.01 cent."""
    x = tone(1000.0)
    for semitones in (-24, -5, 7, 24):
        y = apply(x, RATE, Shape(pitch=semitones)).astype(np.float64)
        n, f = len(y), 1000.0 * 2 ** (semitones / 12)
        turned = y * np.exp(-2j * np.pi * f / RATE * np.arange(n)) * np.hanning(n)
        first, second = turned[: n // 2].sum(), turned[n // 2 :].sum()
        drift = np.angle(second / first) / (2 * np.pi) / (n / 2 / RATE)  # Hz
        assert abs(1200 * np.log2(1 + drift / f)) < 0.01


@pytest.mark.parametrize("semitones", [-24, -7, 5, 12, 24])
def test_pitch_aliases_nothing(semitones):
    """What lies above half the rate after the shift is gone, and what lies below stays alone."""
    ratio = 2 ** (semitones / 12)
    low = tone(min(2000.0, 0.35 * RATE / ratio))
    amplitudes, hz = spectrum(apply(low, RATE, Shape(pitch=semitones)))
    at = np.arange(len(amplitudes)) * hz
    peak = at[np.argmax(amplitudes)]
    width = 40 * RATE / len(low) * ratio
    assert amplitudes[np.abs(at - peak) > width].max() < 1e-4 * amplitudes.max()
    if ratio > 1:
        for above in (0.55, 0.75, 0.95):
            high = tone(RATE / 2 * (1 + above * (ratio - 1)) / ratio)
            assert np.abs(apply(high, RATE, Shape(pitch=semitones))).max() < 1e-4


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.8, 1.5, 2.0])
def test_decay_multiplies_the_rate_of_an_exponential(factor):
    """Oracle: e^(-λt) becomes e^(-λt/factor); λ = 40 falls 60 dB in 0.17 s."""
    time = np.arange(NUM) / RATE
    carrier = np.cos(2 * np.pi * 800 * time)
    x = (0.9 * carrier * np.exp(-40 * time)).astype(np.float32)
    y = apply(x, RATE, Shape(decay=factor))
    want = 0.9 * carrier * np.exp(-40 * time / factor)
    heard = time < 0.14 * min(factor, 1.0)  # the original lies above -50 dB
    limited = np.minimum(1.0, 10 ** (36 / 20) * np.exp(-40 * time * (1 - 1 / factor)))
    np.testing.assert_allclose(y[heard], (want * limited)[heard], atol=0.02)
    ratio = np.abs(y[heard]).sum() / np.abs((want * limited)[heard]).sum()
    assert 0.95 < ratio < 1.05


def test_a_second_burst_keeps_what_lies_before_it():
    """Oracle: the sound itself; the envelope never rises, so that a gap between bursts is none."""
    time = np.arange(round(0.3 * RATE)) / RATE
    bursts = sum(np.where(time >= at, np.exp(-150 * (time - at)), 0.0) for at in (0.0, 0.15))
    x = (0.8 * bursts * np.cos(2 * np.pi * 900 * time)).astype(np.float32)
    y = apply(x, RATE, Shape(decay=2.0))
    gap = slice(round(0.02 * RATE), round(0.13 * RATE))
    np.testing.assert_allclose(y[gap], x[gap], rtol=0.2, atol=1e-5)


def test_a_shorter_decay_follows_the_sound_down_to_120_db():
    """Oracle: e^(-λt) becomes e^(-2λt), where the sound at 2t lies 80 to 90 dB below its start."""
    time = np.arange(RATE) / RATE
    falls = np.log(10) * 5  # 100 dB in a second
    x = (0.9 * np.cos(2 * np.pi * 800 * time) * np.exp(-falls * time)).astype(np.float32)
    y = apply(x, RATE, Shape(decay=0.5))
    late = slice(round(0.4 * RATE), round(0.45 * RATE))
    ratio = np.abs(y[late]).sum() / np.abs(x[late] * np.exp(-falls * time[late])).sum()
    assert 20 * np.log10(ratio) == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_decay_moves_the_measured_decay_time(factor, seed):
    """Oracle: decay_time, whose windows are another length; of a noisy tone, down to -24 dB."""
    x = drum(0.95, 20.0, seed)
    ratio = decay_time(apply(x, RATE, Shape(decay=factor)), RATE, 24) / decay_time(x, RATE, 24)
    assert ratio == pytest.approx(factor, rel=0.15)


def test_decay_raises_by_36_db_at_most_and_noise_hardly():
    time = np.arange(NUM) / RATE
    noise = np.random.default_rng(1).standard_normal(NUM) * 3e-5
    x = (0.9 * np.cos(2 * np.pi * 300 * time) * np.exp(-60 * time) + noise).astype(np.float32)
    y = apply(x, RATE, Shape(decay=4.0))
    assert np.all(np.abs(y) <= np.abs(x) * 10 ** (36.01 / 20) + 1e-9)
    late = time > 0.6  # the tone lies at -300 dB, the stretched one at -78 dB: noise alone
    np.testing.assert_allclose(y[late][:-100], x[late][:-100], atol=1e-6)


def test_a_sound_that_ends_loud_does_not_swell_towards_its_end():
    x = np.full(NUM, 0.5, np.float32)
    x[1::2] *= -1
    x[0] = 0.6
    y = apply(x, RATE, Shape(decay=4.0))
    assert np.abs(y).max() <= 0.7


@pytest.mark.parametrize("factor", [0.05, 0.3])
def test_a_shorter_decay_ends_in_exact_zeros_without_a_click(factor):
    x = drum(0.6, 4.0)  # falls by 21 dB only, then stops
    y = apply(x, RATE, Shape(decay=factor))
    assert len(y) == NUM
    end = np.flatnonzero(y)[-1]
    assert end <= np.argmax(np.abs(x)) + factor * 0.6 * RATE + 1
    assert np.abs(y[end - 3 : end + 1]).max() < 0.05 * np.abs(y).max()


@pytest.mark.parametrize("shape", [Shape(decay=0.3), Shape(reverse=True), Shape(fade=0.1)])
def test_silence_behind_a_sound_stays(shape):
    x = drum()
    y = apply(x, RATE, shape)
    assert len(y) == NUM
    assert not y[round(0.6 * RATE) :].any()


def test_reverse_is_the_sound_backwards_under_ramps_of_2_ms():
    x = drum()
    n = round(0.6 * RATE)
    y = apply(x, RATE, Shape(reverse=True))
    inside = slice(round(0.002 * RATE), n - round(0.002 * RATE))
    np.testing.assert_allclose(y[:n][inside], x[:n][::-1][inside], rtol=1e-6)
    assert y[0] == 0 == y[n - 1]


def test_trims_count_in_the_sound_and_ramp_where_they_cut():
    x = drum()
    n = round(0.6 * RATE)
    start, end = round(0.05 * RATE), round(0.2 * RATE)
    y = apply(x, RATE, Shape(trim_start=0.05, trim_end=0.2))
    assert len(y) == n - start - end
    ramp = round(0.002 * RATE)
    np.testing.assert_allclose(y[ramp:-ramp], x[start : n - end][ramp:-ramp], rtol=1e-6)
    assert y[0] == 0 == y[-1]
    assert abs(y[1]) <= abs(x[start + 1]) / ramp * 1.01


def test_a_trim_of_silence_leaves_the_attack_alone():
    x = np.concatenate([np.zeros(441, np.float32), drum()[1:]])
    y = apply(x, RATE, Shape(trim_start=0.02))
    np.testing.assert_allclose(y, x[441:], rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.2, 0.6])
def test_one_length_suits_sounds_of_different_lengths(seconds):
    """A longer sound ends at 0.3 s under a ramp, and no silence follows; a shorter one stays."""
    x, n, ramp = drum(seconds), round(0.3 * RATE), round(0.002 * RATE)
    y = apply(x, RATE, Shape(length=0.3))
    if seconds < 0.3:
        np.testing.assert_array_equal(y, x)
    else:
        assert len(y) == n
        np.testing.assert_allclose(y[:-ramp], x[: n - ramp], rtol=1e-6)
        np.testing.assert_allclose(y[-ramp:], x[n - ramp : n] * np.arange(ramp)[::-1] / ramp, 1e-5)


def test_the_length_counts_from_behind_the_trim_and_whichever_cuts_more_counts():
    """Oracle: the crop of a trim at the end, from 0.05 s on, where 0.6 s - 0.2 s is the end."""
    x = drum()
    end = round(0.6 * RATE) - round(0.2 * RATE)
    length = (end - round(0.05 * RATE)) / RATE
    want = apply(x, RATE, Shape(trim_start=0.05, trim_end=0.2))
    for shape in (
        Shape(trim_start=0.05, length=length),
        Shape(trim_start=0.05, trim_end=0.1, length=length),
        Shape(trim_start=0.05, trim_end=0.2, length=length + 0.1),
    ):
        np.testing.assert_array_equal(apply(x, RATE, shape), want)


def test_the_shortest_length_keeps_a_sample_and_the_exact_one_changes_nothing():
    x, n = drum(), round(0.6 * RATE)
    assert len(apply(x, RATE, Shape(length=1e-9))) == 1
    np.testing.assert_allclose(apply(x, RATE, Shape(length=n / RATE)), x, rtol=1e-6)
    assert len(apply(x, RATE, Shape(length=(n - 1) / RATE))) == n - 1


def test_fade_ends_the_sound_and_not_the_silence_behind():
    """Oracle: a NumPy ramp over the last 0.2 s up to the last sample that is not 0."""
    x = drum()
    n, ramp = round(0.6 * RATE), round(0.2 * RATE)
    y = apply(x, RATE, Shape(fade=0.2))
    want = x.copy()
    want[n - ramp : n] *= np.arange(ramp)[::-1] / ramp
    np.testing.assert_allclose(y, want, atol=1e-6)


def test_fade_follows_the_end_that_a_shorter_decay_made():
    y = apply(drum(0.6, 4.0), RATE, Shape(decay=0.3, fade=0.1))
    plain = apply(drum(0.6, 4.0), RATE, Shape(decay=0.3))
    middle = np.flatnonzero(plain)[-1] - round(0.05 * RATE)
    assert abs(y[middle]) == pytest.approx(0.5 * abs(plain[middle]), rel=0.05)


def test_gain_is_exact_below_the_ceiling_and_scales_the_whole_above():
    x = drum()
    np.testing.assert_allclose(apply(x, RATE, Shape(gain=-6.0)), x * 10 ** (-6 / 20), rtol=1e-6)
    loud = apply(x, RATE, Shape(gain=24.0))
    np.testing.assert_allclose(loud, x * (CEILING / np.abs(x).max()), rtol=1e-6)


def test_trims_come_before_the_reversal():
    x, ramp = drum(), round(0.002 * RATE)
    y = apply(x, RATE, Shape(trim_start=0.3, reverse=True))
    n = round(0.3 * RATE)
    np.testing.assert_allclose(y[ramp : n - ramp], x[n : 2 * n][::-1][ramp:-ramp], rtol=1e-5)


def test_trims_count_before_the_pitch_and_the_fade_behind_it():
    x = drum()
    y = apply(x, RATE, Shape(trim_end=0.2, pitch=-12.0))
    assert len(y) == 2 * round(0.4 * RATE)
    faded, ramp = apply(x, RATE, Shape(trim_end=0.2, pitch=-12.0, fade=0.1)), round(0.1 * RATE)
    end = np.flatnonzero(y)[-1] + 1
    np.testing.assert_array_equal(faded[: end - ramp], y[: end - ramp])
    want = y[end - ramp : end] * np.arange(ramp)[::-1] / ramp
    np.testing.assert_allclose(faded[end - ramp : end], want, atol=1e-6)


def test_the_decay_is_that_of_the_pitched_sound():
    """Oracle: one after the other; the envelope's frames are as long at any pitch."""
    x = drum(0.6, 20.0)
    pitch, decay = Shape(pitch=24.0), Shape(decay=0.4)
    both = apply(x, RATE, Shape(pitch=24.0, decay=0.4))
    np.testing.assert_allclose(both, apply(apply(x, RATE, pitch), RATE, decay), atol=1e-6)
    other = apply(apply(x, RATE, decay), RATE, pitch)
    n = min(len(both), len(other))
    assert np.abs(both[:n] - other[:n]).max() > 1e-3


def test_the_decay_is_that_of_the_reversed_sound():
    """It swells up to its end, and what swells does not decay."""
    x = drum(0.6, 20.0)
    y = apply(x, RATE, Shape(reverse=True, decay=0.5))
    swell = round(0.55 * RATE)
    np.testing.assert_array_equal(y[:swell], apply(x, RATE, Shape(reverse=True))[:swell])


def test_random_shapes_stay_finite_within_the_ceiling_and_the_same():
    rng = np.random.default_rng(3)
    for seed in range(40):
        shape = Shape(
            pitch=rng.uniform(-24, 24),
            decay=rng.uniform(0.05, 4),
            gain=rng.uniform(-60, 24),
            fade=rng.uniform(0, 2),
            trim_start=rng.uniform(0, 0.02),
            trim_end=rng.uniform(0, 0.02),
            length=rng.choice([0.0, 0.01, 0.05, 1.0]),
            reverse=bool(rng.integers(2)),
        )
        sounds = drum(0.1, 10.0, seed), rng.standard_normal(2205).astype(np.float32) * 1e30
        for x in sounds:
            y = apply(x, RATE, shape)
            assert y.dtype == np.float32
            assert np.isfinite(y).all()
            assert np.abs(y).max() <= 10 ** (-0.1 / 20) + 1e-7
            np.testing.assert_array_equal(y, apply(x, RATE, shape))


@pytest.mark.parametrize(
    "shape",
    [Shape(decay=4.0, gain=24.0), Shape(pitch=-7.0, reverse=True), Shape(trim_start=0.1, fade=1.0)],
)
def test_silence_stays_silent(shape):
    y = apply(np.zeros(NUM, np.float32), RATE, shape)
    assert y.size
    assert not y.any()


@pytest.mark.parametrize("length", [1, 2, 50])
def test_the_shortest_sounds_pass(length):
    x = np.full(length, 0.5, np.float32)
    for shape in (Shape(pitch=24.0), Shape(decay=2.0), Shape(decay=0.05), Shape(reverse=True)):
        assert np.isfinite(apply(x, RATE, shape)).all()


@pytest.mark.parametrize("shape", [Shape(trim_start=1.0), Shape(trim_start=0.3, trim_end=0.3)])
def test_nothing_left_is_said(shape):
    with pytest.raises(ConfigError, match=r"lasts 0\.600 s; choose less"):
        apply(drum(), RATE, shape)


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.float32), np.zeros((2, 9), np.float32), np.array([np.nan, 1.0])]
)
def test_what_is_no_sound_is_refused(samples):
    with pytest.raises(ConfigError, match="finite samples"):
        apply(samples, RATE, Shape(gain=1.0))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pitch", 25, "-24 to 24"),
        ("pitch", "high", "-24 to 24"),
        ("pitch", True, "-24 to 24"),
        ("decay", 0.04, "0.05 to 4"),
        ("decay", float("nan"), "0.05 to 4"),
        ("gain", -61, "-60 to 24"),
        ("fade", -0.1, "0 to 60"),
        ("trim_start", float("inf"), "0 to 60"),
        ("trim_end", None, "0 to 60"),
        ("length", 60.5, "0 to 60"),
        ("reverse", 1, "true or false"),
    ],
)
def test_a_value_out_of_range_is_one_sentence_with_the_range(name, value, says):
    with pytest.raises(ConfigError, match=f"^{name} is .*{says}.*\\.$"):
        Shape(**{name: value})


def test_a_recipe_gives_the_shape_back():
    shape = Shape(0, 0.1, 0.4, True, pitch=np.float32(-3.5), decay=2, gain=-1, fade=0.25)
    assert Shape.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape
    assert Shape.from_dict({}) == Shape()
    older = {name: value for name, value in shape.to_dict().items() if name != "length"}
    assert Shape.from_dict(older) == dataclasses.replace(shape, length=0.0)


def test_an_unknown_key_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no 'pich'; .*pitch, decay, fade, gain"):
        Shape.from_dict({"pich": 3})
    with pytest.raises(ConfigError, match="table"):
        Shape.from_dict([1, 2])
