"""Distances of sets of points: closed forms, double loops, and what each of them cannot see."""

import numpy as np
import pytest
import scipy.linalg
from tiny import MEL

from drumjax.errors import DataError
from drumjax.evals.accuracy import accuracy_ratio, confusion, ratio_interval, recognition
from drumjax.evals.distribution import (
    bandwidth,
    copies,
    fad,
    fad_infinity,
    kad,
    kad_interval,
    nearer,
    prdc,
    vendi,
)
from drumjax.evals.embedding import log_mel_statistics


def gaussian_kad(shift, width):
    """MMD² × 1,000 of N(0, I) and N(shift, I): E k(x, y) of a Gaussian difference, integrated."""
    same = (width**2 / (width**2 + 2)) ** (len(shift) / 2)
    return 2e3 * same * (1 - np.exp(-(shift @ shift) / (2 * (width**2 + 2))))


def looped_kad(a, b, width, kits=None):
    """Term by term; of a only pairs of different kits."""

    def kernel(x, y):
        return np.exp(-((x - y) ** 2).sum() / (2 * width**2))

    def within(x, kits=None):
        kits = range(len(x)) if kits is None else kits
        both = list(zip(x, kits, strict=True))
        pairs = [kernel(y, z) for y, i in both for z, j in both if i != j]
        return np.mean(pairs)

    cross = np.mean([kernel(x, y) for x in a for y in b])
    return 1e3 * (within(a, kits) + within(b) - 2 * cross)


def looped_prdc(real, made, k):
    """Kynkäänniemi et al., eq. 1, and Naeem et al., eqs. 3 and 4, point by point."""

    def radius(x, i):
        return np.sort([np.linalg.norm(x[i] - y) for y in x])[k]

    r, m = ([radius(x, i) for i in range(len(x))] for x in (real, made))
    near = np.array([[np.linalg.norm(x - y) for y in made] for x in real])
    return {
        "precision": np.mean([any(near[:, j] < r) for j in range(len(made))]),
        "recall": np.mean([any(near[i] < m) for i in range(len(real))]),
        "density": sum(near[i, j] < r[i] for i in range(len(real)) for j in range(len(made)))
        / (k * len(made)),
        "coverage": np.mean([min(near[i]) < r[i] for i in range(len(real))]),
    }


def exact(rng, n, mean, covariance):
    """n points whose sample mean and covariance are these to the last digit."""
    x = rng.standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_bandwidth_is_the_median_distance_of_pairs(rng):
    x = rng.standard_normal((9, 3))
    pairs = [np.linalg.norm(x[i] - x[j]) for i in range(9) for j in range(i)]
    assert bandwidth(x) == pytest.approx(np.median(pairs))


def test_bandwidth_of_copies_can_be_divided_by():
    x = np.zeros((10, 2))
    assert bandwidth(x) == 1.0
    x[0] = 3.0
    assert 0 < bandwidth(x) < 3.0


def test_kad_equals_a_double_loop(rng):
    a, b = rng.standard_normal((7, 3)), 0.5 + rng.standard_normal((5, 3))
    assert kad(a, b, 1.3) == pytest.approx(looped_kad(a, b, 1.3), rel=1e-9)


