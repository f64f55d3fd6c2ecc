"""Descriptors, the map from codes to them, sweeps, and controls learnt from examples."""

import functools
import itertools

import numpy as np
import pytest
import torch
from instruments import tiny_instrument
from one_shots import burst, write
from scipy.stats import norm, spearmanr

from drumjax.commands import learn_control
from drumjax.errors import ConfigError, DataError
from drumjax.play import attributes, learn, sweep, teach
from drumjax.play.attribute_map import AttributeMap
from drumjax.play.controls import STEP, move, names, with_controls
from drumjax.play.descriptors import ATTRIBUTES, as_table, describe
from drumjax.play.gaussian import Gaussian, gaussian_of
from drumjax.play.instrument import load_instrument, save_instrument

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
    """Two sounds that rise by 1 a unit from different places; two that drift apart, unheard."""
    amounts = np.linspace(-2, 2, 9)
    rise = sweep.summary(np.array([[0.0], [50.0]]) + amounts[None], amounts, 2.0, 0.1)
    assert rise == {
        "each": 1.0,
        "each_size": 1.0,
        "heard": 1.0,
        "together": 1.0,
        "together_size": 1.0,
        "slope": 0.5,
        "slope_size": 0.5,
    }
    apart = sweep.summary(0.01 * np.array([[1.0], [-1.0]]) * amounts[None], amounts, 1.0, 0.1)
    assert apart["each"] == 0
    assert apart["each_size"] == 1
    assert apart["heard"] == 0
    assert apart["together"] == pytest.approx(0, abs=0.01)
    assert apart["slope_size"] == 0.01


def random_map(rng, d=4, k=3, a=5, e=2):
    sizes = (d + k, 8, 6, a)
    layers = tuple(
        (rng.standard_normal((e, m, n)) / np.sqrt(m), 0.1 * rng.standard_normal((e, 1, n)))
        for m, n in itertools.pairwise(sizes)
    )
    return AttributeMap(rng.standard_normal(d), rng.uniform(0.5, 2, d), layers)


def test_the_map_and_its_slopes_are_torchs(rng):
    """Oracle: torch's silu and autograd in float64."""
    attribute_map = random_map(rng)
    z, weights = rng.standard_normal((3, 4)), np.eye(3)

    def run(code, weight):
        x = torch.cat(
            [
                (code - torch.tensor(attribute_map.centre)) / torch.tensor(attribute_map.scale),
                weight,
            ]
        )
        out = 0
        for e in range(2):
            y = x[None]
            for i, (kernel, bias) in enumerate(attribute_map.layers):
                y = y @ torch.tensor(kernel[e]) + torch.tensor(bias[e])
                y = torch.nn.functional.silu(y) if i < 2 else y
            out = out + y[0] / 2
        return out

    values, slopes = attribute_map.jacobian(z, weights)
    for i in range(3):
        code, weight = torch.tensor(z[i]), torch.tensor(weights[i])
        np.testing.assert_allclose(values[i], run(code, weight).numpy(), rtol=1e-4, atol=1e-5)
        expected = torch.autograd.functional.jacobian(functools.partial(run, weight=weight), code)
        np.testing.assert_allclose(slopes[i], expected.numpy(), rtol=1e-4, atol=1e-5)


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


class FiveKnobs:
    """A player of a tiny instrument's codes, each of whose attributes has its own whitened knob."""

    sample_rate = RATE

    def __init__(self, instrument):
        self.instrument, self.categories = instrument, instrument.categories
        self.noise = noise(3)[:4096]

    def decode(self, z, category):
        return np.exp(np.tile(z[:, :1, None], (1, 4, 64)))

    def render(self, z, category):
        w = gaussian_of(self.instrument, category).whiten(np.asarray(z, np.float64))
        return np.stack([self._sound(*row[:4]) for row in w]).astype(np.float32)

    def _sound(self, low, long, hiss, high):
        t = TIME[:4096]
        body = np.sin(2 * np.pi * 150 * 2 ** (0.3 * low) * t) + 0.3 * 2 ** (high) * np.sin(
            2 * np.pi * 4000 * t
        )
        return (body + 0.02 * 2**hiss * self.noise) * np.exp(-t / (0.03 * 2 ** (0.4 * long)))


