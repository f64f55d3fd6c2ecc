"""Distances of pairs against NumPy loops, librosa, and sounds whose distance is known."""

import functools

import jax
import librosa
import numpy as np
import pytest

from drumjax.audio.mel import MelConfig
from drumjax.audio.spectral_losses import multi_resolution_stft_loss
from drumjax.evals import paired
from drumjax.evals.checkerboard import checkerboard, line_frequencies, tail

RATE, N = 8000, 4000
MEL = MelConfig(
    sample_rate=RATE, num_samples=N, n_fft=256, win_length=256, hop_length=64, n_mels=40
)
LENGTHS = np.array([4000, 2500, 1200])
NAMES = {
    *("sc", "sc_gain", "sc_log", "stft_sc", "stft_log", "lsd"),
    *("onset", "envelope", "attack_ms", "decay_ms", "correlation"),
}


@functools.cache
def noises():
    """Two unrelated batches of decaying noise [3, 4000] that end at LENGTHS."""
    rng = np.random.default_rng(1)
    time = np.arange(N)[None]
    decay = np.exp(-time / 400.0) * (time < LENGTHS[:, None])
    return [(rng.normal(0, 0.2, (3, N)) * decay).astype(np.float32) for _ in range(2)]


@functools.cache
def errors():
    """Of the two batches, of a batch to itself, at half its level, and turned over."""
    a, b = noises()
    others = {"other": b, "same": a, "half": 0.5 * a, "turned": -a}
    return {name: paired.sound_errors(a, x, LENGTHS, MEL) for name, x in others.items()}


def of_pair(target, estimate):
    """Distances of one pair of sounds."""
    made = paired.sound_errors(target[None], estimate[None], [len(target)], MEL)
    return {name: float(values[0]) for name, values in made.items()}


def padded(sound):
    return np.pad(sound, (0, N - len(sound))).astype(np.float32)


def test_equal_sounds_have_no_distance():
    same = errors()["same"]
    assert set(same) == NAMES
    for name, values in same.items():
        assert values.shape == (3,)
        np.testing.assert_allclose(values, 1.0 if name == "correlation" else 0.0, atol=2e-6)


def test_half_the_level_is_a_known_distance():
    half = errors()["half"]
    for name in ("sc", "stft_sc", "onset", "envelope"):
        np.testing.assert_allclose(half[name], 0.5, atol=2e-3)
    np.testing.assert_allclose(half["sc_gain"], 0.0, atol=1e-6)
    for name in ("attack_ms", "decay_ms"):
        np.testing.assert_allclose(half[name], 0.0, atol=1e-6)
    np.testing.assert_allclose(half["correlation"], 1.0, atol=1e-5)


def test_polarity_is_not_heard():
    turned = errors()["turned"]
    np.testing.assert_allclose(turned.pop("correlation"), 1.0, atol=1e-5)
    assert all(np.all(values < 2e-6) for values in turned.values())


def librosa_bins(sound, n_fft=256, hop=64, **options):
    return np.abs(librosa.stft(sound, n_fft=n_fft, hop_length=hop, pad_mode="reflect", **options)).T


def test_mel_distances_equal_librosa_and_a_loop():
    filters = librosa.filters.mel(sr=RATE, n_fft=256, n_mels=40).T
    made = errors()["other"]
    for i, (a, b) in enumerate(zip(*noises(), strict=True)):
        t, e = (librosa_bins(x) @ filters for x in (a, b))
        cells = list(zip(t.flat, e.flat, strict=True))
        norm = sum(x**2 for x, _ in cells)
        assert made["sc"][i] == pytest.approx(
            np.sqrt(sum((x - y) ** 2 for x, y in cells) / norm), rel=1e-4
        )
        gains = np.linspace(0.0, 2.0, 2001)
        tried = [np.sqrt(np.sum((t - g * e) ** 2) / norm) for g in gains]
        assert made["sc_gain"][i] == pytest.approx(min(tried), abs=1e-5)
        logs = [(np.log(x + 1e-5), np.log(y + 1e-5)) for x, y in cells]
        oracle = sum(abs(x - y) for x, y in logs) / sum(abs(x) for x, _ in logs)
        assert made["sc_log"][i] == pytest.approx(oracle, rel=1e-3)


def test_mel_errors_are_those_of_the_sounds():
    filters = librosa.filters.mel(sr=RATE, n_fft=256, n_mels=40).T
    mels = [np.stack([librosa_bins(x) @ filters for x in batch]) for batch in noises()]
    for name, values in paired.mel_errors(*mels).items():
        np.testing.assert_allclose(values, errors()["other"][name], rtol=1e-3)


def test_the_stft_distances_are_those_of_the_losses():
    oracle = jax.jit(multi_resolution_stft_loss)(*noises())
    for name, values in zip(("stft_sc", "stft_log"), oracle, strict=True):
        np.testing.assert_allclose(errors()["other"][name], values, rtol=1e-4)


