"""Ways to upsample, each against the two steps it stands for, and what they do to a constant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_nn_polyphase import scatter

from drumjax.errors import ConfigError
from drumjax.nn.polyphase import conv_transpose
from drumjax.nn.upsampling import KINDS, compose, gain, hann_taps, trained_width


def interpolated(kind, x, stride):
    """[t] -> [t * stride + stride - 1], zeros beyond the ends; sample i lies at i * stride + ..."""
    padded = np.concatenate([[0.0], x, [0.0]])
    if kind == "linear":
        at = np.arange(1 - stride, stride * len(x)) / stride + 1
        return np.interp(at, np.arange(len(padded)), padded)
    return np.repeat(x, stride)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("kind", ["linear", "nearest"])
def test_composed_kernel_interpolates_and_then_convolves(rng, kind, stride):
    x = rng.standard_normal(7)
    taps = trained_width(kind, 13, stride)
    kernel = rng.standard_normal(taps)
    whole = compose(kind, jnp.float32(kernel[:, None, None]), stride)
    assert whole.shape == (13, 1, 1)
    made = conv_transpose(jnp.float32(x[None, :, None]), whole, (stride,), (0,), (0,))[0, :, 0]
    np.testing.assert_allclose(
        made, np.convolve(interpolated(kind, x, stride), kernel), rtol=1e-5, atol=1e-5
    )


def test_linear_upsampling_is_torchs_within_the_signal(rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(9)
    one = compose("linear", jnp.ones((1, 1, 1)), 2)  # a single trained tap: interpolation alone
    ours = conv_transpose(jnp.float32(x[None, :, None]), one, (2,), (1,), (0,))[0, :, 0]
    theirs = torch.nn.functional.interpolate(
        torch.tensor(x)[None, None], size=17, mode="linear", align_corners=True
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-6)


def test_plain_and_windowed_kernels(rng):
    kernel = rng.standard_normal((2, 13, 3, 4)).astype(np.float32)
    assert compose("transposed", kernel, 2) is kernel
    windowed = np.asarray(compose("hann", jnp.asarray(kernel), 2))
    window = np.hanning(15)[1:-1]
    window /= np.sqrt(np.mean(window**2))
    for k in range(13):
        np.testing.assert_allclose(windowed[:, k], kernel[:, k] * window[k], rtol=1e-5)
    np.testing.assert_allclose(hann_taps(13)[::2].sum(), hann_taps(13)[1::2].sum(), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_level_of_noise_is_kept(rng, kind):
    taps, channels = trained_width(kind, 13, 2), 64
    deviation = np.sqrt(gain(kind, 2) / (taps * channels))
    kernel = jnp.float32(deviation * rng.standard_normal((taps, channels, channels)))
    x = jnp.float32(rng.standard_normal((1, 200, channels)))
    y = conv_transpose(x, compose(kind, kernel, 2), (2,), (6,), (1,))
    assert np.asarray(y)[:, 20:-20].std() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_stripes_on_a_constant(rng, kind):
    """Interpolation draws none, whatever the kernel; a free kernel does, a windowed one too."""
    kernel = jnp.float32(rng.standard_normal((trained_width(kind, 13, 2), 1, 1)))
    whole = np.asarray(compose(kind, kernel, 2))
    flat = scatter(np.ones((1, 30, 1)), whole, (2,), (6,), (1,))[0, 14:-14, 0]
    stripes = np.abs(np.diff(flat)).max() / np.abs(whole).sum()
    assert (stripes < 1e-6) == (kind in ("linear", "nearest"))


def test_bfloat16_stays_so():
    for kind in KINDS:
        kernel = jnp.ones((2, trained_width(kind, 13, 2), 1, 1), jnp.bfloat16)
        assert (
            jax.eval_shape(lambda k, kind=kind: compose(kind, k, 2), kernel).dtype == jnp.bfloat16
        )


def test_unknown_kinds_and_kernels_without_taps_are_refused():
    with pytest.raises(ConfigError, match="linear, nearest, not 'cubic'"):
        trained_width("cubic", 13, 2)
    with pytest.raises(ConfigError, match="leaves none of 5 taps"):
        trained_width("linear", 5, 4)