def test_kad_in_blocks_equals_kad_at_once(rng, monkeypatch):
    a, b = rng.standard_normal((23, 3)), 0.5 + rng.standard_normal((17, 3))
    at_once = kad_interval(a, b, 1.3, np.arange(23) // 4), prdc(a, b), vendi(a)
    monkeypatch.setattr("drumjax.evals.distribution._ROWS", 5)
    in_blocks = kad_interval(a, b, 1.3, np.arange(23) // 4), prdc(a, b), vendi(a)
    np.testing.assert_allclose(in_blocks[0], at_once[0], rtol=1e-9)
    assert in_blocks[1] == at_once[1]
    assert in_blocks[2] == pytest.approx(at_once[2])


@pytest.mark.parametrize(("n", "m"), [(12, 12), (12, 60)])
def test_kad_of_one_distribution_is_zero_on_average_for_any_sizes(rng, n, m):
    values = [
        kad(rng.standard_normal((n, 4)), rng.standard_normal((m, 4)), 2.0) for _ in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8  # not clamped


def test_kad_of_a_known_shift(rng):
    shift, width = np.array([0.6, 0.0, -0.3]), 1.5
    values = [
        kad(rng.standard_normal((80, 3)), shift + rng.standard_normal((60, 3)), width)
        for _ in range(200)
    ]
    error = np.std(values) / np.sqrt(200)
    assert error < 0.05 * np.mean(values)
    assert np.mean(values) == pytest.approx(gaussian_kad(shift, width), abs=3 * error)


def test_the_interval_is_that_of_leaving_each_kit_out(rng):
    a, b = rng.standard_normal((12, 3)), 0.4 + rng.standard_normal((9, 3))
    kits = np.array(["x", "y", "z"])[[0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 1, 0]]
    of_a = [looped_kad(a[kits != k], b, 1.5, kits[kits != k]) for k in "xyz"]
    of_b = [looped_kad(a, np.delete(b, i, axis=0), 1.5, kits) for i in range(9)]
    variance = 2 * np.var(of_a) + 8 * np.var(of_b)
    found = kad_interval(a, b, 1.5, kits)
    assert found.mean == pytest.approx(looped_kad(a, b, 1.5, kits))
    assert found.high - found.mean == pytest.approx(1.96 * np.sqrt(variance), rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert (found.n, found.groups) == (12, 3)


def test_the_interval_covers_the_truth_if_the_sounds_of_a_kit_are_alike(rng):
    """Kits with an offset of variance 1/2 each: all sounds together are N(0, I)."""
    shift, width = np.full(3, 0.7), 2.0
    truth = gaussian_kad(shift, width)
    kits, covered, naive = np.arange(120) // 4, 0, 0
    for _ in range(60):
        offset = rng.standard_normal((30, 3))[kits]
        a = np.sqrt(0.5) * (offset + rng.standard_normal((120, 3)))
        b = shift + rng.standard_normal((120, 3))
        by_kit, by_sound = kad_interval(a, b, width, kits), kad_interval(a, b, width)
        covered += by_kit.low <= truth <= by_kit.high
        naive += by_sound.low <= truth <= by_sound.high
    assert covered >= 52  # 57 expected; fewer than 52 in 2 of 100 runs at a true 95 %
    assert naive < covered


def test_one_kit_tells_nothing_of_others(rng):
    x = rng.standard_normal((6, 2))
    alone = kad_interval(x, x + 1, 1.0, np.zeros(6))
    assert np.isnan([alone.mean, alone.low, alone.high]).all()
    two = kad_interval(x, x + 1, 1.0, np.arange(6) % 2)
    assert np.isfinite(two.mean)
    assert np.isnan([two.low, two.high]).all()  # without one of them no pair is left


def test_kits_that_are_alike_inside_do_not_move_a_set_away(rng):
    """Both from one distribution, the reference in kits of five: 0 with kits, and not without."""
    kits, found = np.arange(40) // 5, []
    for _ in range(150):
        a = np.sqrt(0.7) * rng.standard_normal((8, 3))[kits]
        a += np.sqrt(0.3) * rng.standard_normal((40, 3))
        b = rng.standard_normal((40, 3))
        found.append((kad_interval(a, b, 2.0, kits).mean, kad(a, b, 2.0)))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(150)
    assert abs(mean[0]) < 3 * error[0]
    assert mean[1] > 6 * error[1]


def test_fad_is_the_closed_form_of_two_gaussians(rng):
    m_a, m_b = np.array([1.0, 0.0, -2.0]), np.array([0.5, 1.0, 0.0])
    a = exact(rng, 50, m_a, np.diag([4.0, 1.0, 0.25]))
    b = exact(rng, 40, m_b, np.diag([1.0, 9.0, 0.25]))
    expected = ((m_a - m_b) ** 2).sum() + (2 - 1) ** 2 + (1 - 3) ** 2
    assert fad(a, b) == pytest.approx(expected, rel=1e-9)
    assert fad(b, a) == pytest.approx(expected, rel=1e-9)


def test_fad_equals_scipy_where_the_covariances_do_not_commute(rng):
    c_a, c_b = (np.cov(rng.standard_normal((4, 9)) * np.arange(1, 5)[:, None]) for _ in range(2))
    a, b = exact(rng, 30, np.zeros(4), c_a), exact(rng, 30, np.zeros(4), c_b)
    root = scipy.linalg.sqrtm(c_a @ c_b).real
    assert fad(a, b) == pytest.approx(np.trace(c_a + c_b - 2 * root), rel=1e-6)


def test_fad_is_safe_where_features_outnumber_the_sounds(rng):
    few = rng.standard_normal((6, 40))
    few[:, 3] = 1.0
    assert fad(few, few) == pytest.approx(0.0, abs=1e-6)
    assert fad(few, few + 0.5) == pytest.approx(40 * 0.25, rel=1e-6)


def test_fad_infinity_takes_off_what_few_sounds_add(rng):
    a, b = rng.standard_normal((400, 8)), rng.standard_normal((300, 8))
    value, floor = fad_infinity(a, b, seed=0)
    assert fad(a, b) > 0.08
    assert abs(value) < 0.3 * fad(a, b)
    assert abs(floor) < 0.3 * fad(a[:200], a[200:])
    assert fad_infinity(a, b + 2.0, seed=0)[0] == pytest.approx(8 * 4.0, rel=0.15)
    assert fad_infinity(a, b, seed=0) == (value, floor)


@pytest.mark.parametrize("k", [1, 5])
def test_prdc_equals_a_double_loop(rng, k):
    real, made = rng.standard_normal((30, 3)), 0.7 + 0.8 * rng.standard_normal((21, 3))
    expected = looped_prdc(real, made, k)
    assert 0 < expected["recall"] < 1
    assert prdc(real, made, k) == pytest.approx(expected)


def tones(count, seed):
    """Falling tones in noise of -60 to -10 dB, as recordings have it: float32 [count, samples]."""
    rng = np.random.default_rng(seed)
    t = np.arange(MEL.num_samples)[None, :] / MEL.sample_rate
    pitch, decay, hiss = rng.uniform([100, 50, -60], [400, 200, -10], (count, 3)).T[..., None]
    tone = np.sin(2 * np.pi * pitch * t) * np.exp(-decay * t)
    return (tone + 10 ** (hiss / 20) * rng.standard_normal(tone.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def sounds():
    """Features of tones, of others, of those with noise, and of a few of them repeated."""
    real, other = tones(300, 0), tones(300, 1)
    noise = 10 ** (-22 / 20) * np.random.default_rng(2).standard_normal(other.shape)
    embed = log_mel_statistics(MEL, real).function
    cases = {
        "other": other,
        "noise": other + noise,
        "collapse": other[np.resize(np.arange(10), 300)],
    }
    return embed(real), {name: embed(np.float32(x)) for name, x in cases.items()}


def test_other_real_sounds_are_at_the_floor(sounds):
    real, cases = sounds
    width = bandwidth(real)
    interval = kad_interval(real, cases["other"], width)
    assert interval.low < 0 < interval.high
    assert abs(interval.mean) < 2
    measured = prdc(real, cases["other"])
    assert min(measured["precision"], measured["recall"], measured["coverage"]) > 0.8
    assert measured["density"] == pytest.approx(1.0, abs=0.15)


def test_noise_is_caught_by_kad_and_not_by_precision(sounds):
    real, cases = sounds
    width = bandwidth(real)
    noisy = kad_interval(real, cases["noise"], width)
    assert noisy.low > 10 * abs(kad(real, cases["other"], width))
    clean, measured = prdc(real, cases["other"]), prdc(real, cases["noise"])
    assert measured["precision"] > clean["precision"] - 0.1  # of .81; its spread is .03
    assert measured["coverage"] < clean["coverage"] - 0.3


def test_collapse_is_caught_by_recall_and_not_by_precision(sounds):
    real, cases = sounds
    clean, measured = prdc(real, cases["other"]), prdc(real, cases["collapse"])
    assert measured["precision"] > clean["precision"] - 0.1
    assert measured["density"] > 0.8
    assert measured["recall"] == 0.0
    assert measured["coverage"] < 0.5 * clean["coverage"]
    width = bandwidth(real)
    assert vendi(cases["collapse"], width) < 0.7 * vendi(cases["other"], width)


def test_copies_are_found(rng):
    train = rng.standard_normal((400, 6))
    fresh = rng.standard_normal((500, 6))
    assert copies(train, fresh) < 0.03  # 0.01 expected
    copied = np.concatenate([train[:100] + 1e-3, fresh[:300]])
    assert copies(train, copied) == pytest.approx(0.25, abs=0.02)


def test_a_training_sound_that_occurs_twice_hides_no_copy(rng):
    train = rng.standard_normal((100, 4))
    doubled = np.concatenate([train, train[:60]])
    assert copies(doubled, train[:50]) == 1.0
    assert copies(doubled, 5 + train) == 0.0


def test_copies_that_were_blurred_are_nearer_to_what_they_were_made_of(rng):
    """Blurred by less than sounds are apart: `copies` misses them, `nearer` does not."""
    train, held, fresh = (rng.standard_normal((n, 32)) for n in (200, 200, 1000))
    blurred = train + 0.9 * rng.standard_normal(train.shape)
    assert copies(train, blurred) < 0.5
    assert nearer(train, held, blurred).mean() > 0.95
    assert nearer(train, held, fresh).mean() == pytest.approx(0.5, abs=0.1)
    assert nearer(held, train, blurred).mean() < 0.05
    with pytest.raises(DataError, match="199 and 200 points"):
        nearer(train[1:], held, fresh)


def test_vendi_counts_what_is_different():
    apart = 100.0 * np.eye(5)
    assert vendi(apart, 1.0) == pytest.approx(5.0)
    assert vendi(np.repeat(apart, 3, axis=0), 1.0) == pytest.approx(5.0)
    assert vendi(np.ones((7, 3)), 1.0) == pytest.approx(1.0)


def test_vendi_of_two_points_is_the_closed_form():
    """Eigenvalues (1 ± k) / 2 with k = exp(-1/2)."""
    shares = (1 + np.array([1, -1]) * np.exp(-0.5)) / 2
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert vendi(np.array([[0.0], [2.0]]), 2.0) == pytest.approx(expected)


def test_vendi_sees_a_set_shrink_only_with_a_width_of_its_own_kept(rng):
    x = rng.standard_normal((60, 4))
    assert vendi(0.3 * x) == pytest.approx(vendi(x))
    assert vendi(0.3 * x, bandwidth(x)) < 0.5 * vendi(x, bandwidth(x))


@pytest.mark.parametrize("measure", [lambda a, b: kad(a, b, 1.0), fad, fad_infinity, prdc, copies])
@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.ones((9, 3)), np.ones((0, 3)), "needed"),
        (np.ones((9, 3)), np.ones((9, 2)), "cannot be compared"),
        (np.ones((9, 3)), np.full((9, 3), np.nan), "not finite"),
    ],
)
def test_bad_features_are_refused_in_a_sentence(measure, a, b, said):
    with pytest.raises(DataError, match=said):
        measure(a, b)


def test_recognition_counts_by_hand():
    wanted, heard = [0, 0, 0, 0, 1, 1, 3], [0, 0, 0, 1, 1, 2, 3]
    found = recognition(np.array(wanted), np.array(heard), ("kick", "snare", "clap", "tom"))
    assert found["confusion"] == [[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert {k: v.mean for k, v in found["categories"].items()} == {
        "kick": 0.75,
        "snare": 0.5,
        "tom": 1.0,
    }
    macro = found["macro"]
    assert macro.mean == pytest.approx(0.75)
    assert (macro.n, macro.groups) == (7, 3)
    assert macro.low < 0.75 < macro.high <= 1.0


def test_the_interval_of_the_macro_accuracy_covers_the_truth(rng):
    truth, sizes, covered = np.array([0.9, 0.5, 0.7]), np.array([40, 12, 20]), 0
    wanted = np.repeat(np.arange(3), sizes)
    for _ in range(300):
        right = rng.random(len(wanted)) < truth[wanted]
        macro = recognition(wanted, np.where(right, wanted, (wanted + 1) % 3), "abc")["macro"]
        covered += macro.low <= truth.mean() <= macro.high
    assert 0.92 < covered / 300 < 0.99


def test_the_ratio_is_over_shared_categories_alone():
    real = recognition(np.array([0, 0, 1]), np.array([0, 1, 1]), ("kick", "snare"))
    made = recognition(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), ("kick", "snare"))
    assert accuracy_ratio(made, real) == pytest.approx(0.75 / 0.5)
    clap = recognition(np.array([0]), np.array([0]), ("clap",))
    assert np.isnan(accuracy_ratio(clap, real))


def test_the_ratio_s_interval_covers_the_truth_with_kits(rng):
    """Kits differ in how well they are recognised; categories differ too."""
    base, made_share, covered, widths = np.array([0.7, 0.5]), np.array([0.9, 0.6]), 0, []
    for _ in range(100):
        ease = rng.uniform(-0.25, 0.25, 30)
        kits, category = np.repeat(np.arange(30), 6), np.tile([0, 0, 0, 1, 1, 1], 30)
        real = rng.random(180) < base[category] + ease[kits]
        new = np.repeat([0, 1], 64)
        made = rng.random(128) < made_share[new]
        found = ratio_interval(1.0 * real, category, kits, 1.0 * made, new, draws=400)
        covered += found.low <= made_share.mean() / base.mean() <= found.high
        widths.append(found.high - found.low)
    assert 88 <= covered <= 100  # of 95; two in a hundred runs below 90
    assert np.mean(widths) < 0.6
    assert (found.n, found.groups) == (180, 30)


def test_the_ratio_by_hand_and_without_an_interval_for_four_kits():
    real, category = np.array([1, 0, 1, 1.0]), np.array([0, 0, 1, 2])
    made, wanted = np.array([1, 1, 0.5, 0.0]), np.array([0, 1, 1, 3])
    found = ratio_interval(real, category, np.arange(4), made, wanted)
    assert found.mean == pytest.approx((1 + 0.75) / (0.5 + 1))  # of categories 0 and 1
    assert np.isnan([found.low, found.high]).all()
    assert (found.n, found.groups) == (3, 3)
    assert np.isnan(ratio_interval(0 * real, category, np.arange(4), made, wanted).mean)


def test_answers_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="2 answers for 3"):
        confusion(np.zeros(3), np.zeros(2), 2)
    with pytest.raises(DataError, match="outside 0 to 1"):
        confusion(np.array([0]), np.array([2]), 2)
    with pytest.raises(DataError, match="no sounds"):
        recognition(np.zeros(0), np.zeros(0), ("kick",))
