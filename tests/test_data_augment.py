"""Random changes to sounds: each against a closed form, and their contract on any input."""

import numpy as np
import pytest

from drumjax.data.augment import AugmentConfig, Changes, apply_changes, augment, draw_changes

RATE, SAMPLES = 22050, 22015
EVERYTHING = AugmentConfig(probability=1.0, speed=0.2, decay=30.0, tilt=9.0, layer=0.5)


def sine(frequency, length, tau=3000.0):
    t = np.arange(length)
    sound = np.sin(2 * np.pi * frequency / RATE * t) * np.exp(-t / tau)
    audio = np.zeros((1, 1, SAMPLES), np.int16)
    audio[0, 0, :length] = np.round(32767 * sound / np.abs(sound).max())
    return audio


def change(ratio=1.0, decay=0.0, tilt=0.0, layer=0.0, active=True):
    values = (active, ratio, decay, tilt, layer, 0.0)
    return Changes(*(np.array([[value]]) for value in values))


def spectrum_peak(audio):
    return np.argmax(np.abs(np.fft.rfft(audio[0, 0].astype(float), 4 * RATE))) / 4  # Hz


def noise(rng, shape):
    audio = np.zeros((*shape, SAMPLES), np.int16)
    for row in np.ndindex(shape):
        n = rng.integers(2300, 15000)
        sound = rng.standard_normal(n) * np.exp(-np.arange(n) / 2000)
        audio[*row, :n] = np.round(32767 * sound / np.abs(sound).max())
    return audio


def test_contract_peak_padding_and_length(rng):
    audio = noise(rng, (3, 8))
    before = audio.copy()
    result = augment(audio, np.random.default_rng(4), EVERYTHING)
    np.testing.assert_array_equal(audio, before)
    assert result.shape == audio.shape
    assert result.dtype == np.int16
    assert (np.abs(result.astype(int)).max(-1) == 32767).all()
    longest = np.array([[np.flatnonzero(s)[-1] + 1 for s in row] for row in audio]).max()
    for sound in result.reshape(-1, SAMPLES):
        length = np.flatnonzero(sound)[-1] + 1
        assert length <= longest * np.exp(0.2) + 64  # a speed of 0.82 at the least
        assert not sound[length:].any()
    assert all((a != b).any() for a, b in zip(audio[0], result[0], strict=True))


def test_the_same_random_numbers_change_the_same_way(rng):
    audio = noise(rng, (2, 3))
    a = augment(audio, np.random.default_rng(4), EVERYTHING)
    b = augment(audio, np.random.default_rng(4), EVERYTHING)
    c = augment(audio, np.random.default_rng(5), EVERYTHING)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_probability_is_the_share_that_is_changed(rng):
    drawn = draw_changes(rng, (100, 100), AugmentConfig(probability=0.3))
    assert abs(drawn.active.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 10_000)  # 5 sigma


def test_draws_keep_to_their_limits(rng):
    drawn = draw_changes(rng, (50, 50), EVERYTHING)
    assert np.exp(-0.2) <= drawn.ratio.min() < 0.83 < 1.21 < drawn.ratio.max() <= np.exp(0.2)
    assert -30 <= drawn.decay.min() < -29 < -1 < drawn.decay.max() <= 0
    assert np.abs(drawn.tilt).max() <= 9
    layered = drawn.layer[drawn.layer > 0]
    assert layered.min() >= 10 ** (-12 / 20)
    assert layered.max() <= 1
    assert abs(len(layered) / 2500 - 0.5) < 0.05  # 5 sigma


def test_an_inactive_row_is_left_alone():
    audio = sine(440, 8000)
    result = apply_changes(audio, audio, change(ratio=1.2, tilt=6.0, active=False), RATE)
    np.testing.assert_array_equal(result, audio)


@pytest.mark.parametrize("ratio", [0.82, 1.22])
def test_speed_moves_pitch_and_length_by_its_ratio(ratio):
    audio = sine(440, 8000)
    result = apply_changes(audio, audio, change(ratio=ratio), RATE)
    assert spectrum_peak(result) == pytest.approx(440 * ratio, rel=0.006)
    assert np.flatnonzero(result)[-1] + 1 == pytest.approx(8000 / ratio, rel=0.006)


def test_speed_one_changes_nothing_but_rounding():
    audio = sine(440, 8000)
    result = apply_changes(audio, audio, change(), RATE)
    assert np.abs(result.astype(int) - audio).max() <= 1


def test_a_sound_slowed_beyond_the_frame_fades_to_its_end():
    audio = sine(440, SAMPLES, tau=1e9)
    result = apply_changes(audio, audio, change(ratio=0.8), RATE)[0, 0].astype(int)
    assert np.abs(result[-5:]).max() < 32767 * 5 / 220
    assert np.abs(result[-400:-220]).max() > 30000


def test_decay_is_exponential_to_its_decibels_at_the_end():
    audio = sine(1000, 20000, tau=1e9)
    result = apply_changes(audio, audio, change(decay=-40.0), RATE)[0, 0].astype(float)
    for where in (5000, 10000, 19500):
        level = np.abs(result[where - 50 : where + 50]).max() / 32767
        assert 20 * np.log10(level) == pytest.approx(-40 * where / 20000, abs=0.3)


@pytest.mark.parametrize("tilt", [-9.0, 9.0])
def test_tilt_is_the_analogue_shelf(tilt):
    """Oracle: the magnitude of (√g·s + ω/√g) / (s + ω) at two frequencies of one sound."""
    audio = np.zeros((1, 1, SAMPLES), np.int16)
    t = np.arange(12000) / RATE
    mixed = (np.sin(2 * np.pi * 200 * t) + np.sin(2 * np.pi * 5000 * t)) * np.hanning(12000)
    audio[0, 0, :12000] = np.round(32767 * mixed / np.abs(mixed).max())
    result = apply_changes(audio, audio, change(tilt=tilt), RATE)

    def ratio(x):
        spectrum = np.abs(np.fft.rfft(x[0, 0].astype(float), RATE))
        return 20 * np.log10(spectrum[5000] / spectrum[200])

    def shelf(frequency):
        g, s = 10 ** (tilt / 20), 1j * frequency / 1000
        return 20 * np.log10(abs((np.sqrt(g) * s + 1 / np.sqrt(g)) / (s + 1)))

    assert ratio(result) - ratio(audio) == pytest.approx(shelf(5000) - shelf(200), abs=0.05)


def test_tilt_adds_nothing_before_the_attack():
    audio = sine(300, 6000)
    audio[0, 0] = np.roll(audio[0, 0], 1000)
    result = apply_changes(audio, audio, change(tilt=9.0), RATE)
    assert np.abs(result[0, 0, :900].astype(int)).max() < 33  # below -60 dB


def test_layer_adds_the_partner_at_its_gain():
    audio, partner = sine(300, 6000), sine(900, 9000)
    result = apply_changes(audio, partner, change(layer=0.5), RATE)[0, 0]
    mixed = audio[0, 0] + 0.5 * partner[0, 0]
    assert np.abs(result - 32767 * mixed / np.abs(mixed).max()).max() <= 1
    assert np.flatnonzero(result)[-1] + 1 == pytest.approx(9000, abs=30)


def test_silence_stays_silence():
    audio = np.zeros((2, 1, SAMPLES), np.int16)
    assert not augment(audio, np.random.default_rng(0), EVERYTHING).any()