def test_log_spectral_distance_equals_a_loop():
    for i, (a, b) in enumerate(zip(*noises(), strict=True)):
        t, e = librosa_bins(a) ** 2, librosa_bins(b) ** 2
        floor = t.max() * 1e-8
        loudest = t.sum(1).max()
        values = []
        for f in range(len(t)):
            if f * 64 < LENGTHS[i] and t[f].sum() >= 1e-6 * loudest:
                decibels = 10 * np.log10((t[f] + floor) / (e[f] + floor))
                values.append(np.sqrt(np.mean(decibels**2)))
        assert 10 <= len(values) < len(t)
        assert errors()["other"]["lsd"][i] == pytest.approx(np.mean(values), rel=1e-3)


def test_log_spectral_distance_of_known_sounds(rng):
    noise, other = rng.normal(0, 0.1, (2, N)).astype(np.float32)
    assert of_pair(noise, 0.5 * noise)["lsd"] == pytest.approx(6.02, abs=0.05)
    # The log of a noise's power has a standard deviation of 5.57 dB, and two differ by √2 of it;
    # it has more in the first and last bins and where the ends are mirrored.
    assert of_pair(noise, other)["lsd"] == pytest.approx(7.88, abs=0.5)


def test_what_follows_the_end_is_not_in_the_log_spectral_distance():
    a, _ = noises()
    late = a.copy()
    late[2, 1600:] = 0.3
    made = paired.sound_errors(a, late, LENGTHS, MEL)
    assert made["lsd"][2] == pytest.approx(0.0, abs=1e-4)
    assert made["sc"][2] > 0.5


def test_onset_strength_equals_a_loop():
    window = np.hanning(1025)[:1024]
    made = np.asarray(paired.onset_strength(noises()[0][:1]))[0]
    sound = np.pad(noises()[0][0].astype(np.float64), 1024)
    before, oracle = np.zeros(513), []
    for start in range(0, len(sound) - 1023, 64):
        bins = np.abs(np.fft.rfft(sound[start : start + 1024] * window))
        oracle.append(sum(max(0.0, b - c) for b, c in zip(bins, before, strict=True)))
        before = bins
    np.testing.assert_allclose(made, oracle[1:], rtol=1e-3, atol=1e-3)
    assert made.argmax() < 16  # the attack is at the first sample, 16 hops after the padding


def test_an_onset_at_another_time_is_missed_and_a_false_one(rng):
    burst = rng.normal(0, 0.2, 200) * np.hanning(200)
    early, late = padded(np.r_[np.zeros(200), burst]), padded(np.r_[np.zeros(2504), burst])
    assert of_pair(early, late)["onset"] == pytest.approx(2.0, abs=0.01)
    assert of_pair(early, np.roll(early, 64))["onset"] > 0.05


