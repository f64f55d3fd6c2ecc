"""The procedural drums keep their contract at every corner and can be told apart."""

from functools import partial
from itertools import pairwise

import jax
import numpy as np
import pytest

from drumjax.categories import CATEGORIES
from drumjax.errors import ConfigError
from drumjax.synth.blocks import Clock
from drumjax.synth.dataset import CHUNK, render_set
from drumjax.synth.drums import VOICES, render
from drumjax.synth.parameters import PARAMETERS, parameters_of, to_physical

RATE, LENGTH = 22050, 22015
RENDERED = {}  # one rendering of a category serves all tests


def sounds_of(category, seed=0):
    if (category, seed) not in RENDERED:
        RENDERED[category, seed] = render_set(category, 2 * CHUNK, seed)[0]
    return RENDERED[category, seed]


def corners(category):
    """All zeros, all ones, and random corners of the parameter cube, CHUNK in all."""
    size = len(PARAMETERS[category])
    cube = np.random.default_rng(0).integers(0, 2, (CHUNK, size)).astype(np.float32)
    cube[0], cube[1] = 0, 1
    return cube


def settings(category, **values):
    """CHUNK copies of the cube's centre with some parameters set, as unit values."""
    vector = np.full(len(PARAMETERS[category]), 0.5, np.float32)
    for i, parameter in enumerate(PARAMETERS[category]):
        vector[i] = values.get(parameter.name, 0.5)
    return np.tile(vector, (CHUNK, 1))


def rendered(category, vectors, seed=0):
    return np.asarray(render(category, vectors, jax.random.key(seed)))


def assert_contract(audio):
    assert audio.shape[1:] == (LENGTH,)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    np.testing.assert_array_equal(np.abs(audio).max(1), 1.0)
    onset = np.argmax(np.abs(audio) > 0.01, axis=1) / RATE  # 40 dB below the peak
    assert onset.max() <= 0.005
    assert np.abs(audio.mean(1)).max() <= 1e-3
    ends = LENGTH - np.argmax(audio[:, ::-1] != 0, axis=1)
    assert ends.min() >= 0.098 * RATE
    assert ends.max() <= 1.0 * RATE
    for sound, end in zip(audio, ends, strict=True):
        assert np.abs(sound[end - 10 : end]).max() < 0.01  # faded, not cut


@pytest.mark.parametrize("category", CATEGORIES)
def test_drawn_sounds_keep_the_contract(category):
    assert_contract(sounds_of(category))


@pytest.mark.parametrize("category", CATEGORIES)
def test_corner_sounds_keep_the_contract(category):
    assert_contract(rendered(category, corners(category)))


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_parameter_changes_the_sound(category):
    size = len(PARAMETERS[category])
    vectors = np.full((CHUNK, size), 0.2, np.float32)  # the last one stays as it is
    vectors[np.arange(size), np.arange(size)] = 0.9
    keys = jax.vmap(lambda _: jax.random.key(3))(np.arange(CHUNK))  # the same noise for all
    audio = np.asarray(render(category, vectors, keys))
    changes = np.abs(audio[:size] - audio[-1:]).max(1)
    assert {p.name: c for p, c in zip(PARAMETERS[category], changes, strict=True) if c < 1e-4} == {}


def test_a_set_depends_on_its_seed_and_not_on_its_count():
    audio, parameters = render_set("clap", CHUNK + 1, 0)
    assert audio.shape == (CHUNK + 1, LENGTH)
    assert parameters.shape == (CHUNK + 1, len(PARAMETERS["clap"]))
    assert (parameters.min() >= 0) & (parameters.max() <= 1)
    np.testing.assert_array_equal(audio, sounds_of("clap")[: CHUNK + 1])
    assert np.abs(sounds_of("clap", seed=1) - sounds_of("clap")).max(1).min() > 0.1
    with_closed, with_open = (render_set(c, 1, 0)[1] for c in ("closed_hat", "open_hat"))
    assert np.abs(with_closed - with_open).max() > 0.1  # the category is part of the draw


