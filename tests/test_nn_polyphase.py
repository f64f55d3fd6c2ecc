"""Polyphase transposed convolutions against a scatter loop, torch and XLA's own convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drumjax.nn.conv_transpose import ConvTranspose
from drumjax.nn.polyphase import (
    by_platform,
    conv_transpose,
    conv_transpose_dilated,
    conv_transpose_phases,
    correlate,
    gather_taps,
    interleave,
    phase_kernel,
    plan_axis,
)

# sizes, kernel, strides, padding, output padding
CASES = [
    ((7,), (13,), (2,), (6,), (1,)),  # a layer of the MCNN
    ((1,), (13,), (2,), (6,), (1,)),
    ((5,), (11,), (3,), (5,), (2,)),
    ((9,), (5,), (2,), (2,), (0,)),
    ((6,), (3,), (1,), (1,), (0,)),
    ((6,), (4,), (4,), (0,), (0,)),
    ((3,), (2,), (5,), (0,), (3,)),  # a kernel shorter than its stride leaves gaps
    ((4,), (6,), (4,), (5,), (3,)),  # padding beyond a stride
    ((5, 4), (11, 5), (3, 2), (5, 2), (2, 1)),  # the three layers of the CWAE's decoder
    ((4, 5), (11, 5), (3, 2), (5, 2), (2, 0)),
    ((3, 3), (11, 5), (3, 2), (5, 2), (1, 1)),
    ((3, 4), (2, 5), (3, 1), (0, 1), (1, 0)),
]
FORMS = {"phases": conv_transpose_phases, "dilated": conv_transpose_dilated}


def scatter(x, w, strides, padding, extra):
    """y[s i + k] += x[i] w[k], then `padding` cut from the start: the definition."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    sizes, kernel = x.shape[1:-1], w.shape[:-2]
    grid = list(zip(sizes, kernel, strides, padding, extra, strict=True))
    y = np.zeros((len(x), *((n - 1) * s + k + e for n, k, s, _, e in grid), w.shape[-1]))
    for i in np.ndindex(*sizes):
        for k in np.ndindex(*kernel):
            at = tuple(a * s + b for a, s, b in zip(i, strides, k, strict=True))
            y[(slice(None), *at)] += x[(slice(None), *i)] @ w[k]
    cut = (slice(p, p + (n - 1) * s - 2 * p + k + e) for n, k, s, p, e in grid)
    return y[(slice(None), *cut)]


def dilated(x, w, strides, padding, extra):
    """XLA's form: a correlation with the flipped kernel of the input with zeros put between."""
    dims = len(strides)
    letters = "HW"[:dims]
    pads = [(k - 1 - p, k - 1 - p + e) for k, p, e in zip(w.shape, padding, extra, strict=False)]
    flipped = jnp.flip(w, range(dims))
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return jax.lax.conv_general_dilated(
        x, flipped, (1,) * dims, pads, strides, dimension_numbers=numbers, precision="highest"
    )


def arrays(rng, sizes, kernel, c_in=3, c_out=2):
    x = rng.standard_normal((2, *sizes, c_in), dtype=np.float32)
    return x, rng.standard_normal((*kernel, c_in, c_out), dtype=np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("sizes", "kernel", "strides", "padding", "extra"), CASES)
def test_equals_the_scatter_loop(rng, sizes, kernel, strides, padding, extra, form):
    x, w = arrays(rng, sizes, kernel)
    y = FORMS[form](x, w, (strides, padding, extra))
    expected = scatter(x, w, strides, padding, extra)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("sizes", "kernel", "strides", "padding", "extra"), CASES)