@pytest.fixture(scope="module")
def knobs():
    """An instrument whose attributes were taught from 90 sounds a category, and its player."""
    patch = pytest.MonkeyPatch()
    patch.setattr(teach, "_STEPS", 400)
    patch.setattr(teach, "HIDDEN", (64, 32))
    player = FiveKnobs(tiny_instrument())
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
    for name in ("body", "decay", "brightness"):
        assert min(row[name] for row in predicted.values()) > 0.8


def test_each_knob_is_moved_and_the_others_hold(knobs):
    """Body and decay have whitened directions of their own; brightness stays apart from both."""
    player, _ = knobs
    assert names(player.instrument)[-5:] == ATTRIBUTES
    table = sweep.measure_sweeps(player, count=4, points=5, progress=lambda line: None)
    for name in ("body", "decay", "brightness"):
        row = table["all"][name]
        assert row[name]["each"] >= 0.9
        assert 0.5 < row[name]["slope"] < 1.5
    for moved, other in (("body", "decay"), ("decay", "body"), ("body", "brightness")):
        assert table["all"][moved][other]["slope_size"] < 0.3
    text = sweep.as_text(table, "each")
    assert len(text.splitlines()) == 1 + 5 * (3 + 1)


def test_moves_together_and_far_out_stay_finite(knobs):
    player, _ = knobs
    z = np.stack([np.zeros(4), np.full(4, 50.0)]).astype(np.float32)
    moved = move(player.instrument, z, [0.5, 0.5, 0.0], {"body": 3.0, "decay": -3.0})
    assert moved.shape == z.shape
    assert np.isfinite(moved).all()
    np.testing.assert_array_equal(move(player.instrument, z, 0, {"body": 0.0}), z)


def test_a_direction_is_found_from_few_examples(rng):
    """Examples shifted by 3 along one of 20 axes: the left-out ones tell Φ(3 / √2) of the time."""
    examples = rng.standard_normal((40, 20)) + 3 * np.eye(20)[4]
    for against in (None, rng.standard_normal((40, 20))):
        assert learn.direction(examples, against)[4] > 0.95
        assert learn.separation(examples, against) == pytest.approx(
            norm.cdf(3 / np.sqrt(2)), abs=0.04
        )


def test_a_control_goes_as_far_as_its_examples_lie():
    """Oracle: the distance of the means, at most 3."""
    pattern = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
    for far, expected in ((2.0, 2.0), (9.0, 3.0)):
        shift = far * np.eye(4)[2]
        learnt = learn.learn(tiny_instrument(), pattern + shift[None], pattern)
        assert learnt.distance == pytest.approx(expected)
        root = gaussian_of(tiny_instrument(), 1).root
        np.testing.assert_allclose(learnt.steps[1], expected * root[2], rtol=1e-4, atol=1e-5)


def test_shrinking_helps_where_examples_are_few(rng):
    """Oracle: the plain difference of means, which chance turns further away."""
    better = []
    for _ in range(50):
        examples = rng.standard_normal((5, 64)) + 2.5 * np.eye(64)[0]
        plain = examples.mean(0) / np.linalg.norm(examples.mean(0))
        better.append(learn.direction(examples, None)[0] - plain[0])
    assert np.mean(better) > 0.03


def test_what_sets_nothing_apart_is_chance(rng):
    places = [learn.separation(rng.standard_normal((12, 20)), None) for _ in range(20)]
    assert np.mean(places) == pytest.approx(0.5, abs=0.06)


def test_holding_the_attributes_leaves_their_slopes_alone(rng):
    attribute_map = random_map(rng, a=2)
    instrument = with_controls(
        tiny_instrument(), attribute_map.tensors(), {"attributes": ["body", "decay"]}
    )
    examples = rng.standard_normal((6, 4)) + 2
    learnt = learn.learn(instrument, examples, None, hold=True)
    for i, step in enumerate(learnt.steps):
        mean = instrument.tensors["latents/mean"][[i]]
        slopes = attribute_map.jacobian(mean, np.eye(3)[[i]])[1][0]
        np.testing.assert_allclose(slopes @ step, 0, atol=1e-4)
        assert np.linalg.norm(step @ gaussian_of(instrument, i).inverse) == pytest.approx(
            learnt.distance
        )
    assert 0 < learnt.held <= 1
    with pytest.raises(ConfigError, match="no attributes to hold"):
        learn.learn(tiny_instrument(), examples, None, hold=True)


