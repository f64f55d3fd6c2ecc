"""Processes that share the work of `prepare`: those that die, hang, or are interrupted."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from one_shots import burst, names, prepare, reasons, two_kits, write

from drumjax.data import assemble, pool
from drumjax.data.pool import run_jobs
from drumjax.errors import DataError


def run(work, jobs, lost, **options):
    return list(run_jobs(work, iter(jobs), lambda job: [job], lost.append, 2, **options))


def read_or_die(batch):
    """Takes the place of `assemble.read_batch`, in other processes."""
    if any("deadly" in path for _, path in batch.files):
        os._exit(9)
    assemble.read_batch(batch)


def test_a_file_that_kills_its_reader_is_left_out_and_no_other(tmp_path, monkeypatch):
    folder = two_kits(tmp_path / "in")
    write(folder / "808" / "Kick deadly.wav", burst(90))
    monkeypatch.setattr(assemble, "read_batch", read_or_die)
    monkeypatch.setattr(pool, "cores", lambda: 2)
    for name, value in (("_BATCH", 4), ("_FEW", 0)):  # but the data set is written by this process
        monkeypatch.setattr(f"drumjax.commands.prepare.{name}", value)
    output = prepare(folder)
    assert reasons(output) == {assemble.CRASHED: 1}
    assert len(names(output, "train") | names(output, "validation")) == 10
    assert not any("deadly" in name for name in names(output, "train"))


UNGUARDED = """
from drumjax.data.pool import run_jobs
from drumjax.errors import DataError

lost = []
try:
    list(run_jobs(abs, iter(range(9)), lambda job: [job], lost.append, 2))
except DataError as error:
    print(lost, error)
"""


def test_processes_that_die_at_their_start_are_no_jobs_fault(tmp_path):
    """As those of a script that starts them when it is imported, which each of them does."""
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("[] new processes die at once (exit status 1); see whether mem")


def test_jobs_that_kill_one_after_another_are_not_the_cause():
    lost, deadly = [], int(signal.SIGKILL)
    with pytest.raises(DataError, match=r"died of job 9, job 9, job 9 one after .* memory"):
        run(signal.raise_signal, [deadly] * 5, lost, name=lambda job: f"job {job}")
    assert lost == [deadly] * 2


def die_of_odd(job):
    if job % 2:
        os._exit(9)


def test_bad_jobs_with_good_ones_between_are_left_out():
    lost = []
    assert sorted(run(die_of_odd, range(8), lost)) == list(range(8))
    assert lost == [1, 3, 5, 7]


class Executor:
    """Stands in for a pool: a job is what becomes of it."""

    def __init__(self, *_, **__):
        pass

    def submit(self, _, job):
        if isinstance(job, OSError) and job.errno == 11:
            raise job
        future = Future()
        future.set_exception(job)
        return future

    def shutdown(self, **_):
        pass


@pytest.mark.parametrize("turn", [1, -1])
def test_an_error_is_told_although_another_process_dies(monkeypatch, turn):
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Executor)
    jobs = [BrokenProcessPool(), OSError(28, "No space left on device")]
    with pytest.raises(OSError, match="No space left"):
        run(None, jobs[::turn], [])


def test_processes_that_cannot_be_started_are_told(monkeypatch):
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Executor)
    with pytest.raises(DataError, match=r"no process can be started .*--workers=1"):
        run(None, [OSError(11, "Resource temporarily unavailable")], [])


def test_what_does_not_end_is_named_once(monkeypatch, capfd):
    monkeypatch.setattr(pool, "_PATIENCE", 0.1)
    run(time.sleep, [1.5, 1.6, 0.1], [], name=lambda seconds: f"{seconds} s")
    error = capfd.readouterr().err
    assert error.count("nothing has ended for") == 1
    assert "in hand: 1.5 s, 1.6 s\n" in error


def test_there_are_not_more_processes_than_can_be_waited_for(monkeypatch):
    monkeypatch.setattr(pool, "MOST", 1)
    assert pool.cores() == 1


HANGING = """
import os, pathlib, sys, time
from drumjax.data.pool import run_jobs

def hang(job):
    pathlib.Path(f"{job}.tmp").write_text(str(os.getpid()))
    os.replace(f"{job}.tmp", f"{job}.pid")
    time.sleep(1000)

if __name__ == "__main__":
    try:
        list(run_jobs(hang, iter("abc"), lambda job: [job], print, 2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are listed in /proc")
@pytest.mark.parametrize("more", [1, 2])
def test_a_second_interruption_ends_what_hangs(tmp_path, more):
    (tmp_path / "script.py").write_text(HANGING)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(pids := list(tmp_path.glob("*.pid"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert process.stderr.readline() == "ending what is in hand; Ctrl-C again stops at once\n"
    for _ in range(more):
        os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
    assert not any(Path("/proc", path.read_text()).exists() for path in pids)
