"""Several processes of one run: how they meet, and that they do what one process does."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import NAMES, state_maker
from train_process import SPLITS

from drumjax import train
from drumjax.errors import ConfigError, DataError, TrainingError
from drumjax.models import build_objective
from drumjax.training import distributed
from drumjax.training.checkpoint import Checkpoints
from drumjax.training.distributed import check_settings, is_cluster, together
from drumjax.training.interrupt import Interrupt

# ml_collections loads a config file in Python's old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

TESTS = Path(__file__).parent
TERMS = ("loss", "mse", "mmd", "gradient_norm")
BATCH = "--config.data.per_category=8"


def start(count, workdir, *flags, devices=1, each=None):
    """Run `count` processes of a few devices to their ends: [(status, stdout, stderr)]."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_"))}
    environment |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    environment["PYTHONPATH"] = str(TESTS.parent)
    children = []
    for i in range(count):
        own = [f"--coordinator=127.0.0.1:{port}", f"--process_count={count}", f"--process_id={i}"]
        command = [sys.executable, str(TESTS / "train_process.py"), f"--workdir={workdir}", *flags]
        command += (own if count > 1 else []) + list((each or {}).get(i, ()))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        said = [child.communicate(timeout=240) for child in children]
    finally:
        for child in children:
            child.kill()
    return [(child.returncode, *texts) for child, texts in zip(children, said, strict=True)]


