"""Checkpoints on disk: exact, best kept, and never lost to a failed write."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tiny import MCNN

from drumjax.errors import CheckpointError
from drumjax.models import mcnn
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.state import TrainState, adam, create_state

ROOT = Path(__file__).parent.parent
CONFIG = {"model": "mcnn", "rate": 0.1}


@pytest.fixture(scope="module")
def fresh():
    return jax.jit(lambda key: create_state(mcnn.objective(MCNN), adam(), key))(jax.random.key(0))


def at(state, step, scale=1.0):
    """The state of another step, with other numbers in every float leaf."""
    other = jax.tree.map(lambda a: a + step * 1e-3 if a.dtype == jnp.float32 else a, state)
    return other._replace(step=jnp.int32(step), lr_scale=jnp.float32(scale))


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def save(workdir, state, loss, host=None):
    checkpoints = Checkpoints(workdir)
    try:
        checkpoints.save(state, CONFIG, host or {}, loss)
    finally:
        checkpoints.close()


@pytest.fixture
def reopened(tmp_path):
    """Opens the work directory anew, as after a restart; closes at the end."""
    opened = []

    def open_again(**options):
        opened.append(Checkpoints(tmp_path, **options))
        return opened[-1]

    yield open_again
    for checkpoints in opened:
        checkpoints.close()


def test_round_trip_is_exact(tmp_path, fresh, reopened):
    state = at(fresh, 5, 0.25)
    save(tmp_path, state, 1.5, {"plateau": {"best": 1.5, "misses": 5, "scale": 0.25}})
    again = reopened()
    assert_same(again.restore(5, fresh), state)
    assert_same(again.restore_model(5, fresh.variables), state.variables)
    host = {"plateau": {"best": 1.5, "misses": 5, "scale": 0.25}}
    assert again.config(5) == {"config": CONFIG, "host": host}
    assert (again.latest_step(), again.best_step()) == (5, 5)


def test_shapes_alone_are_enough_to_restore_the_model(tmp_path, fresh, reopened):
    save(tmp_path, at(fresh, 1), 1.0)
    like = jax.eval_shape(lambda: mcnn.init(MCNN, jax.random.key(0)))
    assert_same(reopened(read_only=True).restore_model(1, like), at(fresh, 1).variables)


def test_nothing_saved_has_no_step(reopened):
    checkpoints = reopened()
    assert checkpoints.latest_step() is None
    assert checkpoints.best_step() is None


def test_best_is_kept_over_restarts_while_others_go(tmp_path, fresh, reopened):
    for step, loss in ((1, 0.9), (2, -0.3), (3, 0.5)):
        save(tmp_path, at(fresh, step), loss)  # every save by a newly opened manager
    for step in (4, 5, 6):
        save(tmp_path, at(fresh, step), 0.7)
    again = reopened()
    assert again.best_step() == 2
    assert again.latest_step() == 6
    assert_same(again.restore(2, fresh), at(fresh, 2))
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {2, 5, 6}


def test_an_unmeasured_checkpoint_is_never_the_best(tmp_path, fresh, reopened):
    save(tmp_path, at(fresh, 1), 0.9)
    save(tmp_path, at(fresh, 2), float("inf"))  # as after Ctrl-C
    again = reopened()
    assert (again.latest_step(), again.best_step()) == (2, 1)


def test_saving_a_step_twice_keeps_the_first(tmp_path, fresh, reopened):
    save(tmp_path, at(fresh, 1, 0.5), 0.9)
    save(tmp_path, at(fresh, 1, 0.1), 0.8)
    assert reopened().restore(1, fresh).lr_scale == 0.5


def test_unfinished_directory_is_no_checkpoint(tmp_path, fresh, reopened):
    save(tmp_path, at(fresh, 1), 0.9)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "1", folder / "2.orbax-checkpoint-tmp")
    (folder / "2.orbax-checkpoint-tmp" / "_CHECKPOINT_METADATA").unlink(missing_ok=True)
    assert reopened(read_only=True).latest_step() == 1
    again = reopened()
    assert again.latest_step() == 1
    assert_same(again.restore(1, fresh), at(fresh, 1))
    again.save(at(fresh, 2), CONFIG, {}, 0.8)
    assert_same(again.restore(2, fresh), at(fresh, 2))


def elsewhere(script, folder):
    """What a script prints in a process of its own.

    Where orbax fails, what tensorstore had begun reports to an event loop that is closed by then;
    that noise belongs to no test.
    """
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


REFUSED_WRITE = """
import resource, sys
import jax.numpy as jnp
import numpy as np
from drumjax.errors import CheckpointError
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.state import TrainState

