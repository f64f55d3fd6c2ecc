"""Seeds, variations, interpolation and the axes of an instrument's codes."""

import numpy as np
import pytest
from instruments import tiny_instrument
from scipy.linalg import sqrtm
from scipy.spatial import geometric_slerp

from drumjax.errors import ConfigError
from drumjax.play import axes, controls
from drumjax.play.gaussian import Gaussian, category_weights, gaussian_of, global_gaussian


@pytest.fixture(scope="module")
def instrument():
    return tiny_instrument()


def with_steps(instrument, **steps):
    """The instrument with controls that were learnt: straight steps [k, d]."""
    tensors = {controls.STEP + k: np.asarray(v, np.float32) for k, v in steps.items()}
    return controls.with_controls(instrument, tensors, {"learnt": {k: {} for k in steps}})


class LinearPlayer:
    """Decodes to dB that are linear in a few whitened coordinates of a code."""

    def __init__(self, instrument, rng, heard=3, decibels=3.0):
        self.instrument, self.categories = instrument, instrument.categories
        d = instrument.latents
        self.axes = np.linalg.qr(rng.standard_normal((d, heard)))[0].T  # [heard, d]
        self.pictures = decibels * rng.standard_normal((heard, 4, 64))
        self.gains = np.ones((len(self.categories), heard))  # how each category hears each picture

    def decode(self, z, category):
        w = gaussian_of(self.instrument, category).whiten(z)
        ways = (category_weights(self.instrument, category) @ self.gains)[:, None] * self.axes
        cells = np.einsum("bd,hd,htf->btf", w, ways, self.pictures) - 10.0
        mel = 10 ** (cells.repeat(axes._POOL[0], 1).repeat(axes._POOL[1], 2) / 20)
        mel[:, :2, :16] = 10.0  # the loudest cell, 30 dB above the mean of the others
        return mel


def test_draws_come_from_the_categorys_gaussian_one_by_one(instrument):
    """Oracle: a loop with scipy's matrix root of the covariance."""
    mean, covariance = (instrument.tensors[f"latents/{k}"][1] for k in ("mean", "covariance"))
    noise = [np.random.default_rng([3, 1, i, 1]).standard_normal(4) for i in range(6)]
    root = sqrtm(covariance.astype(np.float64))
    drawn = controls.draw_codes(instrument, 1, 6, 3)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, [mean + root @ e for e in noise], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(controls.draw_codes(instrument, "snare", 2, 3), drawn[:2])
    normal = controls.draw_codes(instrument, 1, 6, 3, "normal")
    np.testing.assert_allclose(normal, noise, rtol=1e-6)


def test_no_two_purposes_share_noise(instrument):
    """Category k's first draw once had the noise of variation k of the same seed."""
    root = gaussian_of(instrument, 1).root
    drawn = controls.draw_codes(instrument, 1, 3, 1, "normal")
    others = [
        controls.draw_codes(instrument, 1, 3, 1, "normal", purpose=controls.CHECKED),
        controls.draw_codes(instrument, 0, 3, 1, "normal"),
        (
            controls.vary_codes(instrument, np.zeros(4), 1, 1.0, 3, 1)
            - gaussian_of(instrument, 1).mean
        )
        @ np.linalg.inv(root),
    ]
    for other in others:
        apart = np.abs(drawn[:, None] - other[None]).max(-1)
        assert apart.min() > 1e-2
    assert 0 not in (controls.DRAWN, controls.VARIED, controls.WANDERED, controls.SWEPT)


def test_codes_stay_where_sounds_are(instrument):
    """Oracle: no latent beyond ±100, however far each control is moved."""
    z = np.zeros((2, 4))
    far = with_steps(instrument, dusty=np.full((3, 4), 1e6))
    np.testing.assert_array_equal(controls.move(far, z, 0, {"dusty": -100.0}), z - 100)
    assert np.abs(controls.draw_codes(instrument, 0, 50, 0, temperature=100.0)).max() == 100
    assert np.abs(controls.vary_codes(instrument, z[0] + 1e6, 0, 0.5, 3, 0)).max() == 100


def test_temperature_scales_the_distance_from_the_mean(instrument):
    mean = instrument.tensors["latents/mean"][2]
    cold, one, hot = (
        controls.draw_codes(instrument, 2, 5, 0, temperature=t) - mean for t in (0.0, 1.0, 1.5)
    )
    np.testing.assert_allclose(cold, 0, atol=1e-6)
    np.testing.assert_allclose(hot, 1.5 * one, rtol=1e-4, atol=1e-5)