def alone(workdir, *flags):
    """The same run in this process; returns the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_source", lambda path, split: SPLITS[split])
        config = f"--config={TESTS / 'tiny.py'}:cwae"
        return train.main(["train", config, f"--workdir={workdir}", BATCH, *flags])


def rows(workdir, split="train"):
    lines = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def restored(workdir, step):
    """The whole state of a checkpoint, as NumPy arrays."""
    _, make = state_maker("cwae")
    checkpoints = Checkpoints(workdir, read_only=True)
    state = checkpoints.restore(step, jax.eval_shape(make, jax.random.key(0)))
    checkpoints.close()
    return jax.device_get(state)


def assert_same_run(ours, theirs, steps):
    """The logged terms of each step, and every array of the last checkpoint.

    Adam's step is near the sign of a gradient that is nearly 0, so that rounding moves a parameter
    by up to the learning rate; the norm of a whole array hardly feels it.
    """
    for a, b in zip(rows(ours), rows(theirs), strict=True):
        assert a["step"] == b["step"]
        for term in TERMS:
            assert a[term] == pytest.approx(b[term], rel=1e-5), (a["step"], term)
    a, b = (dict(rows(w, "validation")[-1], split=0) for w in (ours, theirs))
    assert a == pytest.approx(b, rel=1e-5)
    trees = (jax.tree.leaves_with_path(restored(w, steps)) for w in (ours, theirs))
    for (path, x), (_, y) in zip(*trees, strict=True):
        error, norm = np.linalg.norm(x - y), np.linalg.norm(y)
        assert error <= 1e-4 * norm + 1e-5, jax.tree_util.keystr(path)


def assert_calibrated(state):
    """The latents' Gaussians are those of the weights beside them."""
    config, _ = state_maker("cwae")
    fitted = train.calibrate(build_objective(config, NAMES), state, SPLITS["train"], 0)
    for name, value in fitted.variables["constants"]["latents"].items():
        kept = state.variables["constants"]["latents"][name]
        np.testing.assert_allclose(kept, value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.fixture(autouse=True, scope="module")
def caching(compile_once):
    """Runs compile anew, as each process would; here all but the first find it on disk."""


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Five steps of one process on one device."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    assert alone(workdir, "--config.train.steps=5") == 0
    return workdir


def test_two_processes_stop_together_and_one_goes_on_as_if_there_had_been_one(one, tmp_path):
    """SIGTERM on the second process at step 3; then steps 4 and 5 on one device here."""
    workdir, flags = tmp_path / "run", [BATCH, "--config.train.parallel=pmap"]
    ended = start(2, workdir, *flags, "--config.train.steps=50", each={1: ["--stop_at=3"]})
    assert [status for status, _, _ in ended] == [130, 130], ended
    assert all("Stopped and saved." in errors for _, _, errors in ended)
    assert "2 x cpu in 2 processes: pmap" in ended[0][1]
    assert "Training on" not in ended[1][1]  # one of them speaks
    assert [row["step"] for row in rows(workdir)] == [1, 2, 3]
    assert Checkpoints(workdir, read_only=True).latest_step() == 3
    assert_calibrated(restored(workdir, 3))
    assert alone(workdir, "--config.train.steps=5") == 0
    assert_same_run(workdir, one, 5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_four_processes_then_one_then_eight_devices(one, tmp_path, mode):
    workdir = tmp_path / "run"
    flags = [BATCH, f"--config.train.parallel={mode}", "--config.train.steps=2"]
    ended = start(4, workdir, *flags)
    assert [status for status, _, _ in ended] == [0] * 4, ended
    assert alone(workdir, "--config.train.parallel=none", "--config.train.steps=3") == 0
    assert alone(workdir, "--config.train.parallel=jit", "--config.train.steps=5") == 0
    assert_same_run(workdir, one, 5)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_process_that_dies_ends_the_other_with_a_sentence(tmp_path, lost):
    flags = [BATCH, "--config.train.parallel=pmap", "--config.train.steps=50"]
    ended = start(2, tmp_path / "run", *flags, each={lost: ["--die_at=2"]})
    assert ended[lost][0] == -signal.SIGKILL
    status, _, errors = ended[1 - lost]
    if status == 1:
        assert f"drumjax train: Process {1 - lost} lost another one" in errors
        assert "Traceback" not in errors
    else:  # JAX's own watch was faster: it aborts a process whose coordinator is gone
        assert status == -signal.SIGABRT
        assert "another task died" in errors


@pytest.mark.slow
def test_two_processes_go_on_and_only_the_first_needs_the_disk(one, tmp_path):
    """The second is told of another work directory, as a host that does not share the first's."""
    flags, other = [BATCH, "--config.train.parallel=pmap"], tmp_path / "other"
    for steps in (3, 5):
        own = [*flags, f"--config.train.steps={steps}"]
        ended = start(2, tmp_path / "run", *own, each={1: [f"--workdir={other}"]})
        assert [status for status, _, _ in ended] == [0, 0], ended
    assert "Going on from step 3." in ended[0][1]
    assert not other.exists()
    assert_same_run(tmp_path / "run", one, 5)


@pytest.mark.slow
def test_full_disk_of_the_first_ends_both_with_a_sentence(tmp_path):
    """The log is short enough, but no picture and no checkpoint."""
    flags = [BATCH, "--config.train.parallel=pmap", "--config.train.checkpoint_every=2"]
    flags.append("--config.train.steps=50")
    ended = start(2, tmp_path / "run", *flags, each={0: ["--full_at=3"]})
    assert [status for status, _, _ in ended] == [1, 1], ended
    assert "drumjax train: Cannot write the checkpoint of step 4" in ended[0][2]
    assert "Another process cannot go on" in ended[1][2]
    assert all("Traceback" not in errors for _, _, errors in ended)
    assert Checkpoints(tmp_path / "run", read_only=True).latest_step() == 2


@pytest.mark.slow
def test_a_log_that_cannot_be_written_ends_both_with_a_sentence(tmp_path):
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    ended = start(2, tmp_path / "run", BATCH, "--config.train.parallel=pmap")
    assert [status for status, _, _ in ended] == [1, 1], ended
    assert "Is a directory" in ended[0][2]
    assert "Another process cannot go on" in ended[1][2]


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--config.seed=5", "--config.train.steps=0"])
def test_what_one_process_cannot_use_stops_both(tmp_path, flag):
    """Neither would notice the other's seed; no steps are refused by the one that has none."""
    flags = [BATCH, "--config.train.parallel=pmap"]
    ended = start(2, tmp_path / "run", *flags, each={1: [flag]})
    assert [status for status, _, _ in ended] == [1, 1]
    assert all("The processes have different configs" in errors for _, _, errors in ended)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_take_over_from_a_run_that_saved_nothing(tmp_path):
    """The second needs no work directory to agree."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"model": "cwae", "seed": 5}')
    flags = [BATCH, "--config.train.parallel=pmap", "--config.train.steps=1"]
    ended = start(2, tmp_path / "run", *flags, each={1: [f"--workdir={tmp_path / 'other'}"]})
    assert [status for status, _, _ in ended] == [0, 0], ended
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 0
    ended = start(2, tmp_path / "run", *flags, "--config.seed=6")
    assert [status for status, _, _ in ended] == [1, 1], ended
    assert "seed was 0, now 6" in ended[0][2]
    assert "Another process cannot go on" in ended[1][2]


# Settings


def test_settings_are_what_jax_is_told():
    said = {"coordinator_address": "10.0.0.1:8476", "num_processes": 4, "process_id": 3}
    assert check_settings("10.0.0.1:8476", 4, 3) == said
    assert check_settings("10.0.0.1:8476", "4", "3") == said  # from the environment
    assert check_settings(None, 1, None)["num_processes"] == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((None, 2, 0), "--coordinator=HOST:PORT, --process_count and"),
        (("a:1", None, 0), "needs all of"),
        (("a:1", 2, None), "needs all of"),
        (("a:1", 2, 2), "no process 2 of 2"),
        (("a:1", 2, -1), "no process -1 of 2"),
        (("a:1", 0, 0), "no process 0 of 0"),
        (("a", 2, 0), "HOST:PORT, such as 10.0.0.1:8476, not a"),
        (("a:port", 2, 0), "HOST:PORT"),
        (("a:70000", 2, 0), "HOST:PORT"),
        (("a:1", "two", 0), "--process_count must be a whole number, not two"),
    ],
)
def test_impossible_settings_are_one_sentence(settings, words):
    with pytest.raises(ConfigError) as caught:
        check_settings(*settings)
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


def test_impossible_flags_end_the_command(tmp_path, capsys):
    flags = ["--coordinator=localhost:1", "--process_count=2", "--process_id=2"]
    assert alone(tmp_path / "x", *flags) == 1
    assert "drumjax train: There is no process 2 of 2" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),  # sbatch's shell
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "t1k-0,t1k-1"}, True),
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1", "TPU_WORKER_HOSTNAMES": "a"}, True),
        ({"TPU_WORKER_HOSTNAMES": "t1k-0", "MEGASCALE_NUM_SLICES": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "t1k-0", "MEGASCALE_NUM_SLICES": "1"}, False),
    ],
)
def test_clusters_are_found_by_what_started_the_process(environment, several):
    assert is_cluster(environment) == several


@pytest.fixture
def calls(monkeypatch):
    """What `jax.distributed.initialize` would be called with, in a clean environment."""
    for name in (*distributed.VARIABLES, "SLURM_STEP_NUM_TASKS", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    found = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **settings: found.append(settings))
    return found


def test_nothing_is_started_for_one_process(calls, monkeypatch):
    distributed.initialise()
    distributed.initialise(process_count=1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    distributed.initialise(process_count=1)
    assert calls == []


def test_a_cluster_is_left_to_jax(calls, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    distributed.initialise()
    [call] = calls
    assert "coordinator_address" not in call
    assert call["heartbeat_timeout_seconds"] == distributed.HEARTBEAT


@pytest.mark.parametrize(
    ("tasks", "gpus", "own"),
    [
        ("1(x2)", "0,1,2,3", [0, 1, 2, 3]),  # one process on each of two machines of four GPUs
        ("1", "4,6", [0, 1]),  # by their places in the list
        ("4(x2)", "0,1,2,3", None),  # one process a GPU: JAX takes that of its number
        ("1(x2)", "0", None),
        ("", "0,1", None),
    ],
)
def test_a_process_alone_on_its_machine_takes_all_gpus(calls, monkeypatch, tasks, gpus, own):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", tasks)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    distributed.initialise()
    assert calls[0]["local_device_ids"] == own


def test_a_process_that_was_told_its_number_takes_all_that_it_sees(calls, monkeypatch):
    """Found in spite of the flags, SLURM would make JAX choose one GPU of the machine's."""
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    distributed.initialise("a:1", 2, 1)
    assert calls[0]["cluster_detection_method"] == "deactivate"
    assert "local_device_ids" not in calls[0]


def test_a_tpu_that_knows_of_no_others_is_alone(monkeypatch):
    monkeypatch.setattr(distributed.Path, "glob", lambda self, pattern: [self / "accel0"])
    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: name)
    assert is_cluster({})
    assert not is_cluster({"TPU_SKIP_MDS_QUERY": "1"})


def test_flags_win_over_the_environment(calls, monkeypatch):
    for name, value in zip(distributed.VARIABLES, ("a:1", "8", "7"), strict=True):
        monkeypatch.setenv(name, value)
    distributed.initialise(process_id=2)
    assert (calls[0]["coordinator_address"], calls[0]["process_id"]) == ("a:1", 2)


def test_processes_that_do_not_meet_are_one_sentence(calls, monkeypatch):
    def fail(**_):
        raise RuntimeError("DEADLINE_EXCEEDED: barrier\nand a page more")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(ConfigError, match=r"find each other \(DEADLINE_EXCEEDED: barrier\)"):
        distributed.initialise("a:1", 2, 0)


# What all of them do together


def test_refusal_of_one_is_everyones(monkeypatch):
    with pytest.raises(DataError, match="No sounds here"):
        together(_refuse)
    assert together(lambda n: n + 1, 2) == 3
    monkeypatch.setattr(distributed, "any_process", lambda flag: True)  # another one refuses
    with pytest.raises(TrainingError, match="Another process cannot go on"):
        together(lambda: 1)


def test_only_the_first_process_works(monkeypatch):
    assert distributed.on_first(lambda n: n + 1, 2) == 3
    monkeypatch.setattr(distributed, "is_first", lambda: False)
    assert distributed.on_first(lambda: 1 / 0) is None


@pytest.fixture
def several(monkeypatch):
    """As process 0 of two, whose collectives are sums with the zeros of the other."""

    def broadcast(tree):
        return jax.tree.map(lambda x: np.asarray(jax.numpy.asarray(x) + 0), tree)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed.multihost_utils, "broadcast_one_to_all", broadcast)
    monkeypatch.setattr(distributed, "any_process", lambda flag: flag)


