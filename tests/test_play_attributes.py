"""Descriptors, the map from codes to them, and sweeps of the attributes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from attribute_maps import random_map
from instruments import tiny_instrument
from scipy.stats import spearmanr

from drumjax.play import attributes, sweep, teach
from drumjax.play.attribute_map import AttributeMap
from drumjax.play.controls import draw_codes, move, names, with_controls
from drumjax.play.descriptors import ATTRIBUTES, as_table, describe
from drumjax.play.gaussian import Gaussian, gaussian_of

RATE, SAMPLES = 22050, 8192
TIME = np.arange(SAMPLES) / RATE


def measured(x):
    """Descriptors of one sound."""
    return {k: v[0] for k, v in describe(np.asarray(x)[None], RATE).items()}


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal(SAMPLES)


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.05])
def test_decay_is_that_of_an_exponential(seconds):
    """Oracle: an amplitude of exp(-t / s) takes s · ln 10 seconds for 20 dB."""
    x = np.sin(2 * np.pi * 1000 * TIME) * np.exp(-TIME / seconds)
    expected = np.log2(seconds * np.log(10) + 1e-3)
    assert measured(x)["decay"] == pytest.approx(expected, abs=0.03)


def test_decay_is_measured_from_3_to_23_dB():
    """Oracle: energy that falls at 1 dB/ms down to -10 dB, and at 0.1 dB/ms from there on.

    Of the 20 dB from -3 to -23, seven take 7 ms and thirteen 130 ms.
    """
    t = np.arange(SAMPLES) / RATE
    rest = 10 ** (-np.where(t < 0.01, t * 1000, 10 + (t - 0.01) * 100) / 10)  # yet to come
    x = np.sqrt(-np.diff(rest, append=0))
    assert 2 ** measured(x)["decay"] == pytest.approx(0.138, abs=0.003)


def test_a_clicks_body_is_the_middle_of_its_octaves():
    """Oracle: the spectrum of a single sample is flat, and every octave counts the same."""
    x = np.eye(SAMPLES)[4000]
    assert measured(x)["body"] == pytest.approx(np.log2(40 * 1000) / 2, abs=0.02)


def test_a_clicks_brightness_is_the_mean_of_log_f_from_40_hz():
    """Oracle: the mean over the bins of 1,024 samples; with one more below 40 Hz, 0.015 less."""
    hz = np.fft.rfftfreq(1024, 1 / RATE)
    expected = np.log2(hz[hz > 40]).mean()
    assert measured(np.eye(SAMPLES)[4096])["brightness"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("hz", [60, 110, 523])
def test_body_is_the_low_partials_frequency(hz):
    x = np.sin(2 * np.pi * hz * TIME) * np.exp(-TIME / 0.1)
    high = 0.5 * np.sin(2 * np.pi * 3000 * TIME)
    assert measured(x + high)["body"] == pytest.approx(np.log2(hz), abs=0.05)


def test_the_stronger_of_two_low_partials_counts_more():
    low, high = (np.sin(2 * np.pi * hz * TIME) for hz in (100, 400))
    bodies = [measured(low + share * high)["body"] for share in (0.3, 0.9, 1.1, 3.0)]
    assert np.all(np.diff(bodies) > 0)
    assert bodies[0] == pytest.approx(np.log2(100), abs=0.1)
    assert bodies[3] == pytest.approx(np.log2(400), abs=0.1)


def test_punch_is_the_energy_of_the_first_10_ms_over_the_next_40():
    """Oracles: a steady tone has 10 ms / 40 ms = -6 dB; a step down by 20 dB at 10 ms, +14 dB."""
    steady = np.sin(2 * np.pi * 2000 * TIME)
    assert measured(steady)["punch"] == pytest.approx(10 * np.log10(10 / 40), abs=0.3)
    stepped = np.where(TIME < 0.01, 1.0, 0.1) * steady
    assert measured(stepped)["punch"] == pytest.approx(14, abs=0.3)
    later = np.concatenate([np.zeros(700), stepped])[:SAMPLES]
    assert measured(later)["punch"] == pytest.approx(14, abs=1.0)


def test_brightness_of_a_tone_and_of_white_noise():
    """Oracles: log2 of the tone's frequency; the mean of log2 f over 40 Hz to 11,025 Hz."""
    tone = np.sin(2 * np.pi * 1500 * TIME) * np.hanning(SAMPLES)
    assert measured(tone)["brightness"] == pytest.approx(np.log2(1500), abs=0.1)
    hz = np.linspace(40, RATE / 2, 10_000)
    assert measured(noise())["brightness"] == pytest.approx(np.log2(hz).mean(), abs=0.05)