def test_variations_go_from_the_sound_itself_to_any(instrument):
    a, b = controls.draw_codes(instrument, 0, 2, 1)
    np.testing.assert_allclose(
        controls.vary_codes(instrument, a, 0, 0.0, 3, 5), np.tile(a, (3, 1)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(
        controls.vary_codes(instrument, a, 0, 1.0, 3, 5),
        controls.vary_codes(instrument, b, 0, 1.0, 3, 5),
    )
    some = controls.vary_codes(instrument, a, 0, 0.5, 4, 5)
    np.testing.assert_array_equal(some[:2], controls.vary_codes(instrument, a, 0, 0.5, 2, 5))
    assert not np.array_equal(some, controls.vary_codes(instrument, a, 0, 0.5, 4, 6))


def test_variations_of_a_draw_are_draws(instrument):
    """Oracle: the category's mean and covariance; 4,000 variations of 4,000 draws."""
    z = controls.draw_codes(instrument, 0, 4000, 1)
    varied = np.stack(
        [controls.vary_codes(instrument, c, 0, 0.6, 1, i)[0] for i, c in enumerate(z)]
    )
    mean, covariance = (instrument.tensors[f"latents/{k}"][0] for k in ("mean", "covariance"))
    off = np.mean(varied, axis=0) - mean, np.cov(np.transpose(varied)) - covariance
    assert np.linalg.norm(off[0]) < 0.1 * np.sqrt(np.trace(covariance))
    assert np.linalg.norm(off[1]) < 0.1 * np.linalg.norm(covariance)


def test_linear_and_spherical_ways():
    """Oracles: np.linspace and scipy's geometric_slerp, for unit vectors."""
    rng = np.random.default_rng(0)
    a, b = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 5)))
    np.testing.assert_allclose(controls.between(a, b, 7), np.linspace(a, b, 7), atol=1e-6)
    arc = geometric_slerp(a, b, np.linspace(0, 1, 7))
    np.testing.assert_allclose(controls.between(a, b, 7, "spherical"), arc, atol=1e-6)
    a32, b32 = (3 * a).astype(np.float32), b.astype(np.float32)
    path = controls.between(a32, b32, 2, "spherical")
    np.testing.assert_array_equal(path, np.stack([a32, b32]))


def test_the_way_between_parallel_codes_is_straight():
    a = np.array([1.0, 2.0])
    np.testing.assert_allclose(
        controls.between(a, 3 * a, 3, "spherical"), np.linspace(a, 3 * a, 3), atol=1e-6
    )
    np.testing.assert_allclose(
        controls.between(a, -a, 3, "spherical"), np.linspace(a, -a, 3), atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda i, z: controls.between(z, z, 1), "at least 2 steps"),
        (lambda i, z: controls.between(z, z, 3, "cubic"), "linear or spherical"),
        (lambda i, z: controls.vary_codes(i, z, 0, 1.5, 1, 0), "between 0 and 1"),
        (lambda i, z: controls.vary_codes(i, z, 0, float("nan"), 1, 0), "between 0 and 1"),
        (lambda i, z: controls.vary_codes(i, z, "gong", 0.5, 1, 0), "kick, snare, clap"),
        (lambda i, z: controls.draw_codes(i, 0, 1, -1), "negative"),
        (lambda i, z: controls.draw_codes(i, 3, 1, 0), "0 to 2"),
        (lambda i, z: controls.draw_codes(i, 0, 1, 0, "flat"), "fitted or normal"),
        (lambda i, z: controls.move(i, z, 0, {"dusty": 1.0}), "has none"),
        (lambda i, z: controls.move(i, z, [0.5, 0.5, 0.5], {}), "sum to 1"),
        (lambda i, z: controls.move(i, z, [1.5, -0.5, 0.0], {}), "none negative"),
        (lambda i, z: controls.move(i, z, [np.nan, 0.5, 0.5], {}), "none negative"),
        (lambda i, z: controls.move(i, z, 0, {"a1": np.nan}), "a1 must lie within ±100, not nan"),
        (lambda i, z: controls.move(i, z, 0, {"body": 1e9}), "body must lie within ±100"),
        (lambda i, z: controls.move(i, np.inf + z, 0, {}), "4 finite numbers"),
        (lambda i, z: controls.move(i, z[:3], 0, {}), "4 finite numbers"),
        (lambda i, z: controls.vary_codes(i, np.nan * z, 0, 0.5, 1, 0), "4 finite numbers"),
        (lambda i, z: controls.draw_codes(i, 0, 1, 0, temperature=np.nan), "between 0 and 100"),
        (lambda i, z: controls.draw_codes(i, 0, 1, 0, "normal", 1e9), "between 0 and 100"),
        (lambda i, z: controls.draw_codes(i, [0.5, 0.5, 0], 1, 0), "of one category"),
        (lambda i, z: controls.from_alphas(i, [0.1], 0), "no axes"),
        (lambda i, z: controls.from_alphas(i, [0.1], 0, "loud"), "must be one of audible"),
    ],
)
def test_what_cannot_be_used_is_said(instrument, call, says):
    with pytest.raises(ConfigError, match=says):
        call(instrument, np.zeros(instrument.latents))