def test_equals_torch(rng, sizes, kernel, strides, padding, extra):
    torch = pytest.importorskip("torch")
    x, w = arrays(rng, sizes, kernel)
    dims = len(sizes)
    function = (torch.nn.functional.conv_transpose1d, torch.nn.functional.conv_transpose2d)[
        dims - 1
    ]
    weight = torch.from_numpy(np.ascontiguousarray(np.moveaxis(w, (-2, -1), (0, 1))))
    channels_first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
    y = function(channels_first, weight, None, strides, padding, extra).numpy()
    ours = conv_transpose(x, w, strides, padding, extra)
    np.testing.assert_allclose(ours, np.moveaxis(y, 1, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("sizes", "kernel", "strides", "padding", "extra"), CASES)
def test_gradients_equal_those_that_xla_derives(rng, sizes, kernel, strides, padding, extra, form):
    x, w = arrays(rng, sizes, kernel)
    shape = scatter(x, w, strides, padding, extra).shape
    cotangent = rng.standard_normal(shape, dtype=np.float32)

    def gradients(function):
        def pull(x, w):
            pairs = jax.vjp(lambda x, w: function(x, w, strides, padding, extra), x, w)
            return pairs[1](cotangent)

        return jax.jit(pull)(x, w)

    def own(x, w, *spec):
        return FORMS[form](x, w, spec)

    for ours, theirs in zip(gradients(own), gradients(dilated), strict=True):
        error = np.linalg.norm(ours - theirs)
        assert error <= 1e-5 * np.linalg.norm(theirs)


@pytest.mark.parametrize("size", [((19, 11), (0, 1)), ((57, 22), (0, 0)), ((171, 43), (2, 1))])
def test_forms_agree_at_the_sizes_of_the_cwae(rng, size):
    """Values and gradients in float64, which tells a wrong edge from rounding."""
    sizes, extra = size
    with jax.enable_x64(True):
        x, w = rng.standard_normal((1, *sizes, 2)), rng.standard_normal((11, 5, 2, 1))
        spec = (3, 2), (5, 2), extra
        pairs = [jax.vjp(lambda x, w, f=f: f(x, w, spec), x, w) for f in FORMS.values()]
        dy = np.cos(np.arange(pairs[0][0].size)).reshape(pairs[0][0].shape)
        for ours, theirs in zip(*((y, *pull(dy)) for y, pull in pairs), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())


def test_the_platform_chooses_the_form(rng):
    """XLA's program spreads the input by the strides on accelerators alone."""
    x, w = arrays(rng, (7,), (13,))

    def loss(x, w):
        return jnp.sum(conv_transpose(x, w, (2,), (6,), (1,)) ** 2)

    traced = jax.jit(jax.grad(loss, (0, 1))).trace(x, w)
    for platform, spread in (("cpu", False), ("tpu", True), ("cuda", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("lhs_dilate = [2]" in text) == spread, platform


def test_by_platform_runs_and_differentiates_the_form_of_this_one():
    f = by_platform(lambda x, y: x * y, cpu=lambda x, y: x**2 * y)
    assert float(f(3.0, 2.0)) == 18.0
    assert [float(g) for g in jax.grad(f, (0, 1))(3.0, 2.0)] == [12.0, 9.0]
    assert float(by_platform(lambda x: x + 1.0, tpu=lambda x: x)(1.0)) == 2.0
    mapped = jax.vmap(jax.grad(f), in_axes=(0, None))(jnp.array([1.0, 2.0]), 0.5)
    np.testing.assert_allclose(mapped, [1.0, 2.0])


@pytest.mark.parametrize("edges", [((2, 1),), ((-1, 2),), ((0, -2),)])
def test_gradients_of_a_correlation_equal_xlas(rng, edges):
    """Zeros put before and after, or samples taken away, as NumPy would."""
    x, w = arrays(rng, (9,), (3,))

    def plain(x, w, edges):
        numbers = ("NHC", "HIO", "NHC")
        return jax.lax.conv_general_dilated(x, w, (1,), edges, dimension_numbers=numbers)

    def pulled(function):
        y, back = jax.vjp(lambda x, w: function(x, w, edges), x, w)
        return y, *back(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    for ours, theirs in zip(pulled(correlate), pulled(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_matrix_form_carries_leading_axes_along(rng):
    """As the MCNN runs it: taps side by side, one matrix product, phases woven together."""
    x, w = arrays(rng, (7,), (13,))
    axis = plan_axis(7, 13, 2, 6, 1)
    stacked = np.stack([x, 2 * x])  # [2, b, t, c]
    y = interleave(gather_taps(stacked, [axis]) @ phase_kernel(w, (2,)), [axis])
    expected = scatter(x, w, (2,), (6,), (1,))
    np.testing.assert_allclose(y, np.stack([expected, 2 * expected]), rtol=1e-5, atol=1e-5)


def test_layer_is_the_function_and_a_bias(rng):
    x, _ = arrays(rng, (5, 4), (11, 5))
    options = ((3, 2), (5, 2), (2, 1))
    layer = ConvTranspose(2, (11, 5), *options)
    variables = layer.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables["params"]) == {"kernel": (11, 5, 3, 2), "bias": (2,)}
    kernel = variables["params"]["kernel"]
    bias = jnp.array([0.5, -2.0])
    y = layer.apply({"params": {"kernel": kernel, "bias": bias}}, x)
    expected = scatter(x, kernel, *options) + np.array([0.5, -2.0])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_layer_computes_in_its_dtype(rng):
    x, _ = arrays(rng, (5,), (4,))
    layer = ConvTranspose(2, (4,), (2,), (1,), (0,), use_bias=False, dtype=jnp.bfloat16)
    variables = layer.init(jax.random.key(0), x)
    assert list(variables["params"]) == ["kernel"]
    assert variables["params"]["kernel"].dtype == jnp.float32
    assert layer.apply(variables, x).dtype == jnp.bfloat16