def test_what_is_shared_is_kept_bit_for_bit(several):
    """Sums would lose the sign of zero, small numbers, and what JAX has no type for."""
    values = [np.float32([-0.0, 1e-40, np.nan]), np.float64(0.1), np.int64(2**40 + 1), np.True_]
    for own, got in zip(values, distributed.agree(values), strict=True):
        assert (got.dtype, got.shape) == (own.dtype, own.shape)
        assert got.tobytes() == own.tobytes()
    value = {"a": [0.1, 2**70, float("inf"), None, "ä"]}
    assert distributed.share(value) == value


def test_different_versions_or_configs_are_refused(several, monkeypatch):
    distributed.check_alike("versions", ["1", "2"])
    monkeypatch.setattr(distributed, "share", lambda value: ["1", "3"])  # process 0's
    with pytest.raises(TrainingError, match="different versions; give all of them the same"):
        distributed.check_alike("versions", ["1", "2"])


def test_only_an_error_that_is_told_to_all_lets_a_process_end_in_its_own_time(monkeypatch):
    ended = []
    monkeypatch.setattr(distributed.os, "_exit", ended.append)
    assert distributed.leave(1, DataError("alone")) == 1
    assert ended == []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    distributed.leave(3, DataError("in one of several"))
    assert ended == [3]
    with pytest.raises(DataError) as caught:
        together(_refuse)
    assert distributed.leave(1, caught.value) == 1
    assert ended == [3]


def test_devices_that_cannot_be_used_are_one_sentence(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'cuda': no driver\nmore")

    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(ConfigError, match=r"cannot use its devices \(Unable .* JAX_PLATFORMS=cpu"):
        distributed.check_devices()


def _refuse():
    raise DataError("No sounds here.")


def test_failures_are_told_from_mistakes():
    lost = ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")
    assert distributed.is_failure(lost)
    assert distributed.is_failure(jax.errors.JaxRuntimeError("INTERNAL: x"))
    assert not distributed.is_failure(ValueError("shapes do not match"))
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
    assert "--config.train.accumulate=4" in distributed.explain(full)
    assert distributed.explain(jax.errors.JaxRuntimeError("INTERNAL: x")).startswith("The device")


def test_sigterm_asks_to_stop_and_the_handlers_come_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt() as interrupt:
        assert not interrupt.stops()
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.stops()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
