"""What a sound becomes on its way into a data set, against arrays that say so."""

import numpy as np
import pytest
from one_shots import RATE, burst

from drumjax.data.normalise import NUM_SAMPLES, UnfitError, normalise


def test_normalise_keeps_a_clean_sound_bit_for_bit():
    x = np.random.default_rng(0).integers(-32766, 32767, 5000)
    x[0], x[-1] = 32767, 1000
    np.testing.assert_array_equal(normalise((x / 32767).astype(np.float32), RATE, False), x)


def test_normalise_trims_both_ends_before_it_measures():
    silence = np.full(RATE, 1e-5)
    sound = normalise(np.concatenate([silence, burst(0, 0.2), silence]), RATE, False)
    assert 0.19 < len(sound) / RATE <= 0.2
    with pytest.raises(UnfitError, match="shorter"):
        normalise(np.concatenate([burst(0, 0.09), silence]), RATE, False)


def test_normalise_resamples():
    t = np.arange(44100 // 2) / 44100
    sound = normalise(np.sin(2 * np.pi * 1000 * t) * 0.5, 44100, False)
    assert len(sound) == pytest.approx(RATE // 2, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(sound, RATE))) == 1000
    assert np.abs(sound.astype(int)).max() == 32767


def test_normalise_drops_or_cuts_what_is_long():
    with pytest.raises(UnfitError, match="longer"):
        normalise(burst(0, 1.2), RATE, False)
    cut = normalise(burst(0, 1.2), RATE, True).astype(int)
    assert NUM_SAMPLES - 5 <= len(cut) <= NUM_SAMPLES
    assert np.abs(cut[-10:]).max() < 0.1 * np.abs(cut[-600:-300]).max()
    assert len(normalise(burst(0, 1.0), RATE, False)) <= NUM_SAMPLES  # 22,050 samples are allowed


@pytest.mark.parametrize(
    ("value", "reason"), [(np.zeros(9000), "silent"), (np.full(9000, np.nan), "NaN")]
)
def test_normalise_refuses_what_is_no_sound(value, reason):
    with pytest.raises(UnfitError, match=reason):
        normalise(value, RATE, True)


def test_normalise_refuses_what_nobody_hears():
    dither = np.random.default_rng(0).integers(-1, 2, 9000) / 32768
    t = np.arange(24000) / 96000
    for samples, rate in ((dither, RATE), (0.5 * np.sin(2 * np.pi * 30000 * t), 96000)):
        with pytest.raises(UnfitError, match="silent"):
            normalise(samples.astype(np.float32), rate, True)
    assert np.abs(normalise(burst(0) * 0.01, RATE, True)).max() == 32767  # soft, but there
    with pytest.raises(UnfitError, match="shorter"):  # one sample at 48 kHz is none at 22,050 Hz
        normalise(np.eye(1, 4800)[0].astype(np.float32), 48000, True)


@pytest.mark.parametrize("offset", [0.003, -0.05])
def test_normalise_takes_an_offset_off_before_it_trims(offset):
    x = np.concatenate([burst(0, 0.3), np.zeros(RATE)])
    expected = normalise(x, RATE, False)
    moved = normalise(x + offset, RATE, False)
    assert len(moved) == len(expected)
    np.testing.assert_allclose(moved, expected, atol=1)