def test_the_noise_follows_the_key():
    vectors = settings("shaker")
    first, again, other = (rendered("shaker", vectors, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max(1).min() > 0.1
    assert np.abs(first[0] - first[1]).max() > 0.1  # each sound folds its place into the key


def test_leading_axes_and_single_keys():
    vectors = settings("snap")

    def keys():
        return jax.random.split(jax.random.key(5), CHUNK)

    flat = np.asarray(render("snap", vectors, keys()))
    folded = render("snap", vectors.reshape(2, CHUNK // 2, -1), keys().reshape(2, -1))
    assert folded.shape == (2, CHUNK // 2, LENGTH)
    np.testing.assert_array_equal(folded.reshape(CHUNK, LENGTH), flat)
    single = jax.jit(partial(render, "snap"))(vectors[3], keys()[3])
    np.testing.assert_allclose(single, flat[3], atol=1e-4)


def test_jitted_equals_eager():
    # Oracle: the voice itself, run operation by operation on one sound.
    vectors, keys = settings("shaker"), jax.random.split(jax.random.key(2), CHUNK)
    eager = VOICES["shaker"](Clock(RATE, LENGTH), to_physical("shaker", vectors[4]), keys[4])
    keys = jax.random.split(jax.random.key(2), CHUNK)
    np.testing.assert_allclose(render("shaker", vectors, keys)[4], eager, atol=1e-4)


def test_physical_values_lie_on_their_scales():
    # Oracle: low at 0, high at 1; at 1/2 the geometric mean on a log scale, else the arithmetic.
    for category, table in PARAMETERS.items():
        low, middle, high = (to_physical(category, np.full(len(table), u)) for u in (0, 0.5, 1))
        for p in table:
            mean = (p.low * p.high) ** 0.5 if p.scale == "log" else (p.low + p.high) / 2
            values = [float(x[p.name]) for x in (low, middle, high)]
            np.testing.assert_allclose(values, [p.low, mean, p.high], rtol=1e-5, atol=1e-6)


def power_spectrum(audio):
    return np.abs(np.fft.rfft(audio, axis=-1)) ** 2, np.fft.rfftfreq(audio.shape[-1], 1 / RATE)


@pytest.mark.parametrize("category", ["closed_hat", "open_hat", "tambourine"])
def test_metal_sounds_above_5_khz(category):
    power, frequency = power_spectrum(rendered(category, settings(category)))
    share = power[:, frequency > 5000].sum(1) / power.sum(1)
    assert share.min() > 0.3


@pytest.mark.parametrize("category", ["kick", "tom", "conga", "bongo"])
def test_a_membrane_sounds_at_its_pitch(category):
    # Oracle: the peak of the spectrum after the sweep, against the pitch that was asked for.
    vectors = settings(category, room=0, drive=0, noise=0, slap=0, decay=0.8, length=1)
    vectors[:, 0] = np.linspace(0, 1, CHUNK)
    assert PARAMETERS[category][0].name == "pitch"
    late = rendered(category, vectors)[:, RATE // 10 :]
    power, frequency = power_spectrum(np.pad(late, ((0, 0), (0, LENGTH))))
    found = frequency[np.argmax(power, axis=1)]
    np.testing.assert_allclose(found, to_physical(category, vectors)["pitch"], rtol=0.06)


@pytest.mark.parametrize(("unit", "count"), [(0.0, 3), (0.5, 4), (1.0, 5)])
def test_a_clap_has_its_bursts(unit, count):
    # Oracle: a burst rises more than twofold over the envelope of the 3 ms before it.
    vectors = settings(
        "clap", bursts=unit, spacing=1, jitter=0, unevenness=0, burst_decay=0, tail=0, room=0
    )
    audio = rendered("clap", vectors)[:, : 66 * 24]
    envelope = np.sqrt((audio.reshape(CHUNK, 24, 66) ** 2).mean(2)).mean(0)  # 3 ms a step
    loud = np.concatenate([[False], envelope > 0.35 * envelope.max()])
    assert np.sum(loud[1:] & ~loud[:-1]) == count


def test_open_hats_ring_longer_than_closed_ones():
    centroid_of_time = {
        category: np.median(
            (sounds_of(category) ** 2 @ np.arange(LENGTH))
            / np.sum(sounds_of(category) ** 2, axis=1)
        )
        for category in ("closed_hat", "open_hat")
    }
    assert centroid_of_time["open_hat"] > 3 * centroid_of_time["closed_hat"]


def features(audio):
    """Log band energies, spectral flatness and three times of decay, [b, 16]."""
    power, frequency = power_spectrum(audio)
    edges = [0, 100, 170, 270, 420, 800, 1600, 3000, 5000, 7500, 11025]
    bands = [power[:, (frequency >= a) & (frequency < b)].sum(1) for a, b in pairwise(edges)]
    shares = np.log10(np.stack(bands, 1) / power.sum(1, keepdims=True) + 1e-5)
    peaks = power[:, frequency > 1000]
    flatness = np.mean(np.log10(peaks + 1e-9), 1) - np.log10(peaks.mean(1) + 1e-9)
    energy = np.cumsum(audio.astype(np.float64) ** 2, axis=1)
    energy /= energy[:, -1:]
    times = [np.log10(np.argmax(energy > q, axis=1) + 20) for q in (0.1, 0.5, 0.9, 0.99)]
    return np.column_stack([shares, flatness, *times])


def test_categories_are_told_apart_by_nearest_centroid():
    # Fitted on one seed, tried on another, distances whitened by the spread within a category.
    # Guessing would score 1/11; congas and bongos overlap by nature.
    fitted = np.stack([features(sounds_of(c, seed=0)) for c in CATEGORIES])  # [c, b, f]
    tried = np.stack([features(sounds_of(c, seed=1)) for c in CATEGORIES])
    within = np.mean([np.cov(rows.T) for rows in fitted], axis=0) + 1e-3 * np.eye(fitted.shape[-1])
    whiten = np.linalg.cholesky(np.linalg.inv(within))
    offsets = (tried[:, :, None] - fitted.mean(1)[None, None]) @ whiten  # [c, b, c, f]
    guess = np.sum(offsets**2, axis=-1).argmin(-1)
    correct = guess == np.arange(len(CATEGORIES))[:, None]
    assert correct.mean() >= 0.75
    assert correct.mean(1).min() >= 0.4  # no category is lost


def test_wrong_input_is_refused_in_plain_words():
    with pytest.raises(ConfigError, match=r"'gong'.*kick, snare.*tambourine"):
        parameters_of("gong")
    with pytest.raises(ConfigError, match="'gong'"):
        render_set("gong", 1, 0)
    with pytest.raises(ConfigError, match="pitch, sweep"):
        render("kick", np.zeros(3), jax.random.key(0))
    with pytest.raises(ConfigError, match="one key"):
        render("kick", corners("kick"), jax.random.split(jax.random.key(0), 2))
    with pytest.raises(ConfigError, match=r"0\.1 s"):
        render("kick", corners("kick"), jax.random.key(0), num_samples=2000)
