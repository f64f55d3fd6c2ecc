"""Runs that are killed, that the disk refuses, or whose data vanish: nothing saved is lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from one_shots import burst, prepare, write
from test_integrity import state

from drumjax import train
from drumjax.integrity import step_label, verify_folder
from drumjax.training.checkpoint import Checkpoints

# ml_collections loads a config file in Python's old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

TESTS = Path(__file__).parent
EVERY = 2  # steps between checkpoints


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The environment of a process that compiles what none before it did."""
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }


# Pictures and Griffin-Lim take most of a tiny run's time.
PROCESS = """
import sys
import train_process
from drumjax import train
train.write_validation = lambda *_: None
sys.exit(train_process.main())
"""


def start(workdir, cache, steps=12, log=subprocess.DEVNULL, before=""):
    flags = [f"--workdir={workdir}", f"--config.train.steps={steps}"]
    flags.append(f"--config.train.checkpoint_every={EVERY}")
    command = [sys.executable, "-c", before + PROCESS, *flags]
    return subprocess.Popen(command, env=cache, stdout=log, stderr=log, text=True)


def finish(workdir, cache, **options):
    """(exit status, all that it said)."""
    process = start(workdir, cache, log=subprocess.PIPE, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out + err


def rows(workdir):
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{k: v for k, v in row.items() if k != "sounds_per_second"} for row in told]


def kept(workdir):
    """Steps of the checkpoints, each of them whole."""
    folders = [f for f in (workdir / "checkpoints").glob("*") if f.name.isdecimal()]
    for folder in folders:
        verify_folder(folder, step_label(folder.name))
    return sorted(int(folder.name) for folder in folders)