def test_whitening_is_undone_by_colouring(instrument, rng):
    """Oracle: the definition, root @ root is the covariance."""
    gaussian = gaussian_of(instrument, "clap")
    covariance = instrument.tensors["latents/covariance"][2]
    np.testing.assert_allclose(gaussian.root @ gaussian.root, covariance, rtol=1e-5, atol=1e-6)
    z = rng.standard_normal((3, instrument.latents))
    np.testing.assert_allclose(gaussian.colour(gaussian.whiten(z)), z, atol=1e-9)


def test_a_flat_direction_stays_flat():
    gaussian = Gaussian.of(np.ones(2), np.diag([4.0, 0.0]))
    np.testing.assert_allclose(gaussian.whiten(np.array([3.0, 9.0])), [1.0, 0.0])


def test_the_global_gaussian_is_the_categories_mixture(instrument):
    """Oracle: E[z zᵀ] - E[z] E[z]ᵀ, summed over the categories in a loop."""
    means, covariances = (instrument.tensors[f"latents/{k}"] for k in ("mean", "covariance"))
    second = sum(c + np.outer(m, m) for m, c in zip(means, covariances, strict=True)) / 3
    whole = global_gaussian(instrument)
    np.testing.assert_allclose(
        whole.root @ whole.root, second - np.outer(means.mean(0), means.mean(0)), atol=1e-5
    )


def test_mixed_categories_mix_means_and_steps(instrument):
    rng = np.random.default_rng(1)
    steps = rng.standard_normal((3, instrument.latents))
    fuller = with_steps(instrument, dusty=steps)
    weights = np.array([0.2, 0.5, 0.3])
    np.testing.assert_allclose(
        gaussian_of(instrument, weights).mean, weights @ instrument.tensors["latents/mean"]
    )
    z = rng.standard_normal((2, instrument.latents))
    moved = controls.move(fuller, z, weights, {"dusty": 2.0})
    np.testing.assert_allclose(moved, z + 2 * (weights @ steps)[None], rtol=1e-5, atol=1e-5)
    one = controls.move(fuller, z[0], "snare", {"dusty": -1.0})
    np.testing.assert_allclose(one, z[0] - steps[1], rtol=1e-5, atol=1e-5)


def test_category_weights_take_names_indices_and_weights(instrument):
    np.testing.assert_array_equal(category_weights(instrument, "snare"), [0, 1, 0])
    np.testing.assert_array_equal(category_weights(instrument, np.int32(2)), [0, 0, 1])
    np.testing.assert_array_equal(category_weights(instrument, [0.5, 0.5, 0]), [0.5, 0.5, 0])


def test_principal_axes_are_those_of_the_codes(rng):
    """Oracle: NumPy's SVD of 50,000 draws."""
    root = np.diag([3.0, 2.0, 1.0, 0.5]) @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    z = rng.standard_normal((50_000, 4)) @ root
    directions, spread, share = axes.principal(Gaussian.of(np.zeros(4), root.T @ root))
    _, values, vectors = np.linalg.svd(z, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(directions * vectors[:3], 1)), 1, atol=1e-2)
    np.testing.assert_allclose(spread, values[:3] / np.sqrt(len(z)), rtol=0.02)
    np.testing.assert_allclose(share.sum(), (9 + 4 + 1) / 14.25, rtol=1e-6)


