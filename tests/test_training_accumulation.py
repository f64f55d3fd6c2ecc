"""What a smaller memory costs: micro-batches, recomputation and bfloat16 against the plain step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import CWAE, FRAMES, MCNN, NAMES, batch_of, bursts

from drumjax.errors import ConfigError
from drumjax.models import cwae, frame_wae, mcnn
from drumjax.models.objective import merge_categories, split_categories
from drumjax.nn.mmd import SCALES, mmd2_per_category
from drumjax.nn.parts import MicroBatch, gather, join_rows, own_part, split_rows
from drumjax.training.gradients import PLAIN, Memory, gradients
from drumjax.training.parallel import parallelise
from drumjax.training.state import create_state, trained
from drumjax.training.update import learning_rate, make_update

N = 16  # of each category
SHALLOW = dataclasses.replace(CWAE, channels=(2, 3), hidden=(8,), kernel="imq1")
MODELS = {
    "frame_wae": (frame_wae, dataclasses.replace(FRAMES, noise=0.5, kernel="imq1")),
    "mcnn": (mcnn, MCNN),
    "cwae": (cwae, SHALLOW),
}
KEY = 7


@functools.cache
def whole_batch():
    return batch_of(bursts(N, N, N), N)


@functools.cache
def prepared(name):
    """(objective, its one loss, fitted variables) of a model."""
    known = bursts(4, 4, 4, seed=1)
    module, config = MODELS[name]
    objective = module.objective(config)
    variables = jax.jit(objective.init)(jax.random.key(0))
    constants = objective.fit([(known.audio, known.category)])
    variables = {**variables, "constants": constants or variables["constants"]}
    return objective, next(iter(objective.losses.values())), jax.device_get(variables)


@functools.cache
def differentiate(name, memory, first_step=False):
    """(gradients, (batch_stats, metrics)) on one device; with the key of an update's first step."""
    _, loss, variables = prepared(name)
    batch = whole_batch()
    key = jax.random.key(KEY)
    if first_step:
        key = jax.random.split(jax.random.fold_in(key, 0), 1)[0]
    run = jax.jit(lambda v, b: gradients(loss, v, b, key, None, memory))
    return jax.device_get(run(variables, batch))