@pytest.fixture(scope="module")
def unbroken(cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "unbroken"
    status, said = finish(workdir, cache)
    assert status == 0, said
    return workdir


def kill_somewhere(process, workdir, rng):
    """Kill a run soon after a step, while a checkpoint is written, or anywhere from its start.

    Returns whether it was killed while it wrote; None if it came to its end before.
    """
    logged, until = len(rows(workdir)), rng.choice(["step", "save", "time"])
    end = time.monotonic() + rng.uniform(0, 10)

    def come():
        if until == "save":
            return list((workdir / "checkpoints").glob("*tmp*"))
        return len(rows(workdir)) > logged + 1 if until == "step" else time.monotonic() > end

    while process.poll() is None and not come():
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    process.kill()
    written = list((workdir / "checkpoints").glob("*tmp*"))
    return None if process.wait() == 0 else bool(written)


@pytest.mark.slow
def test_killed_runs_go_on_as_if_they_had_not_been(unbroken, cache, tmp_path):
    """`DRUMJAX_KILLS=50` for more of them, in as many runs as they take; -s prints what was lost.

    What was saved last may not be complete when it comes; the one before is. No kill loses more
    than one interval and what was trained while the next one was written.
    """
    kills, rng = int(os.environ.get("DRUMJAX_KILLS", "3")), random.Random(0)
    runs, lost, saves = 1, [], 0
    while len(lost) < kills:
        workdir = tmp_path / str(runs)
        writing = kill_somewhere(start(workdir, cache), workdir, rng)
        if writing is None:  # it was faster
            assert rows(workdir) == rows(unbroken)
            runs += 1
            continue
        reached = max((row["step"] for row in rows(workdir)), default=0)
        lost.append(reached - max(kept(workdir), default=0))
        assert lost[-1] <= 2 * EVERY
        saves += writing
    status, said = finish(workdir, cache)
    assert status == 0, said
    assert rows(workdir) == rows(unbroken)
    assert kept(workdir)[-2:] == kept(unbroken)[-2:]
    told = ", ".join(f"{steps} steps {lost.count(steps)} x" for steps in sorted(set(lost)))
    print(
        f"{kills} kills, {saves} of them while a checkpoint was written; runs: {runs}; lost: {told}"
    )


FULL = """
import resource, signal
from drumjax.training import checkpoint
write = checkpoint.write_manifest
def write_once(folder, label):
    write(folder, label)
    if label == "step 4":
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
checkpoint.write_manifest = write_once
"""


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_one_sentence(cache, unbroken, tmp_path):
    """From step 4 on the system takes no file beyond 3,000 bytes, as a full disk does."""
    status, said = finish(tmp_path / "run", cache, before=FULL)
    assert status == 1, said
    assert "Traceback" not in said
    told = [line for line in said.splitlines() if line.startswith("drumjax train: ")]
    assert len(told) == 1, said
    assert "File too large" in told[0]
    assert "start again with the same command" in told[0]
    assert kept(tmp_path / "run")[-1] in (4, 6)
    assert finish(tmp_path / "run", cache)[0] == 0
    assert rows(tmp_path / "run") == rows(unbroken)


NO_ROOM = """
import errno
from drumjax.training import checkpoint
async def create(self):
    raise OSError(errno.ENOSPC, "No space left on device", str(self._final_path))
save = checkpoint.Checkpoints.save
def save_once(self, state, *rest):
    save(self, state, *rest)
    checkpoint._Sealed.create = create
checkpoint.Checkpoints.save = save_once
"""


@pytest.mark.slow
def test_a_disk_without_room_for_a_folder_ends_the_run_at_once(cache, tmp_path):
    """Once, threads that waited for the folder kept the process for five minutes."""
    began = time.monotonic()
    status, said = finish(tmp_path / "run", cache, before=NO_ROOM)
    assert time.monotonic() - began < 150
    assert status == 1, said
    assert "Traceback" not in said
    assert "Cannot write the checkpoint of step 4" in said
    assert "No space left on device" in said
    assert kept(tmp_path / "run") == [2]


def call(workdir, capsys, *options):
    """The exit status and the last line of a run in this process."""
    capsys.readouterr()
    options = [f"--config={TESTS / 'tiny.py'}:cwae", f"--workdir={workdir}", *options]
    status = train.main(["train", *options])
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error
    return status, error.splitlines()[-1]


KILLED = """
import os, sys
from test_integrity import state
from drumjax.training.checkpoint import Checkpoints
with Checkpoints(sys.argv[1]) as checkpoints:
    for step in range(1, 1000):
        checkpoints.save(state(step), {}, {}, 1.0)
"""


def test_a_process_killed_while_it_saves_leaves_whole_checkpoints(cache, tmp_path):
    """Killed at random moments of saving without a pause: two checkpoints or more, all whole."""
    rng = random.Random(0)
    for workdir in (tmp_path / "a", tmp_path / "b"):
        command = [sys.executable, "-c", KILLED, str(workdir)]
        process = subprocess.Popen(command, env=cache, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (workdir / "checkpoints" / "3").is_dir():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        newest = max(kept(workdir))
        assert newest >= 3
        with Checkpoints(workdir) as checkpoints:
            assert checkpoints.latest_step() == newest
            read = checkpoints.restore(newest, state(newest))
        assert (read.variables["w"] == state(newest).variables["w"]).all()


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_data_that_vanish_are_named_and_the_run_stays(tmp_path, capsys, damage):
    workdir = tmp_path / "run"
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(state(2), {}, {}, 1.0)
    for i in range(6):
        write(tmp_path / "in" / f"Kick {i}.wav", burst(i))
        write(tmp_path / "in" / f"Snare {i}.wav", burst(10 + i))
    data = prepare(tmp_path / "in")
    if damage == "gone":
        shutil.rmtree(data)
    else:
        (data / "train.npy").write_bytes((data / "train.npy").read_bytes()[:-1])
    status, said = call(workdir, capsys, "--config.train.steps=20", f"--config.data.path={data}")
    assert status == 1
    assert ("no prepared data set" if damage == "gone" else "is damaged") in said
    assert "prepare" in said
    assert kept(workdir) == [2]


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix" or shutil.which("setpriv") is None, reason="needs setpriv, of Linux"
)
def test_a_work_directory_that_is_read_only_is_named(unbroken, cache, tmp_path):
    """Root may write anywhere, unless it gives that right away."""
    workdir = shutil.copytree(unbroken, tmp_path / "run")
    folders = [workdir, *(f for f in workdir.rglob("*") if f.is_dir())]
    for path in [*folders, *(f for f in workdir.rglob("*") if f.is_file())]:
        path.chmod(path.stat().st_mode & ~0o222)
    rights = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    flags = [f"--workdir={workdir}", "--config.train.steps=14"]
    flags.append(f"--config.train.checkpoint_every={EVERY}")
    command = [*(rights if os.geteuid() == 0 else []), sys.executable, "-c", PROCESS, *flags]
    done = subprocess.run(command, env=cache, capture_output=True, text=True, timeout=300)
    for folder in folders:
        folder.chmod(0o755)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("drumjax train: ")
    assert str(workdir) in last
    assert "ermission denied" in last
    assert kept(workdir) == kept(unbroken)