def state(step):
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(40, 40)), jnp.float32)
    return TrainState(jnp.int32(step), {"w": noise}, {"m": noise}, jnp.ones(()))

checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(state(1), {}, {}, 0.9)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
try:
    checkpoints.save(state(2), {}, {}, 0.1)
    checkpoints.close()
except CheckpointError as error:
    print(error)
"""


def test_failed_write_is_one_sentence_and_leaves_the_one_before(tmp_path, reopened):
    """The system refuses files beyond 4 kB, as a full disk does; in a process that then ends."""
    message = elsewhere(REFUSED_WRITE, tmp_path).strip()
    assert message.startswith(f"Cannot write the checkpoint of step 2 to {tmp_path}: ")
    assert "\n" not in message
    assert "File too large" in message
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(40, 40)), jnp.float32)
    like = TrainState(jnp.int32(0), {"w": noise}, {"m": noise}, jnp.ones(()))
    again = reopened()
    assert (again.latest_step(), again.best_step()) == (1, 1)
    assert_same(again.restore(1, like), like._replace(step=jnp.int32(1)))
    again.save(like._replace(step=jnp.int32(2)), {}, {}, 0.1)  # with room again, it can be written
    assert again.best_step() == 2


def test_full_disk_is_named(tmp_path, fresh, reopened, monkeypatch):
    checkpoints = reopened()

    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints._manager, "save", full)
    with pytest.raises(CheckpointError, match=r"No space left on device\. Free some space"):
        checkpoints.save(at(fresh, 1), CONFIG, {}, 0.9)


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere holds no checkpoints"):
        Checkpoints(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()


BAD_READS = """
import sys
import jax.numpy as jnp
from drumjax.errors import CheckpointError
from drumjax.training.checkpoint import Checkpoints

for workdir, heads in (("cut", 2), ("gone", 2), ("whole", 3), ("whole", 2)):
    checkpoints = Checkpoints(f"{sys.argv[1]}/{workdir}", read_only=True)
    try:
        checkpoints.restore_model(1, {"w": jnp.zeros((heads, 40))})
        print("restored")
    except CheckpointError as error:
        print(error)
"""


def test_checkpoints_that_cannot_be_read_are_named(tmp_path):
    """Files cut short, files gone, and another network's; only then the right one."""
    state = TrainState(jnp.int32(1), {"w": jnp.ones((2, 40))}, {}, jnp.ones(()))
    for name in ("cut", "gone", "whole"):
        save(tmp_path / name, state, 0.9)
        model = tmp_path / name / "checkpoints" / "1" / "model"
        for file in [p for p in model.rglob("*") if p.is_file()]:
            if name == "cut":
                file.write_bytes(file.read_bytes()[:20])
            if name == "gone":
                file.unlink()
    *errors, last = elsewhere(BAD_READS, tmp_path).splitlines()
    assert last == "restored"
    for name, error in zip(("cut", "gone", "whole"), errors, strict=True):
        assert error.startswith(f"The checkpoint of step 1 in {tmp_path / name} cannot be read: ")
        assert f"Delete {tmp_path / name / 'checkpoints' / '1'} to go on" in error


def test_state_of_eight_devices_opens_on_one(tmp_path, fresh, reopened):
    mesh = Mesh(np.array(jax.devices()), ("data",))
    state = at(fresh, 1)
    spread = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    save(tmp_path, spread, 0.9)
    restored = reopened().restore(1, fresh)
    assert_same(restored, state)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(restored)} == {1}


def test_config_is_plain_json(tmp_path, fresh):
    save(tmp_path, at(fresh, 1), 0.9)
    file = tmp_path / "checkpoints" / "1" / "config" / "metadata"
    assert json.loads(file.read_text())["config"] == CONFIG