def distance(ours, theirs):
    """Norm of the difference of two trees over the norm of the second."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    error, norm = np.sum([[np.sum((a - b) ** 2), np.sum(b**2)] for a, b in pairs], axis=0)
    return np.sqrt(error / norm)


# Micro-batches


@pytest.mark.parametrize("name", ["frame_wae", "mcnn"])
def test_four_micro_batches_make_the_gradients_of_the_whole_batch(name):
    """Means over sounds add up, and the MMD sees the codes of all four: equal up to rounding."""
    grads, (_, metrics) = differentiate(name, Memory(4))
    whole, (_, expected) = differentiate(name, PLAIN)
    assert distance(grads, whole) < 1e-5
    assert metrics.keys() == expected.keys()
    for key, value in expected.items():
        assert metrics[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def by_hand(variables, batch, count):
    """A CWAE's loss with micro-batches, written out: each one's networks, then eq. 5 of all."""
    x = cwae.network_input(SHALLOW, variables["constants"], merge_categories(batch["audio"]))
    labels = jax.nn.one_hot(merge_categories(batch["category"]), len(NAMES))
    codes, errors, stats = [], 0.0, []
    for i in range(count):
        own, label = (merge_categories(split_categories(a, 3)[:, i::count]) for a in (x, labels))
        z, estimate, _, changed = cwae.run_networks(SHALLOW, variables, own, label, None, None)
        codes.append(split_categories(z, 3))
        errors += cwae.reconstruction_error(own, estimate).sum()
        stats.append(changed)
    z = jnp.stack(codes, 2).reshape(3, -1, SHALLOW.latents)  # back in the batch's order
    prior = jax.random.normal(jax.random.key(KEY), z.shape)
    mmd = mmd2_per_category(z, prior, SCALES[SHALLOW.kernel]).mean()
    return errors + SHALLOW.beta * mmd, stats


@pytest.fixture(scope="module")
def written_out():
    """Gradients and new statistics of each of four micro-batches, differentiated in one go."""
    _, _, variables = prepared("cwae")
    batch = whole_batch()
    of = jax.grad(lambda p: by_hand({**variables, "params": p}, batch, 4), has_aux=True)
    return jax.device_get(jax.jit(of)(variables["params"]))


def test_a_cwaes_micro_batches_differ_by_their_batch_norms_alone(written_out):
    """Eq. 5 of the whole batch where each quarter is normalised by itself; nothing else differs."""
    expected, stats = written_out
    grads, (running, _) = differentiate("cwae", Memory(4))
    assert distance(grads, expected) < 1e-5
    for leaf, *each in zip(jax.tree.leaves(running), *map(jax.tree.leaves, stats), strict=True):
        np.testing.assert_allclose(leaf, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)


def test_a_cwaes_running_statistics_lack_the_spread_of_the_micro_batches_means(written_out):
    """First layer, whose input is the same: mean as ever; the law of total variance for the rest.

    A statistic enters the running one, which began at 0 and at 1, with 1 - momentum = 0.1.
    """

    def first(stats):
        return stats["encoder"]["ConditionalBatchNorm_0"]["BatchNorm_0"]

    ours, whole = (first(differentiate("cwae", m)[1][0]) for m in (Memory(4), PLAIN))
    np.testing.assert_allclose(ours["mean"], whole["mean"], rtol=1e-4, atol=1e-6)
    lacking = 0.1 * np.var([first(s)["mean"] / 0.1 for s in written_out[1]], axis=0)
    assert np.all(lacking > 0)
    np.testing.assert_allclose(whole["var"] - ours["var"], lacking, rtol=0.05, atol=1e-6)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_micro_batches_on_eight_devices(mode):
    """Two on each of eight devices, recomputed too: the gradients of the whole batch."""
    objective, _, variables = prepared("frame_wae")
    optimiser, rate = optax.identity(), learning_rate(1.0, "constant", 10, 0)
    build = functools.partial(make_update, objective, optimiser, rate, KEY, memory=Memory(2, True))
    state = create_state(objective, optimiser, jax.random.key(0))
    state = state._replace(variables=jax.tree.map(jnp.asarray, variables))
    after, metrics = jax.device_get(parallelise(build, mode)(state, whole_batch()))
    changes = jax.tree.map(np.subtract, variables["params"], after.variables["params"])
    expected, (_, theirs) = differentiate("frame_wae", PLAIN, first_step=True)
    assert distance(changes, expected) < 1e-4  # of changes, each one a difference of float32
    for key, value in theirs.items():
        assert metrics[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def test_rows_of_a_part_and_back():
    x = np.arange(3 * 8 * 2).reshape(3, 8, 2)
    parts = split_rows(jnp.asarray(x), 4, 1)
    np.testing.assert_array_equal(parts[1], x[:, 1::4])
    np.testing.assert_array_equal(join_rows(parts, 1), x)
    np.testing.assert_array_equal(own_part(jnp.asarray(x), MicroBatch(None, 4, 3), 1), x[:, 3::4])


def test_mean_gradient_of_what_the_parts_gather_is_that_of_the_whole():
    """A loss of all pairs, by hand: sum_ij x_i x_j has the gradient 2 sum_j x_j."""
    x = jnp.asarray([1.0, 2.0, 4.0, -3.0])
    rows = split_rows(x, 2, 0)

    def own(row, index):
        whole = gather(row, MicroBatch(None, 2, index, [rows]), 0)
        return jnp.sum(whole) ** 2, whole

    for index in range(2):
        grads, whole = jax.grad(own, has_aux=True)(rows[index], jnp.int32(index))
        np.testing.assert_array_equal(whole, x)
        np.testing.assert_allclose(grads / 2, 2 * x.sum())  # each has its share of the mean


def test_fewer_than_one_micro_batch_is_refused():
    with pytest.raises(ConfigError, match=r"train\.accumulate must be at least 1, not 0"):
        Memory(0)


# Recomputation


def bytes_kept(name, memory):
    """What the loss keeps between its value and its gradients, by shapes alone."""
    _, loss, variables = prepared(name)
    from drumjax.training.gradients import recompute

    def of(part):
        params = {**variables["params"], **part}
        own = {**variables, "params": params}
        return loss.function(own, batch, jax.random.key(KEY), None)[0]

    batch, of = whole_batch(), recompute(of) if memory.remat else of
    rest = jax.eval_shape(lambda part: jax.vjp(of, part)[1], trained(variables, loss.trains))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(rest))


@pytest.mark.parametrize("name", MODELS)
def test_recomputed_gradients_are_the_same_and_less_is_kept(name):
    grads, (stats, metrics) = differentiate(name, Memory(remat=True))
    whole, (expected_stats, expected) = differentiate(name, PLAIN)
    assert distance(grads, whole) < 1e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), stats, expected_stats)
    for key, value in expected.items():
        assert metrics[key] == pytest.approx(value, rel=1e-6), key
    assert bytes_kept(name, Memory(remat=True)) < 0.6 * bytes_kept(name, PLAIN)


# bfloat16


@pytest.mark.parametrize(("name", "tolerance"), [("frame_wae", 0.05), ("mcnn", 0.1), ("cwae", 0.1)])
def test_bfloat16_gradients_are_those_of_float32_to_a_tolerance(name, tolerance):
    """bfloat16 has 8 bits: each rounding is worth 0.4 %. Gradients stay float32 in the state."""
    module, config = MODELS[name]
    half = module.objective(dataclasses.replace(config, compute_dtype="bfloat16"))
    [loss], (_, _, variables) = half.losses.values(), prepared(name)
    run = jax.jit(lambda v, b: gradients(loss, v, b, jax.random.key(KEY), None, PLAIN))
    grads, (_, metrics) = jax.device_get(run(variables, whole_batch()))
    whole, (_, expected) = differentiate(name, PLAIN)
    assert {g.dtype for g in jax.tree.leaves(grads)} == {np.dtype(np.float32)}
    assert 0 < distance(grads, whole) < tolerance
    assert metrics["loss"] == pytest.approx(expected["loss"], rel=0.02)