def test_whitened_codes_are_each_categorys_own():
    instrument = tiny_instrument()
    z = instrument.tensors["latents/mean"][[2, 0]]
    np.testing.assert_allclose(learn.whitened(instrument, z, [2, 0]), 0, atol=1e-6)
    assert learn.whitened(instrument, z[:0], []).shape == (0, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An instrument with its encoder, and sounds: usable, unreadable, silent, short, unknown."""
    root = tmp_path_factory.mktemp("learn")
    save_instrument(tiny_instrument(), root / "my.safetensors", "float32")
    for i in range(3):
        write(root / "dusty" / f"Kick {i}.wav", burst(i))
        write(root / "dusty" / "Snares" / f"{i}.wav", burst(10 + i, 0.3))
        write(root / "clean" / f"clap {i}.wav", burst(20 + i, 0.3) ** 3)
    write(root / "dusty" / "snare quiet.wav", np.zeros(9000))
    write(root / "dusty" / "snare click.wav", burst(5, 0.01))
    write(root / "dusty" / "gong.wav", burst(6))
    write(root / "dusty" / "conga.wav", burst(7))
    (root / "dusty" / "kick.wav").write_text("no sound")
    return root


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setattr("drumjax.play.cache.use_cache", lambda: None)


def run(folder, *flags, name="dusty", examples="dusty"):
    return learn_control.main(
        [
            f"--instrument={folder}/my.safetensors",
            f"--name={name}",
            f"--examples={folder / examples}",
            *flags,
        ]
    )


def test_a_control_is_learnt_and_kept(folder, capsys):
    for output in ("one", "two"):
        flags = (f"--against={folder}/clean", f"--output={folder}/{output}.safetensors")
        assert run(folder, *flags) == 0
    said = capsys.readouterr().out
    assert "learnt from 3 kick, 3 snare against 3 other sounds" in said
    for reason in ("1 × silent", "1 × too short", "1 × unreadable", "instrument lacks"):
        assert reason in said
    one, two = (load_instrument(folder / f"{n}.safetensors", encoder=True) for n in ("one", "two"))
    assert names(one) == ("dusty",)
    np.testing.assert_array_equal(one.tensors[STEP + "dusty"], two.tensors[STEP + "dusty"])
    words = one.meta["controls"]["learnt"]["dusty"]
    assert words["categories"] == {"kick": 3, "snare": 3}
    assert 0 <= words["auc"] <= 1
    assert one.identity == tiny_instrument().identity
    z = np.zeros(4, np.float32)
    assert not np.array_equal(move(one, z, "clap", {"dusty": 1.0}), z)


def test_another_control_joins_the_first_in_the_same_file(folder):
    flags = (f"--output={folder}/both.safetensors",)
    assert run(folder, "--category=clap", *flags) == 0
    again = [f"--instrument={folder}/both.safetensors", f"--examples={folder}/clean"]
    assert learn_control.main([*again, "--name=clean", "--overwrite"]) == 0
    both = load_instrument(folder / "both.safetensors", encoder=True)
    assert names(both) == ("clean", "dusty")
    assert both.meta["controls"]["learnt"]["dusty"]["categories"] == {"clap": 8}
    with pytest.raises(ConfigError, match="has a control 'clean' already"):
        learn_control.main([*again, "--name=clean", "--overwrite"])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"name": "so dusty"}, "cannot name a control"),
        ({"name": "a1"}, "cannot name a control"),
        ({"examples": "nowhere"}, "is no folder"),
        ({"extra": ("--category=gong",)}, "no category 'gong'"),
        ({"output": "my.wav"}, "must be NAME.safetensors"),
        ({"output": "my.safetensors"}, "exists; choose another --output or add --overwrite"),
        ({"output": None}, "--output=NAME.safetensors"),
        ({"extra": ("--hold-attributes",)}, "no attributes to hold"),
    ],
)
def test_what_cannot_be_learnt_is_said(folder, flags, says):
    output = flags.get("output", "new.safetensors")
    extra = (*flags.get("extra", ()), *([f"--output={folder}/{output}"] if output else []))
    with pytest.raises((ConfigError, DataError), match=says):
        run(
            folder,
            *extra,
            name=flags.get("name", "dusty"),
            examples=flags.get("examples", "dusty"),
        )


def test_too_few_sounds_are_counted(folder):
    few = folder / "few"
    for i in range(2):
        write(few / f"Kick {i}.wav", burst(i))
    write(few / "thing.wav", burst(4))
    with pytest.raises(DataError, match=r"2 usable sounds .* at least 3 \(left out: 1 × no cat"):
        run(folder, f"--output={folder}/new.safetensors", examples="few")