def test_noise_is_noisier_than_a_tone_whatever_their_tilt():
    """Oracle: the flatness of white noise is near 0 dB; more tone, less of it."""
    tone = np.sin(2 * np.pi * 700 * TIME)
    flatness = [measured(tone + share * noise())["noisiness"] for share in (0, 0.01, 0.1, 1, 10)]
    assert np.all(np.diff(flatness) > 0)
    assert -1 < flatness[-1] <= 0
    assert flatness[0] < -20


def test_descriptors_forget_the_level_and_bear_silence():
    x = np.stack([noise() * np.exp(-TIME / 0.05), np.sin(1000 * TIME), np.zeros(SAMPLES)])
    table = as_table(describe(x, RATE))
    assert table.shape == (3, 5)
    assert np.isfinite(table).all()
    np.testing.assert_allclose(as_table(describe(0.25 * x[:2], RATE)), table[:2], atol=1e-3)
    assert as_table(describe(x[:0], RATE)).shape == (0, 5)


def test_many_sounds_are_measured_as_each_alone():
    x = np.stack([noise(i)[:2000] * np.exp(-TIME[:2000] * 10 * i) for i in range(70)])
    table = as_table(describe(x, RATE))
    for i in (0, 63, 64, 69):
        np.testing.assert_allclose(as_table(describe(x[i : i + 1], RATE))[0], table[i], rtol=1e-5)


def test_spearman_is_scipys(rng):
    a = rng.integers(0, 4, (3, 9)).astype(float)  # with ties
    b = rng.standard_normal((3, 9))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(sweep.spearman(a, b), expected, atol=1e-9)
    assert sweep.spearman(np.ones((1, 5)), np.arange(5.0)[None])[0] == 0


def test_a_sweeps_numbers():
    """Two sounds that rise by 1 a unit from different places; two that drift apart."""
    amounts = np.linspace(-2, 2, 9)
    rise = sweep.summary(np.array([[0.0], [50.0]]) + amounts[None], amounts, 2.0)
    assert rise == {"each": 1.0, "each_size": 1.0, "together_size": 1.0, "slope_size": 0.5}
    apart = sweep.summary(0.01 * np.array([[1.0], [-1.0]]) * amounts[None], amounts, 1.0)
    assert apart == {
        "each": 0.0,
        "each_size": 1.0,
        "together_size": pytest.approx(0, abs=0.01),
        "slope_size": 0.01,
    }


def test_the_map_and_its_slopes_are_those_of_automatic_differentiation(rng):
    """Oracle: jax's own silu and its forward-mode derivative."""
    attribute_map = random_map(rng)
    z, weights = rng.standard_normal((3, 4)), np.eye(3)

    def run(code, weight):
        near = (code - attribute_map.centre.astype("f")) / attribute_map.scale.astype("f")
        x, out = jnp.concatenate([near, weight]), 0
        for e in range(2):
            y = x[None]
            for i, (kernel, bias) in enumerate(attribute_map.layers):
                y = y @ jnp.asarray(kernel[e]) + jnp.asarray(bias[e])
                y = jax.nn.silu(y) if i < 2 else y
            out = out + y[0] / 2
        return out

    values, slopes = attribute_map.jacobian(z, weights)
    for code, weight, value, slope in zip(z, weights, values, slopes, strict=True):
        code, weight = (jnp.asarray(x, jnp.float32) for x in (code, weight))
        np.testing.assert_allclose(value, run(code, weight), rtol=1e-4, atol=1e-5)
        expected = jax.jacfwd(run)(code, weight)
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-4)