def test_attack_times_are_apart_by_a_known_time(rng):
    def rising(milliseconds):
        ramp = np.linspace(0, 1, milliseconds * RATE // 1000)
        tone = np.sin(2 * np.pi * 1000 * np.arange(N) / RATE)
        return (np.r_[ramp, np.ones(N)][:N] * tone).astype(np.float32)

    assert of_pair(rising(100), rising(20))["attack_ms"] == pytest.approx(0.8 * 80, abs=3)


def test_decay_times_are_apart_by_a_known_time():
    def falling(seconds):
        time = np.arange(N) / RATE
        return (np.exp(-time / seconds) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)

    oracle = 1e3 * np.log(100) * (0.05 - 0.02)  # 40 dB
    assert of_pair(falling(0.05), falling(0.02))["decay_ms"] == pytest.approx(oracle, rel=0.02)


def test_the_envelope_equals_a_loop():
    a, b = (x[0] for x in noises())
    levels = [
        np.array([np.sqrt(np.mean(x[s : s + 128] ** 2)) for s in range(0, N - 127, 32)])
        for x in (a, b)
    ]
    oracle = np.linalg.norm(levels[0] - levels[1]) / np.linalg.norm(levels[0])
    assert errors()["other"]["envelope"][0] == pytest.approx(oracle, rel=1e-4)


@pytest.mark.parametrize(("shift", "found"), [(0, 1), (40, 1), (-40, 1), (41, 0), (300, 0)])
def test_correlation_finds_a_shift_within_its_reach(rng, shift, found):
    noise = np.zeros((1, N), np.float32)
    noise[0, 500:3500] = rng.normal(0, 0.1, 3000)
    peak = float(paired.correlation(noise, np.roll(noise, shift, axis=1), lags=40)[0])
    assert peak == pytest.approx(found, abs=1e-5 if found else 0.1)


def test_correlation_equals_numpy():
    a, b = (x[1].astype(np.float64) for x in noises())
    whole = np.correlate(a, b, "full")[N - 1 - 40 : N + 40]
    oracle = np.abs(whole).max() / np.linalg.norm(a) / np.linalg.norm(b)
    assert errors()["other"]["correlation"][1] == pytest.approx(oracle, rel=1e-4)


def test_chunks_do_not_mix_pairs():
    a, b = (np.tile(x, (11, 1))[:32] for x in noises())
    whole = paired.mel_errors(a.reshape(32, 50, 80), b.reshape(32, 50, 80))
    cut = paired.mel_errors(a[:19].reshape(19, 50, 80), b[:19].reshape(19, 50, 80))
    for name, values in cut.items():
        assert values.shape == (19,)
        np.testing.assert_allclose(values, whole[name][:19], rtol=1e-6)
        np.testing.assert_allclose(values, np.resize(values[:3], 19), rtol=1e-6)


def test_silence_is_finite():
    a, silence = noises()[0][0], np.zeros(N, np.float32)
    for pair in ((a, silence), (silence, a), (silence, silence)):
        assert all(np.isfinite(v) for v in of_pair(*pair).values())


def test_lines_lie_where_strides_draw_them():
    np.testing.assert_allclose(line_frequencies(22050), [2756.25, 5512.5, 8268.75])
    assert len(line_frequencies(22050, stages=4)) == 7


def lined(rng, count, amplitude, n=6000, stages=3):
    """Noise of level 0.01 with tones of an amplitude on all lines."""
    time = np.arange(n)[None]
    sound = rng.normal(0, 0.01, (count, n))
    for line in line_frequencies(RATE, stages):
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        sound += amplitude * np.cos(2 * np.pi * line / RATE * time + phase)
    return np.pad(sound, ((0, 0), (0, 500))).astype(np.float32)


@pytest.mark.parametrize("amplitude", [0.01, 0.1])
@pytest.mark.parametrize("stages", [3, 4])
def test_lines_of_known_prominence_are_measured(rng, amplitude, stages):
    window = np.hanning(6001)[:6000]
    line = (amplitude / 2 * window.sum()) ** 2
    around = 0.01**2 * np.sum(window**2) * np.log(2)  # the median of an exponential variable
    sounds = lined(rng, 20, amplitude, 6004, stages)  # half a bin beside, if it were not cut
    made = checkerboard(sounds, [6004] * 20, RATE, stages)
    assert made.mean() == pytest.approx(10 * np.log10(line / around), abs=0.4)


def test_noise_has_the_prominence_of_its_own_bins(rng):
    bins = rng.normal(size=(4000, 61, 2)) @ [1, 1j]
    shaped = bins[:, 1:-1] / 2 - bins[:, :-2] / 4 - bins[:, 2:] / 4  # what a Hann window does
    power, middle = np.abs(shaped) ** 2, 29
    around = np.delete(power, np.s_[middle - 4 : middle + 5], axis=1)
    largest = power[:, middle - 2 : middle + 3].max(1)
    oracle = np.mean(10 * np.log10(largest / np.median(around, axis=1)))
    made = checkerboard(lined(rng, 300, 0.0), [6000] * 300, RATE)
    assert made.mean() == pytest.approx(oracle, abs=0.4)


def test_a_tone_beside_the_lines_is_none(rng):
    time = np.arange(6500)
    tone = np.sin(2 * np.pi * (1100 + np.array([0, 900])[:, None]) * time / RATE)
    noise = rng.normal(0, 0.01, tone.shape)
    beside, on_one = checkerboard((noise + tone).astype(np.float32), [6000, 6000], RATE)
    assert beside < 8
    assert on_one > 15  # 2 kHz is the second of three lines


def test_only_the_sound_itself_is_looked_at(rng):
    sound = lined(rng, 2, 0.0)
    later = sound.copy()
    later[:, 6000:] = 1.0
    expected = checkerboard(sound, [6000, 6000], RATE)
    np.testing.assert_array_equal(checkerboard(later, [6000, 6000], RATE), expected)
    np.testing.assert_array_equal(checkerboard(sound, [6500, 6500], RATE), expected)


def test_no_prominence_without_surroundings(rng):
    sound = lined(rng, 2, 0.0)
    assert np.isnan(checkerboard(sound, [479, 0], RATE)).all()
    assert np.isnan(checkerboard(np.zeros((1, 6000)), [6000], RATE)).all()
    assert np.isfinite(checkerboard(sound, [480, 500], RATE)).all()


def test_tails():
    sound = np.zeros((4, 100), np.float32)
    sound[:, :40] = 0.5
    sound[1, 40:] = 0.001
    sound[2, 99] = 1e-4
    made = tail(sound, [40, 40, 40, 100])
    np.testing.assert_allclose(
        made["tail_dbfs"], [-np.inf, -60.0, -80 - 10 * np.log10(60), np.nan], rtol=1e-5
    )
    assert made["exact_zero"].tolist() == [True, False, False, True]
