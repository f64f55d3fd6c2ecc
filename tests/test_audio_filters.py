"""The zero-phase filter against sines whose fate is known, and a sum of them in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.audio.filters import keep_audible

RATE, SAMPLES = 22050, 22015
TIME = np.arange(SAMPLES) / RATE
MIDDLE = slice(
    4000, 18000
)  # where the edges of a sine that begins and ends at once are out of reach


def filtered(x):
    return np.asarray(keep_audible(jnp.asarray(x, jnp.float32), RATE, RATE / 2))


@pytest.mark.parametrize("hz", [40.0, 440.0, 5000.0, 10_500.0])
def test_what_is_heard_passes_without_delay(hz):
    x = np.sin(2 * np.pi * hz * TIME)
    np.testing.assert_allclose(filtered(x)[MIDDLE], x[MIDDLE], atol=5e-3)


@pytest.mark.parametrize("hz", [0.0, 1.0, RATE / 2])
def test_what_no_mel_filter_sees_is_gone(hz):
    x = np.cos(2 * np.pi * hz * TIME)
    assert np.abs(filtered(x)[MIDDLE]).max() < 0.02


def test_rows_are_filtered_alone_and_silence_stays_silence(rng):
    x = rng.normal(size=(2, 500)).astype(np.float32)
    x[1] = 0.0
    y = np.asarray(keep_audible(jnp.asarray(x), RATE, RATE / 2))
    np.testing.assert_allclose(y[0], np.asarray(keep_audible(x[0], RATE, RATE / 2)), atol=1e-6)
    assert not y[1].any()