def test_the_map_survives_the_file(rng):
    attribute_map = random_map(rng)
    again = AttributeMap.of(attribute_map.tensors())
    z, weights = rng.standard_normal((2, 4)), np.eye(3)[:2]
    np.testing.assert_allclose(
        again.values(z, weights), attribute_map.values(z, weights), rtol=1e-5, atol=1e-6
    )


def test_a_small_move_is_the_least_one_that_changes_one_attribute_alone(rng):
    """Oracle: the pseudo-inverse of the slopes in whitened space."""
    attribute_map = random_map(rng, d=8, a=3)
    covariance = np.cov(rng.standard_normal((8, 40)))
    gaussian = Gaussian.of(np.zeros(8), covariance)
    z, change = rng.standard_normal((2, 8)), np.array([1e-2, 0, 0])
    moved = attribute_map.move(z, np.eye(3)[0], change, covariance)
    slopes = attribute_map.jacobian(z, np.eye(3)[[0, 0]])[1] @ gaussian.root
    expected = np.linalg.pinv(slopes) @ change @ gaussian.root
    np.testing.assert_allclose(moved - z, expected, atol=0.15 * np.abs(expected).max())


def test_a_latent_that_is_out_of_sight_has_no_slope(rng):
    """Oracle: the networks see the edge, 8 standard deviations, and no further."""
    attribute_map = random_map(rng)
    z, weights = np.tile(attribute_map.centre, (2, 1)), np.eye(3)[[1, 1]]
    z[0, 2] += 8 * attribute_map.scale[2]
    z[1, 2] += 30 * attribute_map.scale[2]
    values, slopes = attribute_map.jacobian(z, weights)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    np.testing.assert_array_equal(slopes[1, :, 2], 0)
    assert np.abs(slopes[1, :, [0, 1, 3]]).min() > 0


def test_a_step_is_no_longer_than_the_map_was_taught(rng):
    """Oracle: 1.5 of the category's standard deviations, five times in a move."""
    attribute_map = random_map(rng)
    covariance = np.cov(rng.standard_normal((4, 40)))
    z = rng.standard_normal((3, 4))
    moved = attribute_map.move(z, np.eye(3)[0], np.full(5, 1e3), covariance)
    length = np.linalg.norm(Gaussian.of(np.zeros(4), covariance).whiten(moved - z), axis=1)
    assert 1 < length.max() <= 5 * 1.5 + 1e-6


def test_attributes_are_moved_by_the_likeliest_step_of_the_category(rng):
    """Oracle: the pseudo-inverse of the slopes in the whitened space of the mixture."""
    attribute_map = random_map(rng, a=2)
    instrument = with_controls(
        tiny_instrument(), attribute_map.tensors(), {"attributes": ["body", "decay"]}
    )
    weights = np.array([0.5, 0.5, 0.0])
    root = gaussian_of(instrument, weights).root
    z = rng.standard_normal(4)
    slopes = attribute_map.jacobian(z[None], weights[None])[1][0]
    expected = np.linalg.pinv(slopes @ root) @ [0.02, 0] @ root
    moved = move(instrument, z, weights, {"body": 0.02}) - z
    cosine = moved @ expected / np.linalg.norm(moved) / np.linalg.norm(expected)
    assert cosine > 0.99


def test_a_straight_direction_leaks_where_the_map_does_not(monkeypatch):
    """Two descriptors of three latents, the second one bent by what moves the first.

    Oracle: the descriptors themselves; ridge regression, each direction orthogonal to the other.
    """
    monkeypatch.setattr(teach, "_STEPS", 500)
    monkeypatch.setattr(teach, "HIDDEN", (64, 32))
    rng = np.random.default_rng(0)
    draw = rng.standard_normal((600, 3))

    def sound(z):
        bent = z[:, 1] + 0.5 * (z[:, 0] ** 2 - 1)
        return np.stack([z[:, 0], bent / np.sqrt(1.5)], axis=1)

    taught = teach.train_map(teach.Data(draw, np.zeros(600, int), sound(draw)), 1, 0)
    ridge = np.linalg.solve(draw.T @ draw + 6 * np.eye(3), draw.T @ sound(draw)).T  # [2, 3]
    z, change = rng.standard_normal((50, 3)), np.array([1.5, 0.0])
    straight = z + (np.linalg.pinv(ridge) @ change)[None]
    bent = taught.move(z, np.ones(1), change, np.eye(3))
    drift = [np.abs((sound(x) - sound(z))[:, 1]).mean() for x in (straight, bent)]
    assert np.mean((sound(bent) - sound(z))[:, 0]) == pytest.approx(1.5, abs=0.25)
    assert drift[0] > 1
    assert drift[1] < 0.3


