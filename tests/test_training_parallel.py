"""One device, pmap over eight and a jit sharded over eight make the same update."""

import contextlib
import dataclasses
import functools
import logging
import re
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import CWAE, FRAMES, MCNN, batch_of, bursts

from drumjax.errors import ConfigError
from drumjax.models import cwae, frame_wae, mcnn
from drumjax.nn.mmd import mmd2_per_category
from drumjax.train import batches
from drumjax.training.parallel import parallelise, resolve_mode, split_devices
from drumjax.training.state import create_state
from drumjax.training.update import learning_rate, make_update

PER_CATEGORY = 16
NOISY = dataclasses.replace(FRAMES, noise=0.5)  # the codes of one sound meet one noise everywhere
SHALLOW = dataclasses.replace(CWAE, channels=(2, 3), hidden=(8,))
PEAK = 0.01


@pytest.fixture(scope="module")
def batch():
    source = bursts(PER_CATEGORY, PER_CATEGORY, PER_CATEGORY)
    return batch_of(source, PER_CATEGORY)


@pytest.fixture(scope="module", params=["cwae", "frame_wae", "mcnn"])
def updates(request, batch):
    """{mode: (state before, state after, metrics)} of one step of plain gradient descent.

    Adam's first step is near the sign of the gradient, which rounding turns where it is 0; without
    it the change of a parameter is its gradient.
    """
    known = bursts(4, 4, 4, seed=1)
    pairs = [(known.audio, known.category)]
    if request.param == "cwae":
        constants, objective = cwae.fit(SHALLOW, pairs), cwae.objective(SHALLOW)
    elif request.param == "frame_wae":
        constants, objective = frame_wae.fit(NOISY, pairs), frame_wae.objective(NOISY)
    else:
        constants, objective = {}, mcnn.objective(MCNN)
    plain = optax.identity()
    rate = learning_rate(PEAK, "constant", 10, 0)
    build = functools.partial(make_update, objective, plain, rate, 7)
    state = jax.jit(lambda key: create_state(objective, plain, key))(jax.random.key(0))
    state = state._replace(variables={**state.variables, "constants": constants})
    host = jax.tree.map(np.asarray, state)
    results = {}
    for mode in ("none", "pmap", "jit"):
        fresh, step = jax.tree.map(jnp.asarray, host), parallelise(build, mode)
        with compilations() as compiled:
            after, metrics = step(fresh, batch)
            results[mode] = (host, *jax.device_get((after, metrics)))
            # What the loop does between steps: numbers and constants that the host made anew.
            changed = {**after.variables, "constants": jax.tree.map(jnp.asarray, constants)}
            last, _ = step(after._replace(lr_scale=jnp.float32(0.5), variables=changed), batch)
            step(last, step.put_batch(batch))
        results[mode, "compiled"] = compiled
        results[mode, "consumed"] = [x.is_deleted() for x in jax.tree.leaves(last)]
    return results


@contextlib.contextmanager
def compilations():
    """The names of the functions that JAX compiles meanwhile; pmap calls every one `_fun`."""
    names, logger = [], logging.getLogger("jax")

    class Reader(logging.Handler):
        def emit(self, record):
            if found := re.match(r"Compiling jit\((update|_fun)\)", record.getMessage()):
                names.append(found[1])

    reader, quiet = Reader(), logger.propagate
    logger.addHandler(reader)
    logger.propagate = False
    try:
        with jax.log_compiles():
            yield names
    finally:
        logger.removeHandler(reader)
        logger.propagate = quiet


def changes(result):
    before, after, _ = result
    return jax.tree.map(lambda a, b: b - a, before.variables["params"], after.variables["params"])


def assert_close(ours, theirs, relative):
    """Leaf by leaf, the norm of the difference against the norm, or float32 rounding of 1.

    The last bias, 0 before, is one step along a sum that nearly cancels.
    """
    pairs = zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
    for (path, a), b in pairs:
        error = np.linalg.norm(np.asarray(a) - b)
        allowed = relative * np.linalg.norm(b) + 1e-7 * np.sqrt(b.size)
        assert error <= allowed, f"{jax.tree_util.keystr(path)}: {error:.2g} > {allowed:.2g}"