def test_audible_axes_find_what_is_heard(rng):
    """A linear decoder that hears three of six whitened directions, the first one most."""
    covariance = np.cov(rng.standard_normal((6, 30)) * np.arange(1, 7)[:, None])
    gaussian = Gaussian.of(np.zeros(6), covariance)
    truth = np.linalg.qr(rng.standard_normal((6, 3)))[0].T  # [3, 6]
    w = rng.standard_normal((2000, 6))
    pictures = np.linalg.qr(rng.standard_normal((40, 3)))[0].T * np.array([[9.0], [4.0], [1.0]])
    directions, spread, changes = axes.audible_axes(w, (w @ truth.T) @ pictures, gaussian)
    found = directions * spread[:, None] @ gaussian.inverse
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.abs(found @ truth.T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(np.linalg.norm(changes, axis=1), [9, 4, 1], rtol=0.1)


def test_audible_axes_bear_fewer_sounds_than_latents(rng):
    """Oracle: least squares on the sounds and d more rows that pull each coefficient to 0."""
    w, heard = rng.standard_normal((5, 8)), rng.standard_normal((5, 20))
    w, heard = w - w.mean(0)[None], heard - heard.mean(0)[None]
    pull = np.sqrt(0.05 * 5) * np.eye(8)
    whole = np.concatenate([w, pull]), np.concatenate([heard, np.zeros((8, 20))])
    coefficients = np.linalg.lstsq(*whole, rcond=None)[0]
    _, values, _ = np.linalg.svd(coefficients)
    gaussian = Gaussian.of(np.zeros(8), np.eye(8))
    _, _, changes = axes.audible_axes(w, heard, gaussian)
    np.testing.assert_allclose(np.linalg.norm(changes, axis=1), values[:3], rtol=1e-5)


def test_axes_of_all_categories_are_turned_alike(rng):
    """Oracle: three ways to sound different, which each category's axes mix in turns of its own."""
    size = np.array([9.0, 4.0, 2.0])[:, None]
    ways = np.linalg.qr(np.abs(rng.standard_normal((30, 3))))[0].T * size
    ways *= np.sign(ways.sum(1))[:, None]
    turns = np.linalg.qr(rng.standard_normal((5, 3, 3)))[0]
    changes = turns @ ways[None] + 0.01 * rng.standard_normal((5, 3, 30))
    turned = axes.alignment(changes) @ changes
    np.testing.assert_allclose(turned, np.stack([ways] * 5), atol=0.2)
    assert np.abs(changes - ways[None]).max() > 2


def test_what_is_audible_forgets_level_and_silence():
    """Oracle: a double loop over the cells."""
    rng = np.random.default_rng(0)
    mel = 10 ** rng.uniform(-6, 0, (2, 5, 40))
    heard = axes.audible(mel).reshape(2, 3, 3)
    np.testing.assert_allclose(axes.audible(1000 * mel).reshape(2, 3, 3), heard, atol=1e-9)
    full = np.pad(mel, ((0, 0), (0, 1), (0, 8)))
    for b in range(2):
        cells = [
            [full[b, 2 * t : 2 * t + 2, 16 * f : 16 * f + 16].mean() for f in range(3)]
            for t in range(3)
        ]
        decibels = np.maximum(20 * np.log10(np.maximum(cells / np.max(cells), 1e-12)), -50)
        np.testing.assert_allclose(heard[b], decibels, atol=1e-9)
    assert np.isfinite(axes.audible(np.zeros((1, 4, 32)))).all()


@pytest.fixture(scope="module")
def fitted(instrument):
    player = LinearPlayer(instrument, np.random.default_rng(0))
    tensors, words = axes.fit_axes(player, 0, lambda line: None)
    return player, controls.with_controls(instrument, tensors, words)


def test_three_audible_axes_hold_all_of_three_audible_directions(fitted):
    """The linear decoder hears 3 of 4 directions: three axes explain all, fewer do not."""
    _, instrument = fitted
    for shares in instrument.meta["controls"]["audible_share"].values():
        assert shares["audible"]["explains"] > 0.97
        assert shares["audible"]["reaches"] == pytest.approx(1, abs=0.05)
        assert shares["audible"]["explains"] > shares["paper"]["explains"]
    assert controls.names(instrument) == ("a1", "a2", "a3")
    lines = axes.as_text(instrument.meta["controls"]).splitlines()
    first = instrument.meta["controls"]["audible_share"]["kick"]["audible"]
    assert lines[2].split()[:2] == ["kick", f"{first['explains']:.1%}"]
    assert lines[-1].startswith("mean")


def test_what_axes_reach_is_measured_on_other_sounds(instrument):
    """A player that notes what it decodes: first the sounds of the fit, later none of them."""
    player = LinearPlayer(instrument, np.random.default_rng(0))
    decode, seen = player.decode, []
    player.decode = lambda z, category: seen.append(np.array(z)) or decode(z, category)
    axes.fit_axes(player, 0, lambda line: None)
    first = {row.tobytes() for z in seen[:3] for row in z}
    assert len(first) == 3 * axes.FIT_SOUNDS
    assert not first & {row.tobytes() for z in seen[3:] for row in z}


def test_an_axis_means_the_same_in_every_category(instrument):
    """Categories that hear the same three pictures, in other orders and with other signs."""
    player = LinearPlayer(instrument, np.random.default_rng(0))
    player.gains = np.array([[1.0, 0.6, 0.3], [-0.3, 1.0, -0.6], [0.6, -0.3, 1.0]])
    tensors, _ = axes.fit_axes(player, 0, lambda line: None)
    fitted = controls.with_controls(instrument, tensors, {})
    for alphas in np.eye(3):
        heard = []
        for category in range(3):
            z = [controls.from_alphas(fitted, s * alphas, category) for s in (0.25, -0.25)]
            up, down = axes.audible(player.decode(np.stack(z), category))
            heard.append(up - down)
        assert np.corrcoef(heard).min() > 0.5


def test_axes_are_fitted_the_same_twice(fitted, instrument):
    player, first = fitted
    tensors, words = axes.fit_axes(player, 0, lambda line: None)
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, first.tensors[name])
    assert words == first.meta["controls"]