def test_the_networks_are_taught_as_by_optaxs_adamw(rng, monkeypatch):
    """Oracle: optax's AdamW, its rate falling in a line; errors beyond 3 teach nothing."""
    monkeypatch.setattr(teach, "NETWORKS", 2)
    x, y = rng.standard_normal((6, 5)).astype("f4"), rng.standard_normal((6, 2)).astype("f4")
    y[0] = 50
    layers = [
        (rng.standard_normal((2, m, n)).astype("f4") / 2, np.zeros((2, 1, n), "f4"))
        for m, n in ((5, 4), (4, 3), (3, 2))
    ]
    order = rng.integers(6, size=(5, 4))
    order[:, 0] = 0
    zeros = [tuple(np.zeros_like(p) for p in layer) for layer in layers]
    found = teach._train((layers, zeros, zeros), x, y, order)

    @jax.grad
    def slope(parts, rows):
        out = jnp.tile(x[rows][None], (2, 1, 1))
        for i, (kernel, bias) in enumerate(parts):
            out = jnp.einsum("ebm,emn->ebn", out, kernel) + bias
            out = out / (1 + jnp.exp(-out)) if i < 2 else out
        error = jnp.where(abs(out - y[rows][None]) > 3, 0.0, out - y[rows][None])
        return sum(jnp.mean(e**2) for e in error)

    rate = optax.linear_schedule(4e-3, 0.0, len(order))
    optimiser, parts = optax.adamw(rate, weight_decay=0.3), jax.tree.map(jnp.asarray, layers)
    state = optimiser.init(parts)
    for rows in order:
        updates, state = optimiser.update(slope(parts, rows), state, parts)
        parts = optax.apply_updates(parts, updates)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-5), found, parts)


def six_latents():
    """The tiny instrument with six latents, which no network of its own fits."""
    instrument, rng = tiny_instrument(), np.random.default_rng(7)
    spread = rng.normal(0, 0.5, (3, 6, 6))
    covariance = 0.3 * np.eye(6)[None] + spread @ np.swapaxes(spread, 1, 2)
    latents = {"mean": rng.normal(0, 0.5, (3, 6)), "covariance": covariance}
    more = {f"latents/{k}": v.astype(np.float32) for k, v in latents.items()}
    meta = {**instrument.meta, "cwae": {**instrument.meta["cwae"], "latents": 6}}
    return dataclasses.replace(instrument, tensors={**instrument.tensors, **more}, meta=meta)


class FiveKnobs:
    """A player of six latents, whose attributes each have a whitened knob of their own."""

    sample_rate = RATE

    def __init__(self, instrument):
        self.instrument, self.categories = instrument, instrument.categories
        self.noise = noise(3)[:4096]

    def render(self, z, category):
        w = gaussian_of(self.instrument, category).whiten(np.asarray(z, np.float64))
        return np.stack([self._sound(*row[:5]) for row in w]).astype(np.float32)

    def _sound(self, low, long, hiss, high, hit):
        t = TIME[:4096]
        body = np.sin(2 * np.pi * 150 * 2 ** (0.3 * low) * t)
        body += 0.3 * 2**high * np.sin(2 * np.pi * 4000 * t) + 0.02 * 2**hiss * self.noise
        attack = 1 + 2**hit * np.exp(-((t / 0.006) ** 2))
        return body * attack * np.exp(-t / (0.03 * 2 ** (0.4 * long)))


@pytest.fixture(scope="module")
def knobs():
    """An instrument whose attributes were taught from 90 sounds a category, and its player."""
    patch = pytest.MonkeyPatch()
    patch.setattr(teach, "_STEPS", 400)
    patch.setattr(teach, "HIDDEN", (64, 32))
    player = FiveKnobs(six_latents())
    tensors, words = attributes.fit_attributes(player, 0, 90, lambda line: None)
    again, _ = attributes.fit_attributes(player, 0, 90, lambda line: None)
    patch.undo()
    player.instrument = with_controls(player.instrument, tensors, words)
    return player, again