@pytest.mark.parametrize("mode", ["none", "pmap", "jit"])
def test_an_update_compiles_once_whatever_the_host_changes(updates, mode):
    """Three steps: of a fresh state, of one with a new rate and constants, of a batch put early."""
    assert updates[mode, "compiled"] == ["_fun" if mode == "pmap" else "update"]


@pytest.mark.parametrize("mode", ["none", "pmap", "jit"])
def test_the_old_state_makes_room_for_the_new(updates, mode):
    assert all(updates[mode, "consumed"])


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_make_the_state_of_one(updates, mode):
    for part in ("params", "batch_stats"):
        ours, theirs = (updates[m][1].variables[part] for m in (mode, "none"))
        assert_close(ours, theirs, 1e-5)
    assert updates[mode][1].step == updates["none"][1].step == 1


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_make_the_gradients_of_one(updates, mode):
    """A stricter look at the same: float32 rounding of the change itself."""
    assert_close(changes(updates[mode]), changes(updates["none"]), 1e-3)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_report_the_metrics_of_one(updates, mode):
    ours, theirs = updates[mode][2], updates["none"][2]
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-5, abs=2e-6), name


def test_an_update_moves_every_half(updates):
    for tree in changes(updates["none"]).values():
        assert any(np.any(leaf) for leaf in jax.tree.leaves(tree))


def test_mean_of_the_devices_mmd_would_be_another_gradient(batch):
    """Why the codes are gathered: two sounds a device have other neighbours than sixteen."""
    z = 1.2 * jax.random.normal(jax.random.key(1), (3, PER_CATEGORY, 4))
    prior = jax.random.normal(jax.random.key(2), (3, PER_CATEGORY, 4))

    def whole(z):
        return mmd2_per_category(z, prior).mean()

    def apart(z):
        shards = (a.reshape(3, 8, 2, 4).swapaxes(0, 1) for a in (z, prior))
        return jax.vmap(mmd2_per_category)(*shards).mean()

    (value, gradient), (other, wrong) = (jax.jit(jax.value_and_grad(f))(z) for f in (whole, apart))
    assert abs(other - value) > 0.05 * abs(value)
    assert jnp.linalg.norm(wrong - gradient) > 0.5 * jnp.linalg.norm(gradient)


def test_batches_are_split_over_the_devices():
    x = np.arange(3 * 16 * 2).reshape(3, 16, 2)
    y = split_devices(x)
    assert y.shape == (8, 3, 2, 2)
    np.testing.assert_array_equal(y[5], x[:, 10:12])


def test_auto_is_pmap_where_the_devices_can_share_the_batch():
    assert resolve_mode("auto", 16) == "pmap"
    assert resolve_mode("auto", 12) == "none"
    assert [resolve_mode(m, 16) for m in ("none", "pmap", "jit")] == ["none", "pmap", "jit"]


def test_auto_on_one_device_is_a_plain_jit(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert resolve_mode("auto", 16) == "none"


def test_unknown_mode_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"auto, none, pmap, jit; not 'pjit'"):
        resolve_mode("pjit", 16)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_batch_that_the_devices_cannot_share_is_refused(mode):
    with pytest.raises(ConfigError, match=r"per_category = 12 cannot be shared by 8 devices"):
        resolve_mode(mode, 12)


def test_micro_batches_must_divide_a_devices_share():
    assert resolve_mode("pmap", 16, 2) == "pmap"
    with pytest.raises(ConfigError, match=r"per_category = 16 cannot be cut into 32 parts"):
        resolve_mode("pmap", 16, 4)
    assert resolve_mode("none", 16, 4) == "none"


def test_several_processes_share_the_devices_or_refuse(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert resolve_mode("auto", 16) == "pmap"
    with pytest.raises(ConfigError, match=r"choose a multiple of 8\.$"):
        resolve_mode("auto", 12)
    with pytest.raises(ConfigError, match=r"would train 2 processes apart"):
        resolve_mode("none", 16)


def test_next_batch_goes_to_the_devices_while_this_one_is_used():
    class Numbers:
        def batch(self, step):
            return step

    brought, second = [], threading.Event()

    def put(step):
        brought.append(step)
        if step == 6:
            second.set()
        return -step

    coming = batches(Numbers(), 5, 8, put)
    assert next(coming) == -5
    assert second.wait(20)  # nobody asked for it yet
    assert list(coming) == [-6, -7]
    assert brought == [5, 6, 7]