@pytest.mark.parametrize("mode", controls.MODES)
@pytest.mark.parametrize("category", ["snare", 2, [0.5, 0.3, 0.2]])
def test_places_on_the_axes_and_back(fitted, mode, category):
    _, instrument = fitted
    alphas = np.array([[0.5, -1.0, 0.25], [0.0, 0.0, 1.0]])
    z = controls.from_alphas(instrument, alphas, category, mode, 2.0)
    np.testing.assert_allclose(
        controls.position(instrument, z, category, mode), 2 * alphas, atol=1e-3
    )
    one = controls.from_alphas(instrument, alphas[0], category, mode)
    np.testing.assert_array_equal(one, z[0])
    few = controls.from_alphas(instrument, [0.0], category, mode)
    gaussian = global_gaussian(instrument) if mode == "paper" else gaussian_of(instrument, category)
    np.testing.assert_allclose(few, gaussian.mean, rtol=1e-5, atol=1e-6)


def test_draws_have_places_of_variance_one(fitted):
    _, instrument = fitted
    z = controls.draw_codes(instrument, 1, 2000, 0)
    places = controls.position(instrument, z, 1, "audible")
    np.testing.assert_allclose(np.cov(places.T), np.eye(3), atol=0.1)


def test_moving_an_axis_moves_its_place(fitted):
    _, instrument = fitted
    z = controls.draw_codes(instrument, 1, 2, 0)
    moved = controls.move(instrument, z, 1, {"a2": 1.5})
    change = controls.position(instrument, moved, 1) - controls.position(instrument, z, 1)
    np.testing.assert_allclose(change, [[0, 1.5, 0]] * 2, atol=1e-4)
    with pytest.raises(ConfigError, match="there are a1, a2, a3"):
        controls.move(instrument, z, 1, {"a4": 1.0})
    with pytest.raises(ConfigError, match="3 axes, not 4"):
        controls.from_alphas(instrument, np.zeros(4), 1)
    for bad in (0.5, [np.nan], [200.0]):
        with pytest.raises(ConfigError, match="Alphas are a list"):
            controls.from_alphas(instrument, bad, 1)


def test_controls_leave_the_first_instrument_alone(instrument):
    fuller = with_steps(instrument, dusty=np.zeros((3, instrument.latents)))
    assert controls.names(instrument) == ()
    assert controls.names(fuller) == ("dusty",)
    assert fuller.identity == instrument.identity