def test_teaching_is_the_same_twice(knobs):
    player, again = knobs
    for name, value in again.items():
        np.testing.assert_array_equal(value, player.instrument.tensors[name], name)


def test_held_out_sounds_are_predicted(knobs):
    player, _ = knobs
    predicted = player.instrument.meta["controls"]["predicted"]
    for name in ATTRIBUTES:
        assert min(row[name] for row in predicted.values()) > 0.7


def test_sounds_are_predicted_by_networks_that_were_not_taught_them(rng, monkeypatch):
    """A teacher that notes what it is taught, and an examiner that notes what it asks."""
    taught, asked = [], []
    monkeypatch.setattr(
        attributes,
        "train_map",
        lambda data, k, seed: taught.append(data.z) or random_map(rng, d=6),
    )
    examine = attributes._explained
    monkeypatch.setattr(
        attributes, "_explained", lambda m, data, c: asked.append(data.z) or examine(m, data, c)
    )
    attributes.fit_attributes(FiveKnobs(six_latents()), 0, 12, lambda line: None)
    rough, check, whole = ({row.tobytes() for row in z.astype("f4")} for z in taught)
    held = {row.tobytes() for row in asked[0].astype("f4")}
    assert len(held) == 4
    assert not held & check
    assert held | check == whole
    assert rough < whole


def test_a_third_of_the_sounds_are_moved_along_one_attribute(knobs, rng):
    """Oracle: what the map says of the same codes before and after."""
    player, _ = knobs
    rough = AttributeMap.of(player.instrument.tensors)
    clock = attributes._Clock(lambda line: None, 60)
    drawn, moved = (attributes._measure(player, 4, 20, m, clock) for m in (None, rough))
    weights = np.eye(3)[drawn.category]
    change = np.abs(rough.values(moved.z, weights) - rough.values(drawn.z, weights))
    change = np.sort(change, axis=1)
    assert np.median(change[:, -1]) == pytest.approx(1.0, abs=0.3)  # of a flat -2 to 2
    assert change[:, -1].max() < 2.3
    assert np.median(change[:, :-1]) < 0.05


def test_each_knob_is_moved_and_the_others_hold(knobs):
    player, _ = knobs
    assert names(player.instrument)[-5:] == ATTRIBUTES
    table = sweep.measure_sweeps(player, count=4, points=5, progress=lambda line: None)
    for name, row in table["all"].items():
        assert row[name]["each"] >= 0.95
        assert 0.6 < row[name]["slope_size"] < 1.3
        for other in set(ATTRIBUTES) - {name}:
            assert row[other]["slope_size"] < 0.3
    lines = sweep.as_text(table).splitlines()
    assert len(lines) == 1 + 5 * (3 + 1)
    shown = [f"{table['kick']['brightness'][b]['each_size']:.2f}" for b in ATTRIBUTES]
    assert lines[1].split() == ["kick", "brightness", *shown]


def test_sweeps_are_of_sounds_that_nothing_was_fitted_on(knobs, monkeypatch):
    player, _ = knobs
    swept = []
    monkeypatch.setattr(sweep, "_sweep", lambda p, z, *a: swept.append(z) or np.zeros((2, 9, 5)))
    sweep.measure_sweeps(player, 0, 2, categories=["snare"], progress=lambda line: None)
    drawn = draw_codes(player.instrument, "snare", 2, 0)
    assert np.abs(swept[0] - drawn).max(1).min() > 1e-2


def test_moves_together_and_far_out_stay_finite(knobs):
    player, _ = knobs
    z = np.stack([np.zeros(6), np.full(6, 50.0)]).astype(np.float32)
    moved = move(player.instrument, z, [0.5, 0.5, 0.0], {"body": 3.0, "decay": -3.0})
    assert moved.shape == z.shape
    assert np.isfinite(moved).all()
    np.testing.assert_array_equal(move(player.instrument, z, 0, {"body": 0.0}), z)
