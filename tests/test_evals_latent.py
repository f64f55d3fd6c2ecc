"""Codes against their prior, and what lies between them, by constructed decoders."""

import numpy as np
import pytest
from scipy.stats import binomtest

from drumjax.errors import DataError
from drumjax.evals.latent import expected_share, mean_mmd, mmd_to_prior, pca_share, smoothness

FRAMES, MELS = 4, 3
ONE = np.ones((5, 1), np.float32)


def in_decibels(z, weights):
    """A decoder whose log-mel is a line: every element at 10 dB times the first latent."""
    return np.tile(10 ** (z[:, :1, None] / 2), (1, FRAMES, MELS))


def in_a_leap(z, weights):
    """A decoder that knows two sounds, 20 dB apart."""
    return np.tile(np.where(z[:, :1, None] > 0.5, 10.0, 1.0), (1, FRAMES, MELS))


def test_the_null_is_calibrated():
    """Codes of the prior exceed the 95 % quantile in 5 % of cases; p is uniform."""
    rng = np.random.default_rng(5)
    found = [mmd_to_prior(rng.standard_normal((24, 4)), 24, seed=i) for i in range(400)]
    beyond = sum(each["mmd2"] > each["null_q95"] for each in found)
    assert binomtest(beyond, 400, 0.05).pvalue > 0.01
    assert np.mean([each["p"] for each in found]) == pytest.approx(0.5, abs=0.05)


def test_the_null_of_64_codes_is_the_known_one(rng):
    """95 % of draws of 64 codes of 64 latents lie below 1.23e-2, measured with another program."""
    assert mmd_to_prior(rng.standard_normal((64, 64)), 64)["null_q95"] == pytest.approx(
        1.23e-2, rel=0.2
    )


@pytest.mark.parametrize("change", [lambda z: z + 0.3, lambda z: 1.3 * z, lambda z: 0.7 * z])
def test_codes_unlike_the_prior_stand_out(rng, change):
    found = mmd_to_prior(change(rng.standard_normal((64, 64))), 64)
    assert found["ratio"] == found["mmd2"] / found["null_q95"] > 2
    assert found["p"] == pytest.approx(1 / 401)


def test_few_codes_are_said_to_be_few_and_held_against_their_own_null(rng):
    z = rng.standard_normal((40, 4))
    found, all_of_them = mmd_to_prior(z, 600), mmd_to_prior(z, 40)
    assert (found["n"], found["short"]) == (40, 560)
    assert {**found, "short": 0} == all_of_them
    assert mmd_to_prior(z, 20)["null_q95"] > found["null_q95"]


def test_more_codes_than_asked_for_are_drawn_by_the_seed(rng):
    z = rng.standard_normal((90, 4))
    assert mmd_to_prior(z, 30, seed=1) == mmd_to_prior(z, 30, seed=1)
    assert mmd_to_prior(z, 30, seed=1)["mmd2"] != mmd_to_prior(z, 30, seed=2)["mmd2"]
    assert mmd_to_prior(z, 30)["n"] == 30


def test_the_mean_of_draws_is_that_of_single_ones_and_steadier(rng):
    z = 1.2 * rng.standard_normal((90, 4))
    found = mean_mmd(z, 16, seed=3, draws=4)
    single = [mmd_to_prior(z, 16, seed=3 + i) for i in range(4)]
    assert found["mmd2"] == pytest.approx(np.mean([each["mmd2"] for each in single]))
    assert found["null_q95"] == single[0]["null_q95"]
    assert (found["n"], found["ratio"]) == (16, found["mmd2"] / found["null_q95"])
    spread = [
        np.std([mean_mmd(z, 16, seed=100 * i, draws=draws)["ratio"] for i in range(12)])
        for draws in (1, 16)
    ]
    assert spread[1] < 0.6 * spread[0]


def test_the_expected_share_is_what_codes_of_the_prior_have(rng):
    """Of 20 codes of 32 latents three axes hold about a third, not 3 / 32; of all, all."""
    shares = [pca_share(rng.standard_normal((20, 32))) for _ in range(60)]
    assert expected_share(20, 32) == pytest.approx(np.mean(shares), rel=0.06)
    assert expected_share(20, 32) > 2.5 * 3 / 32
    assert expected_share(5, 3) == pytest.approx(1.0)


def test_pca_share_by_hand():
    z = np.array([[3, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]])
    assert pca_share(7 + z, 1) == pytest.approx(9 / 14)
    assert pca_share(z, 2) == pytest.approx(13 / 14)
    assert pca_share(z) == pytest.approx(1.0)


def test_a_perfect_prior_has_no_principal_axes(rng):
    assert pca_share(rng.standard_normal((20000, 64)), 3) == pytest.approx(3 / 64, rel=0.15)


def test_an_even_path_has_no_jump():
    a, b = np.zeros((5, 2)), np.array([[1.0, 0.0]] * 5)
    found = smoothness(in_decibels, a, b, ONE)["linear"]
    assert found["jump"] == pytest.approx(1.0, abs=1e-4)
    assert found["worst"] == pytest.approx(1.0, abs=1e-4)
    assert found["detour"] == pytest.approx(1.0, abs=1e-4)
    assert found["pairs"] == 5


def test_a_leap_is_one_step_of_all():
    a, b = np.zeros((5, 2)), np.array([[1.0, 0.0]] * 5)
    found = smoothness(in_a_leap, a, b, ONE, steps=9)["linear"]
    assert found["jump"] == pytest.approx(8.0)
    assert found["detour"] == pytest.approx(1.0)


def test_the_spherical_path_follows_the_circle():
    """From (1, 0) to (0, 1) the first latent is cos: its greatest step, over the mean of 1/15."""
    a, b = np.array([[1.0, 0.0]] * 5), np.array([[0.0, 1.0]] * 5)
    steps = -np.diff(np.cos(np.linspace(0, np.pi / 2, 16)))
    found = smoothness(in_decibels, a, b, ONE)
    assert found["spherical"]["jump"] == pytest.approx(15 * steps.max(), rel=1e-3)
    assert found["linear_smoother"] == 1.0
    assert found["p"] == pytest.approx(2 / 2**5)


def test_a_path_there_and_back_is_a_detour():
    """On the circle from 30° to 150° the second latent rises from 0.5 to 1 and falls to 0.5."""

    def height(z, weights):
        lift = in_decibels(z[:, 1:], weights)
        lift[:, 0] = 10 ** (0.01 * z[:, :1])  # tells the ends apart
        return lift

    angle = np.radians([30, 150])
    a, b = (np.array([[np.cos(x), np.sin(x)]]) for x in angle)
    found = smoothness(height, a, b, ONE[:1], steps=31)
    assert found["linear"]["detour"] == pytest.approx(1.0, abs=1e-3)
    assert found["spherical"]["detour"] > 10


def test_parallel_codes_have_a_spherical_path():
    a = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = smoothness(in_decibels, a, np.array([[2.0, 0], [1, 0], [-1, 0]]), ONE[:3])
    assert found["spherical"]["jump"] == pytest.approx(1.0, abs=1e-4)
    assert found["linear_smoother"] == pytest.approx(0.5, abs=0.5)


def test_a_decoder_that_ignores_its_codes_is_even():
    def deaf(z, weights):
        return np.ones((len(z), FRAMES, MELS))

    found = smoothness(deaf, np.zeros((2, 2)), np.ones((2, 2)), ONE[:2])
    assert found["linear"]["jump"] == found["linear"]["detour"] == 1.0
    assert found["linear_smoother"] == 0.5
    assert found["p"] == 1.0


def test_each_path_has_its_own_weights():
    def by_weight(z, weights):
        return in_decibels(z, weights) ** weights[:, :1, None]

    a, b = np.zeros((2, 2)), np.ones((2, 2))
    found = smoothness(by_weight, a, b, np.array([[1.0], [0.0]]))
    assert found["linear"]["worst"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mmd_to_prior(np.zeros((1, 3))), "At least 2 codes"),
        (lambda: mmd_to_prior(np.full((4, 3), np.nan)), "finite"),
        (lambda: pca_share(np.zeros((4, 3))), "the same"),
        (lambda: smoothness(in_decibels, np.zeros((2, 2)), np.zeros((1, 2)), ONE[:2]), "Paths"),
        (lambda: smoothness(in_decibels, np.zeros((1, 2)), np.ones((1, 2)), ONE[:1], 2), "3 steps"),
        (lambda: mean_mmd(np.zeros((4, 3)), 5), "At least 5 codes"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(call, said):
    with pytest.raises(DataError, match=said):
        call()
